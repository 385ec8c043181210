"""What is in a sealed copy: one conversation with every branch and every file, as a run of frames.

A frame is its kind (1 byte), the length of its content (4 bytes, big-endian), its content: H says what it is, C is the
conversation's head and N a node as they were sealed in the rows, F says what a file is and B is a piece of it, E is the
end. The same conversation always gives the same bytes, so that a copy can be compared with what it was made of.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from apps.keys.selectors import check_live
from apps.records import contexts, objects
from apps.records.drafts import unpack_node
from apps.records.errors import DamagedCopy
from apps.records.importers.types import ParsedAttachment, ParsedConversation
from apps.records.models import Attachment, Conversation, Message
from apps.records.opening import open_file_info
from apps.sealing import content
from apps.sealing.aead import Box
from apps.sealing.errors import DecryptionError

FORMAT = "habeas copy 1"
HEAD, CONVERSATION, NODE, FILE, BYTES, END = b"H", b"C", b"N", b"F", b"B", b"E"
PIECE = 256 * 1024
LARGEST = 512 * 1024 * 1024  # of a frame: a node is bounded by what an importer takes
NODES_A_QUERY = 500
_LENGTH = struct.Struct(">cI")

Frame = tuple[bytes, bytes]


def plain_copy(row: Conversation, key: bytes) -> Iterator[bytes]:
    """Yield a conversation as frames; raises KeyDestroyed when it is erased meanwhile."""
    box = Box(key)
    head = {
        "format": FORMAT,
        "source": row.source,
        "started_at": row.started_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
    }
    yield _frame(HEAD, content.pack(head))
    yield _frame(CONVERSATION, box.unseal(row.sealed, context=contexts.conversation(row.key_id, row.pk)))
    yield from _nodes(row, box)
    for file in Attachment.objects.filter(conversation_id=row.pk, stored=True).order_by("created_at", "pk"):
        yield from _file(file, row, key, box)
    yield _frame(END, b"")


def _nodes(row: Conversation, box: Box) -> Iterator[bytes]:
    prefix = contexts.messages(row.key_id, row.pk)
    last = -1
    while True:
        check_live(row.key_id)
        found = Message.objects.filter(conversation_id=row.pk, position__gt=last).order_by("position")
        page = list(found.values_list("position", "sealed")[:NODES_A_QUERY])
        for position, sealed in page:
            yield _frame(NODE, box.unseal(sealed, context=contexts.message(prefix, position)))
        if len(page) < NODES_A_QUERY:
            return
        last = page[-1][0]


def _file(file: Attachment, row: Conversation, key: bytes, box: Box) -> Iterator[bytes]:
    info = open_file_info(file, row.key_id, box)
    described = {"name": info.name, "media_type": info.media_type, "pointer": info.pointer, "size": info.size}
    yield _frame(FILE, content.pack(described))
    context = contexts.attachment_file(row.key_id, file.pk)
    for chunk in _pieces(objects.download(file.object_name, key_id=row.key_id, key=key, context=context)):
        yield _frame(BYTES, chunk)


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut into pieces of one size, however the storage hands them over: the frames must be the same each time."""
    waiting = b""
    for chunk in chunks:
        waiting += chunk
        while len(waiting) >= PIECE:
            yield waiting[:PIECE]
            waiting = waiting[PIECE:]
    if waiting:
        yield waiting


def read_conversation(open_plain: Callable[[], Iterator[bytes]]) -> ParsedConversation:
    """Return the conversation in a copy; its files are read from the copy once more when they are stored.

    Raises DamagedCopy when the frames are not whole.
    """
    head: dict[str, Any] = {}
    conversation: dict[str, Any] = {}
    nodes = []
    files: list[dict[str, Any]] = []
    for kind, body in frames(open_plain()):
        if kind == NODE:
            nodes.append(unpack_node(body))
        elif kind == HEAD:
            head = _unpack(body)
        elif kind == CONVERSATION:
            conversation = _unpack(body)
        elif kind == FILE:
            files.append(_unpack(body))
    if head.get("format") != FORMAT or "id" not in conversation:
        raise DamagedCopy("not a copy of ours")
    return ParsedConversation(
        external_id=conversation["id"],
        title=conversation["title"],
        started_at=datetime.fromisoformat(head["started_at"]),
        updated_at=datetime.fromisoformat(head["updated_at"]),
        header=conversation["header"],
        nodes=nodes,
        attachments=[_attachment(open_plain, number, one) for number, one in enumerate(files)],
        source=head["source"],
    )


def _attachment(open_plain: Callable[[], Iterator[bytes]], number: int, one: dict[str, Any]) -> ParsedAttachment:
    def read() -> Iterator[bytes]:
        at = -1
        for kind, body in frames(open_plain()):
            at += kind == FILE
            if kind == BYTES and at == number:
                yield body

    return ParsedAttachment(one["name"], one["media_type"], one["pointer"], read, one["size"])


def frames(chunks: Iterator[bytes]) -> Iterator[Frame]:
    """Yield the frames of a copy; raises DamagedCopy unless it ends with its end."""
    reader = _Reader(chunks)
    while True:
        header = reader.read(_LENGTH.size)
        if len(header) < _LENGTH.size:
            raise DamagedCopy("a copy is cut short")
        kind, length = _LENGTH.unpack(header)
        if length > LARGEST:
            raise DamagedCopy("a frame is too large")
        body = reader.read(length)
        if len(body) < length:
            raise DamagedCopy("a copy is cut short")
        if kind == END:
            if reader.read(1):
                raise DamagedCopy("something follows the end of a copy")
            return
        yield kind, body


class _Reader:
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int) -> bytes:
        parts, have = [self._rest], len(self._rest)
        while have < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            parts.append(chunk)
            have += len(chunk)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]


def _frame(kind: bytes, body: bytes) -> bytes:
    return _LENGTH.pack(kind, len(body)) + body


def _unpack(body: bytes) -> dict[str, Any]:
    try:
        value = content.unpack(body)
    except DecryptionError:
        raise DamagedCopy("a frame cannot be read") from None
    return value if isinstance(value, dict) else {}
