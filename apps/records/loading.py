"""Conversations opened for an archive: in the order in which they are read, as values that can be rendered."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import orjson

from apps.archives.entries import Slice
from apps.archives.rendering import ATTACHMENTS_FOLDER, MESSAGES_PER_PAGE, ConversationInfo, Part, Turn
from apps.keys import services as keys
from apps.keys.selectors import check_live
from apps.locations.contract import Entry
from apps.records import contexts, objects
from apps.records.drafts import unpack_node
from apps.records.importers.assets import ATTACHMENTS_KEY
from apps.records.importers.building import SOURCE_KEY
from apps.records.importers.display import text_of
from apps.records.importers.types import Node
from apps.records.models import Attachment, Conversation, Message
from apps.records.opening import FileInfo, Head, author_of, living_keys, open_file_info, open_head, open_nodes
from apps.records.rows import fetch_nodes
from apps.records.tree import Tree
from apps.sealing.aead import Box

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 2_000  # nodes: a longer conversation is opened slice by slice
MAX_OTHERS = 20  # other answers that are linked from one message
_EXTENSION = re.compile(r"[a-z0-9]{1,5}")

Sealed = dict[int, bytes]


class Loaded:
    """One conversation, its key open: for one batch of work."""

    def __init__(
        self, row: Conversation, key: bytes, tree_rows: Sequence[tuple[int, int | None, bool]], sealed: Sealed | None
    ) -> None:
        self.row = row
        self._key, self._box, self._sealed = key, Box(key), sealed
        self._head: Head = open_head(row, self._box)
        self._tree = Tree(tree_rows, current=self._head.current)
        reading = self._tree.reading_order()
        self.order = [position for position in reading if position in self._tree.messages]
        self._bare = [position for position in reading if position not in self._tree.messages]
        self._numbers = {position: number for number, position in enumerate(self.order, 1)}
        self.files: list[tuple[Attachment, FileInfo]] = []
        self._names: dict[str, tuple[str, FileInfo]] = {}

    def add_files(self, rows: Sequence[Attachment]) -> None:
        """Take the files that are there: one that was lost must not keep everything else from the person."""
        for row in rows:
            if objects.is_there(row.object_name):
                self.files.append((row, open_file_info(row, self.row.key_id, self._box)))
            else:
                logger.error("%s is written down and not in the storage", row)

    def info(self, number: int) -> ConversationInfo:
        """Return the head of its pages; `number` is its place in the archive, and gives its files their names."""
        self._names = {
            info.pointer or info.name: (_file_name(number, place, info), info)
            for place, (_row, info) in enumerate(self.files, 1)
        }
        return ConversationInfo(
            number=number,
            title=self._head.title,
            message_count=len(self.order),
            started_at=self.row.started_at,
            updated_at=self.row.updated_at,
            file_count=len(self.files),
            source=self.row.source,
        )

    def slice(self, info: ConversationInfo, page: int, *, is_last: bool, is_shown: bool) -> Slice:
        """Open one page of messages; the first brings the nodes that only hold the tree together.

        `is_shown`: a format for people is wanted, not only the nodes themselves.
        """
        positions = self.order[(page - 1) * MESSAGES_PER_PAGE : page * MESSAGES_PER_PAGE]
        wanted = self._bare + positions if page == 1 else positions
        nodes = self._open(wanted)
        present = [position for position in wanted if position in nodes]
        return Slice(
            info=info,
            turns=self._turns(nodes, positions) if is_shown else (),
            nodes=((nodes[position].id, _json(nodes[position].data)) for position in present),
            header=self._header() if page == 1 else {},
            number=page,
            is_last=is_last,
        )

    def file_entries(self, number: int) -> Iterator[Entry]:
        """Yield the files, their bytes opened as they are read."""
        for place, (row, info) in enumerate(self.files, 1):
            context = contexts.attachment_file(self.row.key_id, row.pk)
            chunks = objects.download(row.object_name, key_id=self.row.key_id, key=self._key, context=context)
            yield Entry(_file_name(number, place, info), info.media_type, chunks, "")

    def _open(self, positions: Sequence[int]) -> dict[int, Node]:
        if self._sealed is None:
            check_live(self.row.key_id)  # a long conversation takes longer than a key may be trusted without looking
            return open_nodes(self.row, self._box, positions)
        prefix = contexts.messages(self.row.key_id, self.row.pk)
        unseal, sealed = self._box.unseal, self._sealed
        return {
            position: unpack_node(unseal(sealed[position], context=contexts.message(prefix, position)))
            for position in positions
        }

    def _header(self) -> dict[str, Any]:
        """Return the fields of the conversation's object as they were imported, and what a later import needs."""
        header = {"title": self._head.title, **self._head.header, SOURCE_KEY: self.row.source}
        if not (header.get("conversation_id") or header.get("id")):
            header["conversation_id"] = self._head.external_id
        if self._names:
            header[ATTACHMENTS_KEY] = [
                {"pointer": info.pointer, "path": path, "name": info.name, "media_type": info.media_type}
                for path, info in self._names.values()
            ]
        return header

    def _turns(self, nodes: dict[int, Node], positions: Sequence[int]) -> list[Turn]:
        """Return what is shown of these messages; one without anything to show keeps its number."""
        turns = [self._turn(position, nodes[position]) for position in positions if position in nodes]
        return [turn for turn in turns if turn.parts]

    def _turn(self, position: int, node: Node) -> Turn:
        number = self._numbers[position]
        above = self._answered(position)
        shown_before = self.order[number - 2] if number > 1 else None
        versions = [one for one in self._tree.versions(position) if one != position and one in self._numbers]
        return Turn(
            number=number,
            role=node.role,
            parts=[self._part(part) for part in text_of(node)],
            created_at=node.created_at,
            author=author_of(node),
            follows=None if above == shown_before else 0 if above is None else self._numbers[above],
            others=[self._numbers[one] for one in versions[:MAX_OTHERS]],
        )

    def _answered(self, position: int) -> int | None:
        """Return the message that this one answers, over nodes without a message."""
        above = self._tree.parents[position]
        while above is not None and above not in self._numbers:
            above = self._tree.parents[above]
        return above

    def _part(self, part: Any) -> Part:
        if not part.pointer:
            return Part(part.kind, part.text, part.language)
        path, info = self._names.get(part.pointer, ("", None))
        if info is None:
            return Part(part.kind, part.text, part.language, name=part.pointer.rpartition("/")[2])
        text = "" if part.text == info.name else part.text
        return Part(part.kind, text, part.language, path, info.name, info.media_type, info.size)


def load_group(rows: Sequence[Conversation]) -> Iterator[tuple[Conversation, Loaded | None]]:
    """Open conversations together, in few queries; None for one whose key was destroyed meanwhile."""
    opened = living_keys(rows)
    living = [row for row in rows if row.key_id in opened]
    ids = [row.pk for row in living]
    files: dict[UUID, list[Attachment]] = {}
    found = Attachment.objects.filter(conversation__in=ids, stored=True).order_by("created_at", "pk")
    for attachment in found:
        files.setdefault(attachment.conversation_id, []).append(attachment)
    is_small = sum(row.node_count for row in living) <= MOST_AT_ONCE
    nodes = _nodes(ids) if is_small else {}
    for row in rows:
        if row.key_id not in opened:
            yield row, None
            continue
        if is_small:
            tree_rows, sealed = nodes.get(row.pk, ([], {}))
            loaded = Loaded(row, opened[row.key_id], tree_rows, sealed)
        else:
            shape = Message.objects.filter(conversation_id=row.pk).values_list("position", "parent", "is_message")
            loaded = Loaded(row, keys.open_key(row.key_id), list(shape), None)
        loaded.add_files(files.get(row.pk, []))
        yield row, loaded


def _nodes(ids: Sequence[UUID]) -> dict[UUID, tuple[list[tuple[int, int | None, bool]], Sealed]]:
    found: dict[UUID, tuple[list[tuple[int, int | None, bool]], Sealed]] = {pk: ([], {}) for pk in ids}
    for conversation_id, position, parent, is_message, sealed in fetch_nodes(ids):
        tree_rows, by_position = found[conversation_id]
        tree_rows.append((position, parent, is_message))
        by_position[position] = sealed
    return found


def _file_name(number: int, place: int, info: FileInfo) -> str:
    """Return a name that says nothing; only a harmless ending is kept, so that the file opens."""
    ending = info.name.rpartition(".")[2].lower() if "." in info.name else ""
    suffix = f".{ending}" if _EXTENSION.fullmatch(ending) else ""
    return f"{ATTACHMENTS_FOLDER}/{number:06}-{place}{suffix}"


def _json(value: Any) -> bytes:
    """Write a node as JSON; what orjson refuses (lone surrogates, integers beyond 64 bits) the standard library writes."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value).encode()
