"""The files that explain an archive: index.html, disclosure.html, README.txt, in the person's language.

Everything opens from disk. The texts that come from elsewhere (titles, names of places, the disclosure) are escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.archives import contents
from apps.archives.html import FOOT, encode, head
from apps.archives.labels import labels
from apps.archives.manifest import NAME as MANIFEST
from apps.archives.models import Archive, Member
from apps.archives.rendering import (
    ATTACHMENTS_FOLDER,
    CONVERSATIONS_JSON,
    MESSAGES_CSV,
    PAGES_FOLDER,
    TEXT_FOLDER,
    ConversationInfo,
    page_name,
    readable_size,
)
from apps.locations.reasons import Reason

PER_PAGE = 100


@dataclass
class Summary:
    """What stands at the head of the index."""

    archive: Archive
    reference: str
    missing: list[dict[str, Any]]
    places: dict[str, str] = field(default_factory=dict)  # folder -> name of the place
    conversations: int = 0
    messages: int = 0
    folders: dict[str, tuple[int, int]] = field(default_factory=dict)  # top-level name -> files, bytes

    def count_conversation(self, info: ConversationInfo) -> None:
        self.conversations += 1
        self.messages += info.message_count

    def count_file(self, member: Member) -> None:
        first, slash, rest = member.name.partition("/")
        top = f"{first}/" if slash else first
        if first == "places" and slash:
            top = f"places/{rest.partition('/')[0]}{'/' if '/' in rest else ''}"
        files, size = self.folders.get(top, (0, 0))
        self.folders[top] = (files + 1, size + member.size)

    @property
    def page_count(self) -> int:
        return max(1, -(-self.conversations // PER_PAGE))


def index_name(page: int) -> str:
    return "index.html" if page == 1 else f"index-{page}.html"


def index_pages(summary: Summary, infos: Iterable[ConversationInfo]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each page of the contents, 100 conversations a page; at least one."""
    iterator = iter(infos)
    for page in range(1, summary.page_count + 1):
        yield index_name(page), _index_page(summary, list(islice(iterator, PER_PAGE)), page)


def _index_page(summary: Summary, infos: list[ConversationInfo], page: int) -> bytes:
    archive = summary.archive
    words = labels(archive.language)
    with translation.override(archive.language):
        title = _("Your data from {organisation}, {date}").format(
            organisation=settings.ORGANISATION_NAME, date=words.date(archive.created_at)
        )
        context = {
            "title": title,
            "organisation": settings.ORGANISATION_NAME,
            "contact": settings.PRIVACY_CONTACT,
            "made": _made(summary, words.date(archive.created_at)),
            "missing": [missing_text(item) for item in summary.missing],
            "files": _files(summary) if page == 1 else [],
            "conversations": [_line(info, words) for info in infos],
            "page": page,
            "first": (page - 1) * PER_PAGE + 1,
            "last": (page - 1) * PER_PAGE + len(infos),
            "total": summary.conversations,
            "previous": index_name(page - 1) if page > 1 else "",
            "next": index_name(page + 1) if page < summary.page_count else "",
            "has_pages": "html" in archive.formats,
        }
        body = render_to_string("archives/index.html", context)
    return encode(head(title, archive.language) + body + FOOT)


def _made(summary: Summary, date: str) -> str:
    made = _("Made on {date} for request {reference}.") if summary.reference else _("Made on {date}.")
    holds = [
        ngettext("{n} conversation", "{n} conversations", summary.conversations).format(n=f"{summary.conversations:,}"),
        ngettext("{n} message", "{n} messages", summary.messages).format(n=f"{summary.messages:,}"),
    ]
    files = summary.folders.get(f"{ATTACHMENTS_FOLDER}/", (0, 0))[0]
    if files:
        holds.append(ngettext("{n} file", "{n} files", files).format(n=f"{files:,}"))
    comma = "、" if summary.archive.language.lower().startswith("zh") else ", "
    return (
        made.format(date=date, reference=summary.reference) + " " + _("It holds {what}.").format(what=comma.join(holds))
    )


def missing_text(item: dict[str, Any]) -> str:
    """Say in one sentence what is not in the archive; `reason` is a code of apps.locations.reasons or words."""
    reason = str(item.get("reason") or "")
    reason = str(Reason(reason).label) if reason in Reason.values else reason
    until = str(item.get("until") or "")
    text = _("{place} is missing.").format(place=item.get("place", ""))
    if reason:
        text += f" {reason.rstrip('.')}."
    if until:
        text += " " + _("Until {date}.").format(date=until)
    return text


def _line(info: ConversationInfo, words: Any) -> dict[str, str]:
    facts = [words.date(info.updated_at or info.started_at)] if info.updated_at or info.started_at else []
    facts.append(ngettext("{n} message", "{n} messages", info.message_count).format(n=f"{info.message_count:,}"))
    if info.file_count:
        facts.append(ngettext("{n} file", "{n} files", info.file_count).format(n=f"{info.file_count:,}"))
    comma = "，" if words.is_chinese else ", "
    return {
        "href": page_name(info.number),
        "title": info.title.encode("utf-8", "replace").decode().strip() or words.untitled,
        "facts": comma.join([*facts, *([info.source] if info.source else [])]),
    }


def _files(summary: Summary) -> list[dict[str, str]]:
    """Return the list "In this folder": the files of the first level, and the folders with their counts."""
    texts = {
        CONVERSATIONS_JSON: _("All conversations with every branch, for other services"),
        MESSAGES_CSV: _("All messages as a table; the exact texts are in conversations.json"),
        f"{PAGES_FOLDER}/": _("Each conversation as pages to read, listed below"),
        f"{TEXT_FOLDER}/": _("Each conversation as a text file"),
    }
    lines = [
        {"href": "disclosure.html", "text": _("Why your data is kept, for how long, who received it, your rights")}
    ]
    for name in sorted(summary.folders, key=lambda name: (name.startswith("places/"), name not in texts, name)):
        files, size = summary.folders[name]
        counted = ngettext("{n} file", "{n} files", files).format(n=f"{files:,}") + f", {readable_size(size)}"
        place = summary.places.get(name.rstrip("/"), "")
        text = texts.get(name) or (f"{place}: {counted}" if place else counted)
        lines.append({"href": name, "text": text})
    lines.append({"href": MANIFEST, "text": _("Size and SHA-256 of each file, signed")})
    lines.append({"href": "README.txt", "text": _("How to check that nothing was changed")})
    return lines


def disclosure_page(archive: Archive, disclosure: dict[str, Any]) -> bytes:
    """Return disclosure.html: what GDPR Article 15(1) and (2), or 11 CCR §7024(h), want said beside the data.

    `disclosure`: {"title", "intro", "sections": [{"heading", "paragraphs": [text], "facts": [[name, value]],
    "items": [text], "table": {"columns": [text], "rows": [[text]]}}]}, each key optional, in the archive's language.
    """
    with translation.override(archive.language):
        title = str(disclosure.get("title") or _("About your data"))
        empty: dict[str, Any] = {
            "heading": "",
            "paragraphs": [],
            "facts": [],
            "items": [],
            "table": None,
        }  # a dict has its own `items`
        sections = [empty | section for section in disclosure.get("sections", [])]
        for section in sections:
            section["table"] = _labelled(section["table"]) if section["table"] else None
        context = {"title": title, "intro": disclosure.get("intro", ""), "sections": sections}
        body = render_to_string("archives/disclosure.html", context)
    return encode(head(title, archive.language) + body + FOOT)


def _labelled(table: dict[str, Any]) -> dict[str, Any]:
    """Give each cell the name of its column: on a narrow screen the cells stand below each other."""
    columns = list(table["columns"])
    return {"columns": columns, "rows": [list(zip(columns, row, strict=False)) for row in table["rows"]]}


def readme(summary: Summary, key: str) -> bytes:
    """Return README.txt: what this is and how to check it."""
    archive = summary.archive
    with translation.override(archive.language):
        context = {
            "organisation": settings.ORGANISATION_NAME,
            "date": labels(archive.language).date(archive.created_at),
            "reference": summary.reference,
            "missing": [missing_text(item) for item in summary.missing],
            "key": key,
            "site_url": settings.SITE_URL,
            "contact": settings.PRIVACY_CONTACT,
        }
        text = render_to_string("archives/README.txt", context)
    return encode("\ufeff" + text.replace("\n", "\r\n"))


def parse_contents(chunks: Iterable[bytes]) -> Iterator[ConversationInfo]:
    """Yield the conversations of a list of contents, from its bytes."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield contents.parse(line)
