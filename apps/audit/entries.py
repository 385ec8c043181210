"""Making an entry: the closed record that is hashed into the log."""

from __future__ import annotations

import json
import secrets
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.audit import merkle
from apps.audit.actors import Actor, Role
from apps.audit.details import moment_text
from apps.audit.errors import BadHandle, EntryTooLarge, OutsideTransaction, UnknownDetail
from apps.audit.events import DETAILS, Event
from apps.audit.handles import is_handle
from apps.audit.models import Entry

FORMAT_VERSION = 1
SALT_SIZE = 16
_ENTRY = "INSERT INTO audit_entry (created_at, event, about, actor, role, data) VALUES (%s, %s, %s, %s, %s, %s)"
_BOTH = f"WITH made AS ({_ENTRY} RETURNING id), waiting AS (INSERT INTO audit_pending (entry_id) SELECT id FROM made) SELECT id FROM made"  # noqa: S608
LARGEST_ENTRY = 65_535  # C2SP tlog-tiles: an entry's length has two bytes


def append(event: Event, *, about: str, actor: Actor, **details: Any) -> Entry:
    """Write an entry in the caller's transaction; raises UnknownDetail for anything that is not allowed.

    `about` is the handle of a request or a person, or "" for the site itself. A detail given as None is left out.
    """
    if not transaction.get_connection().in_atomic_block:
        raise OutsideTransaction(event)
    _check_handles(about, actor)
    now = timezone.now()
    columns = {"event": Event(event).value, "about": about, "actor": actor.handle, "role": Role(actor.role).value}
    data = canonical_json(
        columns
        | {
            "v": FORMAT_VERSION,
            "salt": secrets.token_hex(SALT_SIZE),
            "at": moment_text(now),
            "details": _encode(Event(event), details),
        }
    )
    if len(data) > LARGEST_ENTRY:
        raise EntryTooLarge(f"{event}: {len(data)} bytes")
    return _insert(Entry(created_at=now, data=data, **columns))


def hash_of(entry: Entry) -> str:
    """Return what another entry calls this one by: its hash in the log, as hex. The id of its row is not kept by a restore."""
    return merkle.leaf_hash(bytes(entry.data)).hex()


def _insert(entry: Entry) -> Entry:
    """Insert the entry and the row that has it sequenced, in one round trip where that can be: every change pays for it."""
    connection = transaction.get_connection()
    at = connection.ops.adapt_datetimefield_value(entry.created_at)
    values = [at, entry.event, entry.about, entry.actor, entry.role, entry.data]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_BOTH, values)
            (entry.pk,) = cursor.fetchone()
        else:
            cursor.execute(_ENTRY, values)
            entry.pk = cursor.lastrowid  # RETURNING would want SQLite 3.35
            cursor.execute("INSERT INTO audit_pending (entry_id) VALUES (%s)", [entry.pk])
    entry._state.adding, entry._state.db = False, connection.alias
    return entry


def canonical_json(value: Any) -> bytes:
    """Return JSON in one canonical spelling: that of RFC 8785 for texts, whole numbers, lists and objects with ASCII keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _check_handles(about: str, actor: Actor) -> None:
    if about != "" and not is_handle(about):
        raise BadHandle("about")
    if actor.handle == "" and actor.role in {Role.SYSTEM, Role.COMMAND_LINE}:
        return
    if not is_handle(actor.handle):
        raise BadHandle("actor")


def _encode(event: Event, details: dict[str, Any]) -> dict[str, Any]:
    allowed = DETAILS[event]
    encoded = {}
    for name, value in details.items():
        if name not in allowed:
            raise UnknownDetail(f"{event} has no detail {name!r}: add it in apps/audit/events.py")
        if value is not None:
            encoded[name] = _encode_one(event, name, value)
    return encoded


def _encode_one(event: Event, name: str, value: Any) -> Any:
    try:
        return DETAILS[event][name].encode(value)
    except UnknownDetail as error:
        raise UnknownDetail(f"{event}, detail {name!r}: {error}") from None
