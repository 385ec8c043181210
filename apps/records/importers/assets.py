"""Find the files of a ZIP that its conversations mention, whatever the export of that year called them.

A pointer is file-service://file-ABC (until 2024) or sediment://file_00ab (since); the file is file-ABC-name.png,
file_00ab.dat or the like, in any folder, and conversation_asset_file_names.json may know what the person called it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from .errors import BadConversation, UnreadableFile
from .limits import MAX_CONVERSATION_BYTES
from .media import SIGNATURE_BYTES, media_type_of
from .parsing import parse_json
from .types import ParsedAttachment, ParsedConversation
from .values import as_dict, as_file_name, as_list, as_text
from .zips import Entry

ATTACHMENTS_KEY = "habeas_attachments"  # in the header, from Habeas' own archive: [{pointer, path, name, media_type}]
NAMES_FILE = "conversation_asset_file_names.json"
_FILE_ID = re.compile(r"file[-_][0-9A-Za-z]{6,}")
_POINTER = re.compile(r"(?:file-service|sediment)://\S*?(file[-_][0-9A-Za-z]{6,})")


class Assets:
    """The files of a ZIP by their id and by their name; remembers which were mentioned."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = list(entries)
        self.mentioned: set[int] = set()
        self._by_id: dict[str, list[Entry]] = {}
        self._by_name: dict[str, list[Entry]] = {}
        self._names: dict[str, str] = {}
        for entry in self.entries:
            base = _base(entry.name)
            self._by_name.setdefault(entry.name, []).append(entry)
            if base == NAMES_FILE:
                self._names = _original_names(entry)
            elif found := _FILE_ID.match(base):
                self._by_id.setdefault(found[0], []).append(entry)

    def attach(self, conversation: ParsedConversation) -> None:
        """Give a conversation the files that its messages mention."""
        for about in as_list(conversation.header.pop(ATTACHMENTS_KEY, None)):
            known = as_dict(about)
            for entry in self._by_name.get(as_text(known.get("path")), []):
                self._add(conversation, entry, as_text(known.get("pointer")), as_text(known.get("name")))
        if not self._by_id:
            return
        for file_id, (pointer, name) in _mentions(conversation).items():
            for entry in self._by_id.get(file_id, []):
                self._add(conversation, entry, pointer, name)

    def attachment(self, entry: Entry, *, pointer: str, name: str = "") -> ParsedAttachment:
        """One file of the ZIP as an attachment; it is read only when it is stored."""
        self.mentioned.add(entry.number)
        base = _base(entry.name)
        name = as_file_name(name or self._names.get(base) or base)
        media_type = media_type_of(entry.head(SIGNATURE_BYTES), name)
        return ParsedAttachment(name, media_type, pointer, entry.chunks, entry.size)

    def _add(self, conversation: ParsedConversation, entry: Entry, pointer: str, name: str) -> None:
        same = sum(known.pointer.partition("#")[0] == pointer for known in conversation.attachments)
        pointer = f"{pointer}#{same + 1}" if same else pointer  # two files of one id: both are kept
        try:
            conversation.attachments.append(self.attachment(entry, pointer=pointer, name=name))
        except UnreadableFile:
            self.mentioned.discard(entry.number)  # reported with the files that nothing mentions


def is_asset(entry: Entry) -> bool:
    """Whether a file's name says that it was uploaded or made in a conversation, so that it is none itself."""
    return _FILE_ID.match(_base(entry.name)) is not None


def _mentions(conversation: ParsedConversation) -> dict[str, tuple[str, str]]:
    """id → (pointer, name) of every file in the messages, in order."""
    found: dict[str, tuple[str, str]] = {}
    for node in conversation.nodes:
        message = as_dict(node.data.get("message"))
        for text in _strings([message.get("content"), message.get("metadata")]):
            for match in _POINTER.finditer(text) if "://" in text else ():
                found.setdefault(match[1], (match[0], ""))
        for item in as_list(as_dict(message.get("metadata")).get("attachments")):
            about = as_dict(item)
            file_id = _FILE_ID.match(as_text(about.get("id")))
            if file_id:
                pointer = found.get(file_id[0], (as_text(about["id"]), ""))[0]
                found[file_id[0]] = (pointer, as_text(about.get("name")))
    return found


def _strings(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            waiting += reversed(item)
        elif isinstance(item, dict):
            waiting += reversed(list(item.values()))


def _original_names(entry: Entry) -> dict[str, str]:
    """The map of conversation_asset_file_names.json: name in the ZIP → the person's name for it."""
    if entry.size > MAX_CONVERSATION_BYTES:
        return {}
    try:
        names = parse_json(b"".join(entry.chunks()))
    except (BadConversation, UnreadableFile):
        return {}
    return {_base(key): as_text(name) for key, name in as_dict(names).items() if as_text(name)}


def _base(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1]
