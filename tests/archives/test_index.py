"""What explains an archive: the first page, the disclosure, the read-me."""

from __future__ import annotations

import uuid

import pytest

from apps.archives import contents, services
from apps.archives.entries import Slice, closing_entries, slice_entries
from apps.archives.index import disclosure_page
from apps.archives.models import Archive
from apps.archives.rendering import ConversationInfo, Part, Turn
from apps.locations.contract import Entry
from tests.archives.conftest import ADA, DISCLOSURE, content_of, entry, finish, new_archive, unzip, write_batch
from tests.archives.test_rendering import EVIL, WHEN, parsed

pytestmark = pytest.mark.django_db(databases=["default", "keys"])


def conversations(count: int, formats: tuple[str, ...] = ("html",)) -> list[Entry]:
    entries: list[Entry] = []
    for number in range(1, count + 1):
        title = EVIL if number == 1 else f"Conversation {number}"
        info = ConversationInfo(number, title, 2, WHEN, WHEN, 1)
        part = Slice(info, [Turn(1, "user", [Part("text", "hello")])], [], {})
        entries += slice_entries(part, formats=formats, language="en", is_first_conversation=number == 1, cursor=str)
    return entries + list(closing_entries(formats=formats, language="en", is_empty=count == 0, cursor=str))


def hrefs(page: bytes) -> list[str]:
    return [str(attributes["href"]) for tag, attributes in parsed(page.decode()).elements if tag == "a"]


def test_the_contents_come_100_a_page_and_every_link_leads_to_a_file(archive: Archive) -> None:
    step = uuid.uuid4()
    write_batch(archive, step, *conversations(205))
    write_batch(
        archive, uuid.uuid4(), entry("attachments/000001.png", b"x" * 1200), entry("attachments/000002.png", b"x")
    )
    files = unzip(content_of(finish(archive)))
    assert contents.NAME not in files
    assert [name for name in files if name.startswith("index")] == ["index.html", "index-2.html", "index-3.html"]
    listed = []
    for name in ("index.html", "index-2.html", "index-3.html"):
        for href in hrefs(files[name]):
            assert href in files or any(other.startswith(href) for other in files), href
            listed += [href] if href.startswith("conversations/0") else []
    assert len(listed) == len(set(listed)) == 205
    first = "".join(parsed(files["index.html"].decode()).words)
    assert "205 conversations, 410 messages, 2 files" in first
    assert "for request HB-7Q4K-2M9X" in first
    assert "1 to 100 of 205." in first
    assert "2 files, 1.2 KB" in first
    tags = {tag for tag, _attributes in parsed(files["index.html"].decode()).elements}
    assert not tags & {"script", "img"}


def test_what_is_missing_is_said_on_the_first_page_and_in_the_read_me(archive: Archive) -> None:
    write_batch(archive, uuid.uuid4(), *conversations(0))
    missing = [{"place": "Support <desk>", "reason": "unreachable", "until": "2026-12-01"}]
    files = unzip(content_of(finish(archive, missing=missing)))
    for name in ("index.html", "README.txt"):
        text = "".join(parsed(files[name].decode()).words) if name.endswith("html") else files[name].decode()
        assert "Support <desk> is missing. The place does not answer. Until 2026-12-01." in text
        assert "second archive" in text
    assert b"There are no conversations in this archive." in files["index.html"]
    whole = unzip(content_of(finish(new_archive(ADA))))
    assert b"missing" not in whole["index.html"]
    assert b"second archive" not in whole["README.txt"]


def test_the_disclosure_shows_every_section_escaped(archive: Archive) -> None:
    page = unzip(content_of(finish(archive)))["disclosure.html"].decode()
    assert DISCLOSURE["sections"]
    assert "<h2>Why &lt;we&gt; keep it</h2>" in page
    assert "<p>Because.</p>" in page


def test_the_archive_speaks_chinese(archive: Archive) -> None:
    archive = new_archive(ADA, language="zh-hans")
    files = unzip(content_of(finish(archive)))
    assert b'<html lang="zh-Hans"' in files["index.html"]
    assert "年".encode() in files["index.html"]


def test_places_are_listed_under_their_names(archive: Archive) -> None:
    write_batch(archive, uuid.uuid4(), entry("1.pdf", b"1"), entry("2.pdf", b"2"), folder="places/files-1")
    services.finish_archive(
        archive,
        step_id=uuid.uuid4(),
        token=uuid.uuid4(),
        disclosure={"places": {"places/files-1": "The shared drive"}},
        missing=[],
    )
    index = unzip(content_of(archive))["index.html"]
    assert b"The shared drive: 2 files, 2 bytes" in index
    assert "places/files-1/" in hrefs(index)


def test_a_section_shows_what_it_has_and_nothing_else(archive: Archive) -> None:
    table = {"columns": ["Place", "Why"], "rows": [["Conversations", "To show <them>"]]}
    sections = [{"heading": "A", "facts": [["Name", "Larkspur"]]}, {"heading": "B", "items": ["one"], "table": table}]
    page = disclosure_page(archive, {"sections": sections}).decode()
    words = " ".join("".join(parsed(page.partition("<body>")[2]).words).split())
    assert words == "Contents of this archive About your data A NameLarkspur B one PlaceWhy ConversationsTo show <them>"
    assert '<td data-label="Why">' in page
