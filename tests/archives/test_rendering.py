"""Conversations as pages, text, table and JSON: complete, readable, and harmless whatever people wrote."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from apps.archives import contents
from apps.archives.csv import cell, header_row, message_rows
from apps.archives.entries import FORMATS, Slice, closing_entries, slice_entries
from apps.archives.pages import render_page
from apps.archives.rendering import ConversationInfo, Part, Turn, page_name, readable_size, web_address
from apps.archives.text import render_text

WHEN = datetime(2026, 11, 18, 8, 41, tzinfo=UTC)
EVIL = """"><script>alert(1)</script><img src=x onerror=alert(1)>'&lt;\0</style><!--"""
KINDS = ("text", "code", "thought", "hidden", "image", "audio", "file", "link", "withheld", "canvas<b>")


class Tags(HTMLParser):
    """Collects elements, attributes and text as a browser would see them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.comments: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    tags.close()
    return tags


def page(*turns: Turn, title: str = "Tenant deposit", language: str = "en", number: int = 1, **more: Any) -> str:
    info = ConversationInfo(1, title, more.pop("count", len(turns)), WHEN, WHEN, **more)
    return b"".join(render_page(info, turns, page=number, language=language)).decode()


def evil_turn() -> Turn:
    parts = [
        Part(
            kind,
            text=EVIL,
            language=EVIL,
            href=EVIL if kind != "link" else f"javascript:{EVIL}",
            name=EVIL,
            media_type=EVIL,
        )
        for kind in KINDS
    ]
    return Turn(1, EVIL, [*parts, Part("text", f"```{EVIL}\n{EVIL}\n```")], WHEN, EVIL)


def test_no_field_of_a_conversation_becomes_markup() -> None:
    tags = parsed(page(evil_turn(), title=EVIL, source=EVIL))
    allowed = {"html", "head", "meta", "title", "style", "body", "header", "h1", "main", "article", "div", "p", "span"}
    allowed |= {"time", "pre", "details", "summary", "footer", "a", "br"}
    assert {tag for tag, _attributes in tags.elements} <= allowed
    assert tags.comments == []
    attributes = {name for _tag, attributes in tags.elements for name in attributes}
    assert not {name for name in attributes if name.startswith("on") or name in {"style", "src"}}
    links = [attributes["href"] for tag, attributes in tags.elements if tag == "a"]
    assert set(links) == {"../index.html"}
    assert "".join(tags.words).count("<script>alert(1)</script>") > len(KINDS)  # shown, as text


def test_only_web_and_mail_addresses_become_links() -> None:
    assert web_address(" https://example.org/a?b=1&c ") == "https://example.org/a?b=1&c"
    assert web_address("mailto:a@example.org")
    for address in (
        "javascript:alert(1)",
        "JAVASCRIPT:x",
        "data:text/html,x",
        "file:///etc/passwd",
        "//x",
        "x",
        "http://[",
        "",
    ):
        assert web_address(address) == ""
    tags = parsed(page(Turn(1, "user", [Part("link", "t", href='https://e.org/"><b>')])))
    assert ("a", {"href": 'https://e.org/"><b>', "rel": "noreferrer noopener"}) in tags.elements


def test_files_are_linked_by_their_generated_name_and_never_shown_inside() -> None:
    part = Part("image", href="attachments/000001.svg", name="плохо.svg", media_type="image/svg+xml", size=1200)
    tags = parsed(page(Turn(1, "user", [part, Part("file", href="../../etc/passwd", name="n")])))
    links = [attributes["href"] for tag, attributes in tags.elements if tag == "a"]
    assert links == ["../index.html", "../attachments/000001.svg", "../index.html"]
    assert "we do not hold this file" in "".join(tags.words)
    assert "img" not in {tag for tag, _attributes in tags.elements}


def test_the_policy_allows_the_one_style_and_nothing_else() -> None:
    text = page(Turn(1, "user"))
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    (policy,) = [a["content"] for t, a in parsed(text).elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_code_keeps_its_lines_and_text_its_paragraphs() -> None:
    text = "One.\n\nTwo\nlines.\n\n```python\nif a < b:\n    pass\n```\nEnd."
    body = page(Turn(1, "assistant", [Part("text", text)]))
    assert "<p>One.</p><p>Two<br>\nlines.</p>" in body
    assert '<p class="quiet">python</p><pre>if a &lt; b:\n    pass</pre><p>End.</p>' in body
    assert "<p>``` never closed</p>" in page(Turn(1, "user", [Part("text", "``` never closed")]))
    two = page(Turn(1, "user", [Part("text", "```a\n```\nand\n```b \n```c\nx\n```\t\n```d\nend")]))
    assert re.findall("<pre>(.*?)</pre>", two, re.DOTALL) == ["", "```c\nx"]
    assert "<p>```d<br>\nend</p>" in two


def test_a_message_of_nothing_but_openings_is_written_in_linear_time():
    """In quadratic time this one would take an hour."""
    assert "```a" in page(Turn(1, "user", [Part("text", "```a\n" * 100_000)]))


def test_branches_refer_to_each_other_also_over_pages() -> None:
    first = Turn(2, "assistant", [Part("text", "a")], others=(3, 700))
    branch = Turn(700, "assistant", [Part("text", "b")], follows=1, others=(2, 3))
    assert 'href="#m3"' in page(first, count=1200)
    assert 'href="000001-2.html#m700"' in page(first, count=1200)
    second = page(branch, count=1200, number=2)
    assert 'Another version, from message <a href="000001.html#m1">1</a> on' in second
    assert "Page 2 of 3" in second
    assert {"000001.html", "000001-3.html"} <= set(re.findall(r'href="([^"#]+)"', second))
    assert "from the beginning" in page(Turn(5, "user", follows=0))


def test_chinese_pages_are_chinese_in_their_language_tag_dates_and_punctuation() -> None:
    body = page(Turn(1, "user", [Part("text", "你好")], WHEN), title="给房东的信", language="zh-hans")
    assert '<html lang="zh-Hans"' in body
    assert "2026年11月18日 08:41" in body
    assert "18 November 2026, 08:41" in page(Turn(1, "user", [], WHEN))


def test_half_characters_and_nul_do_not_stop_the_export() -> None:
    odd = "a\ud83d\0b"
    turn = Turn(1, "user", [Part("text", odd)], WHEN, odd)
    assert "a?" in page(turn, title=odd)
    info = ConversationInfo(1, odd, 1)
    assert b"a?" in b"".join(render_text(info, [turn], first=True, language="en"))
    assert b"a?b" in b"".join(message_rows(info, [turn]))
    assert contents.parse(contents.line(info)).title.startswith("a?")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_a_cell_that_begins_like_a_formula_is_made_harmless(start: str) -> None:
    assert cell(f"{start}1+1") == f'"\'{start}1+1"'
    assert cell(f"\0{start}1+1") == f'"\'{start}1+1"'
    assert cell(f"a{start}") == f'"a{start}"'


def test_the_table_is_read_back_by_others() -> None:
    turns = [
        Turn(1, "user", [Part("text", 'a "quoted",\nline')], WHEN),
        Turn(2, "assistant", [Part("text", "=1"), Part("image", href="attachments/1.png")], None, "lark-3"),
        Turn(3, "assistant", [Part("text", "b")], follows=1),
    ]
    data = header_row("en") + b"".join(message_rows(ConversationInfo(1, "T", 3), turns))
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert rows[0][:4] == ["conversation", "title", "message", "answers message"]
    assert rows[1] == ["1", "T", "1", "", "user", "", "2026-11-18 08:41:00", 'a "quoted",\nline', ""]
    assert rows[2] == ["1", "T", "2", "1", "assistant", "lark-3", "", "'=1", "attachments/1.png"]
    assert rows[3][3] == "1"


def slices() -> Iterator[tuple[Slice, bool]]:
    """Two conversations, the second one in two slices."""
    one = ConversationInfo(1, "One", 1, WHEN, WHEN, 2, "ChatGPT")
    two = ConversationInfo(2, "Two", 501)
    turns = [Turn(number, "user", [Part("text", str(number))]) for number in range(1, 502)]
    nodes = [(str(turn.number), b'{"id":"%d"}' % turn.number) for turn in turns]
    yield Slice(one, turns[:1], nodes[:1], {"title": "One", "mapping": "not this one"}), True
    yield Slice(two, turns[:500], nodes[:500], {"title": "Two"}, 1, is_last=False), False
    yield Slice(two, turns[500:], nodes[500:], {"title": "Two"}, 2, is_last=True), False


def all_entries(formats: tuple[str, ...], skip: int = 0) -> dict[str, bytes]:
    """Write all entries; with `skip`, break off after so many of each slice and go on there."""
    files: dict[str, bytes] = {}
    done = 0

    def add(entries: Iterator[Any], stop_at: int | None = None) -> str:
        cursor = ""
        for number, entry in enumerate(entries, 1):
            files[entry.name] = files.get(entry.name, b"") + b"".join(entry.chunks)
            nonlocal done
            done += entry.count
            cursor = entry.cursor
            if number == stop_at:
                break
        return cursor

    def wanted(part: Slice, first: bool, skipped: int) -> Iterator[Any]:
        return slice_entries(
            part, formats=formats, language="en", is_first_conversation=first, cursor=str, skip=skipped
        )

    for part, first in slices():
        cursor = add(wanted(part, first, 0), skip) if skip else "0"
        add(wanted(part, first, int(cursor)))
    add(closing_entries(formats=formats, language="en", is_empty=False, cursor=str))
    assert done == 2  # conversations
    return files


def test_slices_become_pages_one_json_one_table_and_a_list_of_contents() -> None:
    files = all_entries(FORMATS)
    assert [name for name in files if name.endswith(".html")] == [page_name(1), page_name(2), page_name(2, 2)]
    conversations = json.loads(files["conversations.json"])
    assert [list(one) for one in conversations] == [["title", "mapping"], ["title", "mapping"]]
    assert [len(one["mapping"]) for one in conversations] == [1, 501]
    assert len(list(csv.reader(io.StringIO(files["messages.csv"].decode(), newline="")))) == 1 + 1 + 501
    assert files["text/000002.txt"].decode().count("\n## ") == 501
    infos = [contents.parse(line) for line in files[contents.NAME].splitlines()]
    assert [(info.title, info.message_count, info.file_count) for info in infos] == [("One", 1, 2), ("Two", 501, 0)]
    assert infos[0].started_at == WHEN


@pytest.mark.parametrize("skip", [1, 2, 3])
def test_a_slice_broken_off_goes_on_where_it_was(skip: int) -> None:
    assert all_entries(FORMATS, skip) == all_entries(FORMATS)


def test_without_conversations_the_json_is_an_empty_list() -> None:
    entries = closing_entries(formats=FORMATS, language="en", is_empty=True, cursor=str)
    files = {entry.name: b"".join(entry.chunks) for entry in entries}
    assert json.loads(files["conversations.json"]) == []
    assert files["messages.csv"].startswith('\ufeff"conversation"'.encode())


def test_sizes_are_said_in_the_unit_that_fits() -> None:
    sizes = (0, 999, 1000, 1234, 118_000_000, 5 * 10**9, 3 * 10**12)
    said = ["0 bytes", "999 bytes", "1.0 KB", "1.2 KB", "118 MB", "5.0 GB", "3.0 TB"]
    assert [readable_size(size) for size in sizes] == said
