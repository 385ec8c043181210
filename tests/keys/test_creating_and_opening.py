"""Keys are made, opened one by one and in bulk, and refused when their store is not as it should be."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.utils import timezone

from apps.keys import selectors, services
from apps.keys.errors import KeyDestroyed, KeyNotFound, KeyStoreDamaged, MasterKeyMissing
from apps.keys.kinds import KeyKind
from apps.keys.models import Epoch, Key
from apps.keys.providers.file import FileProvider

pytestmark = pytest.mark.django_db(databases=["default", "keys"])


def bury(*key_ids):
    """What destroying leaves, without its log."""
    Key.objects.filter(pk__in=key_ids).update(
        destroyed_at=timezone.now(), wrapped=None, kind="", name="", owner=None, parent_id=None, epoch=None,
        created_at=None, child_destroyed_at=None,
    )  # fmt: skip


def test_a_key_opens_again(ada, ben):
    assert services.open_key(ada.id) == ada.key
    assert services.open_key(ben.id) == ben.key
    assert ada.key != ben.key
    assert len(ada.key) == 32
    assert repr(ada.key) not in repr(ada)


def test_keys_of_conversations_open_in_bulk_whatever_their_parents(ada, ben):
    of_ada = services.create_keys(KeyKind.CONVERSATION, [uuid.uuid4() for _ in range(3)], parent=ada.id)
    of_ben = services.create_keys(KeyKind.CONVERSATION, [uuid.uuid4() for _ in range(3)], parent=ben.id)
    everything = [ada, ben, *of_ada, *of_ben]
    with connections["keys"].execute_wrapper(counting := Counting()):
        assert services.open_keys([made.id for made in everything]) == {made.id: made.key for made in everything}
    assert counting.statements == 2
    assert services.open_key(of_ada[0].id) == of_ada[0].key
    assert services.open_keys([]) == {}


def test_many_keys_are_few_inserts_in_the_order_of_their_owners(ada):
    owners = [uuid.uuid4() for _ in range(400)]
    with connections["keys"].execute_wrapper(counting := Counting("INSERT")):
        made = services.create_keys(KeyKind.CONVERSATION, owners, parent=ada.id)
    assert counting.statements <= 5  # SQLite takes 999 parameters a statement, PostgreSQL all of them
    assert [Key.objects.get(pk=key.id).owner for key in made] == owners
    assert services.create_keys(KeyKind.CONVERSATION, [], parent=ada.id) == []


def test_more_keys_than_a_statement_takes_are_made_and_opened(ada):
    made = services.create_keys(KeyKind.CONVERSATION, [uuid.uuid4() for _ in range(1201)], parent=ada.id)
    assert services.open_keys([key.id for key in made]) == {key.id: key.key for key in made}


def test_keys_without_a_parent_are_made_in_bulk_too():
    made = services.create_keys(KeyKind.ARCHIVE, [uuid.uuid4(), uuid.uuid4()], parent=None)
    assert services.open_keys([key.id for key in made]) == {key.id: key.key for key in made}


def test_a_tombstone_says_since_when(ada, ben):
    bury(ada.id)
    with pytest.raises(KeyDestroyed) as caught:
        services.open_key(ada.id)
    assert caught.value.key_id == ada.id
    assert timezone.now() - caught.value.destroyed_at < timedelta(minutes=1)
    assert services.open_key(ben.id) == ben.key


def test_a_key_below_a_tombstone_counts_as_destroyed(ada, ben):
    below = services.create_key(KeyKind.CONVERSATION, owner=uuid.uuid4(), parent=ada.id)
    other = services.create_key(KeyKind.CONVERSATION, owner=uuid.uuid4(), parent=ben.id)
    assert services.open_key(below.id) == below.key
    bury(ada.id)
    with pytest.raises(KeyDestroyed) as caught:
        services.open_keys([other.id, below.id])
    assert caught.value.key_id == below.id
    assert services.open_key(other.id) == other.key
    with pytest.raises(KeyDestroyed):
        services.create_key(KeyKind.CONVERSATION, owner=uuid.uuid4(), parent=ada.id)


def test_neither_key_nor_tombstone_is_damage(ada):
    with pytest.raises(KeyStoreDamaged, match="neither live nor a tombstone"):
        services.open_keys([ada.id, uuid.uuid4()])
    with pytest.raises(KeyNotFound):
        services.create_key(KeyKind.CONVERSATION, owner=None, parent=uuid.uuid4())


def test_a_lost_parent_is_damage(ada):
    below = services.create_key(KeyKind.CONVERSATION, owner=uuid.uuid4(), parent=ada.id)
    Key.objects.filter(pk=ada.id).delete()
    with pytest.raises(KeyStoreDamaged, match="above key"):
        services.open_key(below.id)


def test_keys_are_two_levels_deep_at_most(ada):
    below = services.create_key(KeyKind.CONVERSATION, owner=uuid.uuid4(), parent=ada.id)
    third = services.create_key(KeyKind.CONVERSATION, owner=uuid.uuid4(), parent=ada.id)
    Key.objects.filter(pk=third.id).update(parent_id=below.id)
    with pytest.raises(KeyStoreDamaged, match="below another"):
        services.open_key(third.id)


@pytest.mark.parametrize("field", ["wrapped", "owner", "kind"])
def test_the_parts_of_two_rows_cannot_be_swapped(ada, ben, field):
    one, other = Key.objects.get(pk=ada.id), Key.objects.get(pk=ben.id)
    setattr(one, field, {"wrapped": other.wrapped, "owner": other.owner, "kind": "request"}[field])
    one.save()
    with pytest.raises(KeyStoreDamaged, match="does not open"):
        services.open_key(ada.id)
    assert services.open_key(ben.id) == ben.key


def test_conversation_keys_cannot_be_moved_to_another_person(ada, ben):
    one, other = (
        services.create_key(KeyKind.CONVERSATION, owner=uuid.uuid4(), parent=parent.id) for parent in (ada, ben)
    )
    Key.objects.filter(pk=one.id).update(parent_id=ben.id)
    with pytest.raises(KeyStoreDamaged, match="does not open"):
        services.open_key(one.id)
    assert services.open_key(other.id) == other.key


def test_a_row_that_was_wrapped_anew_meanwhile_is_read_once_more(ada, monkeypatch):
    """A roll rewraps the row and destroys the old master key between a reader's query and its unwrapping."""
    calls = []
    unwrap = FileProvider.unwrap

    def first_time_missing(self, reference, items):
        calls.append(reference)
        if len(calls) == 1:
            raise MasterKeyMissing("gone")
        return unwrap(self, reference, items)

    monkeypatch.setattr(FileProvider, "unwrap", first_time_missing)
    assert services.open_key(ada.id) == ada.key
    assert len(calls) == 2


def test_a_row_is_a_live_key_or_a_tombstone_and_nothing_between(ada):
    changes: list[dict[str, Any]] = [
        {"wrapped": None},
        {"destroyed_at": timezone.now()},
        {"parent_id": uuid.uuid4()},
        {"epoch": None},
    ]
    for change in changes:
        with pytest.raises(IntegrityError), transaction.atomic("keys"):
            Key.objects.filter(pk=ada.id).update(**change)
    bury(ada.id)
    changes = [{"owner": uuid.uuid4()}, {"kind": "subject"}, {"created_at": timezone.now()}]
    for change in changes:
        with pytest.raises(IntegrityError), transaction.atomic("keys"):
            Key.objects.filter(pk=ada.id).update(**change)


def test_states_and_owners_are_read_without_opening(ada, ben):
    owner = uuid.uuid4()
    mine = services.create_key(KeyKind.ARCHIVE, owner=owner)
    below = services.create_key(KeyKind.CONVERSATION, owner=owner, parent=ada.id)
    assert set(selectors.live_keys_owned_by([owner])) == {mine.id, below.id}
    assert selectors.live_keys_owned_by([owner], kind=KeyKind.ARCHIVE) == [mine.id]
    assert selectors.live_keys_below(ada.id) == [below.id]
    assert selectors.live_keys_below(ben.id) == []
    assert selectors.key_state(below.id).is_live
    assert selectors.tombstones_among([ada.id, ben.id]) == {}
    bury(ada.id)
    assert not selectors.key_state(below.id).is_live
    assert selectors.tombstones_among([ada.id, ben.id]) == {ada.id: selectors.key_state(ada.id).destroyed_at}
    with pytest.raises(KeyStoreDamaged):
        selectors.key_state(uuid.uuid4())


@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_a_key_outlives_the_rollback_of_the_content_it_was_made_for():
    with pytest.raises(DatabaseError), transaction.atomic():
        made = services.create_key(KeyKind.SUBJECT, owner=uuid.uuid4())
        raise DatabaseError("the content could not be written")
    assert services.open_key(made.id) == made.key
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic("keys"):
        services.create_key(KeyKind.SUBJECT, owner=uuid.uuid4())


def test_the_site_and_its_indexes_have_keys_of_their_own():
    assert services.site_key("location credentials") == services.site_key("location credentials")
    assert services.blind_index_key("email") == services.blind_index_key("email")
    keys = {
        services.site_key("location credentials"),
        services.site_key("second factors"),
        services.blind_index_key("email"),
        services.blind_index_key("user_id"),
        services.named_key(KeyKind.SUPPRESSION, "suppression"),
    }
    assert len(keys) == 5
    assert Key.objects.count() == 4


def test_two_processes_that_make_a_named_key_at_once_get_the_same(monkeypatch):
    """The other process commits between this one's look and its insert."""
    from apps.keys.services import naming

    create_key = naming.create_key
    made = []

    def after_another(kind, **fields):
        made.append(create_key(kind, **fields))
        return create_key(kind, **fields)

    monkeypatch.setattr(naming, "create_key", after_another)
    assert services.blind_index_key("email") == made[0].key
    assert Key.objects.count() == 1


def test_the_sites_key_is_one_query_and_damage_is_still_damage(master_keys):
    first = services.site_key("sessions")
    with connections["keys"].execute_wrapper(counting := Counting()):
        assert services.site_key("sessions") == first
    assert counting.statements == 1
    [path] = master_keys.iterdir()
    path.write_text("ab" * 32 + "\n")
    with pytest.raises(KeyStoreDamaged):
        services.site_key("sessions")


def test_one_epoch_serves_all_keys(ada, ben):
    assert Epoch.objects.count() == 1
    assert {row.epoch for row in Key.objects.all()} == {Epoch.objects.get()}
    assert str(Epoch.objects.get()).startswith("epoch ")
    assert str(Key.objects.get(pk=ada.id)) == f"key {ada.id}"


def test_the_installation_is_one():
    assert services.installation() == services.installation()
    assert str(services.installation()) == f"installation {services.installation().pk}"


class Counting:
    """Counts the statements that go to a database."""

    def __init__(self, beginning: str = "SELECT") -> None:
        self.beginning = beginning
        self.statements = 0

    def __call__(self, execute, sql, params, many, context):
        self.statements += sql.startswith(self.beginning)
        return execute(sql, params, many, context)


def test_whose_key_a_key_is_wrapped_under(ada, ben):
    owner = Key.objects.get(pk=ada.id).owner
    assert owner is not None
    hers = services.create_key(KeyKind.CONVERSATION, owner=uuid.uuid4(), parent=ada.id)
    his = services.create_key(KeyKind.CONVERSATION, owner=uuid.uuid4(), parent=ben.id)
    assert not selectors.are_below_another([hers.id], owner)
    assert selectors.are_below_another([hers.id, his.id], owner)
    assert not selectors.are_below_another([ada.id], owner)  # below none
    bury(ben.id)
    assert not selectors.are_below_another([his.id], owner)  # a tombstone says of nobody
