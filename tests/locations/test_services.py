from __future__ import annotations

import pytest

from apps.audit.actors import Actor
from apps.audit.models import Entry
from apps.locations import services
from apps.locations.contract import Health
from apps.locations.labels import label
from apps.locations.models import Location
from apps.locations.registry import configurable_kinds, connector_for

pytestmark = pytest.mark.django_db(databases=["default", "keys"])
CONFIG = {"root": "/srv/canary-folder", "templates": ["users/{user_id}/"]}


@pytest.fixture
def folder() -> Location:
    return services.save_location(Location(kind="files", name="Exports"), config=CONFIG, actor=Actor.system())


def events() -> list[str]:
    return list(Entry.objects.order_by("pk").values_list("event", flat=True))


def test_our_own_places_are_there_once() -> None:
    services.ensure_own_locations()
    own = Location.objects.filter(kind__in=("records", "archives", "account"))
    assert own.count() == 3
    assert {label(location) for location in own} == {"Conversations", "Your downloads", "Account and requests"}


def test_a_configuration_is_sealed_and_opens_again(folder: Location) -> None:
    folder.refresh_from_db()
    assert b"canary-folder" not in bytes(folder.sealed_config or b"")
    assert services.config_of(folder) == CONFIG
    assert connector_for(folder).root == "/srv/canary-folder"  # type: ignore[attr-defined]


def test_a_switched_off_place_still_counts_until_it_is_recorded_as_emptied(folder: Location) -> None:
    services.record_emptied(folder, actor=Actor.system())
    assert folder in Location.objects.that_ever_held_data(), "a place in use cannot be recorded as emptied"
    services.switch_location(folder, enabled=False, actor=Actor.system())
    assert folder in Location.objects.that_ever_held_data()
    services.record_emptied(folder, actor=Actor.system())
    assert folder not in Location.objects.that_ever_held_data()
    assert events()[-3:] == ["location.added", "location.switched_off", "location.emptied"]


def test_a_place_that_was_switched_off_while_it_was_changed_stays_off(folder: Location) -> None:
    seen_before = Location.objects.get(pk=folder.pk)
    services.switch_location(folder, enabled=False, actor=Actor.system())
    seen_before.name = "Old exports"
    services.save_location(seen_before, config=CONFIG, actor=Actor.system())
    folder.refresh_from_db()
    assert (folder.name, folder.is_enabled) == ("Old exports", False)


def test_a_place_that_is_not_there_is_said_to_be_unreachable(folder: Location) -> None:
    assert not services.check_location(folder, actor=Actor.system()).is_reachable
    assert folder.is_reachable is False
    assert folder.health
    assert "canary-folder" not in folder.health


def test_staff_can_add_every_kind_but_our_own() -> None:
    assert {"files", "s3"} <= set(configurable_kinds())
    assert not {"records", "archives", "account"} & set(configurable_kinds())


@pytest.mark.parametrize(
    ("said", "kept"), [(30, 30), (0, 0), (None, None), (-1, None), (10**12, None), (2 * 10**9, None)]
)
def test_for_how_long_erased_copies_stay_is_believed_as_far_as_a_calendar_goes(
    folder: Location, monkeypatch: pytest.MonkeyPatch, said: int | None, kept: int | None
) -> None:
    answer = Health(is_reachable=True, message="", horizon_days=said)
    monkeypatch.setattr("apps.locations.connectors.files.FilesConnector.check", lambda connector: answer)
    services.check_location(folder, actor=Actor.system())
    folder.refresh_from_db()
    assert folder.horizon_days == kept
