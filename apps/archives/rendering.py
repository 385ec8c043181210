"""What is rendered into an archive, as plain values: the packages that hold data turn theirs into these.

Parts and turns are not frozen only because frozen ones take three times as long to make, and there are many.

Everything here is untrusted text from a conversation. `pages`, `text` and `csv` escape every field.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

MESSAGES_PER_PAGE = 500  # a longer conversation is split: browsers slow down on very long pages

CONVERSATIONS_JSON = "conversations.json"
MESSAGES_CSV = "messages.csv"
PAGES_FOLDER = "conversations"
TEXT_FOLDER = "text"
ATTACHMENTS_FOLDER = "attachments"

_HREF = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", re.ASCII)


@dataclass(slots=True)
class Part:
    """A piece of one message.

    kind: "text", "code", "thought", "hidden" (not shown in the chat), "image", "audio", "file", "link", "withheld",
    "removed", and any other word for content in a form that is not known. `language` is that of code; `href` of a file
    is its name in the archive (generated: "attachments/000001.png", "" when we do not hold it), of a link its address;
    `name` is what the person called the file.
    """

    kind: str
    text: str = ""
    language: str = ""
    href: str = ""
    name: str = ""
    media_type: str = ""
    size: int | None = None


@dataclass(slots=True)
class Turn:
    """One message, in the order in which it is shown.

    `number` counts from 1 through the whole conversation in that order; it is what links refer to. `follows` is None
    when the message answers the one shown before it, otherwise the number of the one that it answers (0: none): there
    another version of the conversation begins. `others` are the numbers of the other answers to the same message.
    """

    number: int
    role: str  # "user", "assistant", "system", "tool"; anything else is shown as it is
    parts: Sequence[Part] = ()
    created_at: datetime | None = None
    author: str = ""  # model or tool
    follows: int | None = None
    others: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class ConversationInfo:
    """A conversation's head. `number` is its place in the archive, from 1, and names its files."""

    number: int
    title: str
    message_count: int
    started_at: datetime | None = None
    updated_at: datetime | None = None
    file_count: int = 0
    source: str = ""  # where it came from, in words ("ChatGPT")

    @property
    def page_count(self) -> int:
        return max(1, -(-self.message_count // MESSAGES_PER_PAGE))


def page_name(conversation: int, page: int = 1) -> str:
    """Return the name of a conversation's page: conversations/000001.html, conversations/000001-2.html."""
    suffix = "" if page == 1 else f"-{page}"
    return f"{PAGES_FOLDER}/{conversation:06}{suffix}.html"


def text_name(conversation: int) -> str:
    return f"{TEXT_FOLDER}/{conversation:06}.txt"


def page_of(message: int) -> int:
    """Return the page on which a message stands."""
    return max(0, message - 1) // MESSAGES_PER_PAGE + 1


def web_address(address: str) -> str:
    """Return the address if it may become a link (http, https, mailto), otherwise an empty text."""
    try:
        scheme = urlsplit(address.strip()).scheme.lower()
    except ValueError:
        return ""
    return address.strip() if scheme in {"http", "https", "mailto"} else ""


def archive_href(name: str) -> str:
    """Return the name if it is that of a file inside the archive (generated, plain ASCII), otherwise an empty text."""
    return name if _HREF.fullmatch(name) else ""


def readable_size(size: int) -> str:
    """Return a size in decimal units as file managers show them: 118 MB."""
    value = float(size)
    for unit in ("bytes", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
