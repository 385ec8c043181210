"""Proofs that an entry stands in the log: C2SP tlog-proof (c2sp.org/tlog-proof@v1), offline and complete in one file.

Their extra data is JSON: {"entry": the exact text of the entry} and, in a receipt, "body": the exact text of the receipt,
whose SHA-256 the entry holds. The extra data is not signed itself: it is believed because it leads to the signed root,
body → entry → leaf → root → signature.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from apps.audit import merkle, notes
from apps.audit.entries import canonical_json
from apps.audit.errors import BadNote, BadProof
from apps.audit.events import Event

HEADER = "c2sp.org/tlog-proof@v1"
FILE_EXTENSION = ".tlog-proof"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True)
class Proof:
    """What a good proof shows: this entry stands at this place of the log that the checkpoint describes."""

    record: dict[str, Any]
    body: bytes | None
    index: int
    checkpoint: notes.CheckpointText


def pack_extra(entry: bytes, body: bytes | None = None) -> bytes:
    """Return the extra data of a proof: the entry's exact text, and the receipt's."""
    return canonical_json({"entry": entry.decode()} | ({} if body is None else {"body": body.decode()}))


def write(index: int, path: Sequence[bytes], note: str, extra: bytes) -> str:
    """Return the text of a .tlog-proof."""
    head = [HEADER, f"extra {notes.encode_base64(extra)}", f"index {index}"]
    return "\n".join([*head, *(notes.encode_base64(one) for one in path), "", note])


def check(text: str, *keys: notes.VerifierKey) -> Proof:
    """Return what the proof shows, or raise BadProof: body → entry → leaf → root → signature of one of the keys."""
    try:
        return _check(text, keys)
    except BadNote as error:
        raise BadProof(str(error)) from None


def check_receipt(text: str, *key_texts: str) -> Proof:
    """Like `check`, for a receipt and keys as text: its `body` is there, and is the one that the log holds."""
    try:
        proof = check(text, *(notes.VerifierKey.parse(key_text) for key_text in key_texts))
    except BadNote as error:
        raise BadProof(f"the key: {error}") from None
    if proof.body is None:
        raise BadProof("it proves an entry, but is not a receipt")
    return proof


def _check(text: str, keys: Sequence[notes.VerifierKey]) -> Proof:
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    index = _INDEX.fullmatch(lines[2]) if len(lines) > 2 else None
    if index is None or lines[0] != HEADER or not lines[1].startswith("extra "):
        raise BadProof("it is not a proof of an entry")
    entry, body = _unpack_extra(notes.decode_base64(lines[1].removeprefix("extra ")))
    record = _object(entry)
    if body is not None:
        _check_body(record, body)
    checkpoint = notes.open_with_any(note, keys)
    path = [notes.decode_base64(line) for line in lines[3:]]
    if merkle.root_from_inclusion(merkle.leaf_hash(entry), int(index[1]), checkpoint.size, path) != checkpoint.root:
        raise BadProof("the entry is not in the log that the checkpoint signs")
    return Proof(record, body, int(index[1]), checkpoint)


def _unpack_extra(extra: bytes) -> tuple[bytes, bytes | None]:
    value = _object(extra)
    try:
        texts = {name: text.encode() for name, text in value.items()}
    except (AttributeError, UnicodeEncodeError):  # no text, or half a character
        texts = {}
    if not {"entry"} <= set(texts) <= {"entry", "body"}:
        raise BadProof("its extra data is not an entry")
    return texts["entry"], texts.get("body")


def _check_body(record: dict[str, Any], body: bytes) -> None:
    details = record.get("details")
    held = details.get("body_sha256") if isinstance(details, dict) else None
    if record.get("event") != Event.RECEIPT_ISSUED or held != sha256(body).hexdigest():
        raise BadProof("the receipt's text is not the one that the log holds")


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadProof("it is not what the log writes")
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that says something twice: another reader might take what this one does not."""
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError
    return found
