"""Leaving checkpoints at the anchors, and reading what lies there.

Leaving: at most every ANCHOR_EVERY_MINUTES for each anchor, by the schedule and by every worker; safe to run twice at once.
Reading: what an anchor gives back counts only if a key of the log signed it, so nobody can plant a checkpoint there.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from apps.audit import anchors, notes, selectors, tiles
from apps.audit.anchors import Anchor, Placed
from apps.audit.errors import AnchorAhead, AnchorError, AnchorRefused, BadNote
from apps.audit.models import Anchoring, AnchorState, Checkpoint

log = logging.getLogger(__name__)

RETRY = timedelta(minutes=5)
LATE_AFTER = 2  # intervals that a signed checkpoint may wait before it is called late
CHECKPOINTS_READ = 20  # of one anchor: somebody may have put rubbish on top


@dataclass(frozen=True)
class Standing:
    """How it stands with one anchor."""

    kind: str
    place: str
    size: int
    anchored_at: datetime | None
    outcome: str
    waiting_since: datetime | None  # when the oldest checkpoint was signed that is not there yet; None: all are
    is_late: bool

    @property
    def is_good(self) -> bool:
        return self.anchored_at is not None and not self.is_late


@dataclass(frozen=True)
class Reading:
    """What lies at one anchor: its largest checkpoint that a key of the log signed, or why it is not known."""

    name: str
    checkpoint: notes.CheckpointText | None
    problem: str  # "" | an AnchorState.Outcome


def anchor_due() -> int:
    """Leave the newest checkpoint at each anchor that is due; return at how many that succeeded."""
    places = anchors.placed()
    newest = selectors.latest_checkpoint() if places else None
    if newest is None:
        return 0
    states = {state.name: state for state in AnchorState.objects.all()}
    waiting = [one for one in places if one.name not in states or states[one.name].size < newest.size]
    return sum(_anchor(one, newest) for one in waiting if _claim(one.name))


def newest_anchor() -> notes.CheckpointText | None:
    """Return the largest checkpoint that lies at any anchor, signed by a key of the log.

    An anchor that does not answer is passed over, with a line in the process's log: else no site could start while one
    of them is away. `read_anchors` says which did.
    """
    found = [reading.checkpoint for reading in read_anchors() if reading.checkpoint is not None]
    return max(found, key=lambda checkpoint: checkpoint.size, default=None)


def read_anchors() -> list[Reading]:
    """Read every anchor that can be read."""
    keys = selectors.verifier_keys()
    return [_read(one, keys) for one in anchors.placed() if one.open().can_be_read]


def standings() -> list[Standing]:
    """Say for every anchor of this site how it stands with it."""
    states = {state.name: state for state in AnchorState.objects.all()}
    return [_standing(one, states.get(one.name) or AnchorState(name=one.name)) for one in anchors.placed()]


def problem() -> str:
    """Say in a word what is wrong with the anchors: one holds another log, fewer than wanted, late; "" if nothing is."""
    found = standings()
    if any(one.outcome == AnchorState.Outcome.AHEAD for one in found):
        return "ahead"
    if len(found) < settings.ANCHORS_WANTED:
        return f"{len(found)} of {settings.ANCHORS_WANTED}"
    return "late" if any(one.is_late for one in found) else ""


def _claim(name: str) -> bool:
    """Take the try that is due; of two who come at once, one gets it."""
    AnchorState.objects.get_or_create(name=name)
    now = timezone.now()
    every = timedelta(minutes=settings.ANCHOR_EVERY_MINUTES)
    done = Q(outcome=AnchorState.Outcome.DONE)
    due = Q(tried_at=None) | (done & Q(tried_at__lte=now - every)) | (~done & Q(tried_at__lte=now - RETRY))
    return AnchorState.objects.filter(due, name=name).update(tried_at=now, outcome=AnchorState.Outcome.TRYING) == 1


def _anchor(one: Placed, checkpoint: Checkpoint) -> bool:
    try:
        anchor = one.open()
        _refuse_if_ahead(_newest_kept(anchor, selectors.verifier_keys()), checkpoint)
        proof = anchor.publish(checkpoint.note)
    except AnchorError as error:
        log.warning("audit: anchor %s: %s", one.kind, error)
        AnchorState.objects.filter(name=one.name).update(outcome=_outcome(error))
        return False
    now = timezone.now()
    Anchoring.objects.create(anchor=one.name, size=checkpoint.size, anchored_at=now, proof=proof)
    AnchorState.objects.filter(name=one.name, size__lte=checkpoint.size).update(
        outcome=AnchorState.Outcome.DONE, size=checkpoint.size, anchored_at=now
    )
    return True


def _refuse_if_ahead(kept: notes.CheckpointText | None, checkpoint: Checkpoint) -> None:
    """Never put an older checkpoint over a newer one: after a restore that would cover up what was lost."""
    if kept is None:
        return
    if kept.size > checkpoint.size:
        raise AnchorAhead(f"it holds {kept.size} entries, this log {checkpoint.size}: was the database restored?")
    if tiles.tree_of(kept.size).root() != kept.root:
        raise AnchorAhead(f"the first {kept.size} entries are not those that it holds: the log was rewritten")


def _outcome(error: AnchorError) -> AnchorState.Outcome:
    if isinstance(error, AnchorAhead):
        return AnchorState.Outcome.AHEAD
    return AnchorState.Outcome.REFUSED if isinstance(error, AnchorRefused) else AnchorState.Outcome.UNREACHABLE


def _read(one: Placed, keys: list[notes.VerifierKey]) -> Reading:
    try:
        return Reading(one.name, _newest_kept(one.open(), keys), "")
    except AnchorError as error:
        log.warning("audit: anchor %s: %s", one.kind, error)
        return Reading(one.name, None, _outcome(error))


def _newest_kept(anchor: Anchor, keys: list[notes.VerifierKey]) -> notes.CheckpointText | None:
    found = [_open(note, keys) for note in islice(anchor.kept(), CHECKPOINTS_READ)]
    return max((one for one in found if one is not None), key=lambda one: one.size, default=None)


def _open(note: str, keys: list[notes.VerifierKey]) -> notes.CheckpointText | None:
    try:
        return notes.open_with_any(note, keys)
    except BadNote:
        log.warning("audit: an anchor holds something that no key of this log signed")
        return None


def _standing(one: Placed, state: AnchorState) -> Standing:
    waiting = Checkpoint.objects.filter(size__gt=state.size).order_by("size").first()
    since = waiting.signed_at if waiting else None
    latest = timedelta(minutes=settings.ANCHOR_EVERY_MINUTES) * LATE_AFTER
    is_late = since is not None and since < timezone.now() - latest
    return Standing(one.kind, one.place, state.size, state.anchored_at, state.outcome, since, is_late)
