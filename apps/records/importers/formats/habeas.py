"""Habeas' own archive: a ChatGPT-shaped conversations.json beside a manifest, which is checked before anything is read.

The manifest names every file with the lengths and SHA-256 of its pieces (apps/archives/manifest.py). This shows that
the archive is whole; who made it, its signature shows, which is for `verify_archive` to check.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from ..errors import BadConversation, UnreadableFile
from ..limits import MAX_CONVERSATION_BYTES
from ..parsing import parse_json
from ..values import as_dict, as_list
from ..zips import Entry

NAME = "habeas"
MANIFEST, SIGNATURE = "manifest.json", "manifest.json.sig"
_FORMAT = "habeas archive manifest"


def manifest_of(entries: Sequence[Entry]) -> dict[str, Any] | None:
    """The manifest, if these are the files of one of our archives."""
    found = [entry for entry in entries if entry.name == MANIFEST]
    if not found or found[0].size > MAX_CONVERSATION_BYTES:
        return None
    try:
        manifest = as_dict(parse_json(b"".join(found[0].chunks())))
    except BadConversation:
        return None
    return manifest if str(manifest.get("format", "")).startswith(_FORMAT) else None


def check_integrity(manifest: dict[str, Any], entries: Sequence[Entry]) -> None:
    """Raise UnreadableFile unless every file is there, once, and as the manifest says."""
    by_name = {entry.name: entry for entry in entries if entry.name not in (MANIFEST, SIGNATURE)}
    if len(by_name) < len(entries) - len([entry for entry in entries if entry.name in (MANIFEST, SIGNATURE)]):
        raise _changed(_("a file occurs twice"))
    files = {str(file.get("name")): file for file in map(as_dict, as_list(manifest.get("files")))}
    for name in files.keys() ^ by_name.keys():
        raise _changed(_("“%(name)s” is missing or does not belong to it") % {"name": name[:80]})
    for name, entry in by_name.items():
        if not _is_unchanged(files[name], entry):
            raise _changed(_("“%(name)s” has been changed") % {"name": name[:80]})


def _is_unchanged(file: dict[str, Any], entry: Entry) -> bool:
    pieces = [(piece.get("length"), piece.get("sha256")) for piece in map(as_dict, as_list(file.get("pieces")))]
    lengths = [length for length, _digest in pieces if isinstance(length, int) and length >= 0]
    if len(lengths) != len(pieces) or sum(lengths) != entry.size or file.get("size") != entry.size:
        return False
    reader = entry.open()
    try:
        for length, expected in pieces:
            digest = hashlib.sha256()
            while length and (chunk := reader.read(min(length, 1 << 18))):
                digest.update(chunk)
                length -= len(chunk)
            if digest.hexdigest() != expected:
                return False
        return not reader.read(1)  # reads to the end, where the ZIP's own checksum is compared
    finally:
        reader.close()


def _changed(what: str) -> UnreadableFile:
    return UnreadableFile(
        _("This is an archive of ours, but it is not as it was made: %(what)s. Nothing was imported.") % {"what": what}
    )
