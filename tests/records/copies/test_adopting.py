"""A conversation that was lost, and was imported anew before its copy was read: what becomes of the copy and of its key."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from apps.audit.services import sequence
from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed
from apps.keys.models import Key
from apps.records import services
from apps.records.copies import restoring, running
from apps.records.models import Conversation, Copy, CopyPolicy, Message, Subject
from tests.locations.stores.conftest import Place
from tests.records.conftest import by
from tests.records.copies.conftest import MakePolicy, checked, copied, give, there
from tests.records.copies.test_workers import SYSTEM

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


@pytest.fixture(params=["its row is lost too", "its row is there"])
def policy(request: pytest.FixtureRequest, ada: Subject, files_place: Place, make_policy: MakePolicy) -> CopyPolicy:
    """Ada's conversation was copied, then lost, then imported anew."""
    give(ada, "c1")
    rule = make_policy(files_place)
    copied(rule)
    Message.objects.all().delete()
    Conversation.objects.all().delete()
    if request.param == "its row is lost too":
        Copy.objects.all().delete()
    give(ada, "c1")
    sequence()
    return rule


def old_key(place: Place) -> UUID:
    """The key of the copy that is there: not that of the conversation."""
    [name] = there(place)
    own = set(Conversation.objects.values_list("key_id", flat=True))
    [key_id] = Key.objects.filter(owner=UUID(name.split("/")[2])).values_list("pk", flat=True)
    assert key_id not in own
    return UUID(str(key_id))


def is_live(key_id: UUID) -> bool:
    try:
        keys.open_key(key_id)
    except KeyDestroyed:
        return False
    return True


def test_nothing_is_held_twice_and_the_copy_is_one_of_the_new_conversation(
    policy: CopyPolicy, files_place: Place
) -> None:
    key_id = old_key(files_place)
    result = restoring.restore(policy, actor=SYSTEM)
    assert (result.conversations, result.already_held, result.failed) == (0, 1, [])
    assert [row.conversation_id for row in Copy.objects.all()] == [Conversation.objects.get().pk]
    assert is_live(key_id)
    assert restoring.restore(policy, actor=SYSTEM).already_held == 1, "it opens as before"
    assert checked(policy) == {"ok": 1}, "and is as it was written"


def test_erasing_the_new_conversation_takes_the_old_copy_and_its_key(
    policy: CopyPolicy, ada: Subject, ben: Subject, files_place: Place
) -> None:
    key_id = old_key(files_place)
    restoring.restore(policy, actor=SYSTEM)
    give(ben, "other")
    bens = Conversation.objects.get(subject=ben).key_id
    services.delete_all_conversations(ada, actor=by(ada))
    assert not is_live(key_id), "at once, with the conversation's own"
    assert is_live(bens)
    running.run_policy(policy.pk)
    assert there(files_place) == []


def test_the_next_copy_takes_its_place_and_the_sweep_takes_its_key(policy: CopyPolicy, files_place: Place) -> None:
    key_id = old_key(files_place)
    restoring.restore(policy, actor=SYSTEM)
    assert copied(policy) == {"written": 1}
    running.run_policy(policy.pk)
    [left] = there(files_place)
    assert UUID(left.split("/")[2]) == Conversation.objects.get().pk
    assert is_live(key_id), "until the sweep"
    Key.objects.filter(destroyed_at=None).update(created_at=timezone.now() - timedelta(days=2))
    found = keys.look_for_ownerless_keys()
    assert found.kinds == {"conversation": 1}
    keys.sweep_ownerless_keys(confirmed_by=SYSTEM, confirmed=found.digest)
    assert not is_live(key_id)
    assert is_live(Conversation.objects.get().key_id)


def test_erasing_everything_of_the_person_takes_a_copy_that_nobody_has_read(
    policy: CopyPolicy, ada: Subject, files_place: Place
) -> None:
    key_id = old_key(files_place)
    keys.erase_keys([ada.key_id], about=ada.handle, actor=SYSTEM)
    assert not is_live(key_id)


def test_a_copy_that_nobody_reads_keeps_its_key_as_long_as_a_row_names_it(
    policy: CopyPolicy, ada: Subject, files_place: Place
) -> None:
    """It counts as lost, not as erased: nothing says that it is of the same conversation before it is opened."""
    key_id, is_named = old_key(files_place), Copy.objects.exists()
    services.delete_all_conversations(ada, actor=by(ada))
    assert is_live(key_id)
    Key.objects.filter(destroyed_at=None).update(created_at=timezone.now() - timedelta(days=2))
    assert keys.look_for_ownerless_keys().kinds == ({} if is_named else {"conversation": 1})
