from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.audit import choices, quarantine
from apps.audit.actors import Actor
from apps.audit.errors import LogDiverged, Quarantined
from apps.audit.events import Event
from apps.audit.models import Checkpoint, Entry, Leaf, Pending, SiteState, Tile
from apps.audit.quarantine import Reason
from apps.audit.services import sequence
from apps.audit.tasks import QuietTask, sequence_entries
from config.celery import app
from tests.audit.conftest import past_the_triggers

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
starts = pytest.mark.starts


def entries_of(event: Event) -> int:
    return Entry.objects.filter(event=event).count()


def roll_back(size: int) -> None:
    """Leave only the first entries, as an older backup has them."""
    with past_the_triggers():
        gone = list(Leaf.objects.filter(index__gte=size).values_list("entry_id", flat=True))
        for rows in (
            Leaf.objects.filter(index__gte=size),
            Checkpoint.objects.filter(size__gt=size),
            Tile.objects.all(),
        ):
            rows.delete()
        Pending.objects.filter(entry_id__in=gone).delete()
        Entry.objects.filter(pk__in=gone).delete()


def test_the_log_knows_every_reason() -> None:
    assert set(choices.QUARANTINE_REASONS.values) == set(Reason.values)


@starts
def test_a_site_enters_once_and_leaves_with_an_entry() -> None:
    assert quarantine.reason() == ""
    quarantine.enter(Reason.LOG_BEHIND)
    quarantine.enter(Reason.KEYS_LOST)
    assert quarantine.reason() == Reason.LOG_BEHIND
    assert entries_of(Event.QUARANTINE_ENTERED) == 1
    assert quarantine.lift(actor=Actor.command_line(), people=1) is not None
    assert quarantine.lift(actor=Actor.command_line(), people=1) is None
    assert quarantine.reason() == ""
    assert entries_of(Event.QUARANTINE_LIFTED) == 1


@starts
def test_what_another_process_finds_stops_this_one_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("apps.audit.quarantine.time.monotonic", lambda: now[0])
    assert quarantine.reason() == ""
    fields = {"quarantined_at": timezone.now(), "quarantine_reason": Reason.LOG_BEHIND.value}
    SiteState.objects.update(**fields)
    now[0] += quarantine.REREAD_SECONDS - 0.1
    assert quarantine.reason() == ""
    now[0] += 0.2
    assert quarantine.reason() == Reason.LOG_BEHIND


@starts
def test_quarantine_outlives_the_process() -> None:
    quarantine.enter(Reason.LOG_DIFFERS)
    quarantine.forget()
    assert quarantine.reason() == Reason.LOG_DIFFERS


@starts
def test_what_is_found_inside_a_transaction_that_rolls_back_is_found_again(write: Any) -> None:
    write(3)
    sequence()
    roll_back(2)
    quarantine.forget()
    with pytest.raises(Quarantined), transaction.atomic():
        quarantine.refuse()
    assert not SiteState.objects.filter(quarantined_at__isnull=False).exists()
    assert quarantine.reason() == Reason.LOG_BEHIND
    assert SiteState.objects.get().quarantined_at is not None


@starts
@pytest.mark.parametrize("is_behind", [True, False])
def test_the_first_signature_after_a_start_is_refused_on_a_restored_log(write: Any, is_behind: bool) -> None:
    write(3)
    sequence()
    roll_back(2)
    if not is_behind:
        with past_the_triggers():
            Pending.objects.all().delete()
            [entry] = write(1)[:1]
            Leaf.objects.create(index=2, entry=entry, leaf_hash=b"x" * 32)
            Leaf.objects.create(index=3, entry=write(1)[0], leaf_hash=b"y" * 32)
    quarantine.forget()
    with pytest.raises(Quarantined):
        sequence()
    assert quarantine.reason() == (Reason.LOG_BEHIND if is_behind else Reason.LOG_DIFFERS)
    assert not Checkpoint.objects.filter(size__gt=2).exists()


def test_a_database_restored_under_a_running_process_is_noticed_when_it_signs(write: Any) -> None:
    write(3)
    sequence()
    roll_back(2)
    with pytest.raises(LogDiverged):
        sequence()
    assert SiteState.objects.get().quarantine_reason == Reason.LOG_BEHIND


@starts
def test_tasks_and_commands_do_nothing_in_quarantine(write: Any) -> None:
    write(1)
    quarantine.enter(Reason.LOG_BEHIND)
    assert issubclass(app.Task, QuietTask)
    sequence_entries()
    assert not Leaf.objects.exists()
    with pytest.raises(CommandError, match="quarantine"):
        call_command("import_conversations", "/nowhere", "--subject", "ada@example.org")
    quarantine.lift(actor=Actor.command_line())
    sequence_entries()
    assert Leaf.objects.exists()


def test_a_second_state_cannot_be() -> None:
    quarantine.state()
    with pytest.raises(IntegrityError):
        SiteState.objects.create()
