"""An entry lives and dies with the transaction of the change it records, and holds what its event allows."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from django.db import transaction

from apps.audit import selectors, services
from apps.audit.actors import Actor, Role
from apps.audit.errors import BadHandle, EntryTooLarge, OutsideTransaction, UnknownDetail
from apps.audit.events import Event, Purpose
from apps.audit.handles import new_handle
from apps.audit.models import Checkpoint, Entry, Leaf, Pending, Tile

SYSTEM = Actor.system()


@pytest.mark.django_db(databases=["default"])
class TestAppend:
    def test_an_entry_is_what_is_hashed(self, handle, officer):
        entry = services.append(
            Event.CONTENT_LOOKED_AT, about=handle, actor=officer, purpose=Purpose.LEGAL, messages=12
        )
        record = selectors.record_of(Entry.objects.get(pk=entry.pk))
        assert record.pop("at") == entry.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        assert len(record.pop("salt")) == 32
        assert record == {
            "v": 1,
            "event": "content.looked_at",
            "about": handle,
            "actor": officer.handle,
            "role": "officer",
            "details": {"purpose": "legal", "messages": 12},
        }
        assert (entry.event, entry.about, entry.actor, entry.role) == (
            "content.looked_at",
            handle,
            officer.handle,
            "officer",
        )
        assert Pending.objects.get().entry == entry

    def test_the_same_entry_twice_has_two_hashes(self, handle):
        one, other = (services.append(Event.SUBJECT_FROZEN, about=handle, actor=SYSTEM) for _ in range(2))
        assert one.data != other.data

    def test_an_entry_has_one_spelling(self, handle):
        data = services.append(
            Event.LOCATION_CHECKED, about=handle, actor=SYSTEM, reachable=True, location=uuid4()
        ).data
        text = bytes(data)
        assert text == services.canonical_json(json.loads(text))
        assert b" " not in text and text.isascii()

    def test_what_is_not_said_is_left_out(self, handle):
        entry = services.append(Event.STEP_DONE, about=handle, actor=SYSTEM, location=None, erased=0)
        assert selectors.details_of(entry) == {"erased": 0}

    @pytest.mark.parametrize("details", [{"name": "Ada"}, {"erased": "3"}, {"phase": "Ada"}, {"text": None}])
    def test_what_the_event_does_not_allow_is_refused(self, handle, details):
        with pytest.raises(UnknownDetail) as refused:
            services.append(Event.STEP_DONE, about=handle, actor=SYSTEM, **details)
        assert "Ada" not in str(refused.value)
        assert not Entry.objects.exists()

    def test_an_event_that_is_not_in_the_list_is_refused(self, handle):
        with pytest.raises(ValueError, match="not a valid Event"):
            services.append("ada.wrote", about=handle, actor=SYSTEM)  # type: ignore[arg-type]

    @pytest.mark.parametrize("about", ["ada@example.org", "Ada", "9c2f"])
    def test_what_an_entry_is_about_is_a_handle(self, about):
        with pytest.raises(BadHandle):
            services.append(Event.SUBJECT_FROZEN, about=about, actor=SYSTEM)

    @pytest.mark.parametrize("actor", [Actor("cleo", Role.OFFICER), Actor("", Role.PERSON), Actor("root", Role.SYSTEM)])
    def test_an_actor_is_a_handle_too(self, handle, actor):
        with pytest.raises(BadHandle):
            services.append(Event.SUBJECT_FROZEN, about=handle, actor=actor)

    @pytest.mark.parametrize("actor", [SYSTEM, Actor.command_line(), Actor(new_handle(), Role.PERSON)])
    def test_the_site_itself_needs_no_handle(self, actor):
        assert services.append(Event.KEYS_BACKED_UP, about="", actor=actor).role == actor.role

    def test_a_tile_must_be_able_to_hold_an_entry(self, handle):
        most = [uuid4() for _ in range(1_600)]
        services.append(Event.KEYS_INTENDED, about=handle, actor=SYSTEM, erased=most)
        with pytest.raises(EntryTooLarge):
            services.append(Event.KEYS_INTENDED, about=handle, actor=SYSTEM, erased=most + most)


@pytest.mark.django_db(databases=["default"])
def test_a_person_sees_when_in_which_role_and_why_somebody_looked_but_not_who(handle, officer):
    request, other = new_handle(), new_handle()
    for about, purpose in [(handle, Purpose.SUPPORT), (request, Purpose.REVIEW), (other, Purpose.AUDIT)]:
        services.append(Event.REQUEST_LOOKED_AT, about=about, actor=officer, purpose=purpose)
    services.append(Event.SUBJECT_FROZEN, about=handle, actor=SYSTEM)
    looks = selectors.looks_at(handle, request)
    assert [(look.event, look.role, look.purpose) for look in looks] == [
        ("request.looked_at", "officer", "review"),
        ("request.looked_at", "officer", "support"),
    ]
    assert officer.handle not in repr(looks)


@pytest.mark.django_db(databases=["default"])
def test_rows_are_named_by_their_ids_alone(handle):
    entry = services.append(Event.SUBJECT_FROZEN, about=handle, actor=SYSTEM)
    rows = [entry, entry.pending, Leaf(index=1), Tile(level=0, index=2), Checkpoint(size=3)]
    assert list(map(str, rows)) == [f"entry {entry.pk}", f"pending {entry.pk}", "leaf 1", "tile 0/2", "checkpoint 3"]


@pytest.mark.django_db(transaction=True, databases=["default"])
class TestTransactions:
    def test_an_entry_is_never_written_on_its_own(self, handle):
        with pytest.raises(OutsideTransaction):
            services.append(Event.SUBJECT_FROZEN, about=handle, actor=SYSTEM)

    def test_an_entry_rolls_back_with_the_change_it_records(self, handle):
        with pytest.raises(RuntimeError, match="the change failed"), transaction.atomic():
            services.append(Event.SUBJECT_FROZEN, about=handle, actor=SYSTEM)
            assert Entry.objects.count() == Pending.objects.count() == 1
            raise RuntimeError("the change failed")
        assert not Entry.objects.exists() and not Pending.objects.exists()
        with transaction.atomic():
            services.append(Event.SUBJECT_FROZEN, about=handle, actor=SYSTEM)
        assert Entry.objects.count() == Pending.objects.count() == 1
