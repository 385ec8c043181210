"""A replaced subject key: what stays opens by the new one, what was removed opens by nothing that lives."""

from __future__ import annotations

import uuid

import pytest
from django.apps import apps
from django.db import transaction

from apps.audit.actors import Actor
from apps.audit.entries import hash_of
from apps.audit.events import Event
from apps.audit.handles import new_handle
from apps.audit.models import Entry
from apps.audit.selectors import details_of, is_signed
from apps.keys import selectors, services
from apps.keys.errors import KeyDestroyed, KeyStoreDamaged, NotReplaceable
from apps.keys.kinds import KeyKind
from apps.keys.models import Key, Removed
from apps.keys.services import replacing, sweeping
from apps.keys.wrapping import unwrap_below
from tests.keys.crashing import die, each_crash, fail

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


class Person:
    """A subject with three conversations, one of them destroyed: an old copy of its row stays with the test."""

    def __init__(self) -> None:
        subjects = apps.get_model("records.Subject").objects
        subject_id = uuid.uuid4()
        made = services.create_key(KeyKind.SUBJECT, owner=subject_id)
        self.row = subjects.create(id=subject_id, handle=new_handle(), key_id=made.id)
        self.first = made.id
        self.chats = services.create_keys(KeyKind.CONVERSATION, [uuid.uuid4() for _ in range(3)], parent=made.id)
        self.gone = self.chats.pop()
        self.old_copy = Key.objects.get(pk=self.gone.id)
        services.erase_keys([self.gone.id], about=self.row.handle, actor=Actor.system())

    def key_id(self) -> uuid.UUID:
        self.row.refresh_from_db()
        return self.row.key_id

    def all_opens(self) -> bool:
        return services.open_keys([chat.id for chat in self.chats]) == {chat.id: chat.key for chat in self.chats}

    def replace(self, **more) -> services.Replacement:
        return services.replace_key(self.first, actor=Actor.system(), **more)

    def intents(self) -> list[Entry]:
        found = Entry.objects.filter(event=Event.KEYS_INTENDED, about=self.row.handle).order_by("id")
        return [entry for entry in found if "replaced" in details_of(entry)]


@pytest.fixture
def carla() -> Person:
    return Person()


def test_the_old_copy_opens_before_and_nothing_opens_it_after(carla, ben):
    above = services.open_key(carla.first)
    assert unwrap_below([carla.old_copy], above) == {carla.gone.id: carla.gone.key}  # the danger is real
    assert services.needs_replacing(carla.first) and not services.needs_replacing(ben.id)
    done = carla.replace()
    assert (done.old, done.new) == (carla.first, carla.key_id())
    assert carla.all_opens()
    with pytest.raises(KeyDestroyed):
        services.open_key(carla.first)
    for key in services.open_keys([done.new, ben.id]).values():
        with pytest.raises(KeyStoreDamaged):
            unwrap_below([carla.old_copy], key)
    assert not services.needs_replacing(done.new)
    assert services.open_key(ben.id) == ben.key


def test_the_signed_intent_names_the_old_key_and_what_was_removed(carla):
    other_row = 7
    done = carla.replace(removed=[other_row])
    [intent] = carla.intents()
    assert is_signed(intent)
    assert details_of(intent) == {
        "replaced": [str(carla.first)],
        "removed": [str(carla.gone.id), other_row],
        "reason": "replaced",
        "kind": "subject",
    }
    outcome = Entry.objects.filter(event=Event.KEYS_DESTROYED, about=carla.row.handle).latest("id")
    assert details_of(outcome)["intent"] == hash_of(intent)
    assert not Removed.objects.exists()
    assert selectors.tombstones_among([done.old]) == {done.old: done.destroyed_at}


def test_more_removed_keys_than_an_intent_holds_are_named_in_several(carla, monkeypatch):
    monkeypatch.setattr(replacing, "MOST_KEYS", 2)
    carla.replace(removed=[1, 2, 3, 4])
    assert [details_of(one)["removed"] for one in carla.intents()] == [[str(carla.gone.id), 1], [2, 3], [4]]


def test_of_several_a_damaged_one_is_named_and_the_others_are_replaced(carla):
    one, other = Person(), Person()
    Key.objects.filter(pk=carla.first).update(wrapped=b"damaged")
    done, waiting, damaged = replacing.replace_several([carla.first, one.first, other.first], actor=Actor.system())
    assert ([work.old for work in done], waiting, damaged) == ([one.first, other.first], set(), {carla.first})
    assert one.all_opens() and other.all_opens()


def test_a_key_is_replaced_although_nothing_below_it_was_destroyed(person):
    made = person()
    done = services.replace_key(made.id, actor=Actor.system())
    assert services.open_key(done.new) != made.key


def test_what_has_no_mover_or_is_gone_is_not_replaced(carla):
    request = services.create_key(KeyKind.REQUEST, owner=uuid.uuid4())
    with pytest.raises(NotReplaceable):
        services.replace_key(request.id, actor=Actor.system())
    with pytest.raises(KeyStoreDamaged):
        services.replace_key(uuid.uuid4(), actor=Actor.system())
    carla.replace()
    with pytest.raises(KeyDestroyed):
        carla.replace()
    assert not services.needs_replacing(carla.first)


def test_a_frozen_person_is_left_to_the_erasure_unless_that_asks(carla):
    type(carla.row).objects.update(frozen_at=carla.row.created_at)
    with pytest.raises(NotReplaceable):
        carla.replace()
    assert replacing.replace_several([carla.first], actor=Actor.system()) == ([], {carla.first}, set())
    assert carla.key_id() == carla.first
    assert carla.all_opens()
    done = carla.replace(even_if_frozen=True)
    assert carla.key_id() == done.new
    assert carla.all_opens()


def test_a_key_made_meanwhile_below_the_old_one_moves_too(carla, monkeypatch):
    """By a worker that read the person's row before it named the new key."""
    late: list[services.NewKey] = []
    real = replacing.destroy_replaced

    def destroy_late(key_id, *, intents):
        if not late:
            late.extend(services.create_keys(KeyKind.CONVERSATION, [uuid.uuid4(), uuid.uuid4()], parent=carla.first))
            services.erase_keys([late[1].id], about=carla.row.handle, actor=Actor.system())
        return real(key_id, intents=intents)

    monkeypatch.setattr(replacing, "destroy_replaced", destroy_late)
    carla.replace()
    assert services.open_key(late[0].id) == late[0].key
    assert carla.all_opens()
    named = {text for intent in carla.intents() for text in details_of(intent)["removed"]}
    assert named == {str(carla.gone.id), str(late[1].id)}


def test_two_that_begin_at_once_share_one_new_key(carla, monkeypatch):
    real = replacing.create_successor
    first: list[services.Replacement] = []

    def slow(row):
        monkeypatch.setattr(replacing, "create_successor", real)
        first.append(carla.replace())
        return real(row)

    monkeypatch.setattr(replacing, "create_successor", slow)
    with pytest.raises(KeyDestroyed):  # it came too late, and made nothing
        carla.replace()
    assert carla.key_id() == first[0].new
    assert Key.objects.filter(owner=carla.row.pk, kind=KeyKind.SUBJECT).count() == 1


def test_the_second_of_two_goes_on_with_the_first_ones_key(carla, monkeypatch):
    real = replacing.create_successor
    begun: list[uuid.UUID] = []

    def slow(row):
        begun.append(real(row))
        return real(row)

    monkeypatch.setattr(replacing, "create_successor", slow)
    assert carla.replace().new == begun[0]
    assert carla.all_opens()


def test_an_erasure_between_two_steps_takes_both_keys(carla, monkeypatch):
    def erase(*_arguments, **_named):
        services.erase_keys([carla.key_id()], about=carla.row.handle, actor=Actor.system())
        raise NotReplaceable

    monkeypatch.setattr(replacing, "_intents", erase)
    with pytest.raises(NotReplaceable):
        carla.replace()
    assert not Key.objects.filter(owner=carla.row.pk, destroyed_at=None).exists()
    assert not selectors.key_state(carla.chats[0].id).is_live
    entry = Entry.objects.filter(event=Event.KEYS_INTENDED, about=carla.row.handle).latest("id")
    assert set(details_of(entry)["erased"]) == {str(carla.first), str(carla.key_id())}
    again = services.erase_keys([carla.key_id()], about=carla.row.handle, actor=Actor.system())
    assert again.destroyed == 0
    with pytest.raises(KeyDestroyed):
        services.replace_key(carla.key_id(), actor=Actor.system())


def test_an_intent_signed_before_the_replacement_began_takes_the_new_key_as_well(carla):
    with transaction.atomic():
        intent = services.intend_destruction([carla.first], about=carla.row.handle, actor=Actor.system())
    replacing.wait_until_signed(intent)
    _old, new = replacing._begin(carla.first)
    services.destroy_keys([carla.first], intent=intent)
    assert not selectors.key_state(new).is_live
    with pytest.raises(KeyDestroyed):
        replacing._move(carla.first, new, Actor.system(), "", (), even_if_frozen=False)


def test_the_sweep_leaves_both_alone_while_one_replaces_the_other(carla, monkeypatch):
    monkeypatch.setattr(sweeping, "AGE", sweeping.AGE * -1)
    monkeypatch.setattr(sweeping, "MOST_SHARE", 10)
    type(carla.row).objects.filter(pk=carla.row.pk).update(key_id=uuid.uuid4())
    _old, new = replacing._begin(carla.first)

    def ownerless() -> set[uuid.UUID]:
        return {key_id for some in sweeping._ownerless_keys()[1].values() for key_id in some}

    doomed = ownerless()
    assert doomed == {chat.id for chat in carla.chats}
    Key.objects.filter(pk=new).update(replaces=None)
    assert ownerless() == doomed | {carla.first, new}


@pytest.mark.thorough
@pytest.mark.parametrize("end", [die, fail])
def test_no_crash_loses_a_key_or_leaves_the_old_one(end, ben):
    people = [Person()]
    crashes = 0
    for _ in each_crash(lambda: people[0].replace(), end):
        crashes += 1
        person = people[0]
        assert person.all_opens()  # at every point, by whatever is there
        services.open_key(person.key_id())
        if services.needs_replacing(person.key_id()):
            services.replace_key(person.key_id(), actor=Actor.system())
        assert person.all_opens()
        new = person.key_id()
        assert new != person.first
        assert not services.needs_replacing(new)
        assert set(Key.objects.filter(owner=person.row.pk).values_list("pk", flat=True)) == {new}
        assert set(selectors.tombstones_among([person.first, new])) == {person.first}
        named = [details_of(one)["removed"] for one in person.intents()]
        assert named == [[str(person.gone.id)]]
        outcomes = Entry.objects.filter(event=Event.KEYS_DESTROYED, about=person.row.handle)
        assert outcomes.count() == 2  # of the conversation, and of the old key
        people[0] = Person()
    assert crashes >= 25
    assert services.open_key(ben.id) == ben.key
