"""Tries every wrapped key found anywhere in raw files, through any chain of wraps, with every key that still lives.

A wrapped key has a fixed length and begins with its version; the rest of it looks random. So every offset of every file
is a candidate where that is so, also inside what a dump, a backup or a message writes as hex or base64, twice over. A candidate opens only in
its place (associated data), so each is tried in every place that was ever noted of the keys that a test is about.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from django.conf import settings

from apps.archives.models import Archive
from apps.keys import services as keys
from apps.keys.models import Epoch, Key
from apps.keys.wrapping import context_of
from apps.records import contexts
from apps.records.models import Conversation, Import, Message, Subject
from apps.sealing import aead, content
from apps.sealing.aead import WRAPPED_SIZE
from apps.sealing.errors import DecryptionError

LARGEST_TEXT = 1024 * 1024
NESTED = 2  # a message of the broker holds its arguments as base64, and they may hold a key as base64
LEAST_VALUES = 60  # of 104 random bytes about 86 are different; fewer than 60 are so once in 10^15
_HEX = re.compile(rb"[0-9a-fA-F]{%d,}" % (2 * WRAPPED_SIZE))
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{%d,}={0,2}" % (4 * WRAPPED_SIZE // 3))


@dataclass
class Sealed:
    """A sealed message as it lay in the database, and the words in it."""

    key_id: UUID
    context: bytes
    value: bytes
    words: str


@dataclass
class Ring:
    """What is noted of one person's keys while they live: who they are, what wrapped them, and their bytes."""

    subject_id: UUID
    names: dict[UUID, tuple[str, str, UUID | None]] = field(default_factory=dict)
    above: dict[UUID, set[tuple[str, UUID]]] = field(default_factory=dict)
    known: dict[UUID, bytes] = field(default_factory=dict)
    sealed: list[Sealed] = field(default_factory=list)

    def note(self, *canaries: str) -> None:
        """Note all keys of the person, and where the canaries lie sealed."""
        subject = Subject.objects.filter(pk=self.subject_id).first()
        conversations = list(Conversation.objects.filter(subject_id=self.subject_id))
        ids = {row.key_id for row in conversations} | ({subject.key_id} if subject else set())
        for model in (Import, Archive):  # what was uploaded, and what was collected for the person
            rows = model._default_manager.filter(subject_id=self.subject_id, key_id__isnull=False)
            ids |= {key_id for key_id in rows.values_list("key_id", flat=True) if key_id}
        for row in Key.objects.filter(pk__in=ids, destroyed_at=None):
            self.names[row.pk] = (row.kind, row.name, row.owner)
            places = self.above.setdefault(row.pk, set())
            places.add(("parent", row.parent_id) if row.parent_id else ("epoch", row.epoch_id or row.pk))
            self.known[row.pk] = keys.open_key(row.pk)
        for conversation in conversations:
            if conversation.key_id in self.known:
                self.sealed += _sealed_with(conversation, self.known[conversation.key_id], canaries)

    def places(self) -> Iterator[tuple[UUID, UUID, bytes]]:
        """Yield (key, what it was wrapped under, associated data) of every place in which a copy may have been written.

        A root key is wrapped anew under each new epoch: so every epoch there ever was counts for each of them. And below
        a person's key whatever key they ever had counts: the one that a replacement made may have taken along what it
        should not.
        """
        epochs = set(Epoch.objects.values_list("pk", flat=True))
        parents = {above for places in self.above.values() for how, above in places if how == "parent"}
        for key_id, (kind, name, owner) in self.names.items():
            is_root = any(how == "epoch" for how, _above in self.above[key_id])
            for above in epochs if is_root else parents:
                row = Key(id=key_id, kind=kind, name=name, owner=owner)
                row.epoch_id, row.parent_id = (above, None) if is_root else (None, above)
                yield key_id, above, context_of(row)


def living_masters() -> dict[UUID, bytes]:
    """Return the master keys that are still there, by epoch."""
    found = {}
    for epoch in Epoch.objects.all():
        path = Path(settings.MASTER_KEY_DIR) / f"{epoch.reference}.key"
        if path.exists():
            found[epoch.pk] = bytes.fromhex(path.read_text().strip())
    return found


def living_keys() -> dict[UUID, bytes]:
    """Return every key that lives, opened."""
    live = list(Key.objects.filter(destroyed_at=None).values_list("pk", flat=True))
    return keys.open_keys(live)


def load(places: Iterable[Path]) -> list[bytes]:
    """Read these files, and every file below these folders, raw; what a server only ever fills with zeros is left out."""
    return [data for place in places for path in _paths(place) for data in _content(path)]


def _paths(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    for folder, _folders, names in os.walk(place):
        yield from (Path(folder, name) for name in sorted(names))


def _content(path: Path) -> Iterator[bytes]:
    with suppress(OSError):  # a socket, or a file that its server has just put away
        data = path.read_bytes()
        if not data or data.strip(b"\0"):
            yield path.name.encode() + b"\n" + data


def candidates(files: Iterable[bytes]) -> set[bytes]:
    """Return whatever in these files looks like a wrapped key."""
    return {piece for data in files for view in views(data) for piece in _candidates(view)}


def openable(ring: Ring, tried: set[bytes]) -> dict[UUID, bytes]:
    """Return the keys of the ring that open from these candidates, through any chain, with any key that lives."""
    openers = living_masters() | living_keys()
    opened: dict[UUID, bytes] = {}
    waiting = list(ring.places())
    while True:
        ready = [place for place in waiting if place[1] in openers and place[0] not in opened]
        waiting = [place for place in waiting if place[1] not in openers]
        for key_id, above, context in ready:
            key = _open_one(tried, openers[above], context)
            if key is not None:
                opened[key_id] = key
        if not any(place[1] in opened for place in waiting):
            return opened
        openers |= opened


def readable(ring: Ring, opened: dict[UUID, bytes], files: Sequence[bytes]) -> set[str]:
    """Return the words that can be read with these keys from what lies in these raw files."""
    return {
        one.words
        for one in ring.sealed
        if one.key_id in opened
        and any(one.value in data or one.value.hex().encode() in data for data in files)
        and one.words in str(content.unseal_json(opened[one.key_id], one.value, context=one.context))
    }


def in_clear(ring: Ring, words: Iterable[str], files: Sequence[bytes]) -> list[str]:
    """Return which of these words, or of the keys of the ring, stand in the clear."""
    needles = {word: [word.encode()] for word in words}
    needles |= {f"key {key_id}": [key, key.hex().encode()] for key_id, key in ring.known.items()}
    return [name for name, forms in needles.items() if any(form in data for form in forms for data in files)]


def _sealed_with(conversation: Conversation, key: bytes, canaries: Iterable[str]) -> Iterator[Sealed]:
    prefix = contexts.messages(conversation.key_id, conversation.pk)
    for position, sealed in Message.objects.filter(conversation=conversation).values_list("position", "sealed"):
        context = contexts.message(prefix, position)
        text = str(content.unseal_json(key, sealed, context=context))
        for word in canaries:
            if word in text:
                yield Sealed(conversation.key_id, context, bytes(sealed), word)


def views(data: bytes, depth: int = NESTED) -> Iterator[bytes]:
    """Yield the bytes as they lie there, and what is written in them as hex or base64."""
    yield data
    if depth == 0 or (len(data) > LARGEST_TEXT and b"\0" in data):
        return  # a database's own file: there a key lies as it is
    for match in _HEX.finditer(data):
        yield from views(bytes.fromhex(match[0][: len(match[0]) // 2 * 2].decode()), depth - 1)
    for match in _BASE64.finditer(data):
        text = match[0].rstrip(b"=")
        with suppress(binascii.Error):
            yield from views(base64.b64decode(text[: len(text) // 4 * 4]), depth - 1)


def _candidates(data: bytes) -> Iterator[bytes]:
    at = data.find(aead.VERSION)
    while 0 <= at <= len(data) - WRAPPED_SIZE:
        piece = data[at : at + WRAPPED_SIZE]
        if len(set(piece)) >= LEAST_VALUES:
            yield piece
        at = data.find(aead.VERSION, at + 1)


def _open_one(tried: Iterable[bytes], opener: bytes, context: bytes) -> bytes | None:
    for wrapped in tried:
        try:
            return aead.unwrap_key(opener, wrapped, context=context)
        except DecryptionError:
            continue
    return None
