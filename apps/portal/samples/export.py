"""Turn the short sample conversations (ada.json, ben.json) into a ChatGPT export, so that they come in as real ones do."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from uuid import NAMESPACE_URL, UUID, uuid5

FOLDER = Path(__file__).resolve().parent
TEXTS = {
    "protocol.txt": "Handover protocol, 1 March 2022\n\nLiving room: walls used, not freshly painted.\nBedroom: walls used.\n"
    "Kitchen: clean. Keys: 3.\n\nSigned by both.\n",
    "form.txt": "Request for a copy of records\n\nName: ____________\nDate of birth: ____________\n"
    "Reason for the request (optional): ____________\n",
}
PICTURES = {"wall.png": ((214, 208, 196), (238, 234, 226)), "bread.png": ((120, 74, 38), (190, 130, 72))}
SIZE = 240


def write_export(name: str, target: BinaryIO) -> None:
    """Write the ZIP of one person."""
    conversations: list[dict[str, Any]] = []
    files: dict[str, bytes] = {}
    for sample in json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")):
        conversation = _Conversation(name, sample)
        conversations.append(conversation.as_export())
        files |= conversation.files
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversations.json", json.dumps(conversations, ensure_ascii=False))
        for path, content in files.items():
            archive.writestr(path, content)


class _Conversation:
    """One conversation on its way into the export's tree of messages."""

    def __init__(self, person: str, sample: dict[str, Any]) -> None:
        self.place = uuid5(NAMESPACE_URL, f"habeas:sample:{person}:{sample['title']}")
        self.title = sample["title"]
        self.time = datetime.fromisoformat(sample["at"]).timestamp()
        self.nodes: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.started = self.time
        self.ids = [self._add(None, None)]
        for turn in sample["turns"]:
            self.ids.append(self._add(turn, self.ids[-1]))
        self.current = self.ids[-1]
        if "branch" in sample:
            after, *turns = sample["branch"]
            parent = self.ids[after]
            for turn in turns:
                parent = self._add(turn if isinstance(turn, list) else ["user", turn], parent)

    def as_export(self) -> dict[str, Any]:
        return {
            "id": str(self.place),
            "conversation_id": str(self.place),
            "title": self.title,
            "create_time": self.started,
            "update_time": self.time,
            "current_node": self.current,
            "mapping": self.nodes,
        }

    def _add(self, turn: list[str] | None, parent: str | None) -> str:
        node_id = str(self._id(len(self.nodes)))
        self.nodes[node_id] = {"id": node_id, "message": self._message(node_id, turn), "parent": parent, "children": []}
        if parent is not None:
            self.nodes[parent]["children"].append(node_id)
        return node_id

    def _id(self, what: object) -> UUID:
        return uuid5(self.place, str(what))

    def _message(self, node_id: str, turn: list[str] | None) -> dict[str, Any] | None:
        if turn is None:
            return None
        self.time += 45
        role, text, *names = turn
        pointers, attached = [], []
        for name in names:
            file_id = f"file-{self._id(name).hex[:22]}"
            content = picture(*PICTURES[name]) if name in PICTURES else TEXTS[name].encode()
            self.files[f"{file_id}-{name}"] = content
            media_type = "image/png" if name in PICTURES else "text/plain"
            attached.append({"id": file_id, "name": name, "mime_type": media_type, "size": len(content)})
            if name in PICTURES:
                pointers.append({"content_type": "image_asset_pointer", "asset_pointer": f"file-service://{file_id}",
                                 "size_bytes": len(content), "width": SIZE, "height": SIZE})  # fmt: skip
        return {
            "id": node_id,
            "author": {"role": role},
            "create_time": self.time,
            "content": {"content_type": "multimodal_text" if pointers else "text", "parts": [*pointers, text]},
            "metadata": {"attachments": attached} if attached else {},
            "status": "finished_successfully",
        }


def picture(dark: tuple[int, int, int], light: tuple[int, int, int]) -> bytes:
    """A PNG with a pale patch in the middle (PNG specification, sections 5 and 11)."""
    rows = bytearray()
    for y in range(SIZE):
        rows.append(0)  # no filter
        for x in range(SIZE):
            inside = SIZE // 4 < x < SIZE * 3 // 4 and SIZE // 4 < y < SIZE * 3 // 4
            rows += bytes(light if inside else dark)
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
