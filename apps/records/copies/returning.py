"""After a restore: what sealed copies hold of conversations that were kept since the backup comes back by itself (DESIGN §3).

It begins once every erasure since the backup has been repeated and proven, so that a key which still opens a copy is one
that nobody has erased. Only copies that no row names are read: those made since the backup. What is due, and how far it is,
stands in the rule's row, so that nothing but that row decides whether it is done. It goes through the place in its order, in
batches of a minute: so it comes to its end however many copies there are, and a worker that is killed repeats one copy.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.audit.actors import Actor
from apps.locations.errors import LocationError
from apps.locations.stores import Store
from apps.records.copies import restoring
from apps.records.copies.naming import Name
from apps.records.copies.restoring import Restored, counts_of, sealed_rules
from apps.records.copies.running import reason_of
from apps.records.copies.writing import store_of_policy
from apps.records.errors import LostClaim
from apps.records.models import CopyPolicy, CopyRun

BATCH_SECONDS = 50.0
AGAIN = timedelta(minutes=10)  # when the place, or whoever holds the master key, does not answer
MOST_TRIES = 3  # of one copy at which workers die or the place fails: the others do not wait for it any longer

logger = logging.getLogger(__name__)


@dataclass
class _Progress:
    """How far a return is, as the rule's row keeps it."""

    run: str = ""  # the open run that shows it
    after: str = ""  # the copy that was done last, by its name in the place
    trying: str = ""  # the one that was begun after it,
    tries: int = 0  # and how often
    again_after: str | None = None  # before the first that could not be brought back just now: there it begins anew
    counts: dict[str, int] = field(default_factory=lambda: counts_of(Restored()))


def bring_back_everything() -> int:
    """Have what is missing here brought back from every rule's sealed copies; return how many rules. In a transaction."""
    return sealed_rules().update(bring_back_at=timezone.now(), bring_back={})


def due_returns() -> list[UUID]:
    """Return the rules from whose copies something is to be brought back, and which no worker is at."""
    due = CopyPolicy.objects.filter(bring_back_at__lte=timezone.now())
    return [policy.pk for policy in due if not restoring.is_restoring(policy)]


def bring_back(policy_id: UUID) -> bool:
    """Bring back what is missing for a batch, as a run that the rule's page shows; True if there is more to do at once."""
    with transaction.atomic():
        policy = CopyPolicy.objects.select_for_update().filter(pk=policy_id, bring_back_at__lte=timezone.now()).first()
        if policy is None:
            return False
        progress = _Progress(**policy.bring_back)
        run = restoring.begin_run(policy, going_on=UUID(progress.run) if progress.run else None)
        if run is None:
            return False
    return _Batch(policy, run, progress).work()


class _Batch:
    """What one worker does of it before it lets others have their turn."""

    def __init__(self, policy: CopyPolicy, run: CopyRun, progress: _Progress) -> None:
        self.policy, self.run, self.progress = policy, run, progress
        self.since = policy.bring_back_at  # another one in the row: it was begun anew meanwhile
        self.progress.run = str(run.pk)
        self.done = Restored()

    def work(self) -> bool:
        try:
            return self._work(time.monotonic() + BATCH_SECONDS)
        except LostClaim:
            self._close(CopyRun.State.FAILED)  # if it is ours: what is due was begun anew
            return False

    def _work(self, ends_at: float) -> bool:
        try:
            store, beginning = store_of_policy(self.policy), f"{self.policy.pk}/"
            for name in restoring.copies_there(store, beginning, after=self.progress.after, only_unknown=True):
                self._take(store, name)
                if time.monotonic() >= ends_at:
                    return self._pause()
        except LocationError as error:
            self._end(CopyRun.State.FAILED, reason_of(error))
        else:
            self._end(CopyRun.State.DONE)
        return False

    def _take(self, store: Store, name: Name) -> None:
        """Bring one back; it counts as begun before, so that one at which every worker dies is passed by at last."""
        progress, one = self.progress, Restored()
        progress.tries = progress.tries + 1 if progress.trying == str(name) else 1
        progress.trying = str(name)
        if progress.tries > MOST_TRIES:
            logger.error("copy %s was begun %d times and never ended", name.copy_id, MOST_TRIES)
            one.failed.append((name, "it ended its workers"))
        else:
            self._save()
            self._restore(store, name, one)
        if one.later and progress.again_after is None:
            progress.again_after = progress.after
        for what, count in counts_of(one).items():
            progress.counts[what] += count
        self.done.conversations += one.conversations
        self.done.already_held += one.already_held
        self.done.later += one.later
        progress.after, progress.trying, progress.tries = str(name), "", 0

    def _restore(self, store: Store, name: Name, one: Restored) -> None:
        try:
            restoring.restore_one(store, name, one, Actor.system())
        except LocationError as error:
            if self.progress.tries < MOST_TRIES:
                raise
            one.failed.append((name, f"the place does not give it: {reason_of(error)}"))
            one.later += 1

    def _pause(self) -> bool:
        """Let go of it; when nothing could be brought back just now, for a while."""
        waits = bool(self.done.later) and not self.done.conversations and not self.done.already_held
        with transaction.atomic():
            self._save(until=timezone.now() + AGAIN if waits else self.since)
            CopyRun.objects.filter(pk=self.run.pk).update(lease_until=None)
        return not waits

    def _end(self, state: CopyRun.State, reason: str = "") -> None:
        """Close the run. What the place, or a master key, did not give is asked for again from there on."""
        progress, again = self.progress, timezone.now() + AGAIN
        is_done = state == CopyRun.State.DONE
        with transaction.atomic():
            if is_done:
                restoring.append_entry(self.policy, progress.counts, Actor.system())
            if not is_done:
                progress.run = ""
            elif progress.again_after is not None:
                self.progress = _Progress(after=progress.again_after)
            is_over = is_done and progress.again_after is None
            self._note({} if is_over else asdict(self.progress), None if is_over else again)
            restoring.hold_run(self.run, progress.counts)
            self._close(state, reason)

    def _close(self, state: CopyRun.State, reason: str = "") -> None:
        ends = {"state": state, "reason": reason, "finished_at": timezone.now(), "lease_until": None}
        CopyRun.objects.filter(pk=self.run.pk, lease_until=self.run.lease_until).update(**ends)

    def _save(self, until: datetime | None = None) -> None:
        with transaction.atomic():
            self._note(asdict(self.progress), until or self.since)
            restoring.hold_run(self.run, self.progress.counts)  # last, as it notes the lease here as well

    def _note(self, progress: dict[str, object], until: datetime | None) -> None:
        mine = CopyPolicy.objects.filter(pk=self.policy.pk, bring_back_at=self.since)
        if not mine.update(bring_back=progress, bring_back_at=until):
            raise LostClaim
