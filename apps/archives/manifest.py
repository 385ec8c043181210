"""The manifest of an archive and its signature.

manifest.json: {"format": "habeas archive manifest v1", "archive", "number", "request", "created", "language",
"missing": [{"place", "reason", "until"}], "files": [{"name", "media_type", "size", "method", "pieces": [{"length",
"sha256", "packed_length", "packed_sha256"}]}]}, files in the order of the ZIP. A piece is what was written at one time; its
first two values are of the file's bytes, the others of the bytes as they lie in the ZIP, so that nothing in it can be
changed unseen. A file of one piece has that piece's SHA-256.

manifest.json.sig is a C2SP signed note (c2sp.org/signed-note) with an Ed25519 signature over three lines: the format, the
archive's id, the SHA-256 of manifest.json. These two files are the last ones of the ZIP, and are stored unpacked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC
from typing import Any

import orjson
from django.conf import settings

from apps.archives.models import Archive, Member, Piece
from apps.archives.zipformat import DEFLATED, STORED
from apps.audit.notes import VerifierKey, encode_base64, key_id
from apps.audit.selectors import archive_key_text
from apps.sealing.signatures import SigningKey

FORMAT = "habeas archive manifest v1"
NAME = "manifest.json"
SIGNATURE_NAME = "manifest.json.sig"
METHODS = {STORED: "stored", DEFLATED: "deflated"}


def manifest_chunks(
    archive: Archive, files: Iterable[tuple[Member, list[Piece]]], *, reference: str, missing: list[dict[str, Any]]
) -> Iterator[bytes]:
    """Yield manifest.json: a head, and one line for each file."""
    head = {
        "format": FORMAT,
        "archive": str(archive.pk),
        "number": archive.number,
        "request": reference,
        "created": archive.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "language": archive.language,
        "missing": missing,
    }
    yield orjson.dumps(head)[:-1] + b',"files":[\n'
    separator = b""
    for member, pieces in files:
        yield separator + orjson.dumps(_file(member, pieces))
        separator = b",\n"
    yield b"\n]}\n"


def _file(member: Member, pieces: list[Piece]) -> dict[str, Any]:
    return {
        "name": member.name,
        "media_type": member.media_type,
        "size": member.size,
        "method": METHODS[member.method],
        "pieces": [
            {
                "length": piece.plain_length,
                "sha256": bytes(piece.plain_sha256).hex(),
                "packed_length": piece.length,
                "packed_sha256": bytes(piece.sha256).hex(),
            }
            for piece in pieces
        ],
    }


def sign(archive: Archive, manifest_sha256: str) -> bytes:
    """Return manifest.json.sig."""
    key = SigningKey.from_seed(settings.ARCHIVE_SIGNING_KEY)
    name = VerifierKey.parse(archive_key_text()).name
    text = f"{FORMAT}\n{archive.pk}\n{manifest_sha256}\n"
    signature = key_id(name, key.public) + key.sign(text.encode())
    return f"{text}\n— {name} {encode_base64(signature)}\n".encode()
