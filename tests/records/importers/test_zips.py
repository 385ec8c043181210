"""A ZIP that somebody else made: what is dangerous, damaged or contradictory is refused before it is unpacked."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.records.importers import ParsedConversation, Skipped, UnreadableFile, limits, read, zips
from tests.records.importers.vectors import zip_of

TEA = {"mapping": {"a": {"message": {"author": {"role": "user"}, "content": {"parts": ["tea"]}}}}, "id": "tea"}
CONVERSATIONS = json.dumps([TEA]).encode()


@pytest.fixture
def upload(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes) -> Path:
        path = tmp_path / "upload"
        path.write_bytes(data)
        return path

    return write


def conversations(path: Path) -> list[ParsedConversation]:
    return [outcome for outcome in read(path) if isinstance(outcome, ParsedConversation)]


def skipped(path: Path) -> list[Skipped]:
    return [outcome for outcome in read(path) if isinstance(outcome, Skipped)]


def refusal(path: Path) -> str:
    with pytest.raises(UnreadableFile) as caught:
        list(read(path))
    return caught.value.why


def test_an_ordinary_zip_is_read(upload: Any) -> None:
    assert len(conversations(upload(zip_of({"conversations.json": CONVERSATIONS})))) == 1


def test_a_bomb_is_refused_by_its_ratio(upload: Any) -> None:
    zeros = zip_of({"conversations.json": CONVERSATIONS, "more.json": b" " * (limits.RATIO_FREE_BYTES + 1)})
    assert "zip bomb" in refusal(upload(zeros))
    small = zip_of({"conversations.json": CONVERSATIONS, "more.json": b" " * (limits.RATIO_FREE_BYTES // 2)})
    assert len(conversations(upload(small))) == 1


def test_a_bomb_is_refused_by_its_total(upload: Any, monkeypatch: Any) -> None:
    path = upload(zip_of({"conversations.json": CONVERSATIONS, "file.png": b"\x89PNG\r\n\x1a\n"}))
    assert len(conversations(path)) == 2
    monkeypatch.setattr(zips, "MAX_UNPACKED_BYTES", len(CONVERSATIONS))
    assert "zip bomb" in refusal(path)


def test_too_many_entries_are_refused_before_they_are_listed(upload: Any, monkeypatch: Any) -> None:
    path = upload(zip_of({"conversations.json": CONVERSATIONS, "a": b"", "b": b""}))
    assert len(conversations(path)) == 1
    monkeypatch.setattr(zips, "MAX_ENTRIES", 2)
    assert "more than 2 entries" in refusal(path)


def test_a_count_that_lies_is_damage(upload: Any) -> None:
    data = zip_of({"conversations.json": CONVERSATIONS, "a": b""})
    assert "damaged" in refusal(upload(data.replace(b"\x02\x00\x02\x00", b"\x01\x00\x01\x00")))


def test_overlapping_entries_are_refused(upload: Any) -> None:
    data = bytearray(zip_of([("a.json", CONVERSATIONS), ("b.json", CONVERSATIONS)]))
    assert len(conversations(upload(bytes(data)))) == 1
    second = data.rfind(b"PK\x01\x02")
    struct.pack_into("<L", data, second + 42, 0)  # the second entry points at the first one's bytes
    data[second + 46] = ord("a")
    assert "several files" in refusal(upload(bytes(data)))


def test_an_encrypted_zip_is_refused_with_advice(upload: Any) -> None:
    data = bytearray(zip_of({"conversations.json": CONVERSATIONS}))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(signature) + place] |= 1
    assert "password" in refusal(upload(bytes(data)))


@pytest.mark.parametrize("keep", [30, 200, 400])
def test_a_cut_off_zip_is_refused_with_advice(upload: Any, keep: int) -> None:
    data = zip_of({"conversations.json": CONVERSATIONS, "file-picture.png": bytes(range(256)) * 4})
    assert "cut off" in refusal(upload(data[:keep]))


@pytest.mark.parametrize("what", ["name", "method", "size", "crc"])
def test_headers_that_contradict_each_other_are_refused(upload: Any, what: str) -> None:
    data = bytearray(zip_of({"conversations.json": CONVERSATIONS}))
    if what == "name":
        data[30:34] = b"CONV"
    else:
        place, new = {"method": (8, 0), "size": (22, 7), "crc": (14, 7)}[what]
        struct.pack_into("<H" if what == "method" else "<L", data, place, new)
    assert "described in two ways" in refusal(upload(bytes(data)))


def test_an_unusual_method_is_refused_with_advice(upload: Any) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("conversations.json", CONVERSATIONS)
    assert "unusual way" in refusal(upload(buffer.getvalue()))


def test_a_zip_that_was_streamed_and_one_with_zip64_records_are_read(upload: Any, monkeypatch: Any) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversations.json", CONVERSATIONS)
    assert len(conversations(upload(pipe.getvalue()))) == 1
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    assert len(conversations(upload(zip_of({"conversations.json": CONVERSATIONS, "a": b"a"})))) == 1


def test_damaged_bytes_are_named_and_the_other_files_are_read(upload: Any) -> None:
    other = json.dumps([{**TEA, "id": "other", "padding": list(range(2_000))}]).encode()
    data = bytearray(zip_of({"conversations-000.json": other, "conversations-001.json": CONVERSATIONS}))
    for place in range(300, 340):
        data[place] ^= 0xFF
    path = upload(bytes(data))
    assert [found.external_id for found in conversations(path)] == ["tea"]
    assert [(what, "damaged" in why) for what, why in skipped(path)] == [("conversations-000.json", True)]


def test_a_damaged_picture_is_known_when_it_is_opened(upload: Any) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("conversations.json", CONVERSATIONS)
        archive.writestr("file-AbcDef.png", picture)
    sound, damaged = buffer.getvalue(), bytearray(buffer.getvalue())
    damaged[damaged.find(picture) + 90_000] ^= 0xFF
    (attachment,) = conversations(upload(sound))[1].attachments
    assert b"".join(attachment.open()) == b"".join(attachment.open()) == picture
    (attachment,) = conversations(upload(bytes(damaged)))[1].attachments
    with pytest.raises(UnreadableFile, match="damaged"):
        list(attachment.open())


def test_two_entries_of_one_name_are_both_read(upload: Any) -> None:
    other = json.dumps([{**TEA, "id": "other"}]).encode()
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zip_of([("conversations.json", CONVERSATIONS), ("conversations.json", other)])
    assert {found.external_id for found in conversations(upload(data))} == {"tea", "other"}


@pytest.mark.parametrize(
    "name", ["../../etc/passwd.png", "/etc/x.png", "C:\\x\\y.png", "a\u202egnp.exe", "a\u0000.png"]
)
def test_names_are_for_showing_and_never_paths(upload: Any, name: str) -> None:
    picture = b"\x89PNG\r\n\x1a\n"
    (conversation,) = conversations(upload(zip_of({name: picture})))
    (attachment,) = conversation.attachments
    assert not set(attachment.name) & set("/\\\u202e\0")
    assert ".." not in attachment.name
    assert b"".join(attachment.open()) == picture
