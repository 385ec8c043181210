"""How entries are shown: short handles, details in a few words, times in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from apps.audit import handles, notes
from apps.audit.actors import Role
from apps.audit.events import Event

register = template.Library()
ANCHOR_KINDS = {
    "folder": gettext_lazy("Folder"),
    "bucket": gettext_lazy("Object-locked bucket"),
    "letter": gettext_lazy("E-mail to the auditors"),
    "timestamp": gettext_lazy("Time-stamp authority"),
    "address": gettext_lazy("Public address"),
}
SHORTENED = 13  # a UUID or a hash in the list is told by its beginning; the entry's page has it whole


@register.filter
def short_handle(handle: str) -> str:
    return handles.short(handle)


@register.filter
def detail(value: Any) -> str:
    """Say a detail in a word or two."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ngettext("%(count)s id", "%(count)s ids", len(value)) % {"count": len(value)}
    text = str(value)
    is_long = len(text) >= 32 and set(text) <= set("0123456789abcdef-")
    return f"{text[:SHORTENED]}…" if is_long else text


@register.filter
def pairs(details: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return names and values. In a template `details.items` would be the detail that has the name "items"."""
    return list(details.items())


@register.filter
def is_list(value: Any) -> bool:
    return isinstance(value, list)


@register.filter
def utc(moment: datetime, pattern: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Write a time in UTC, whatever zone the reader has chosen: the log knows no other."""
    return moment.astimezone(UTC).strftime(pattern)


@register.filter
def role_name(role: str) -> str:
    return str(Role(role).label) if role in Role.values else role


@register.filter
def event_name(event: str) -> str:
    return str(Event(event).label) if event in Event.values else event


@register.filter
def anchor_kind(kind: str) -> str:
    return str(ANCHOR_KINDS.get(kind, kind))


@register.filter
def base64(data: bytes) -> str:
    return notes.encode_base64(bytes(data))
