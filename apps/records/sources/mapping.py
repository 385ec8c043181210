"""Rows or documents of a chat as conversations: which column is the person, the conversation, the role, the text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, tzinfo
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from apps.records.importers.building import Builder
from apps.records.importers.types import ParsedConversation, Skipped
from apps.records.importers.values import as_role, as_time
from apps.records.services.deleting import BY_SCHEDULE
from apps.records.sources.reading import WRITTEN_TIME, MadeIds

COLUMNS = ("person", "conversation", "text", "role", "time", "id", "title", "watermark")
NEEDED = ("person", "conversation", "text")

Row = dict[str, Any]  # by the meaning of the column, as in COLUMNS


@dataclass(frozen=True)
class Mapping:
    """Names of columns by what they mean; "" for what a table does not have."""

    table: str
    columns: dict[str, str]
    person_words: tuple[str, ...] = ()  # values of the role that mean the person
    assistant_words: tuple[str, ...] = ()
    zone: tzinfo = UTC  # of times that name none

    @classmethod
    def of(cls, value: dict[str, Any]) -> Mapping:
        columns = {name: str(value.get(name) or "") for name in COLUMNS}
        words = {name: _words(value.get(name)) for name in ("person_words", "assistant_words")}
        zone = ZoneInfo(str(value.get("zone") or "UTC"))
        return cls(str(value.get("table") or ""), columns, **words, zone=zone)

    def used(self) -> dict[str, str]:
        return {meaning: column for meaning, column in self.columns.items() if column}

    def missing_from(self, present: Sequence[str]) -> list[str]:
        """Say which columns are not there, and which are."""
        unknown = [column for column in self.used().values() if column not in present]
        if not unknown:
            return []
        values = {"names": ", ".join(unknown), "there": ", ".join(sorted(present)[:60])}
        return [_("There is no column %(names)s. There are: %(there)s") % values]

    def unseen(self, count: int) -> list[Skipped]:
        """Say that rows are there which the reading does not find."""
        if not count:
            return []
        names = ", ".join(self.columns[name] for name in ("conversation", "watermark") if self.columns[name])
        values = {"table": self.table, "names": names, "count": count}
        what = _("%(table)s, rows without a value in %(names)s: %(count)s") % values
        return [Skipped(what, _("Rows are found by it."))]

    def role_of(self, value: Any) -> str:
        text = _as_words(value).strip().lower()
        if text in self.person_words:
            return "user"
        return "assistant" if text in self.assistant_words else as_role(text)


@dataclass
class _Conversation:
    builder: Builder = field(default_factory=lambda: Builder(BY_SCHEDULE))
    title: str = ""
    made: MadeIds = field(default_factory=MadeIds)


@dataclass
class Grouped:
    """Conversations by their person, and the rows that could not be taken."""

    people: dict[str, list[ParsedConversation | Skipped]] = field(default_factory=dict)
    troubles: list[Skipped] = field(default_factory=list)


def group_rows(rows: Iterable[Row], mapping: Mapping) -> Grouped:
    """Build conversations from rows that come in the order of their conversation and, in it, of their time."""
    grouped = Grouped()
    found: dict[tuple[str, str], _Conversation] = {}
    for row in rows:
        person, name = _as_id(row.get("person")).strip(), _as_id(row.get("conversation"))
        text = _as_words(row.get("text"))
        if not person or not text.strip():
            why = _("It names no person.") if not person else _("It has no text.")
            grouped.troubles.append(Skipped(_place(row, name, mapping), why))
            continue
        one = found.setdefault((person, name), _Conversation())
        builder = one.builder
        message = _as_id(row.get("id"))
        message = message or one.made.of(*(_as_words(row.get(name)) for name in ("time", "role", "text")))
        if any(draft.id == message for draft in builder.drafts[-50:]):
            grouped.troubles.append(Skipped(_place(row, name, mapping), _("Its id occurs twice.")))
            continue
        role = mapping.role_of(row.get("role")) if mapping.columns["role"] else "unknown"
        builder.add(message, builder.chain(), role, [text], created_at=_moment(row.get("time"), mapping.zone))
        one.title = one.title or _as_words(row.get("title"))
    for (person, name), one in found.items():
        grouped.people.setdefault(person, []).append(one.builder.finish(name, title=one.title))
    return grouped


def _place(row: Row, name: str, mapping: Mapping) -> str:
    values = {"table": mapping.table, "name": name[:60], "id": _as_id(row.get("id"))[:60] or "–"}
    return _("%(table)s, conversation %(name)s, row %(id)s") % values


def _moment(value: Any, zone: tzinfo) -> datetime | None:
    if isinstance(value, datetime):
        return _in_utc(value, zone)
    if isinstance(value, date):
        return _in_utc(datetime.combine(value, time.min), zone)
    moment = as_time(float(value) if isinstance(value, int) or hasattr(value, "as_tuple") else value)
    if moment is not None and isinstance(value, str) and WRITTEN_TIME.match(text := value.strip()):
        return moment if text.endswith(" UTC") else _in_utc(datetime.fromisoformat(text), zone)
    return moment


def _in_utc(moment: datetime, zone: tzinfo) -> datetime | None:
    try:
        return (moment.replace(tzinfo=zone) if moment.tzinfo is None else moment).astimezone(UTC)
    except OverflowError:  # the first or last day that there is
        return None


def _as_id(value: Any) -> str:
    """Return what tells things apart as text; bytes that are none as a UUID or hexadecimal, as a database shows them."""
    if not isinstance(value, bytes | bytearray | memoryview):
        return _as_words(value)
    raw = bytes(value)
    if raw.isascii() and raw.decode("ascii").isprintable():
        return raw.decode("ascii")
    return str(UUID(bytes=raw)) if len(raw) == 16 else raw.hex()


def _as_words(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    return value if isinstance(value, str) else str(value)


def _words(value: Any) -> tuple[str, ...]:
    return tuple(word.strip().lower() for word in str(value or "").split(",") if word.strip())
