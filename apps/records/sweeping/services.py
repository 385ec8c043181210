"""Running the sweep: its row, its counts, its entry in the log. A nightly one only reports."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.locations.errors import LocationError
from apps.records.models import Sweep
from apps.records.sweeping.comparing import KINDS, Comparison, Finding

EVERY = timedelta(hours=23)
KEPT = 30  # reports


def run_sweep(
    *,
    actor: Actor,
    remove: bool = False,
    unknown: bool = False,
    tell: Callable[[Finding], None] = lambda finding: None,
) -> Sweep:
    """Compare, and remove if asked to; return the report. `tell` is given every finding as it comes.

    Raises LocationError when the storage does not answer: then the report says so.
    """
    row = Sweep.objects.create(removes=remove, takes_unknown=unknown)
    comparison = Comparison(remove=remove, unknown=unknown)
    counts = {kind: {"found": 0, "removed": 0, "bytes": 0} for kind in KINDS}
    try:
        for finding in comparison.findings():
            count = counts[finding.kind]
            count["found"] += 1
            count["removed"] += finding.is_removed
            count["bytes"] += finding.size
            tell(finding)
        row.state = Sweep.State.DONE
    except LocationError:
        row.state = Sweep.State.FAILED
        raise
    finally:
        row.objects_seen, row.rows_seen, row.counts = comparison.objects, comparison.rows, counts
        _finish(row, actor)
    return row


def sweep_if_due() -> bool:
    """Report once a night; return whether this was the time."""
    if Sweep.objects.filter(started_at__gt=timezone.now() - EVERY).exists():
        return False
    run_sweep(actor=Actor.system())
    return True


def _finish(row: Sweep, actor: Actor) -> None:
    row.finished_at = timezone.now()
    with transaction.atomic():
        row.save()
        audit.append(
            Event.STORAGE_SWEPT,
            about="",
            actor=actor,
            objects=row.objects_seen,
            complete=row.state == Sweep.State.DONE,
            removed=sum(count["removed"] for count in row.counts.values()),
            **{kind: row.counts[kind]["found"] for kind in KINDS},
        )
    old = Sweep.objects.order_by("-started_at").values_list("pk", flat=True)[KEPT : KEPT + 100]
    Sweep.objects.filter(pk__in=list(old)).delete()
