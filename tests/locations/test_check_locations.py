"""check_locations says of every place how it is, and ends with the code of the worst."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from apps.audit.actors import Actor
from apps.locations import services
from apps.locations.connectors.files import FilesConnector
from apps.locations.contract import Health
from apps.locations.models import Location

pytestmark = pytest.mark.django_db(databases=["default", "keys"])


class Lasting(FilesConnector):
    def check(self) -> Health:
        return Health(True, "It answers.", horizon_days=90, facts=(("Versions", "on"),))


class Silent(FilesConnector):
    def check(self) -> Health:
        return Health(True, "It answers.", horizon_days=None)


@pytest.fixture(autouse=True)
def _kinds(settings: Any) -> None:
    here = {"lasting": f"{__name__}.Lasting", "silent": f"{__name__}.Silent"}
    settings.CONNECTORS = settings.CONNECTORS | here


def add(kind: str, root: Path, **values: str) -> Location:
    config = {"root": str(root), "templates": ["users/{user_id}/"]}
    return services.save_location(Location(kind=kind, name="Exports", **values), config=config, actor=Actor.system())


def check(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("check_locations", *arguments, stdout=out, stderr=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_a_folder_that_answers_is_well(tmp_path: Path) -> None:
    add("files", tmp_path)
    code, said = check()
    assert code == 0
    assert "Exports: reachable; erased copies are gone after: at once." in said


def test_one_that_does_not_answer_ends_with_4(tmp_path: Path) -> None:
    add("files", tmp_path / "gone")
    code, said = check()
    assert code == 4
    assert "Exports: NOT reachable" in said


def test_one_that_forgets_too_late_ends_with_1_until_a_reason_is_recorded(tmp_path: Path) -> None:
    place = add("lasting", tmp_path)
    code, said = check()
    assert code == 1
    assert "Versions: on" in said
    assert "longer than the 30 days of our policy" in said
    Location.objects.filter(pk=place.pk).update(horizon_reason="Decided by the board")
    code, said = check("--json")
    assert code == 0
    [row] = [row for row in json.loads(said)["places"] if row["place"] == "Exports"]
    assert (row["policy"], row["horizon_days"], row["facts"]) == ("excepted", 90, {"Versions": "on"})


def test_with_the_warning_policy_it_is_said_and_no_failure(tmp_path: Path, settings: Any) -> None:
    settings.LOCATION_POLICY = "warn"
    add("lasting", tmp_path)
    code, said = check()
    assert code == 0
    assert "longer than the 30 days of our policy" in said


def test_an_unknown_horizon_is_said(tmp_path: Path) -> None:
    add("silent", tmp_path)
    code, said = check()
    assert code == 0
    assert "Nobody can say when an erased copy is really gone here" in said


def test_one_that_is_switched_off_counts_until_it_is_recorded_as_emptied(tmp_path: Path) -> None:
    """Each erasure leaves it to a person, and what it keeps is a part of T1 as on Data and privacy."""
    place = add("lasting", tmp_path)
    Location.objects.filter(pk=place.pk).update(horizon_reason="Decided by the board")
    assert check()[0] == 0
    services.switch_location(place, enabled=False, actor=Actor.system())
    code, said = check()
    assert code == 4
    assert (
        "Exports: switched off; erased copies are gone after: 90 days" in said
        and "each erasure leaves it to a person" in said
    )
    waits = json.loads(check("--json")[1])["erased_now"]["waits"]
    assert [one["until"] for one in waits if one["place"] == "Exports"] == [
        (timezone.now() + timedelta(days=91)).date().isoformat()
    ]
    services.record_emptied(Location.objects.get(pk=place.pk), actor=Actor.system())
    code, said = check()
    assert code == 0 and "Exports" not in said
