"""The order of writes holds when the process ends between any two of them: nothing is lost, nothing lives on."""

from __future__ import annotations

import uuid

import pytest
from django.apps import apps
from django.db import connections, transaction

from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.handles import new_handle
from apps.audit.models import Entry
from apps.audit.selectors import is_signed
from apps.keys import intents, selectors, services
from apps.keys.kinds import KeyKind
from apps.keys.models import Epoch, Key
from tests.keys.crashing import die, each_crash, fail

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
ways_to_end = pytest.mark.parametrize("end", [die, fail])


def subjects():
    return apps.get_model("records.Subject").objects


def add_person() -> services.NewKey:
    """The key first, then what it seals, as every service does it."""
    subject_id = uuid.uuid4()
    made = services.create_key(KeyKind.SUBJECT, owner=subject_id)
    with transaction.atomic():
        subjects().create(id=subject_id, handle=new_handle(), key_id=made.id)
    return made


@pytest.mark.slow
@ways_to_end
def test_no_crash_leaves_content_whose_key_is_lost(end, settings, tmp_path):
    crashes = 0
    settings.MASTER_KEY_DIR = tmp_path / "0"
    for at in each_crash(add_person, end):
        crashes += 1
        for key_id in subjects().values_list("key_id", flat=True):
            assert selectors.key_state(key_id).is_live
        made = add_person()  # the site works on, with whatever the crash left
        assert services.open_key(made.id) == made.key
        subjects().all().delete()
        Key.objects.all().delete()
        Epoch.objects.all().delete()
        settings.MASTER_KEY_DIR = tmp_path / str(at)  # so that each child makes its first master key
    assert crashes >= 10
    assert subjects().count() == 1  # of the child that reached its end


@pytest.mark.thorough
@ways_to_end
def test_no_crash_leaves_an_erasure_half_done_or_unsaid(end, ben):
    about = ""
    doomed: list[services.NewKey] = []

    def prepare() -> None:
        nonlocal about
        about = new_handle()
        one = services.create_key(KeyKind.SUBJECT, owner=uuid.uuid4())
        doomed[:] = [one, services.create_key(KeyKind.ARCHIVE, owner=uuid.uuid4())]

    def erase() -> services.Destruction:
        return services.erase_keys([key.id for key in doomed], about=about, actor=Actor.system())

    prepare()
    crashes = tombstones_seen = 0
    for _ in each_crash(erase, end):
        crashes += 1
        first = selectors.tombstones_among([key.id for key in doomed])
        assert len(first) in (0, 2)  # all of them, or none
        if first:
            tombstones_seen += 1
            assert_signed_intent(about, doomed)
        else:
            assert services.open_keys([key.id for key in doomed]) == {key.id: key.key for key in doomed}
        result = erase()
        assert result.destroyed + result.already == 2
        assert result.already == len(first)
        if first:
            assert result.destroyed_at == max(first.values())
        assert_said_once(about)
        assert_gone_from_the_files(doomed)
        assert services.open_key(ben.id) == ben.key
        prepare()
    assert crashes >= 20
    assert 3 <= tombstones_seen <= crashes - 10  # some of the points are after the tombstones, and some before
    assert len(selectors.tombstones_among([key.id for key in doomed])) == 2
    assert_said_once(about)


def assert_signed_intent(about: str, doomed: list[services.NewKey]) -> None:
    intent = Entry.objects.get(event=Event.KEYS_INTENDED, about=about)
    assert is_signed(intent)
    assert intents.named_keys(intent) == {key.id for key in doomed}


def assert_said_once(about: str) -> None:
    told = Entry.objects.filter(about=about).order_by("id").values_list("event", flat=True)
    assert list(told) == [Event.KEYS_INTENDED, Event.KEYS_DESTROYED]


def assert_gone_from_the_files(doomed: list[services.NewKey]) -> None:
    if connections["keys"].vendor == "sqlite":
        with connections["keys"].cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
            assert cursor.fetchone()[1] <= 0  # no page in the journal
