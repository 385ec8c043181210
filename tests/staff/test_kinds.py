"""Every kind of place that staff can add has a form made for it, a test, a summary, and credentials that are sealed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django import forms

from apps.locations.contract import Health
from apps.locations.forms import where
from apps.locations.models import Location
from apps.locations.registry import configurable_kinds, connector_class
from apps.locations.services import config_of
from apps.records.sources.files import kind_of
from apps.records.staff import sourcing
from tests.staff.conftest import text_of

pytestmark = pytest.mark.django_db(databases=["default", "keys"])
ADD = "/admin/locations/location/add/?kind="
SECRET = "dont-show-me"
PATHS = {"templates": "people/{email}/"}
BLOCKS = {"tables-TOTAL_FORMS": "1", "tables-INITIAL_FORMS": "0"}
ACCOUNT = json.dumps({"client_email": "habeas@example.org", "private_key": SECRET})

# What an administrator writes into the form of each kind, where the secret goes, and a sentence of what it will do then.
FORMS: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "files": (PATHS | {"root": "/srv/exports"}, {}, "Finds what lies below people/{email}/."),
    "s3": (PATHS | {"bucket": "b", "access_key": "a"}, {"secret_key": SECRET}, "Erases every version, delete marker"),
    "gcs": (PATHS | {"bucket": "b"}, {"service_account": ACCOUNT}, "Erases every generation"),
    "azure": (PATHS | {"account": "a", "container": "c"}, {"account_key": SECRET}, "Erases every blob, snapshot"),
    "sftp": (
        PATHS | {"host": "h", "port": "22", "username": "u", "root": "/srv", "host_key": "ssh-ed25519 AAAA"},
        {"password": SECRET, "private_key": SECRET}, "Erases every file and link there",
    ),
    "storage": (
        PATHS | {"backend": "django.core.files.storage.FileSystemStorage"}, {"secret_options": f"token = {SECRET}"},
        "Erases each file there",
    ),
    "sql": (
        BLOCKS | {"dialect": "postgresql", "host": "h", "database": "d", "user": "u", "tls": "off", "tables-0-table": "notes",
                  "tables-0-columns": "email", "tables-0-kind": "email", "tables-0-action": "delete"},
        {"password": SECRET}, "Deletes the rows of notes",
    ),
    "mongodb": (
        BLOCKS | {"hosts": "h", "database": "d", "user": "u", "tls": "off", "tables-0-collection": "notes",
                  "tables-0-field": "email", "tables-0-kind": "email", "tables-0-action": "delete"},
        {"password": SECRET}, "Finds documents of notes",
    ),
    "openai": ({"identity": "user_id", "metadata_key": "user_id"}, {"api_key": SECRET}, "Erases each object by its id"),
    "hand": (
        {"person": "Ms Green", "email": "green@example.org", "days": "14", "instructions": "Second floor."}, {},
        "Gives Ms Green a task with 14 days for each request.",
    ),
    "http": (
        {"address": "https://crm.example.org", "key_name": "habeas", "algorithm": "hmac-sha256", "identities": "user_id"},
        {"secret": SECRET * 3}, "in signed calls.",
    ),
    "lanying": (
        {"api_endpoint": "https://im.example.org", "app_id": "a", "identity": "lanying_user"}, {"access_token": SECRET},
        "Erases by recalling each message",
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _real_kinds(settings: Any) -> None:
    settings.LOCATION_ROOTS = [Path("/srv")]
    settings.CONNECTORS = {kind: path for kind, path in settings.CONNECTORS.items() if kind != "fake"}


def test_no_kind_is_left_out_here() -> None:
    assert set(configurable_kinds()) == set(FORMS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMS)
def test_it_is_set_up_by_a_form_of_its_own_tested_summed_up_and_sealed(
    kind: str, at_roots: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connector = connector_class(kind)
    fields, secrets, summary = FORMS[kind]
    base = connector.ConfigForm.base_fields
    assert not any(isinstance(field, forms.JSONField) for field in base.values())
    assert set(secrets) == set(getattr(connector.ConfigForm, "secrets", ()))
    assert not secrets or where(connector.ConfigForm(), {}), "nothing says to whom its secret is sent: ADDRESSES"
    page = at_roots.read(f"{ADD}{kind}")
    assert all(f'name="config-{name}"' in page for name in base)
    assert all(str(field.label) for field in base.values())

    answers = Health(True, "It answers like this.", 3, ("Something is missing.",), (("Versions", "read as on"),))
    monkeypatch.setattr(connector, "check", lambda self: answers)
    posted = {f"config-{name}": value for name, value in (fields | secrets).items()} | {"name": "A place of the kind"}
    tested = text_of(at_roots.post(f"{ADD}{kind}", posted | {"test": "1"}))
    for said in (answers.message, *answers.problems, "read as on", "3 days", summary):
        assert said in tested, said
    assert SECRET not in tested
    assert not Location.objects.filter(kind=kind).exists()

    at_roots.post(f"{ADD}{kind}", posted)
    place = Location.objects.get(kind=kind)
    config = config_of(place)
    assert all(SECRET in str(config[name]) for name in secrets)
    assert SECRET.encode() not in bytes(place.sealed_config or b"")
    page = at_roots.read(f"/admin/locations/location/{place.pk}/change/")
    assert SECRET not in page
    assert summary in page


@pytest.mark.parametrize(("written", "is_taken"), [("crm2_id", True), ("2crm", False), ("Crm", False), ("ключ", False)])
def test_a_kind_of_identity_is_called_alike_in_every_form(written: str, is_taken: bool) -> None:
    for kind, field in (("openai", "identity"), ("lanying", "identity"), ("http", "identities"), ("s3", "label_kind")):
        form = connector_class(kind).ConfigForm(FORMS[kind][0] | {field: written})
        assert (field not in form.errors) == is_taken, kind
    for mapping in (sourcing.TableForm, sourcing.MetadataForm, sourcing.AssistantsForm):
        assert ("person_kind" not in mapping({"person_kind": written}).errors) == is_taken, mapping
    assert bool(kind_of(f"logs/{{{written}}}/")) == is_taken
