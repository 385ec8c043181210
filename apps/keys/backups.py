"""The file of `backup_keys`: wrapped keys and tombstones as lines of JSON, in no database's own format.

    {"format": "habeas-keys", "version": 1, "installation": …, "created_at": …}
    {"key": id, "kind", "name", "owner", "parent", "epoch", "wrapped": base64, "created_at", "child_destroyed_at"
     and "replaces", only of one that comes in another's place}
    {"tombstone": id, "destroyed_at"}
    {"epoch": id, "provider", "reference", "created_at", "retired_at", "destroyed_at"}
    {"keys": how many, "tombstones": how many, "sha256": of every line before this one}

It holds no master key, so it opens nothing by itself. What it says of a key is bound to the wrapped bytes (wrapping.py).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.keys.errors import BadBackup
from apps.keys.models import Epoch, Key

FORMAT = "habeas-keys"
VERSION = 1
LONGEST_LINE = 4096


@dataclass(frozen=True)
class Summary:
    """What a backup says of itself."""

    installation: UUID
    created_at: datetime
    keys: int
    tombstones: int
    sha256: bytes


def write_backup(path: Path, installation: UUID, rows: Iterable[Key | Epoch]) -> Summary:
    """Write the file and bring it to the disk; it has its name only once it is whole, and only its owner can read it."""
    draft = path.with_name(f"{path.name}.part")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    now = timezone.now()
    digest = hashlib.sha256()
    counts = {"key": 0, "tombstone": 0, "epoch": 0}
    with os.fdopen(descriptor, "wb") as file:
        for line in _lines(installation, now, rows, counts):
            digest.update(line)
            file.write(line)
        end = {"keys": counts["key"], "tombstones": counts["tombstone"], "sha256": digest.hexdigest()}
        file.write(orjson.dumps(end) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return Summary(installation, now, counts["key"], counts["tombstone"], digest.digest())


def check_backup(path: Path) -> Summary:
    """Read the whole file and return what it is; raises BadBackup if a byte of it is not as it was written."""
    digest = hashlib.sha256()
    counts = {"key": 0, "tombstone": 0, "epoch": 0}
    first, last = b"", b""
    for line in _raw_lines(path):
        if last:
            digest.update(last)
            _count(last, counts, is_first=last is first)
        first, last = first or line, line
    header, end = _parse(first), _parse(last)
    if header.get("format") != FORMAT or first is last:
        raise BadBackup(f"{path} is not a backup of keys")
    if header.get("version") != VERSION:
        raise BadBackup(f"{path} is of version {header.get('version')!r}; this program reads version {VERSION}")
    if end != {"keys": counts["key"], "tombstones": counts["tombstone"], "sha256": digest.hexdigest()}:
        raise BadBackup(f"{path} is damaged: it is cut short, or its SHA-256 does not agree")
    try:
        return Summary(
            UUID(header["installation"]), _moment(header["created_at"]), end["keys"], end["tombstones"], digest.digest()
        )
    except (KeyError, ValueError, TypeError):
        raise BadBackup(f"{path} is damaged: its first line says too little") from None


def read_rows(path: Path) -> Iterator[Key | Epoch]:
    """Yield the rows of a file that `check_backup` found good, not yet saved."""
    for line in _raw_lines(path):
        record = _parse(line)
        try:
            if "key" in record:
                yield _key(record)
            elif "tombstone" in record:
                moment = _moment(record["destroyed_at"])
                yield Key(pk=UUID(record["tombstone"]), created_at=None, destroyed_at=moment)
            elif "epoch" in record:
                yield _epoch(record)
        except (KeyError, ValueError, TypeError, AttributeError, binascii.Error):
            raise BadBackup(f"{path} holds a line that says too little") from None


def _lines(installation: UUID, now: datetime, rows: Iterable[Key | Epoch], counts: dict[str, int]) -> Iterator[bytes]:
    header = {"format": FORMAT, "version": VERSION, "installation": installation, "created_at": now}
    yield orjson.dumps(header) + b"\n"
    for row in rows:
        record = _record(row)
        counts[next(iter(record))] += 1
        yield orjson.dumps(record) + b"\n"


def _record(row: Key | Epoch) -> dict[str, Any]:
    if isinstance(row, Epoch):
        names = ("provider", "reference", "created_at", "retired_at", "destroyed_at")
        return {"epoch": row.pk} | {name: getattr(row, name) for name in names}
    if row.destroyed_at is not None:
        return {"tombstone": row.pk, "destroyed_at": row.destroyed_at}
    replaces = {"replaces": row.replaces} if row.replaces else {}
    return {
        "key": row.pk,
        "kind": row.kind,
        "name": row.name,
        "owner": row.owner,
        "parent": row.parent_id,
        "epoch": row.epoch_id,
        "wrapped": base64.b64encode(bytes(row.wrapped or b"")).decode(),
        "created_at": row.created_at,
        "child_destroyed_at": row.child_destroyed_at,
        **replaces,
    }


def _key(record: dict[str, Any]) -> Key:
    return Key(
        pk=UUID(record["key"]),
        kind=record["kind"],
        name=record["name"],
        owner=_optional_id(record["owner"]),
        parent_id=_optional_id(record["parent"]),
        epoch_id=_optional_id(record["epoch"]),
        wrapped=base64.b64decode(record["wrapped"], validate=True),
        created_at=_optional_moment(record["created_at"]),
        child_destroyed_at=_optional_moment(record["child_destroyed_at"]),
        replaces=_optional_id(record.get("replaces")),
    )


def _epoch(record: dict[str, Any]) -> Epoch:
    return Epoch(
        pk=UUID(record["epoch"]),
        provider=record["provider"],
        reference=record["reference"],
        created_at=_moment(record["created_at"]),
        retired_at=_optional_moment(record["retired_at"]),
        destroyed_at=_optional_moment(record["destroyed_at"]),
    )


def _count(line: bytes, counts: dict[str, int], *, is_first: bool) -> None:
    if not is_first:
        kind = next(iter(_parse(line)), "")
        counts[kind] = counts.get(kind, 0) + 1


def _raw_lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while line := file.readline(LONGEST_LINE):
                yield line
    except OSError as error:
        raise BadBackup(f"{path} cannot be read: {error.strerror}") from None


def _parse(line: bytes) -> dict[str, Any]:
    try:
        record = orjson.loads(line)
    except ValueError:
        record = None
    return record if isinstance(record, dict) else {}


def _moment(text: str) -> datetime:
    moment = parse_datetime(text)
    if moment is None or moment.tzinfo is None:
        raise ValueError("not a time with its zone")
    return moment


def _optional_moment(text: str | None) -> datetime | None:
    return None if text is None else _moment(text)


def _optional_id(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)
