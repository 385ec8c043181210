"""The words of an archive's files in the person's language, looked up once: rendering a message must not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from django.utils import translation
from django.utils.dates import MONTHS
from django.utils.translation import gettext as _


@dataclass(frozen=True)
class Labels:
    """Every text that a conversation's page, TXT or CSV file needs. `{}` stands for what is filled in."""

    language: str
    is_chinese: bool
    roles: dict[str, str]
    months: tuple[str, ...]
    untitled: str
    all_conversations: str
    previous_page: str
    next_page: str
    page_of: str
    from_to: str
    messages: str
    times: str
    thinking: str
    hidden: str
    unknown: str
    withheld: str
    removed: str
    not_held: str
    answers: str
    branch: str
    branch_from_start: str
    csv_columns: tuple[str, ...]

    def sentence(self, facts: Iterable[str]) -> str:
        """Join what is not empty, with the punctuation of the language."""
        known = [fact for fact in facts if fact]
        return "，".join(known) + "。" if self.is_chinese else ", ".join(known) + ". "

    def date(self, moment: datetime) -> str:
        """Write the date in words, UTC."""
        moment = moment.astimezone(UTC)
        if self.is_chinese:
            return f"{moment.year}年{moment.month}月{moment.day}日"
        return f"{moment.day} {self.months[moment.month - 1]} {moment.year}"

    def period(self, moments: Iterable[datetime | None]) -> str:
        """Write from when to when, or the one day that it was."""
        days = list(dict.fromkeys(self.date(moment) for moment in moments if moment is not None))
        return self.from_to.format(*days) if len(days) == 2 else "".join(days)

    def time(self, moment: datetime) -> str:
        """Write date and time, UTC: 18 November 2026, 08:41."""
        moment = moment.astimezone(UTC)
        return f"{self.date(moment)}{' ' if self.is_chinese else ', '}{moment.hour:02}:{moment.minute:02}"


@lru_cache(maxsize=16)
def labels(language: str) -> Labels:
    """Return the texts of a language; an unknown one gets the site's default."""
    with translation.override(language):
        return Labels(
            language=translation.get_language() or "en",
            is_chinese=language.lower().startswith("zh"),
            roles={"user": _("You"), "assistant": _("Assistant"), "system": _("System"), "tool": _("Tool")},
            months=tuple(str(MONTHS[number]) for number in range(1, 13)),
            untitled=_("Conversation without a title"),
            all_conversations=_("All conversations"),
            previous_page=_("Earlier messages"),
            next_page=_("Further messages"),
            page_of=_("Page {} of {}"),
            from_to=_("{} to {}"),
            messages=_("{} messages"),
            times=_("Times are UTC."),
            thinking=_("Thinking"),
            hidden=_("Not shown in the chat"),
            unknown=_("Content in a form that we do not know, as it was received"),
            withheld=_("Withheld"),
            removed=_("Removed by the person"),
            not_held=_("we do not hold this file"),
            answers=_("Other answers to the same message:"),
            branch=_("Another version, from message {} on"),
            branch_from_start=_("Another version, from the beginning"),
            csv_columns=(
                _("conversation"),
                _("title"),
                _("message"),
                _("answers message"),
                _("role"),
                _("author"),
                _("time (UTC)"),
                _("text"),
                _("files"),
            ),
        )
