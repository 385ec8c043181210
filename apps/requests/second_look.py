"""The second look of an erasure: what is left in each place, and whether a place was added. Then the receipt.

A place that keeps something for a time is set aside and goes on by itself; one that has let something slip is asked to
erase again; one that still has it then needs a person (DESIGN §5).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from django.db import transaction
from django.utils import timezone

from apps.keys.services import truncate_journal
from apps.locations.contract import Identity, Remaining
from apps.locations.errors import Blocked, NoIdentity, Refused, Unavailable
from apps.locations.reasons import Reason
from apps.requests import by_hand, claims, closing, keeping, receipts
from apps.requests.claims import Claim
from apps.requests.erasure import EVERYTHING, note_late_destruction
from apps.requests.models import Step
from apps.requests.who import identity_of

LOOK_AGAIN = timedelta(hours=24)  # where a place keeps something and does not say until when
SOONEST = timedelta(hours=1)
MOST_LOOKS = 3  # so often is a place asked to erase what was found
LETS_GO_LATER = (Reason.LEGAL_HOLD, Reason.OBJECT_LOCK, Reason.RETENTION_POLICY, Reason.SOFT_DELETE)


def verify(claim: Claim) -> None:
    """Look at every place again, and at the list of places itself; then issue the receipt."""
    if claim.cursor:  # the receipt is issued already
        return receipts.issue_and_close(claim)
    if closing.add_missing_steps(claim):
        return None
    who = identity_of(claim.request, claim.details)
    purged = [step for step in closing.other_steps(claim) if step.phase == Step.Phase.PURGE]
    settled = [_look_at(claim, step, who) for step in purged if step.state == Step.State.DONE]
    if all(settled):
        note_late_destruction(claim)
        truncate_journal("default")  # SQLite keeps what was deleted in its journal until then
        return receipts.issue_and_close(claim)
    with transaction.atomic():
        return claims.again(claim)  # a place has work again, and the receipt waits for it


def _look_at(claim: Claim, step: Step, who: Identity) -> bool:
    """Ask a place what is left there. False: it is to be purged again before there is a receipt."""
    if step.location is None or step.location.emptied_at is not None:
        return _judge(claim, step, Remaining(0))
    try:
        return _judge(claim, step, by_hand.second_look_of(step, step.location).remaining(who, EVERYTHING))
    except Unavailable:
        soon = timezone.now() + claims.SHORTEST_PAUSE
        claims.reopen(claim, step, Step.State.BLOCKED, Reason.UNREACHABLE, next_try_at=soon)
        return False
    except Blocked as error:
        until = as_date(error.until)
        claims.reopen(claim, step, Step.State.BLOCKED, error.reason, until=until, next_try_at=try_at(until))
    except Refused as error:
        reason = Reason.NO_IDENTITY if isinstance(error, NoIdentity) else Reason.REFUSED
        claims.reopen(claim, step, Step.State.NEEDS_PERSON, reason)
    return True


def _judge(claim: Claim, step: Step, left: Remaining) -> bool:
    kept = keeping.seen(keeping.kept_of(step, claim.vault), left.kept)
    step.sealed_kept = keeping.seal_kept(step, kept, claim.vault)
    Step.objects.filter(pk=step.pk, state=Step.State.DONE).update(
        remaining=left.count, sealed_kept=step.sealed_kept, ended_at=timezone.now()
    )
    if left.count == 0:
        return True
    reason = left.reason or Reason.STILL_THERE
    if left.until is not None or reason in LETS_GO_LATER:
        claims.reopen(claim, step, Step.State.BLOCKED, reason, until=left.until, next_try_at=try_at(left.until))
        return True
    if _count_look(claim, step) < MOST_LOOKS:
        claims.reopen(claim, step, Step.State.PENDING, "")
        return False
    claims.reopen(claim, step, Step.State.NEEDS_PERSON, reason)
    return True


def _count_look(claim: Claim, step: Step) -> int:
    """Count how often something was found again in this place; kept with the closing step."""
    counts = dict(claim.step.counts)
    name = f"found again {step.pk}"
    counts[name] = counts.get(name, 0) + 1
    Step.objects.filter(pk=claim.step.pk, token=claim.token).update(counts=counts)
    claim.step.counts = counts
    return int(counts[name])


def as_date(until: object) -> date | None:
    if isinstance(until, datetime):
        return until.astimezone(UTC).date() + timedelta(days=1)  # on that day it may still be locked
    return until if isinstance(until, date) else None


def try_at(until: date | None) -> datetime:
    """Return when to turn to a place again: on the day that it names, or daily where it names none."""
    now = timezone.now()
    if until is None:
        return now + LOOK_AGAIN
    return max(datetime.combine(until, time.min, UTC), now + SOONEST)
