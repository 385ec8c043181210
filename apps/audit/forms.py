"""The filter of the list: every field optional, every value checked for its shape."""

from __future__ import annotations

from datetime import date
from itertools import groupby
from typing import Any

from django import forms
from django.conf import settings
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from apps.audit.actors import Role
from apps.audit.events import Event
from apps.audit.handles import HANDLE_LENGTH, is_handle

EARLIEST, LATEST = date(2000, 1, 1), date(2999, 12, 31)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18


def _events_by_kind() -> list[Any]:
    """Return the events in groups, by the word before the dot: keys, request, step …"""
    ordered = sorted(Event.choices)
    groups = groupby(ordered, key=lambda choice: choice[0].partition(".")[0])
    return [("", _("All events")), *((name, list(events)) for name, events in groups)]


class HandleField(forms.CharField):
    """A handle, however it was copied: blanks and capitals make no difference."""

    def clean(self, value: Any) -> str:
        handle = "".join(super().clean(value).lower().split())
        if handle and not is_handle(handle):
            raise forms.ValidationError(
                _("A handle has %(length)s letters and digits."), params={"length": HANDLE_LENGTH}
            )
        return handle


class DayField(forms.DateField):
    widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    default_error_messages = {"invalid": _("Give the day as year, month and day, as in 2026-11-22.")}

    def clean(self, value: Any) -> date | None:
        day: date | None = super().clean(value)
        if day and not EARLIEST <= day <= LATEST:
            raise forms.ValidationError(self.error_messages["invalid"])
        return day


class FilterForm(forms.Form):
    """What to show. `about` also takes the number of an entry (`entry_number`), and a reference: it becomes the handle.

    The log itself knows no reference; the row of the request does, for as long as the request is kept.
    """

    about = forms.CharField(label=_("Handle, reference or entry"), required=False, max_length=40)
    event = forms.ChoiceField(label=_("Event"), required=False)
    role = forms.ChoiceField(label=_("Role"), required=False, choices=[("", _("All roles")), *Role.choices])
    actor = HandleField(label=_("Actor"), required=False, max_length=40)
    since = DayField(label=_("From"), required=False)
    until = DayField(label=_("To"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["event"].choices = _events_by_kind  # type: ignore[attr-defined]
        for name in ("about", "actor"):
            self.fields[name].widget.attrs |= {"class": "mono", "spellcheck": "false", "autocomplete": "off"}

    def clean_about(self) -> str:
        text = "".join(self.cleaned_data["about"].lower().replace(",", "").split())
        if text and not is_handle(text) and not _is_number(text):
            handle: str = import_string(settings.HANDLE_OF_REFERENCE)(text)
            if not handle:
                raise forms.ValidationError(
                    _(
                        "Give a handle of %(length)s letters and digits, the number of an entry, or the reference of a "
                        "request that is kept, as in HB-7Q4K-2M9X."
                    ),
                    params={"length": HANDLE_LENGTH},
                )
            return handle
        return text

    @property
    def entry_number(self) -> int | None:
        """The place that was asked for, if it was a number and no handle."""
        text = self.cleaned_data["about"]
        return int(text) if _is_number(text) and not is_handle(text) else None

    @property
    def criteria(self) -> dict[str, Any]:
        """What `selectors.entries` is asked for: only what was given."""
        return {name: value for name, value in self.cleaned_data.items() if value}

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        since, until = data.get("since"), data.get("until")
        if since and until and until < since:
            self.add_error("until", _("The last day must be on or after the first day."))
        return data
