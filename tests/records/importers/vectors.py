"""Cases as files that name their outcome: tests/vectors/imports/*.json.

{"about", "file": F, "name"?, "format"?, "expect": {"format", "conversations": [{"id"?, "title", "messages": [[role,
shown text]], "branches"?: {node: parent}, "attachments"?: [[name, media type, pointer, bytes]]}], "skipped": [[what,
why]]} or {"unreadable": part of the reason}}. F is one of {"json"}, {"text"}, {"base64"}, {"lines": [json …]},
{"zip": {name: F}}, with "encoding" and "repeat" as needed.
"""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from apps.records.importers import ParsedConversation, Skipped, UnreadableFile, read
from apps.records.importers.display import text_of

FOLDER = Path(__file__).parents[2] / "vectors" / "imports"


def bytes_of(file: dict[str, Any]) -> bytes:
    encoding = file.get("encoding", "utf-8")
    if "json" in file:
        data = json.dumps(file["json"], ensure_ascii=False).encode(encoding)
    elif "lines" in file:
        data = "\n".join(json.dumps(line, ensure_ascii=False) for line in file["lines"]).encode(encoding)
    elif "text" in file:
        data = file["text"].encode(encoding)
    elif "base64" in file:
        data = base64.b64decode(file["base64"])
    else:
        data = zip_of({name: bytes_of(inner) for name, inner in file["zip"].items()})
    return data * file.get("repeat", 1)


def zip_of(files: dict[str, bytes] | list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, data)
    return buffer.getvalue()


def outcome_of(path: Path, *, format: str = "auto", name: str = "") -> dict[str, Any]:
    """Read a file and say what came of it, in the words of a vector."""
    try:
        reading = read(path, format=format, name=name)
        outcomes = list(reading)
    except UnreadableFile as error:
        return {"unreadable": error.why}
    return {
        "format": reading.format,
        "conversations": [_told(item) for item in outcomes if isinstance(item, ParsedConversation)],
        "skipped": [list(item) for item in outcomes if isinstance(item, Skipped)],
    }


def _told(conversation: ParsedConversation) -> dict[str, Any]:
    return {
        "id": conversation.external_id,
        "title": conversation.title,
        "messages": [[node.role, shown(node)] for node in conversation.nodes if text_of(node)],
        "branches": {node.id: node.parent for node in conversation.nodes},
        "attachments": [
            [file.name, file.media_type, file.pointer, b"".join(file.open()).decode("latin-1")]
            for file in conversation.attachments
        ],
    }


def shown(node: Any) -> str:
    """The text of a message; anything but plain text is marked with its kind."""
    return "\n".join(
        part.text if part.kind == "text" else f"<{part.kind}{':' + part.pointer if part.pointer else ''}>{part.text}"
        for part in text_of(node)
    )
