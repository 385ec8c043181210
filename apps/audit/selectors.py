"""Reading the log."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings

from apps.audit.models import Checkpoint, Entry, Leaf
from apps.audit.notes import VerifierKey
from apps.sealing.signatures import SigningKey


def record_of(entry: Entry) -> dict[str, Any]:
    """Return the entry as it stands in the log: v, salt, at, event, about, actor, role, details."""
    record: dict[str, Any] = json.loads(bytes(entry.data))
    return record


def details_of(entry: Entry) -> dict[str, Any]:
    """Return the entry's details as JSON values: ids and hashes as text."""
    details: dict[str, Any] = record_of(entry)["details"]
    return details


def index_of(entry: Entry) -> int | None:
    """Return the entry's place in the log, or None if the sequencer has not come to it."""
    return Leaf.objects.filter(entry_id=entry.pk).values_list("index", flat=True).first()


def is_signed(entry: Entry) -> bool:
    """Say whether the entry is in a signed checkpoint, and so also outside the database."""
    index, newest = index_of(entry), latest_checkpoint()
    return index is not None and newest is not None and index < newest.size


def latest_checkpoint() -> Checkpoint | None:
    return Checkpoint.objects.order_by("-size").first()


def public_key_text() -> str:
    """Return the verifier key of the log, name+hash+base64 (C2SP signed-note): what a verifier is given."""
    return str(VerifierKey(settings.AUDIT_ORIGIN, SigningKey.from_seed(settings.LOG_SIGNING_KEY).public))
