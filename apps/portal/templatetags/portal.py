"""Filters of the templates: words for codes, distances in days, and the Markdown of messages."""

from __future__ import annotations

import textwrap
from datetime import UTC, date, datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.formats import date_format, get_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, ngettext, pgettext
from django.utils.translation import gettext as _

from apps.portal import prose as markdown
from apps.requests.labels import kind_label, status_label
from apps.requests.models import Status

register = template.Library()

SOURCES = {
    "chatgpt": "ChatGPT",
    "claude": "Claude",
    "openwebui": "Open WebUI",
    "librechat": "LibreChat",
    "openai": "OpenAI",
    "openai-chat": "OpenAI JSONL",
    "sharegpt": "ShareGPT",
    "habeas": "Habeas",
    "csv": "CSV",
}
BADGES = {
    Status.RUNNING: "running",
    Status.COMPLETED: "done",
    Status.PARTLY_COMPLETED: "blocked",
}


@register.simple_tag
def gap() -> str:
    """Return what stands between two sentences: a space, in Chinese nothing."""
    return "" if (get_language() or "").startswith("zh") else " "


@register.filter
def prose(text: str) -> SafeString:
    return markdown.render(text)


@register.filter
def plain(text: str) -> SafeString:
    return markdown.plain(text)


@register.filter
def distance(day: date | datetime) -> str:
    """Say how far a day is: in 30 days, today, 2 days ago."""
    if isinstance(day, datetime):
        day = timezone.localtime(day).date()
    days = (day - timezone.localdate()).days
    if days == 0:
        return _("today")
    if days > 0:
        return ngettext("in %(days)s day", "in %(days)s days", days) % {"days": days}
    return ngettext("%(days)s day ago", "%(days)s days ago", -days) % {"days": -days}


@register.filter
def in_utc(moment: datetime, precision: str = "") -> str:
    """Write a moment as receipts do: 25 November 2026, 19:20:04 UTC."""
    pattern = get_format("DATETIME_FORMAT") + (":s" if precision == "seconds" else "")
    return f"{date_format(moment.astimezone(UTC), pattern)} UTC"


@register.filter
def groups(text: str) -> str:
    """Write a long hash in groups of four, to be compared by eye."""
    return " ".join(textwrap.wrap(text, 4))


@register.filter
def kind_name(kind: str) -> str:
    return kind_label(kind)


@register.filter
def source_name(code: str) -> str:
    words = {"txt": _("Text"), "paste": _("Pasted text"), "images": _("Pictures"), "sync": _("From another system")}
    return SOURCES.get(code) or words.get(code, code)


@register.filter
def status_badge(row: Any) -> SafeString:
    words = status_label(row.status)
    if row.status == Status.COOLING_OFF and row.cooling_off_until:
        words = _("Waiting until %(day)s") % {"day": date_format(timezone.localtime(row.cooling_off_until))}
    return format_html('<span class="badge {}">{}</span>', BADGES.get(row.status, ""), words)


@register.filter
def role_name(role: str) -> str:
    """Say in which role somebody looked (C-579/21: roles, not names)."""
    names = {
        "officer": _("Privacy team"),
        "approver": _("Second approver"),
        "auditor": _("Auditor"),
        "administrator": _("Administrator"),
        "person": pgettext("who wrote it", "You"),
    }
    return names.get(role, _("Habeas itself"))
