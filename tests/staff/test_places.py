"""Places in the staff site: administrators set them, officers see how they are, names of what they hold are not shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from apps.audit.actors import Actor
from apps.audit.models import Entry
from apps.audit.selectors import looks_at
from apps.locations.connectors.files import FilesConnector
from apps.locations.contract import Health, Item
from apps.locations.models import Location
from apps.locations.services import config_of, save_location
from apps.records.subjects import add_identity
from tests.contracts.gcs_standin import GcsStandIn
from tests.contracts.kinds_clouds import patient_no_longer
from tests.requests.conftest import staff
from tests.staff.conftest import Desk, text_of

pytestmark = pytest.mark.django_db(databases=["default", "keys"])
PLACES = "/admin/locations/location/"


def values(root: Path, **more: str) -> dict[str, str]:
    base = {"name": "Exports", "country": "Ireland", "purpose": "Support. Contract", "retention": "1 year"}
    return base | {"config-root": str(root), "config-templates": "people/{email}/"} | more


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder beside the storage, which lies in `tmp_path` too."""
    folder = tmp_path / "exports"
    (folder / "people" / "ada@example.org").mkdir(parents=True)
    for name in ("divorce.txt", "salary.txt"):
        (folder / "people" / "ada@example.org" / name).write_text("x")
    return folder


@pytest.fixture(autouse=True)
def _real_kinds(settings: Any) -> None:
    settings.CONNECTORS = {kind: path for kind, path in settings.CONNECTORS.items() if kind != "fake"}


@pytest.fixture
def exports(own_places: None, folder: Path) -> Location:
    location = Location(kind="files", name="Exports", country="Ireland")
    config = {"root": str(folder), "templates": ["people/{email}/"]}
    return save_location(location, config=config, actor=Actor.system())


def test_one_is_tried_saved_tested_and_takes_part(at_roots, folder):
    tried = values(folder, **{"try": "1", "search-kind": "email", "search-value": "ada@example.org"})
    without_purpose = text_of(at_roots.post(f"{PLACES}add/?kind=files", tried))
    assert "2 found" not in without_purpose
    text = text_of(at_roots.post(f"{PLACES}add/?kind=files", tried | {"search-purpose": "support"}))
    assert "2 found" in text
    assert "people/ada@example.org/di….txt" in text
    assert "divorce" not in text
    assert not Location.objects.filter(name="Exports").exists()
    saved = at_roots.post(f"{PLACES}add/?kind=files", values(folder))
    assert saved["location"].endswith("/change/#state")  # else a browser keeps the #try of before
    assert 'id="state"' in text_of(at_roots.get(saved["location"]))
    place = Location.objects.get(name="Exports")
    assert config_of(place)["root"] == str(folder)
    at_roots.post(f"{PLACES}{place.pk}/check/")
    place.refresh_from_db()
    assert place.is_reachable
    assert "Reachable" in at_roots.read(PLACES)
    assert list(Entry.objects.filter(event__startswith="location.").order_by("pk").values_list("event", flat=True)) == [
        "location.tried", "location.added", "location.checked",
    ]  # fmt: skip


def test_one_is_switched_off_and_recorded_as_emptied_and_stays_listed(at_roots, exports):
    row = exports
    at_roots.post(f"{PLACES}{row.pk}/switch/")
    assert "Its steps in every request wait for a person" in at_roots.read(f"{PLACES}{row.pk}/change/")
    at_roots.post(f"{PLACES}{row.pk}/emptied/")
    row.refresh_from_db()
    assert row.emptied_at is not None
    assert "Holds nothing any more" in at_roots.read(PLACES)


def test_our_own_can_be_tested_and_not_switched_off(at_roots, own_places):
    own = Location.objects.get(kind="account")
    at_roots.post(f"{PLACES}{own.pk}/switch/")
    at_roots.post(f"{PLACES}{own.pk}/check/")
    own.refresh_from_db()
    assert own.is_enabled
    assert own.is_reachable
    assert "This place is our own" in at_roots.read(f"{PLACES}{own.pk}/change/")


def test_officers_see_how_places_are_and_change_nothing(at_cleos, exports):
    row = exports
    text = at_cleos.read(f"{PLACES}{row.pk}/change/")
    assert "Ireland" in text
    assert "Save this place" not in text
    assert "Test the connection" not in text
    for part in (f"{row.pk}/switch/", f"{row.pk}/check/", f"{row.pk}/emptied/", f"{uuid4()}/check/"):
        assert at_cleos.post(f"{PLACES}{part}").status_code == 403, part
    assert at_cleos.get(f"{PLACES}add/?kind=files").status_code == 403
    row.refresh_from_db()
    assert (row.is_enabled, row.emptied_at) == (True, None)


def test_unknown_ones_are_not_found(at_roots):
    assert at_roots.get(f"{PLACES}{uuid4()}/change/").status_code == 404
    assert at_roots.post(f"{PLACES}{uuid4()}/check/").status_code == 404
    assert at_roots.get(f"{PLACES}add/?kind=nonsense").status_code == 200


@pytest.mark.slow
def test_a_secret_is_never_shown_again(at_roots, own_places):
    secret = "very-secret-key"
    s3 = {
        "name": "Bucket", "config-bucket": "b", "config-endpoint_url": "http://127.0.0.1:9", "config-access_key": "a", "config-secret_key": secret,
        "config-templates": "{email}/",
    }  # fmt: skip
    at_roots.post(f"{PLACES}add/?kind=s3", s3)
    place = Location.objects.get(name="Bucket")
    assert config_of(place)["secret_key"] == secret
    assert secret not in at_roots.read(f"{PLACES}{place.pk}/change/")
    at_roots.post(f"{PLACES}{place.pk}/change/", s3 | {"config-secret_key": "", "country": "France"})
    place.refresh_from_db()
    assert (config_of(place)["secret_key"], place.country) == (secret, "France")


def test_a_secret_is_carried_through_a_test_sealed_and_for_its_writer_only(at_roots, own_places):
    secret = "very-secret-key"
    s3 = {
        "name": "Bucket", "config-bucket": "b", "config-endpoint_url": "http://127.0.0.1:9", "config-access_key": "a",
        "config-templates": "{email}/",
    }  # fmt: skip
    text = text_of(at_roots.post(f"{PLACES}add/?kind=s3", s3 | {"config-secret_key": secret, "test": "1"}))
    assert "Does not answer" in text
    assert secret not in text
    carried = text.split('name="sealed-secrets" value="')[1].split('"')[0]
    other = Desk(staff("other@example.org", "administrators"))
    assert "Write the secret" in text_of(other.post(f"{PLACES}add/?kind=s3", s3 | {"sealed-secrets": carried}))
    assert "Write the secret" in text_of(at_roots.post(f"{PLACES}add/?kind=s3", s3 | {"sealed-secrets": "AAAA"}))
    at_roots.post(f"{PLACES}add/?kind=s3", s3 | {"sealed-secrets": carried})
    assert config_of(Location.objects.get(name="Bucket"))["secret_key"] == secret


@pytest.mark.slow
def test_a_secret_stays_with_the_address_that_it_was_given_for(at_roots, own_places):
    secret = "very-secret-key"
    s3 = {
        "name": "Bucket", "config-bucket": "b", "config-endpoint_url": "http://127.0.0.1:9", "config-access_key": "a",
        "config-templates": "{email}/",
    }  # fmt: skip
    at_roots.post(f"{PLACES}add/?kind=s3", s3 | {"config-secret_key": secret})
    place = Location.objects.get(name="Bucket")
    change = f"{PLACES}{place.pk}/change/"
    elsewhere = s3 | {"config-endpoint_url": "http://127.0.0.1:10"}
    for act in (
        {},
        {"test": "1"},
        {"try": "1", "search-kind": "email", "search-value": "x", "search-purpose": "support"},
    ):
        assert "Write the secret" in text_of(at_roots.post(change, elsewhere | act)), act
    text = text_of(at_roots.post(change, s3 | {"test": "1"}))
    carried = {"sealed-secrets": text.split('name="sealed-secrets" value="')[1].split('"')[0]}
    for address in (change, f"{PLACES}add/?kind=s3"):
        assert "Write the secret" in text_of(at_roots.post(address, elsewhere | carried | {"name": "Other"})), address
    place.refresh_from_db()
    assert config_of(place)["endpoint_url"] == "http://127.0.0.1:9"
    at_roots.post(change, elsewhere | {"config-secret_key": "another-secret"})
    place.refresh_from_db()
    assert (config_of(place)["endpoint_url"], config_of(place)["secret_key"]) == (
        "http://127.0.0.1:10",
        "another-secret",
    )


def test_changing_a_place_takes_a_fresh_sign_in(at_roots, exports, folder):
    at_roots.let_time_pass(3600)
    at_roots.read(f"{PLACES}{exports.pk}/change/")
    for part in (f"{exports.pk}/change/", f"{exports.pk}/switch/", f"{exports.pk}/emptied/", "add/?kind=files"):
        answer = at_roots.post(f"{PLACES}{part}", values(folder, country="France"))
        assert (answer.status_code, "reauthenticate" in answer.headers["Location"]) == (302, True), part
    exports.refresh_from_db()
    assert (exports.country, exports.is_enabled) == ("Ireland", True)


def test_what_was_typed_into_a_new_place_outlives_the_question_for_the_password(at_roots, folder):
    at_roots.let_time_pass(3600)
    address = f"{PLACES}add/?kind=files"
    asked = at_roots.post(address, values(folder, country="France", test="1"))
    answer = at_roots.post(asked.headers["Location"], {"password": "a good password"})
    page = text_of(answer)
    assert "Reachable" in page and 'value="France"' in page
    for target in ('action="{}"', 'formaction="{}#test"', 'formaction="{}#try"'):  # the page stands at another address
        assert f" {target.format(address)}" in page
    assert not Location.objects.filter(country="France").exists()


def test_whoever_is_looked_for_sees_that_an_administrator_looked(at_roots, ada, folder):
    tried = values(folder, **{"try": "1", "search-kind": "email", "search-value": "ada@example.org"})
    at_roots.post(f"{PLACES}add/?kind=files", tried | {"search-purpose": "support"})
    [look] = looks_at(ada.handle)
    assert (look.event, look.purpose) == ("location.tried", "support")


class SlowToForget(FilesConnector):
    def check(self) -> Health:
        return Health(is_reachable=True, message="The folder can be read.", horizon_days=90)


@pytest.mark.parametrize("policy", ["refuse", "warn"])
def test_a_place_that_forgets_too_late_is_refused_until_somebody_says_why(at_roots, folder, settings, policy):
    settings.CONNECTORS = settings.CONNECTORS | {"files": f"{__name__}.SlowToForget"}
    settings.LOCATION_POLICY = policy
    tested = text_of(at_roots.post(f"{PLACES}add/?kind=files", values(folder, test="1")))
    assert "Erased copies stay for 90 days, longer than the 30 days of our policy." in tested
    answer = at_roots.post(f"{PLACES}add/?kind=files", values(folder), follow=True)
    assert "longer than the 30 days" in text_of(answer)
    assert ("Not saved: what is wanted is marked below." in text_of(answer)) == (policy == "refuse")
    assert "Not saved" not in tested
    assert Location.objects.filter(name="Exports").exists() == (policy == "warn")
    if policy == "refuse":
        reason = {"horizon_reason": "Tape backups of the archive law, decided by the board"}
        at_roots.post(f"{PLACES}add/?kind=files", values(folder) | reason)
        place = Location.objects.get(name="Exports")
        assert (place.horizon_days, place.horizon_reason) == (90, reason["horizon_reason"])
        assert "decided by the board" in at_roots.read(f"{PLACES}{place.pk}/change/")


def test_a_kind_that_is_called_like_a_method_is_counted_like_any_other(at_roots, folder, monkeypatch):
    def find(self, who, scope):
        yield from (Item("a", "items"), Item("b", "items"), Item("c", "file"))

    monkeypatch.setattr(FilesConnector, "find", find)
    search = {"try": "1", "search-kind": "email", "search-value": "a@example.org", "search-purpose": "support"}
    text = text_of(at_roots.post(f"{PLACES}add/?kind=files", values(folder, **search)))
    assert "items 2, file 1" in text


def test_the_number_of_calls_that_a_search_took_stands_beside_what_it_found(at_roots, folder, monkeypatch):
    patient_no_longer(monkeypatch)
    server = GcsStandIn()
    for number in range(2):
        server.put(f"people/a@example.org/{number}", b"x")
    bucket = {
        "name": "Bucket", "config-bucket": "bucket", "config-endpoint_url": server.address,
        "config-service_account": server.key(), "config-templates": "people/{email}/",
    }  # fmt: skip
    search = {"try": "1", "search-kind": "email", "search-value": "a@example.org", "search-purpose": "support"}
    text = text_of(at_roots.post(f"{PLACES}add/?kind=gcs", bucket | search))
    server.stop()
    assert "2 found" in text
    assert f"({len([call for call in server.calls if '/token' not in call])} request" in text
    text = text_of(at_roots.post(f"{PLACES}add/?kind=files", values(folder, **search)))
    assert "0 found" in text
    assert "request)" not in text
    assert "requests)" not in text, "a folder takes none"


SFTP = {
    "config-host": "127.0.0.1", "config-port": "9", "config-username": "u", "config-root": "/srv", "config-templates": "{email}/",
    "config-host_key": "ssh-ed25519 AAAA",
}  # fmt: skip
BACK_END = {
    "config-backend": "django.core.files.storage.FileSystemStorage", "config-templates": "{email}/",
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "settings_of_it", "field", "secret", "kept"),
    [
        ("sftp", SFTP, "private_key", "line-one-of-the-key", "line-one-of-the-key"),
        ("storage", BACK_END, "secret_options", "token = line-one-of-the-key", {"token": "line-one-of-the-key"}),
    ],
)
def test_a_secret_of_several_lines_is_not_sent_back_with_a_mistake_elsewhere(
    at_roots, own_places, kind, settings_of_it, field, secret, kept
):
    sent = settings_of_it | {f"config-{field}": secret}
    text = text_of(at_roots.post(f"{PLACES}add/?kind={kind}", sent | {"name": ""}))
    assert "line-one-of-the-key" not in text
    assert "This field is required" in text
    carried = text.split('name="sealed-secrets" value="')[1].split('"')[0]
    mended = settings_of_it | {"name": "Mended", "sealed-secrets": carried, "country": "Ireland", "horizon_reason": "x"}
    at_roots.post(f"{PLACES}add/?kind={kind}", mended | {"config-horizon_days": "1"})
    assert config_of(Location.objects.get(name="Mended"))[field] == kept


def test_what_a_check_said_to_one_administrator_another_reads_in_their_own_language(at_roots, root, folder):
    at_roots.post(f"{PLACES}add/?kind=files", values(folder))
    change = f"{PLACES}{Location.objects.get(name='Exports').pk}/change/"
    assert "The folder can be read." in at_roots.read(change)
    in_chinese = Desk(root)
    in_chinese.cookies["django_language"] = "zh-hans"
    text = in_chinese.read(change)
    assert "文件夹可以读取。" in text
    assert "The folder can be read." not in text


def test_a_kind_of_identity_that_nobody_has_is_named_with_those_that_there_are(at_roots, ada, folder):
    typo = values(folder, **{"config-templates": "people/{mail}/"})
    said = "Nobody is known by “mail” so far"
    tested = text_of(at_roots.post(f"{PLACES}add/?kind=files", typo | {"test": "1"}))
    assert said in tested
    assert "Kinds of identity are: email, phone, subject_id, user_id." in tested
    at_roots.post(f"{PLACES}add/?kind=files", typo)
    change = f"{PLACES}{Location.objects.get(name='Exports').pk}/change/"
    assert said in at_roots.read(change)
    assert "Nobody is known by" not in text_of(at_roots.post(change, values(folder, test="1")))
    add_identity(ada, "mail", "ada", actor=Actor.system())
    assert "Nobody is known by" not in at_roots.read(change)


def test_settings_are_tested_before_anybody_says_what_the_place_is_called(at_roots, folder):
    nameless = values(folder, name="", country="Ireland")
    tested = text_of(at_roots.post(f"{PLACES}add/?kind=files", nameless | {"test": "1"}))
    assert "The folder can be read." in tested
    assert "This field is required" not in tested
    assert 'value="Ireland"' in tested
    assert "This field is required" in text_of(at_roots.post(f"{PLACES}add/?kind=files", nameless))
    wrong = text_of(at_roots.post(f"{PLACES}add/?kind=files", nameless | {"test": "1", "config-root": "here"}))
    assert "Nothing was asked: first correct what is marked above." in wrong
    assert not Location.objects.filter(country="Ireland").exists()


def test_what_an_empty_secret_does_is_said_only_where_one_is_kept(at_roots, own_places):
    stays = "Empty: the one that is there stays."
    s3 = {
        "name": "B",
        "config-bucket": "b",
        "config-endpoint_url": "http://127.0.0.1:9",
        "config-templates": "{email}/",
    }
    assert stays not in at_roots.read(f"{PLACES}add/?kind=s3")
    at_roots.post(f"{PLACES}add/?kind=s3", s3 | {"config-access_key": "a", "config-secret_key": "x"})
    assert stays in at_roots.read(f"{PLACES}{Location.objects.get(name='B').pk}/change/")


def test_what_stands_in_the_way_is_said_once_after_saving_and_after_a_test(at_roots, folder):
    answer = at_roots.post(
        f"{PLACES}add/?kind=files", values(folder, **{"config-root": f"{folder}/nowhere"}), follow=True
    )
    place = Location.objects.get(name="Exports")
    for text in (text_of(answer), text_of(at_roots.post(f"{PLACES}{place.pk}/check/", follow=True))):
        assert text.count("is the disk mounted?") == 1
        assert "What stands in the way is said below." in text


def test_the_card_of_a_database_names_which_ones_there_are(at_roots):
    assert "PostgreSQL, MySQL, MariaDB, SQLite" in at_roots.read(f"{PLACES}add/")
