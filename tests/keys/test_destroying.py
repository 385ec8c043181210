"""Destroying keys: only by signed intent, all at once, for good; a repeat is a success with the first time."""

from __future__ import annotations

import sqlite3
import uuid
from pathlib import Path

import pytest
from django.conf import settings as site
from django.db import connections, transaction
from django.db.models import Max
from django.utils import timezone

from apps.audit.actors import Actor
from apps.audit.entries import hash_of
from apps.audit.errors import InsideTransaction, NotSigned
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of, is_signed
from apps.audit.services import append, wait_until_signed
from apps.keys import intents, journal, services
from apps.keys.errors import (
    AlreadyDestroyed,
    IntentNotSigned,
    JournalNotTruncated,
    KeyDestroyed,
    KeyStoreDamaged,
    NoKeysNamed,
)
from apps.keys.kinds import KeyKind
from apps.keys.models import Key

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


def intend(key_ids, about, **more) -> Entry:
    with transaction.atomic():
        return services.intend_destruction(key_ids, about=about, actor=Actor.system(), **more)


def signed_intent(key_ids, about, **more) -> Entry:
    intent = intend(key_ids, about, **more)
    wait_until_signed(intent)
    return intent


def test_an_erased_key_is_a_tombstone_and_nothing_else(ada, ben, about, actor, events):
    started = timezone.now()
    result = services.erase_keys([ada.id], about=about, actor=actor)
    assert (result.destroyed, result.already) == (1, 0)
    with pytest.raises(KeyDestroyed) as caught:
        services.open_key(ada.id)
    assert started < caught.value.destroyed_at == result.destroyed_at < timezone.now()
    tombstone = Key.objects.filter(pk=ada.id).values().get()
    assert {name for name, value in tombstone.items() if value} == {"id", "destroyed_at"}
    assert services.open_key(ben.id) == ben.key
    assert events()[-2:] == ["keys.intended", "keys.destroyed"]


def test_the_log_says_what_was_intended_and_what_came_of_it(ada, about, actor):
    result = services.erase_keys([ada.id], about=about, actor=actor, reason="expired")
    intent, outcome = Entry.objects.filter(about=about).order_by("id")
    assert is_signed(intent)
    assert details_of(intent) == {"erased": [str(ada.id)], "kind": "subject", "reason": "expired"}
    assert details_of(outcome) == {
        "intent": hash_of(intent),
        "destroyed": 1,
        "already": 0,
        "destroyed_at": f"{result.destroyed_at:%Y-%m-%dT%H:%M:%S.%fZ}",
        "reason": "expired",
        "kind": "subject",
    }


def test_a_repeat_is_a_success_with_the_first_time_and_no_new_entry(ada, about, actor, events):
    first = services.erase_keys([ada.id], about=about, actor=actor)
    told = events()
    again = services.erase_keys([ada.id], about=about, actor=actor)
    assert (again.destroyed, again.already, again.destroyed_at) == (0, 1, first.destroyed_at)
    assert events() == told


def test_one_intent_and_one_transaction_take_all_keys_of_a_person(ada, ben, about, actor, events):
    archive = services.create_key(KeyKind.ARCHIVE, owner=uuid.uuid4())
    evidence = services.create_key(KeyKind.EVIDENCE, owner=uuid.uuid4())
    below = services.create_key(KeyKind.CONVERSATION, owner=uuid.uuid4(), parent=ada.id)
    before = len(events())
    result = services.erase_keys([ada.id, archive.id, evidence.id, ada.id], about=about, actor=actor)
    assert result.destroyed == 3
    assert len(events()) == before + 2
    assert Key.objects.filter(destroyed_at=result.destroyed_at).count() == 3
    with pytest.raises(KeyDestroyed):
        services.open_key(below.id)
    assert services.open_key(ben.id) == ben.key


def test_many_keys_go_in_parts(about, actor, monkeypatch):
    from apps.keys.services import destroying

    monkeypatch.setattr(destroying, "MOST_KEYS", 4)
    made = services.create_keys(KeyKind.ARCHIVE, [uuid.uuid4() for _ in range(10)], parent=None)
    result = services.erase_keys([key.id for key in made], about=about, actor=actor)
    assert result.destroyed == 10
    assert Entry.objects.filter(event=Event.KEYS_INTENDED, about=about).count() == 3
    assert result.destroyed_at == Key.objects.aggregate(last=Max("destroyed_at"))["last"]


def test_a_destroyed_conversation_leaves_a_mark_on_the_key_above(ada, about, actor):
    gone, stays = services.create_keys(KeyKind.CONVERSATION, [uuid.uuid4(), uuid.uuid4()], parent=ada.id)
    assert Key.objects.get(pk=ada.id).child_destroyed_at is None
    result = services.erase_keys([gone.id], about=about, actor=actor)
    assert Key.objects.get(pk=ada.id).child_destroyed_at == result.destroyed_at
    assert services.open_keys([ada.id, stays.id]) == {ada.id: ada.key, stays.id: stays.key}


def test_nothing_is_destroyed_without_a_signed_intent_that_names_it(ada, ben, about, actor):
    other = intend([ben.id], about)
    with transaction.atomic():
        stranger = append(Event.KEYS_INTENT_CANCELLED, about=about, actor=actor, intent="00" * 32)
    unsigned = intend([ada.id], about)
    with pytest.raises(IntentNotSigned, match="not signed yet"):
        services.destroy_keys([ada.id], intent=unsigned)
    wait_until_signed(unsigned)
    for intent, reason in ((other, "does not name"), (stranger, "not an intent")):
        with pytest.raises(IntentNotSigned, match=reason):
            services.destroy_keys([ada.id], intent=intent)
    with pytest.raises(IntentNotSigned, match="does not name"):
        services.destroy_keys([ada.id, ben.id], intent=unsigned)
    assert services.open_keys([ada.id, ben.id]) == {ada.id: ada.key, ben.id: ben.key}
    assert services.destroy_keys([ada.id], intent=unsigned).destroyed == 1


def test_a_cancelled_intent_destroys_nothing(ada, about, actor):
    cancelled = signed_intent([ada.id], about)
    with transaction.atomic():
        services.cancel_intent(cancelled, actor=actor)
    with pytest.raises(IntentNotSigned, match="cancelled"):
        services.destroy_keys([ada.id], intent=cancelled)
    assert services.open_key(ada.id) == ada.key
    assert services.erase_keys([ada.id], about=about, actor=actor).destroyed == 1
    assert Entry.objects.filter(event=Event.KEYS_INTENDED, about=about).count() == 2
    with pytest.raises(AlreadyDestroyed), transaction.atomic():
        services.cancel_intent(cancelled, actor=actor)


def test_a_destruction_names_at_least_one_key(about, actor):
    with pytest.raises(NoKeysNamed):
        services.erase_keys([], about=about, actor=actor)
    with pytest.raises(NoKeysNamed):
        services.destroy_keys([], intent=Entry(event=Event.KEYS_INTENDED))
    with pytest.raises(NoKeysNamed):
        intend([], about)


def test_an_intent_that_names_more_stands_for_some_only_if_the_rest_is_destroyed(ada, ben, about, actor):
    both = intend([ada.id, ben.id], about)
    assert intents.standing_intent(about, [ada.id, ben.id]) == both
    assert intents.standing_intent(about, [ada.id]) is None
    services.erase_keys([ben.id], about="", actor=actor)
    assert intents.standing_intent(about, [ada.id]) == both


def test_intents_to_replace_a_key_stand_with_what_they_removed_until_they_are_cancelled(ada, ben, about, actor):
    gone = uuid.uuid4()
    first = intend([ada.id], about, reason="replaced", removed=[7])
    second = intend([ada.id], about, reason="replaced", removed=[gone])
    intend([ben.id], about, reason="replaced", removed=[8])
    assert intents.standing_replacements(about, ada.id) == ([second, first], {7, gone})
    with transaction.atomic():
        services.cancel_intent(second, actor=actor)
    assert intents.standing_replacements(about, ada.id) == ([first], {7})


def test_a_lost_key_stops_everything_and_is_never_taken_for_a_destroyed_one(ada, ben, about, actor, events):
    intent = signed_intent([ada.id, ben.id], about)
    Key.objects.filter(pk=ben.id).delete()
    before = events()
    with pytest.raises(KeyStoreDamaged, match="neither"):
        services.destroy_keys([ada.id, ben.id], intent=intent)
    with pytest.raises(KeyStoreDamaged, match="neither"):
        services.erase_keys([ada.id, ben.id], about=about, actor=actor)
    assert services.open_key(ada.id) == ada.key
    assert events() == before


def test_an_intent_that_cannot_be_signed_leaves_the_key_alive(ada, about, actor, monkeypatch):
    from apps.keys.services import destroying

    def never(entry):
        raise NotSigned("the tiles cannot be written")

    with monkeypatch.context() as patch:
        patch.setattr(destroying, "wait_until_signed", never)
        with pytest.raises(NotSigned):
            services.erase_keys([ada.id], about=about, actor=actor)
    assert services.open_key(ada.id) == ada.key
    assert services.erase_keys([ada.id], about=about, actor=actor).destroyed == 1
    assert Entry.objects.filter(event=Event.KEYS_INTENDED, about=about).count() == 1  # the first one stood


def test_erasing_is_refused_inside_a_transaction(ada, about, actor):
    with pytest.raises((RuntimeError, InsideTransaction)), transaction.atomic():
        services.erase_keys([ada.id], about=about, actor=actor)
    assert services.open_key(ada.id) == ada.key
    assert not Entry.objects.filter(event=Event.KEYS_INTENDED).exists()


def test_a_replaced_key_is_named_as_such_with_what_was_removed(ada, about):
    intent = signed_intent([ada.id], about, reason="replaced", removed=[uuid.UUID(int=5), 17])
    assert details_of(intent)["replaced"] == [str(ada.id)]
    assert details_of(intent)["removed"] == [str(uuid.UUID(int=5)), 17]
    assert "erased" not in details_of(intent)
    assert services.destroy_keys([ada.id], intent=intent).destroyed == 1


def test_a_mixed_intent_has_no_kind(ada, about):
    archive = services.create_key(KeyKind.ARCHIVE, owner=uuid.uuid4())
    assert "kind" not in details_of(intend([ada.id, archive.id], about))


def test_the_outcome_is_written_once(ada, about, actor):
    intent = signed_intent([ada.id], about)
    result = services.destroy_keys([ada.id], intent=intent)
    for _ in range(2):
        with transaction.atomic():
            outcome = services.record_destruction(intent, result, actor=actor)
    assert intents.outcome_of(intent) == outcome
    assert Entry.objects.filter(event=Event.KEYS_DESTROYED).count() == 1
    assert not intents.is_cancelled(intent)


def test_the_outcome_of_another_intent_is_not_taken_for_this_ones(ada, ben, about, actor):
    first, second = signed_intent([ada.id], about), signed_intent([ben.id], about)
    with transaction.atomic():
        services.record_destruction(second, services.destroy_keys([ben.id], intent=second), actor=actor)
    assert intents.outcome_of(first) is None
    assert intents.outcome_of(second) is not None


def test_a_key_whose_content_was_never_committed_is_discarded(ada, ben):
    assert services.discard_key(ada.id).destroyed == 1
    assert services.open_key(ben.id) == ben.key
    assert details_of(Entry.objects.get(event=Event.KEYS_INTENDED))["reason"] == "discarded"


def test_rows_below_a_tombstone_are_purged_and_no_others(ada, ben, about, actor):
    services.create_keys(KeyKind.CONVERSATION, [uuid.uuid4() for _ in range(5)], parent=ada.id)
    of_ben = services.create_keys(KeyKind.CONVERSATION, [uuid.uuid4()], parent=ben.id)
    services.erase_keys([ada.id], about=about, actor=actor)
    assert services.purge_keys_below([ada.id, ben.id]) == 5
    assert services.purge_keys_below([ada.id, ben.id]) == 0
    assert services.open_key(of_ben[0].id) == of_ben[0].key
    with pytest.raises(KeyDestroyed):
        services.open_key(ada.id)


needs_sqlite = pytest.mark.skipif(
    site.DATABASES["keys"]["ENGINE"] != "django.db.backends.sqlite3", reason="the journal is SQLite's"
)


def raw_files() -> bytes:
    database = Path(connections["keys"].settings_dict["NAME"])
    return b"".join(path.read_bytes() for path in database.parent.glob(f"{database.name}*"))


def wrapped_bytes(key_id: uuid.UUID) -> bytes:
    return bytes(Key.objects.get(pk=key_id).wrapped or b"")


@needs_sqlite
def test_the_bytes_of_an_erased_key_are_nowhere_in_the_files(ada, ben, about, actor):
    wrapped = {made.id: wrapped_bytes(made.id) for made in (ada, ben)}
    owner = Key.objects.values_list("owner", flat=True).get(pk=ada.id)
    assert owner is not None
    assert wrapped[ada.id] in raw_files()
    assert owner.hex.encode() in raw_files()
    services.erase_keys([ada.id], about=about, actor=actor)
    files = raw_files()
    assert wrapped[ada.id] not in files
    assert owner.hex.encode() not in files
    assert wrapped[ben.id] in files
    assert ada.id.hex.encode() in files  # the tombstone


@needs_sqlite
def test_a_journal_that_is_held_is_reported_and_a_repeat_ends_it(ada, about, actor, monkeypatch):
    monkeypatch.setattr(journal, "PAUSE_SECONDS", 0)
    wrapped = wrapped_bytes(ada.id)
    connections["keys"].cursor().execute("PRAGMA busy_timeout = 10")
    reader = sqlite3.connect(connections["keys"].settings_dict["NAME"], isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM keys_key").fetchall()
    intent = signed_intent([ada.id], about)
    monkeypatch.setattr(journal.truncate_journal, "__kwdefaults__", {"patience": 0.05})
    with pytest.raises(JournalNotTruncated, match="repeat"):
        services.destroy_keys([ada.id], intent=intent)
    with pytest.raises(KeyDestroyed):
        services.open_key(ada.id)
    reader.close()
    result = services.destroy_keys([ada.id], intent=intent)
    assert (result.destroyed, result.already) == (0, 1)
    assert wrapped not in raw_files()


def test_other_databases_have_no_such_journal(monkeypatch):
    monkeypatch.setattr(connections["keys"], "vendor", "postgresql")
    monkeypatch.setattr(journal, "_truncate_once", lambda alias: pytest.fail("asked for a journal"))
    journal.truncate_journal("keys")
