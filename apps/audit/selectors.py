"""Reading the log."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from apps.audit import merkle, proofs, tiles
from apps.audit.errors import NotSigned
from apps.audit.events import LOOKS, Event
from apps.audit.models import Checkpoint, Entry, Leaf, Pending, SiteState
from apps.audit.notes import VerifierKey
from apps.sealing.signatures import SigningKey

NAMING_KEYS = (Event.LOG_STARTED, Event.LOG_CONTINUED, Event.SIGNING_KEY_CHANGED)
UNSIGNED_ALARM = timedelta(seconds=10)  # DESIGN §3: shown as "not yet signed" from then on
DISORDER = 1_000  # ids and times are given a moment apart, so their order may differ by a few concurrent entries


@dataclass(frozen=True)
class Look:
    """One look of staff at a request or at personal data, as the person may see it (C-579/21)."""

    at: datetime
    event: str
    role: str
    purpose: str


def record_of(entry: Entry) -> dict[str, Any]:
    """Return the entry as it stands in the log: v, salt, at, event, about, actor, role, details."""
    record: dict[str, Any] = json.loads(bytes(entry.data))
    return record


def details_of(entry: Entry) -> dict[str, Any]:
    """Return the entry's details as JSON values: ids and hashes as text."""
    details: dict[str, Any] = record_of(entry)["details"]
    return details


def index_of(entry: Entry) -> int | None:
    """Return the entry's place in the log, or None if the sequencer has not come to it.

    Looked for by its hash too: a database gives the id of an entry that was rolled back to another one.
    """
    hashed = merkle.leaf_hash(bytes(entry.data))
    return Leaf.objects.filter(entry_id=entry.pk, leaf_hash=hashed).values_list("index", flat=True).first()


def is_signed(entry: Entry, newest: Checkpoint | None = None) -> bool:
    """Say whether the entry is in a signed checkpoint (`newest`, if it is at hand), and so also outside the database."""
    index = index_of(entry)
    if index is None:
        return False
    newest = newest or latest_checkpoint()
    return newest is not None and index < newest.size


def latest_checkpoint() -> Checkpoint | None:
    return Checkpoint.objects.order_by("-size").first()


def origin(number: int | None = None) -> str:
    """Return the name of the log: after a gap that could not be closed the site has a second one, called …/2."""
    if number is None:
        number = SiteState.objects.values_list("log_number", flat=True).first() or 1
    return settings.AUDIT_ORIGIN if number == 1 else f"{settings.AUDIT_ORIGIN}/{number}"


def verifier_key() -> VerifierKey:
    return VerifierKey(origin(), SigningKey.from_seed(settings.LOG_SIGNING_KEY).public)


def verifier_keys() -> list[VerifierKey]:
    """Return the log's keys, the present one first, then those before it, newest first: its entries name them."""
    return _with_past(verifier_key(), "log_key")


def keys_of_every_log() -> list[VerifierKey]:
    """Return the keys under the name of the present log, then under those of earlier ones: for receipts of their time."""
    present = verifier_keys()
    number = SiteState.objects.values_list("log_number", flat=True).first() or 1
    earlier = [origin(before) for before in range(number - 1, 0, -1)]
    return present + [VerifierKey(name, key.public) for name in earlier for key in present]


def archive_keys() -> list[VerifierKey]:
    """Return the keys of the archives' manifests, the present one first, then those before it."""
    return _with_past(VerifierKey.parse(archive_key_text()), "archive_key")


def _with_past(present: VerifierKey, detail: str) -> list[VerifierKey]:
    named = Entry.objects.filter(event__in=NAMING_KEYS).order_by("-pk")
    past = [bytes.fromhex(details_of(entry)[detail]) for entry in named]
    return [VerifierKey(present.name, public) for public in dict.fromkeys([present.public, *past])]


def fingerprints() -> tuple[str, str]:
    """Return the SHA-256 of the public halves of the log's and the archives' signing keys."""
    seeds = (settings.LOG_SIGNING_KEY, settings.ARCHIVE_SIGNING_KEY)
    log, archives = (sha256(SigningKey.from_seed(seed).public).hexdigest() for seed in seeds)
    return log, archives


def public_key_text() -> str:
    """Return the verifier key of the log, name+hash+base64 (C2SP signed-note): what a verifier is given."""
    return str(verifier_key())


def archive_key_text() -> str:
    """Return the verifier key of the archives' manifests, in the same form."""
    host = settings.SITE_URL.split("://", 1)[-1]
    return str(VerifierKey(f"{host}/archives", SigningKey.from_seed(settings.ARCHIVE_SIGNING_KEY).public))


def proof_text(entry: Entry, extra: bytes) -> str:
    """Return the .tlog-proof of the entry in the newest checkpoint; raises NotSigned as long as there is none."""
    index, newest = index_of(entry), latest_checkpoint()
    if index is None or newest is None or index >= newest.size:
        raise NotSigned(f"entry {entry.pk} is not signed yet")
    return proofs.write(index, tiles.tree_of(newest.size).inclusion_proof(index), newest.note, extra)


def entry_proof(entry: Entry) -> str:
    """Return the proof of one entry, with its exact text."""
    return proof_text(entry, proofs.pack_extra(bytes(entry.data)))


def receipt_text(entry: Entry, body: bytes) -> str:
    """Return a receipt: the proof of its entry, with the body whose SHA-256 the entry holds."""
    return proof_text(entry, proofs.pack_extra(bytes(entry.data), body))


def entries(
    *,
    about: str = "",
    event: str = "",
    role: str = "",
    actor: str = "",
    since: date | None = None,
    until: date | None = None,
) -> QuerySet[Entry]:
    """Return the entries that fit, newest first; `since` and `until` are days in UTC, both included."""
    exact = {"about": about, "event": event, "role": role, "actor": actor}
    found = Entry.objects.filter(**{name: value for name, value in exact.items() if value})
    if since:
        found = found.filter(created_at__gte=_midnight(since), pk__gte=_first_id(_midnight(since)) - DISORDER)
    if until:
        after = _midnight(until + timedelta(days=1))
        found = found.filter(created_at__lt=after, pk__lt=_first_id(after) + DISORDER)
    return found.select_related("leaf").order_by("-pk")


def entries_about(handle: str) -> QuerySet[Entry]:
    """Return the whole story of a request or a person, oldest first."""
    return entries(about=handle).order_by("pk")


def looks_at(*handles: str) -> list[Look]:
    """Return every look of staff at what these handles name, newest first: dates, roles, purposes, no officers."""
    found = Entry.objects.filter(about__in=handles, event__in=LOOKS).order_by("-pk")
    return [Look(entry.created_at, entry.event, entry.role, details_of(entry).get("purpose", "")) for entry in found]


def overdue_entries() -> QuerySet[Pending]:
    """Return what has waited for a signature for too long, oldest first: an alarm."""
    return waiting_longer_than(UNSIGNED_ALARM).order_by("entry_id")


def waiting_longer_than(age: timedelta) -> QuerySet[Pending]:
    return Pending.objects.filter(entry__created_at__lt=timezone.now() - age)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def _first_id(moment: datetime) -> int:
    """Return the id of the first entry since the moment: it lets the database skip the rest of the log."""
    first = (
        Entry.objects.filter(created_at__gte=moment).order_by("created_at", "pk").values_list("pk", flat=True).first()
    )
    if first is not None:
        return first
    newest = Entry.objects.order_by("-pk").values_list("pk", flat=True).first()
    return (newest or 0) + 1
