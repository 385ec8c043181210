"""Signed notes and checkpoints: C2SP signed-note (c2sp.org/signed-note) and tlog-checkpoint (c2sp.org/tlog-checkpoint).

A note is text, an empty line, and one line for each signature: "— NAME BASE64(key id ‖ signature)". A checkpoint's
text is three lines: origin, size, root. Ed25519 only; lines of other signers are let through unread, as the format asks.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from apps.audit.errors import BadNote
from apps.audit.merkle import HASH_SIZE
from apps.sealing import signatures

ED25519 = b"\x01"
KEY_ID_SIZE = 4
_NAME = re.compile(r"[^\s+]+")
_SIGNATURE = re.compile(r"— (\S+) (\S+)")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


def key_id(name: str, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + ED25519 + public).digest()[:KEY_ID_SIZE]


@dataclass(frozen=True)
class VerifierKey:
    """The public half of a log's key under its name: what an auditor keeps, and gives to a verifier."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        return key_id(self.name, self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{encode_base64(ED25519 + self.public)}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        parts = text.strip().split("+", 2)
        if len(parts) != 3 or not _NAME.fullmatch(parts[0]):
            raise BadNote("a key reads name+hash+base64")
        raw = decode_base64(parts[2])
        key = cls(parts[0], raw[1:])
        if raw[:1] != ED25519 or len(raw) != 1 + HASH_SIZE or str(key) != text.strip():
            raise BadNote("this is not an Ed25519 key of that name")
        return key


@dataclass(frozen=True)
class CheckpointText:
    """What a checkpoint says."""

    origin: str
    size: int
    root: bytes

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n"


def sign_checkpoint(checkpoint: CheckpointText, key: signatures.SigningKey) -> str:
    """Return the signed note. Ed25519 is deterministic: the same statement always gives the same note."""
    text = str(checkpoint)
    signature = key_id(checkpoint.origin, key.public) + key.sign(text.encode())
    return f"{text}\n— {checkpoint.origin} {encode_base64(signature)}\n"


def open_checkpoint(note: str, key: VerifierKey) -> CheckpointText:
    """Return what the checkpoint says, once a signature of this key is found good; raises BadNote."""
    text, lines = _split(note)
    signed = [_signature(line) for line in lines]
    mine = [signature for name, signature in signed if (name, signature[:KEY_ID_SIZE]) == (key.name, key.id)]
    if not mine:
        raise BadNote("it is not signed by this key")
    if not all(signatures.verify(key.public, text.encode(), signature[KEY_ID_SIZE:]) for signature in mine):
        raise BadNote("the signature does not fit the text")
    return _parse(text, key.name)


def open_with_any(note: str, keys: Iterable[VerifierKey]) -> CheckpointText:
    """Like `open_checkpoint`, for a log whose key was changed: one of the keys signed it; raises BadNote."""
    error = BadNote("there is no key to check it with")
    for key in keys:
        try:
            return open_checkpoint(note, key)
        except BadNote as found:
            error = found
    raise error


def read_checkpoint(note: str) -> CheckpointText:
    """Return what the checkpoint says without checking who signed it."""
    return _parse(_split(note)[0], None)


def encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def decode_base64(text: str) -> bytes:
    """Decode the one spelling that `encode_base64` gives."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadNote("malformed base64") from None
    if encode_base64(data) != text:
        raise BadNote("malformed base64")
    return data


def _split(note: str) -> tuple[str, list[str]]:
    text, gap, rest = note.rpartition("\n\n")
    if not gap or not rest.endswith("\n") or _CONTROL.search(note):
        raise BadNote("it is not a signed note")
    return text + "\n", rest[:-1].split("\n")


def _signature(line: str) -> tuple[str, bytes]:
    match = _SIGNATURE.fullmatch(line)
    if not match:
        raise BadNote("a signature line is malformed")
    return match[1], decode_base64(match[2])


def _parse(text: str, origin: str | None) -> CheckpointText:
    lines = text[:-1].split("\n")
    if len(lines) != 3 or not lines[0] or not _SIZE.fullmatch(lines[1]):
        raise BadNote("it is not a checkpoint of three lines")
    root = decode_base64(lines[2])
    if len(root) != HASH_SIZE or (origin is not None and lines[0] != origin):
        raise BadNote("it is a checkpoint of another log")
    return CheckpointText(lines[0], int(lines[1]), root)
