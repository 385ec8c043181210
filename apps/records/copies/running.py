"""Carrying a rule out: delete what is to go, copy what changed, read again what is due. One worker at a time for each rule.

Nothing but the rows says what is left to do, so that a worker that was killed costs at most the copy it was writing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.keys.errors import KeysError, MasterKeyUnreachable
from apps.locations.errors import Blocked, LocationError, Refused, StorageFull
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.locations.services import record_emptied, switch_location
from apps.locations.stores import Store
from apps.records.copies import checking
from apps.records.copies.policies import PERIODS, stop_if_place_changed
from apps.records.copies.removing import doom_erased, doom_unfinished, removable, remove_doomed
from apps.records.copies.writing import store_of_policy, uncopied, write_copy
from apps.records.errors import LostClaim
from apps.records.models import Copy, CopyPolicy, CopyRun
from apps.sealing.errors import DecryptionError

logger = logging.getLogger(__name__)

RUN_SECONDS = 200.0  # then another task goes on: below the time limit of a task
LEASE = timedelta(seconds=305)
AGAIN = timedelta(minutes=10)  # when the place, or that of the master keys, does not answer
PAGE = 100
KEPT = 60  # runs of a rule that are shown


def due_policies() -> list[UUID]:
    """Return the rules that have something to copy, to read again or to delete, and no worker."""
    now = timezone.now()
    is_free = Q(lease_until=None) | Q(lease_until__lte=now)
    is_due = ~is_stopped() & (Q(next_copy_at__lte=now) | Q(next_check_at__lte=now))
    doomed = removable().values("policy_id").distinct()
    is_empty = ~Exists(Copy.objects.filter(policy_id=OuterRef("pk")))
    is_over = Q(is_active=False, proposed_by=None, location__emptied_at=None) & is_empty  # to be recorded as emptied
    due = CopyPolicy.objects.filter(is_free).filter(is_due | Q(pk__in=doomed) | is_over)
    return list(due.values_list("pk", flat=True))


def is_stopped() -> Q:
    """Name the rules that somebody has stopped, or of which a place is switched off: nothing is copied or read again."""
    return Q(is_active=False) | Q(destination__is_enabled=False) | Q(location__is_enabled=False)


def run_policy(policy_id: UUID, *, seconds: float = RUN_SECONDS) -> bool:
    """Do what is due, for at most about `seconds`; True if there is more of it. Safe to call at any time."""
    policy = _claim(policy_id)
    if policy is None:
        return False
    run = _Run(policy, time.monotonic() + seconds)
    pause = timedelta(0)
    try:
        if stop_if_place_changed(policy):
            logger.warning("%s: its place is set up otherwise than two people agreed to; it stands still", policy)
            run.close_if_stopped()
        has_more = run.go()
        if not has_more and run.is_left_over():
            pause = AGAIN
        return has_more
    except LostClaim:
        run.close_if_stopped()
        return False
    except (LocationError, MasterKeyUnreachable) as error:
        logger.warning("copies could not be written, read or deleted: %s", error)
        pause = AGAIN
        return False
    finally:
        mine = CopyPolicy.objects.filter(pk=policy.pk, token=policy.token)
        mine.update(token=None, lease_until=timezone.now() + pause if pause else None)


def _claim(policy_id: UUID) -> CopyPolicy | None:
    now, token = timezone.now(), uuid4()
    free = CopyPolicy.objects.filter(Q(lease_until=None) | Q(lease_until__lte=now), pk=policy_id)
    if not free.update(token=token, lease_until=now + LEASE):
        return None
    return CopyPolicy.objects.select_related("destination", "location").get(pk=policy_id)


class _Run:
    """One claim of a rule."""

    def __init__(self, policy: CopyPolicy, ends_at: float) -> None:
        self.policy, self.ends_at = policy, ends_at
        self.store: Store

    def go(self) -> bool:
        policy, now = self.policy, timezone.now()
        goes_on = policy.is_active and policy.destination.is_enabled and policy.location.is_enabled
        is_time_to_copy = goes_on and policy.next_copy_at is not None and policy.next_copy_at <= now
        is_time_to_check = goes_on and policy.next_check_at is not None and policy.next_check_at <= now
        if is_time_to_check and not policy.check_days:  # switched off while one ran
            CopyPolicy.objects.filter(pk=policy.pk).update(next_check_at=None)
            is_time_to_check = False
        try:
            self.store = store_of_policy(policy)
            if is_time_to_copy:
                doom_erased(policy)
                doom_unfinished(policy, before=now - LEASE)
            self._remove()
        except LocationError as error:
            if is_time_to_copy:
                self._failed(self._open_run(CopyRun.Kind.COPY), error)
            raise
        if is_time_to_copy:
            return self._phase(CopyRun.Kind.COPY, self._copy) or self._go_on()
        if is_time_to_check:
            return self._phase(CopyRun.Kind.CHECK, self._check) or self._go_on()
        return False

    def close_if_stopped(self) -> None:
        """End the runs of a rule that somebody has stopped meanwhile; another worker's are left alone."""
        if not CopyPolicy.objects.filter(is_stopped(), pk=self.policy.pk).exists():
            return
        kinds = (CopyRun.Kind.COPY, CopyRun.Kind.CHECK)
        for run in CopyRun.objects.filter(policy=self.policy, state=CopyRun.State.RUNNING, kind__in=kinds):
            run.reason = Reason.DISABLED.value
            self._finish(run, CopyRun.State.FAILED)

    def is_left_over(self) -> bool:
        """Say whether an ended rule has no copies by our rows while its place still holds something: look again later."""
        policy = self.policy
        if policy.is_active or policy.is_proposed or Copy.objects.filter(policy=policy).exists():
            return False
        return not Location.objects.filter(pk=policy.location_id, emptied_at__isnull=False).exists()

    def _go_on(self) -> bool:
        return removable().filter(policy=self.policy).exists()

    def _remove(self) -> None:
        removed = remove_doomed(self.policy, self.store)
        if removed:
            with transaction.atomic():
                actor, place = Actor.system(), self.policy.location_id
                audit.append(Event.COPIES_REMOVED, about="", actor=actor, location=place, removed=removed)

        is_ended = not self.policy.is_active and not self.policy.is_proposed
        if is_ended and not Copy.objects.filter(policy=self.policy).exists():
            self._record_emptied()

    def _record_emptied(self) -> None:
        """Let requests pass an ended rule by, once the place itself says that nothing is left."""
        place = self.policy.location
        if place.emptied_at is None and not any(self.store.find(f"{self.policy.pk}/")):
            switch_location(place, enabled=False, actor=Actor.system())
            record_emptied(place, actor=Actor.system())

    def _phase(self, kind: CopyRun.Kind, work: Callable[[CopyRun], bool]) -> bool:
        """Go on with the run of this kind that is open, or begin one; True if time was up before its end."""
        run = self._open_run(kind)
        try:
            has_more = work(run)
        except LocationError as error:
            self._failed(run, error)
            raise
        if not has_more:
            self._finish(run, CopyRun.State.DONE)
        return has_more

    def _open_run(self, kind: CopyRun.Kind) -> CopyRun:
        found = CopyRun.objects.filter(policy=self.policy, kind=kind, state=CopyRun.State.RUNNING).first()
        return found or CopyRun.objects.create(policy=self.policy, kind=kind)

    def _copy(self, run: CopyRun) -> bool:
        waiting = uncopied(self.policy).select_related("subject")
        while page := list((waiting.filter(pk__gt=run.cursor) if run.cursor else waiting)[:PAGE]):
            for row in page:
                before = run.cursor
                self._count(run, row.pk, failed=1)  # until it is done: if it kills its worker, the others go on
                try:
                    copy = write_copy(self.policy, self.store, row, still_ours=self._hold)
                    done = {"written": 1, "bytes": copy.size} if copy else {"skipped": 1}
                    self._count(run, row.pk, failed=-1, **done)
                except (LocationError, MasterKeyUnreachable):  # a place fails, not this one
                    self._count(run, before, failed=-1)
                    raise
                except (DecryptionError, KeysError) as error:  # this one is damaged here: the others are not
                    logger.exception("%s could not be copied: %s", row, type(error).__name__)
                if time.monotonic() >= self.ends_at:
                    return True
        return False

    def _check(self, run: CopyRun) -> bool:
        there = Copy.objects.filter(policy=self.policy, stored=True, doomed_at=None).order_by("pk")
        while page := list((there.filter(pk__gt=run.cursor) if run.cursor else there)[:PAGE]):
            for copy in page:
                result = checking.check_copy(self.policy, self.store, copy)
                if result in (checking.MISSING, checking.CHANGED):
                    logger.error("%s is %s in its place", copy, result)
                self._count(run, copy.pk, **{result: 1})
                if time.monotonic() >= self.ends_at:
                    return True
        return False

    def _count(self, run: CopyRun, cursor: UUID | None, **more: int) -> None:
        """Note how far it is; raises LostClaim when another worker has taken over, or the rule was stopped."""
        run.cursor = cursor
        for name, number in more.items():
            run.counts[name] = run.counts.get(name, 0) + number
        run.counts = {name: number for name, number in run.counts.items() if number}
        self._hold()
        run.save(update_fields=["cursor", "counts"])

    def _hold(self) -> None:
        """Keep the claim; also while one large copy is on its way, which may take longer than a lease."""
        mine = CopyPolicy.objects.filter(~is_stopped(), pk=self.policy.pk, token=self.policy.token)
        if not mine.update(lease_until=timezone.now() + LEASE):
            raise LostClaim

    def _failed(self, run: CopyRun, error: LocationError) -> None:
        run.reason = reason_of(error)
        self._finish(run, CopyRun.State.FAILED)

    def _finish(self, run: CopyRun, state: CopyRun.State) -> None:
        """End a run with its entry, and say when the next one is due."""
        run.state, run.finished_at = state, timezone.now()
        with transaction.atomic():
            run.save()
            _append_entry(self.policy, run)
            self.policy.refresh_from_db(fields=["every", "check_days"])  # somebody may have changed them meanwhile
            CopyPolicy.objects.filter(pk=self.policy.pk).update(**self._next(run))
        old = CopyRun.objects.filter(policy=self.policy).order_by("-started_at").values_list("pk", flat=True)
        CopyRun.objects.filter(pk__in=list(old[KEPT : KEPT + 100])).delete()

    def _next(self, run: CopyRun) -> dict[str, datetime | None]:
        policy = self.policy
        failed = run.state == CopyRun.State.FAILED
        if run.kind == CopyRun.Kind.COPY:
            later = run.started_at + PERIODS[CopyPolicy.Every(policy.every)]
            return {"next_copy_at": timezone.now() + AGAIN if failed else later}
        later = run.started_at + timedelta(days=policy.check_days)
        changes: dict[str, datetime | None] = {"next_check_at": timezone.now() + AGAIN if failed else later}
        if run.counts.get(checking.MISSING) or run.counts.get(checking.CHANGED):
            changes["next_copy_at"] = timezone.now()  # what was damaged is written anew at once
        return changes


def reason_of(error: LocationError) -> str:
    """Return why a place did not do it, as a word of the closed list."""
    if isinstance(error, Blocked):
        return str(error.reason)
    if isinstance(error, StorageFull):
        return Reason.STORAGE_FULL.value
    return Reason.REFUSED.value if isinstance(error, Refused) else Reason.UNREACHABLE.value


def _append_entry(policy: CopyPolicy, run: CopyRun) -> None:
    is_copy = run.kind == CopyRun.Kind.COPY
    names = ("written", "failed") if is_copy else (checking.OK, checking.MISSING, checking.CHANGED, checking.SKIPPED)
    counts: dict[str, Any] = {name: run.counts.get(name, 0) for name in names}
    audit.append(
        Event.COPIES_WRITTEN if is_copy else Event.COPIES_CHECKED,
        about="",
        actor=Actor.system(),
        location=policy.location_id,
        complete=run.state == CopyRun.State.DONE,
        **counts,
    )
