"""Reading an archive that Habeas made: only if it is as it was made, and with the source that it had."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from apps.records.importers import ParsedConversation, UnreadableFile, read
from tests.records.importers.vectors import zip_of

PICTURE = b"\x89PNG\r\n\x1a\npixels"
CONVERSATION = {
    "title": "Garden",
    "conversation_id": "u-1",
    "habeas_source": "claude",
    "habeas_attachments": [
        {"pointer": "files/rose", "path": "attachments/000001-1.png", "name": "rose.png", "media_type": "image/png"}
    ],
    "mapping": {"m1": {"id": "m1", "message": {"author": {"role": "user"}, "content": {"parts": ["Roses?"]}}}},
}
FILES = {
    "index.html": b"<!doctype html>",
    "conversations.json": json.dumps([CONVERSATION]).encode(),
    "attachments/000001-1.png": PICTURE,
    "bucket/holiday.png": PICTURE,
    "messages.csv": b"role,content\nuser,Roses?\n",
}


def manifest(files: dict[str, bytes]) -> bytes:
    described = [
        {
            "name": name,
            "size": len(data),
            "pieces": [
                {"length": len(piece), "sha256": hashlib.sha256(piece).hexdigest()} for piece in (data[:7], data[7:])
            ],
        }
        for name, data in files.items()
    ]
    return json.dumps({"format": "habeas archive manifest v1", "files": described}).encode()


@pytest.fixture
def archive(tmp_path: Path) -> Any:
    def write(files: dict[str, bytes], described: dict[str, bytes] = FILES) -> Path:
        path = tmp_path / "archive.zip"
        path.write_bytes(zip_of({**files, "manifest.json": manifest(described), "manifest.json.sig": b"signed"}))
        return path

    return write


def test_a_sound_archive_comes_in_as_it_was(archive: Any) -> None:
    reading = read(archive(FILES))
    (conversation,) = list(reading)
    assert reading.format == "habeas"
    assert isinstance(conversation, ParsedConversation)
    assert (conversation.external_id, conversation.source) == ("u-1", "claude")
    assert "habeas_attachments" not in conversation.header
    (attachment,) = conversation.attachments
    assert (attachment.name, attachment.pointer, b"".join(attachment.open())) == ("rose.png", "files/rose", PICTURE)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"conversations.json": FILES["conversations.json"].replace(b"Roses", b"Tulip")}, "has been changed"),
        ({"conversations.json": FILES["conversations.json"] + b" "}, "has been changed"),
        ({"attachments/000001-1.png": PICTURE[:-1] + b"!"}, "has been changed"),
        ({"attachments/more.png": PICTURE}, "does not belong"),
        ({"index.html": None}, "missing"),
    ],
)
def test_a_changed_archive_is_refused_whole(archive: Any, change: dict[str, Any], reason: str) -> None:
    files = {name: data for name, data in {**FILES, **change}.items() if data is not None}
    with pytest.raises(UnreadableFile, match=reason):
        read(archive(files))


def test_a_file_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zip_of(
            [*FILES.items(), ("conversations.json", FILES["conversations.json"]), ("manifest.json", manifest(FILES))]
        )
    path.write_bytes(data)
    with pytest.raises(UnreadableFile, match="twice"):
        read(path)
