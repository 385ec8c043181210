"""A conversation as HTML pages that open from disk. Every field is escaped; nothing of a person becomes markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from apps.archives.html import FOOT, encode, escape, head
from apps.archives.labels import Labels, labels
from apps.archives.rendering import (
    ConversationInfo,
    Part,
    Turn,
    archive_href,
    page_name,
    page_of,
    readable_size,
    web_address,
)

_FENCE = re.compile(r"^```([^\n`]*)$", re.MULTILINE)
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
_GATHER = 64 * 1024  # characters joined before they are encoded


def render_page(info: ConversationInfo, turns: Iterable[Turn], *, page: int = 1, language: str) -> Iterator[bytes]:
    """Yield one page of a conversation: `turns` are its (up to 500) messages on that page, in order."""
    words = labels(language)
    parts = [_opening(info, page, words)]
    size = 0
    for turn in turns:
        text = render_turn(turn, info.number, page, words)
        parts.append(text)
        size += len(text)
        if size > _GATHER:
            yield encode("".join(parts))
            parts, size = [], 0
    parts.append(_closing(info, page, words))
    yield encode("".join(parts))


def render_turn(turn: Turn, conversation: int, page: int, words: Labels) -> str:
    """Return one message as an <article>, after a heading when another version of the conversation begins with it."""
    who = words.roles.get(turn.role) or escape(turn.role)
    author = f' <span class="quiet">{escape(turn.author)}</span>' if turn.author else ""
    when = ""
    if turn.created_at is not None:
        when = f' <time datetime="{turn.created_at.isoformat(timespec="minutes")}">{words.time(turn.created_at)}</time>'
    kind = ' class="you"' if turn.role == "user" else ""
    body = "".join([_part(part, words) for part in turn.parts])
    others = _others(turn, conversation, page, words) if turn.others else ""
    branch = _branch(turn.follows, conversation, page, words) if turn.follows is not None else ""
    return f'{branch}<article{kind} id="m{turn.number}"><p>{who}{author}{when}</p><div dir="auto">{body}{others}</div></article>\n'


def _opening(info: ConversationInfo, page: int, words: Labels) -> str:
    title = info.title.strip() or words.untitled
    facts = [
        words.period((info.started_at, info.updated_at)),
        words.messages.format(f"{info.message_count:,}"),
        escape(info.source),
    ]
    if info.page_count > 1:
        facts.append(words.page_of.format(page, info.page_count))
    return (
        f"{head(title, words.language)}<header>\n{_navigation(info, page, words)}"
        f'<h1 dir="auto">{escape(title)}</h1>\n<p class="quiet">{words.sentence(facts)}{words.times}</p>\n'
        "</header>\n<main>\n"
    )


def _closing(info: ConversationInfo, page: int, words: Labels) -> str:
    return f'</main>\n<footer class="top">\n{_navigation(info, page, words)}</footer>\n{FOOT}'


def _navigation(info: ConversationInfo, page: int, words: Labels) -> str:
    links = [("../index.html", words.all_conversations)]
    if page > 1:
        links.append((_local(info.number, page - 1), words.previous_page))
    if page < info.page_count:
        links.append((_local(info.number, page + 1), words.next_page))
    return '<p class="top">' + " · ".join(f'<a href="{href}">{text}</a>' for href, text in links) + "</p>\n"


def _local(conversation: int, page: int) -> str:
    return page_name(conversation, page).rpartition("/")[2]


def _message_link(message: int, conversation: int, page: int) -> str:
    target = page_of(message)
    return f"#m{message}" if target == page else f"{_local(conversation, target)}#m{message}"


def _branch(follows: int, conversation: int, page: int, words: Labels) -> str:
    if follows == 0:
        return f"<h2>{words.branch_from_start}</h2>\n"
    link = f'<a href="{_message_link(follows, conversation, page)}">{follows}</a>'
    return f"<h2>{words.branch.format(link)}</h2>\n"


def _others(turn: Turn, conversation: int, page: int, words: Labels) -> str:
    links = " ".join(f'<a href="{_message_link(other, conversation, page)}">{other}</a>' for other in turn.others)
    return f'<p class="quiet">{words.answers} {links}</p>'


def _part(part: Part, words: Labels) -> str:
    kind = part.kind
    if kind == "text":
        return _text(part.text)
    if kind == "code":
        return _code(part.text, part.language)
    if kind in {"image", "audio", "file"}:
        return _file(part, words)
    if kind == "link":
        return _link(part)
    if kind == "withheld":
        return f'<p><span class="held">{escape(part.text) or words.withheld}</span></p>'
    if kind == "removed":
        return f'<p><span class="held">{words.removed}</span></p>'
    if kind in {"thought", "hidden"}:
        summary = words.thinking if kind == "thought" else words.hidden
        return f"<details><summary>{summary}</summary>{_text(part.text)}</details>"
    return f"<details><summary>{words.unknown}</summary>{_code(part.text, '')}</details>"


def _text(text: str) -> str:
    """Return paragraphs; blocks fenced by ``` become <pre>. Other Markdown stays as it was written."""
    if "```" not in text:
        return _paragraphs(text)
    html, end = [], 0
    fences = _FENCE.finditer(text)  # each line is looked at once: a message may be megabytes of openings
    for opening in fences:
        closing = next((one for one in fences if not one[1].strip(" \t")), None)
        if closing is None:
            break
        code = text[opening.end() + 1 : closing.start()].removesuffix("\n")
        html += [_paragraphs(text[end : opening.start()]), _code(code, opening[1].strip())]
        end = closing.end()
    html.append(_paragraphs(text[end:]))
    return "".join(html)


def _paragraphs(text: str) -> str:
    text = escape(text.strip())
    if not text:
        return ""
    if "\n" not in text:
        return f"<p>{text}</p>"
    return "".join(f"<p>{paragraph}</p>".replace("\n", "<br>\n") for paragraph in _PARAGRAPHS.split(text))


def _code(text: str, language: str) -> str:
    label = f'<p class="quiet">{escape(language)}</p>' if language else ""
    return f"{label}<pre>{escape(text)}</pre>"


def _file(part: Part, words: Labels) -> str:
    """Link to a file of the archive; its content never becomes part of the page."""
    name = escape(part.name or part.href.rpartition("/")[2] or part.kind)
    href = archive_href(part.href)
    shown = f'<a href="../{href}">{name}</a>' if href else name
    facts = [escape(part.media_type), readable_size(part.size) if part.size is not None else ""]
    facts.append("" if href else words.not_held)
    caption = _text(part.text) if part.text else ""
    return (
        f'<p class="file">{shown} <span class="quiet">{", ".join(fact for fact in facts if fact)}</span></p>{caption}'
    )


def _link(part: Part) -> str:
    address = web_address(part.href)
    text = escape(part.text or part.name or part.href)
    if not address:
        return f"<p>{text} {escape(part.href)}</p>"
    return f'<p><a href="{escape(address)}" rel="noreferrer noopener">{text}</a></p>'
