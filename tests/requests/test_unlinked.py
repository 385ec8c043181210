"""After an erasure nothing in the log leads to the person: every way from an entry to them is tried, and is tried before it too."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone

from apps.audit import selectors as audit
from apps.audit.models import Entry
from apps.keys import services as keys
from apps.records.models import Subject
from apps.requests import upkeep
from apps.requests.models import PrivacyRequest
from tests.requests.conftest import approved, run

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])

WORDS = ("ada@example.org", "Ada@Example.org", "ada", "example.org")
LOG = {"Entry", "Leaf", "Pending", "Tile", "Checkpoint"}


def tokens(value: Any) -> set[str]:
    """Every handle, id and hash in an entry; the salt is random and says nothing."""
    if isinstance(value, dict):
        return set().union(*(tokens(one) for name, one in value.items() if name not in ("salt", "at")))
    if isinstance(value, list):
        return set().union(*(tokens(one) for one in value))
    return {value.replace("-", "")} if isinstance(value, str) and len(value) >= 20 else set()


def in_log(*abouts: str) -> set[str]:
    return set().union(*(tokens(audit.record_of(entry)) for entry in Entry.objects.filter(about__in=abouts)))


def rows_that_hold(wanted: set[str]) -> dict[str, list[Any]]:
    """Every row outside the log with one of the values in any column, by the name of its table."""
    found: dict[str, list[Any]] = {}
    for model in apps.get_models(include_auto_created=True):
        if model._meta.app_label == "audit" and model.__name__ in LOG:
            continue
        for row in model._default_manager.all():
            if any(as_token(getattr(row, field.attname)) in wanted for field in model._meta.concrete_fields):
                found.setdefault(model._meta.label, []).append(row)
    return found


def as_token(value: Any) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return str(value).replace("-", "")


@pytest.mark.slow
def test_handles_and_ids_lead_to_nobody_once_the_record_has_ended(ada: Subject, ben: Subject) -> None:
    handle, subject_id, account_id = ada.handle, ada.pk, ada.account_id
    request = approved(ada)
    before = rows_that_hold(in_log(handle, request.handle))
    assert subject_id in {row.pk for row in before["records.Subject"]}  # the way that must be gone afterwards
    assert request.pk in {row.pk for row in before["requests.PrivacyRequest"]}
    request = run(request)
    after = rows_that_hold(in_log(handle, request.handle))
    # The record of the request stays until its retention is over: sealed, and without person, address or account.
    assert set(after) == {
        "requests.PrivacyRequest",
        "requests.Receipt",
        "locations.Location",
        "keys.Key",
        "requests.Step",
    } & set(after)
    assert all(row.destroyed_at for row in after.get("keys.Key", []))  # tombstones: an id and a time
    [kept] = after["requests.PrivacyRequest"]
    assert (kept.subject_id, kept.email_index, kept.assigned_to_id) == (None, None, None)
    assert not Subject.objects.filter(handle=handle).exists()
    values = {as_token(subject_id), handle}
    assert rows_that_hold(values) == {} and account_id is not None
    PrivacyRequest.objects.filter(pk=request.pk).update(retain_until=timezone.now().date() - timedelta(days=1))
    assert upkeep.end_retentions() == 1
    ended = rows_that_hold(in_log(handle, request.handle))
    assert "requests.Receipt" not in ended and all(row.destroyed_at for row in ended.get("keys.Key", []))
    [bare] = ended["requests.PrivacyRequest"]
    assert (bare.sealed, bare.key_id, bare.code_hash) == (None, None, b"")
    assert rows_that_hold({ben.handle})  # a control: somebody who was not erased is still found


@pytest.mark.slow
def test_no_hash_in_the_log_is_one_of_the_persons_address_or_id(ada: Subject) -> None:
    """A dictionary attack by somebody who has everything but destroyed keys: plain hashes, salted ones, and the site's indexes."""
    subject_id, handle = str(ada.pk), ada.handle
    request = run(approved(ada))
    entries = [audit.record_of(entry) for entry in Entry.objects.all()]
    hashes = set().union(*(tokens(one) for one in entries if one["about"] in (handle, request.handle)))
    guesses = set()
    for word, name in product((*WORDS, subject_id, request.reference), ("md5", "sha1", "sha256", "sha512", "blake2b")):
        for salt in ("", *(one["salt"] for one in entries)):
            for text in (word, salt + word, word + salt):
                guesses.add(hashlib.new(name, text.encode()).hexdigest())
    for word, kind in product(WORDS, ("identity-email", "external id", "copy")):
        guesses.add(hashlib.sha256(keys.blind_index_key(kind) + word.encode()).hexdigest())
    assert not guesses & hashes
    text = json.dumps(entries)
    assert not any(word in text for word in (*WORDS, subject_id, request.reference) if len(word) > 3)
