"""What happens to keys seldom: work of two that meets in the middle, and a provider that says when a key is gone."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from django.core.management import call_command

from apps.audit.actors import Actor
from apps.keys import services
from apps.keys.kinds import KeyKind
from apps.keys.models import Key
from apps.keys.providers.file import FileProvider
from apps.keys.services import replacing
from tests.keys.test_ending import approve, old, propose  # noqa: F401
from tests.keys.test_replacing import Person

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


def test_of_several_keys_one_that_an_erasure_took_meanwhile_is_passed_over(ada, ben):
    carla = Person()
    services.erase_keys([ada.id], about="", actor=Actor.system())
    replaced, waiting, damaged = replacing.replace_several([ada.id, carla.first], actor=Actor.system())
    assert [one.old for one in replaced] == [carla.first]
    assert waiting == damaged == set()
    assert carla.all_opens() and services.open_key(ben.id) == ben.key


def test_a_replacement_whose_new_key_nobody_owns_waits_and_destroys_nothing(ada):
    carla = Person()
    _old, new = replacing._begin(carla.first)
    Key.objects.filter(pk=new).update(owner=None)
    replaced, waiting, damaged = replacing.replace_several([carla.first], actor=Actor.system())
    assert (replaced, waiting, damaged) == ([], {carla.first}, set())
    assert services.open_key(carla.first)


def test_the_command_says_when_a_master_key_is_gone_for_good(old, monkeypatch, capsys):  # noqa: F811
    real = FileProvider.destroy

    def destroy(self, reference):
        real(self, reference)
        return datetime(2030, 1, 2, 3, 4, tzinfo=UTC)

    monkeypatch.setattr(FileProvider, "destroy", destroy)
    approve(propose(old))
    call_command("destroy_master_keys")
    assert f"{old}: destroyed; gone for good at 2030-01-02 03:04 UTC" in capsys.readouterr().out


def test_a_key_of_a_kind_that_nobody_moves_is_not_replaced(ada):
    archive = services.create_key(KeyKind.ARCHIVE, owner=uuid.uuid4())
    replaced, waiting, damaged = replacing.replace_several([archive.id], actor=Actor.system())
    assert (replaced, waiting, damaged) == ([], {archive.id}, set())
