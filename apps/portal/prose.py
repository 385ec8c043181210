"""The Markdown that assistants write, as HTML: paragraphs, lists, headings, quotes, code. Everything is escaped first.

Only what is matched here becomes a tag; the rest stays as it was typed. Links and images are not followed: an address in
a conversation may be anybody's, so it is shown as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

BULLET = re.compile(r"^\s{0,6}[-*+•]\s(.*)$")
NUMBER = re.compile(r"^\s{0,6}(\d{1,9})[.)]\s(.*)$")
HEADING = re.compile(r"^#{1,6}\s(.*)$")
QUOTE = re.compile(r"^\s{0,3}>(.*)$")
BACKTICKS = re.compile(r"(`+)")


def render(text: str) -> SafeString:
    """Return the text as HTML that holds no attribute and no address from it."""
    return mark_safe("\n".join(_blocks(text.replace("\r\n", "\n").split("\n"))))  # noqa: S308  every part is escaped


def plain(text: str) -> SafeString:
    """Return text that is no Markdown: paragraphs and line breaks only."""
    paragraphs = re.split(r"\n{2,}", text.replace("\r\n", "\n").strip("\n"))
    return mark_safe("\n".join(f"<p>{_breaks(escape(paragraph))}</p>" for paragraph in paragraphs))  # noqa: S308


def _blocks(lines: list[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        line = lines[at]
        if fence := _fence(line):
            stop = _end_of_fence(lines, at + 1, fence)
            yield f'<pre tabindex="0"><code>{escape(chr(10).join(lines[at + 1 : stop]))}</code></pre>'
            at = stop + 1
        elif BULLET.match(line):
            items, at = _run(lines, at, BULLET, 1)
            yield "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>"
        elif number := NUMBER.match(line):
            items, at = _run(lines, at, NUMBER, 2)
            yield f'<ol start="{int(number[1])}">' + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ol>"
        elif QUOTE.match(line):
            items, at = _run(lines, at, QUOTE, 1)
            yield f'<p class="quote">{_breaks(_inline(chr(10).join(items)))}</p>'
        elif heading := HEADING.match(line):
            yield f"<p><strong>{_inline(heading[1].rstrip('# '))}</strong></p>"
            at += 1
        elif not line.strip():
            at += 1
        else:
            start = at
            while at < len(lines) and lines[at].strip() and (at == start or not _begins_block(lines[at])):
                at += 1
            yield f"<p>{_breaks(_inline(chr(10).join(lines[start:at])))}</p>"


def _begins_block(line: str) -> bool:
    return bool(_fence(line)) or any(pattern.match(line) for pattern in (BULLET, NUMBER, HEADING, QUOTE))


def _fence(line: str) -> str:
    """Return the run of marks that opens a block of code, or an empty text."""
    line = line.strip()
    mark = line[:1]
    run = line[: len(line) - len(line.lstrip(mark))] if mark in {"`", "~"} else ""
    return run if len(run) >= 3 and mark not in line[len(run) :] else ""


def _end_of_fence(lines: list[str], start: int, mark: str) -> int:
    for number in range(start, len(lines)):
        if lines[number].strip().startswith(mark) and not lines[number].strip().strip(mark[0]):
            return number
    return len(lines)


def _run(lines: list[str], at: int, pattern: re.Pattern[str], group: int) -> tuple[list[str], int]:
    """Gather the items of a list or quote; an indented line goes on with the item before it."""
    items: list[list[str]] = []
    while at < len(lines):
        if match := pattern.match(lines[at]):
            items.append([match[group].strip()])
        elif lines[at].startswith("  ") and lines[at].strip() and not _begins_block(lines[at]):
            items[-1].append(lines[at].strip())
        else:
            break
        at += 1
    return [" ".join(item) for item in items], at


def _inline(text: str) -> str:
    """Mark code and strong text. In linear time: a message may be megabytes of one character."""
    tokens = BACKTICKS.split(text)  # text, run, text, run, …, text
    closing: dict[int, int] = {}
    latest: dict[int, int] = {}
    for at in range(len(tokens) - 2, 0, -2):
        length = len(tokens[at])
        if length in latest:
            closing[at] = latest[length]
        latest[length] = at
    pieces, prose, at = [], tokens[0], 1
    while at < len(tokens):
        if at in closing:
            stop = closing[at]
            pieces += [_strong(prose), f"<code>{escape(''.join(tokens[at + 1 : stop]).strip())}</code>"]
            prose, at = tokens[stop + 1], stop + 2
        else:
            prose += tokens[at] + tokens[at + 1]
            at += 2
    return "".join([*pieces, _strong(prose)])


def _strong(text: str) -> str:
    parts = escape(text).split("**")
    pieces, at = [parts[0]], 1
    while at < len(parts):
        part = parts[at]
        if at + 1 < len(parts) and part and part.strip() == part:
            pieces.append(f"<strong>{part}</strong>{parts[at + 1]}")
            at += 2
        else:
            pieces.append(f"**{part}")
            at += 1
    return "".join(pieces)


def _breaks(html: str) -> str:
    return html.replace("\n", "<br>")
