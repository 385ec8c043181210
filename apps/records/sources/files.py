"""A watched folder or bucket: every new or changed file is read as an import is, for the person whom its path names."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Protocol

from django.db import transaction
from django.utils.translation import gettext as _

from apps.locations.paths import PLACEHOLDER
from apps.locations.services import config_of
from apps.locations.stores import Found, Missing, store_of
from apps.records import importers
from apps.records.importers.display import text_of
from apps.records.importers.types import ParsedConversation, Skipped
from apps.records.indexing.ring import SOURCE_FILE, open_ring
from apps.records.models import Source, SourceFile
from apps.records.services.deleting import BY_SCHEDULE
from apps.records.sources.reading import Batch, Cursor, MadeIds
from apps.records.uploads import spooled

FILES_A_QUERY = 400
LARGEST = 4 * 1024**3
BY_CONTENT = "sha256:"  # ids that are made from the content: of a file that grows they would not stay the same
MADE = re.compile(r"message-\d+(~\d+)?")  # ids that are made from the place (building.py)


class Seen(Protocol):
    def among(self, found: Sequence[Found]) -> set[str]: ...

    def note(self, found: Found) -> None: ...


class SeenFiles:
    """Which files of a source were read, by a keyed hash of their names."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._ring = open_ring(SOURCE_FILE)

    def among(self, found: Sequence[Found]) -> set[str]:
        """Return the names of those that were read as they are now."""
        while True:
            names = {index: one for one in found for index in self._ring.all(partial(name_index, name=one.name))}
            here = SourceFile.objects.filter(source=self.source, index__in=list(names)).values_list("index", "stamp")
            read = {names[bytes(index)].name for index, stamp in here if stamp == names[bytes(index)].stamp[:200]}
            if self._ring.is_current():
                return read
            self._ring = open_ring(SOURCE_FILE)

    def note(self, found: Found) -> None:
        while True:
            with transaction.atomic():
                if self._ring.is_held():
                    older = self._ring.older(partial(name_index, name=found.name))
                    SourceFile.objects.filter(source=self.source, index__in=older).delete()
                    SourceFile.objects.update_or_create(
                        source=self.source,
                        index=name_index(self._ring.key, found.name),
                        defaults={"index_number": self._ring.number, "stamp": found.stamp[:200]},
                    )
                    return
            self._ring = open_ring(SOURCE_FILE)

    def forget(self) -> None:
        SourceFile.objects.filter(source=self.source).delete()


def name_index(key: bytes, name: str) -> bytes:
    return hmac.new(key, name.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()


def names_in(source: Source) -> Iterator[str]:
    """Yield the names of the files that are in the place now. Raises LocationError."""
    reader = FilesReader(source.location.kind, config_of(source.location), source.mapping)
    return (found.name for found, _person in reader.files())


class FilesReader:
    """`mapping`: `folder` below the place's root, `path` such as {email}/ or {user_id}.json, `format`."""

    def __init__(self, kind: str, config: dict[str, Any], mapping: dict[str, Any], *, seen: Seen | None = None) -> None:
        self.store = store_of(kind, config, str(mapping.get("folder") or "").strip("/"))
        self.pattern = pattern_of(str(mapping["path"]))
        self.format = str(mapping.get("format") or "auto")
        self.seen = seen

    def check(self) -> list[str]:
        for _found, person in self.files():
            if person:
                return []
        return [_("No file is there whose path names a person.")]

    def batches(self, cursor: Cursor) -> Iterator[Batch]:
        """Yield a file at a time; which ones were read is kept beside the cursor, in rows."""
        for found, person in self._unread():
            done = self._done(found)
            if not person:
                yield Batch({}, {}, [Skipped(found.name, _("Its path names no person."))], done)
            elif found.size > LARGEST:
                yield Batch({}, {}, [Skipped(found.name, _("It is larger than 4 GiB."))], done)
            else:
                yield from self._read(found, person, done)
        yield Batch({}, {})

    def _unread(self) -> Iterator[tuple[Found, str]]:
        files = self.files()
        while some := list(islice(files, FILES_A_QUERY)):
            read = self.seen.among([found for found, _person in some]) if self.seen is not None else set()
            yield from ((found, person) for found, person in some if found.name not in read)

    def files(self) -> Iterator[tuple[Found, str]]:
        for found in self.store.find():
            if found.is_current and not found.name.endswith(("/", ".part")):
                match = self.pattern.match(found.name)
                yield found, match[1] if match else ""

    def _read(self, found: Found, person: str, done: Callable[[], None]) -> Iterator[Batch]:
        try:
            with spooled(_limited(self.store.get(found.name))) as path:
                reading = importers.read(path, format=self.format, name=found.name.rpartition("/")[2])
                yield Batch({person: self._named(reading, found.name)}, {}, [], done)
        except importers.UnreadableFile as error:
            yield Batch({}, {}, [Skipped(found.name, error.why)], done)
        except Missing:
            return  # it went away meanwhile

    def _named(self, reading: importers.Reading, name: str) -> Iterator[ParsedConversation | Skipped]:
        """Give what has no id of its own one by its file and place, so that a file that grows adds to what is held."""
        for number, item in enumerate(reading):
            if isinstance(item, Skipped):
                yield Skipped(f"{name}: {item.what}", item.why)
                continue
            if item.external_id.startswith(BY_CONTENT):
                item.external_id = f"file:{name}#{number}"
                _name_by_what_they_say(item)
            item.source = BY_SCHEDULE
            yield item

    def _done(self, found: Found) -> Callable[[], None]:
        def note() -> None:
            if self.seen is not None:
                self.seen.note(found)

        return note


def _name_by_what_they_say(parsed: ParsedConversation) -> None:
    """Give messages without ids other ones than their place: a file that begins anew would write over what it said before."""
    made = MadeIds()
    names: dict[str | None, str] = {}
    for node in parsed.nodes:
        if MADE.fullmatch(node.id):
            said = "\0".join(part.text for part in text_of(node))
            names[node.id] = made.of(str(node.created_at), node.role, said)
    for node in parsed.nodes:
        node.id, node.parent = names.get(node.id, node.id), names.get(node.parent, node.parent)
        node.data |= {"id": node.id, "parent": node.parent}
        node.data["children"] = [names.get(child, child) for child in node.data["children"]]
        if node.data["message"]:
            node.data["message"]["id"] = node.id
    current = parsed.header.get("current_node")
    parsed.header["current_node"] = names.get(current, current)


def _limited(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """A place may send more than its listing says, without end."""
    got = 0
    for chunk in chunks:
        got += len(chunk)
        if got > LARGEST:
            raise importers.UnreadableFile(_("It is larger than 4 GiB."))
        yield chunk


def kind_of(path: str) -> str:
    """Return the kind of identity that a path template names; "" if it names none or more than one."""
    kinds = PLACEHOLDER.findall(path)
    return kinds[0] if len(kinds) == 1 else ""


def pattern_of(path: str) -> re.Pattern[str]:
    """Turn {email}/ or logs/{user_id}.json into a pattern; one that ends in / means every file below."""
    before, after = (re.escape(part) for part in PLACEHOLDER.sub("\0", path.lstrip("/")).split("\0", 1))
    end = "" if path.endswith("/") else r"\Z"
    return re.compile(f"{before}([^/]+?){after}{end}")
