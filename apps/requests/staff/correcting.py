"""Views and forms of what is special to rectification and restriction: what is corrected where, and lifting."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from apps.accounts.access import fresh_authentication_required
from apps.locations.contract import Change, Rectifies
from apps.locations.labels import staff_label
from apps.locations.models import Location
from apps.locations.registry import connector_for
from apps.requests import letters, selectors, services
from apps.requests.corrections import HAND, NOTHING, VALUES, Correction, corrections_of
from apps.requests.dates import today
from apps.requests.errors import FoundThereWanted, RequestError, TooSoon
from apps.requests.models import PrivacyRequest
from apps.requests.services.correcting import open_places
from apps.requests.staff import words
from apps.requests.staff.forms import LetterForm
from apps.requests.staff.pages import acting, letter_context, page_of, show
from apps.requests.vault import details_of

PAGE = require_http_methods(["GET", "HEAD", "POST"])
NOTICE = timedelta(days=7)  # that the form begins with, before a restriction is lifted
BLANK_ROWS = 2
MOST_ROWS = 20
LONGEST_VALUE = 2_000
LEFT_ALONE = ("archives", "copies")  # downloads expire as they are, and copies are written anew by themselves
FIELDS = {
    "records": gettext_lazy(
        "message: words in messages. Put right in what the person wrote; where nothing is to stand instead, each message with these words goes. Or what the person is known by: phone, name, user_id."
    ),
    "sql": gettext_lazy("The column, or table and column: customers.name"),
    "openai": gettext_lazy("A key of the metadata, as in name. What was said there can be corrected by nobody."),
    "mongodb": gettext_lazy("The field, or collection and field: customers.name"),
}


class PlaceForm(forms.Form):
    """What becomes of one place: values found and right in rows, or a person, or nothing."""

    way = forms.ChoiceField(
        label=gettext_lazy("What is done there"), widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy("Say what is done in this place.")},
    )  # fmt: skip

    def __init__(self, *args: Any, location: Location, before: Correction | None, **options: Any) -> None:
        options |= {"prefix": location.pk.hex, "initial": _initial(location, before)}
        super().__init__(*args, **options)
        self.location, self.place = location, staff_label(location)
        self.can = isinstance(connector_for(location), Rectifies)
        self.field_help = FIELDS.get(location.kind, gettext_lazy("As the place calls it"))
        ways = [
            (HAND, _("A person does it by hand, and confirms it")),
            (NOTHING, _("Nothing is to be corrected there")),
        ]
        field: Any = self.fields["way"]
        field.choices = [(VALUES, _("The place writes these values")), *ways] if self.can else ways
        number = min(max(len(before.changes) if before else 0, self._rows_sent()) + BLANK_ROWS, MOST_ROWS)
        self.numbers = range(number if self.can else 0)
        for row in self.numbers:
            for name, label in ROW:
                self.fields[f"{name}_{row}"] = forms.CharField(label=label, required=False, max_length=LONGEST_VALUE)

    def _rows_sent(self) -> int:
        return sum(1 for row in range(MOST_ROWS) if self.data.get(self.add_prefix(f"field_{row}")))

    def rows(self) -> Iterator[list[forms.BoundField]]:
        for row in self.numbers:
            yield [self[f"{name}_{row}"] for name, _label in ROW]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        written = [row for row in self.numbers if any(data.get(f"{name}_{row}") for name, _label in ROW)]
        for row in written:
            if not data.get(f"field_{row}"):
                self.add_error(f"field_{row}", _("Name the field."))
            elif not data.get(f"before_{row}") and not data.get(f"value_{row}"):
                self.add_error(f"before_{row}", _("Write what is found there, or what is right."))
        if data.get("way") == VALUES and not written:
            self.add_error("way", _("Write at least one value, or choose something else."))
        if data.get("way") in (HAND, NOTHING) and written:
            self.add_error(
                "way", _("Values are written below, and would not be used. Choose the first, or empty them.")
            )
        return data

    def ask_what_is_found(self, why: str) -> None:
        """Say at every value of which it is not said what is found there that this is wanting."""
        for row in self.numbers:
            if self.cleaned_data.get(f"field_{row}") and not self.cleaned_data.get(f"before_{row}"):
                self.add_error(f"before_{row}", why)

    def correction(self) -> Correction:
        data = self.cleaned_data
        if data["way"] != VALUES:
            return Correction(data["way"])
        given = [tuple(data[f"{name}_{row}"] for name, _label in ROW) for row in self.numbers]
        changes = (Change(field, right or None, before or None) for field, before, right in given if field)
        return Correction(VALUES, tuple(changes))


ROW = (
    ("field", gettext_lazy("Field")),
    ("before", gettext_lazy("Found there")),
    ("value", gettext_lazy("Right")),
)


def _initial(location: Location, before: Correction | None) -> dict[str, str]:
    if before is None:
        return {"way": NOTHING} if location.kind in LEFT_ALONE else {}
    values = {"way": before.way}
    for row, change in enumerate(before.changes):
        values |= {
            f"field_{row}": change.field,
            f"before_{row}": change.before or "",
            f"value_{row}": change.value or "",
        }
    return values


@PAGE
@acting("corrections")
def corrections(request: HttpRequest, found: PrivacyRequest) -> HttpResponseBase:
    """Say for every place what is corrected there."""
    before = corrections_of(details_of(found))
    data = request.POST if request.method == "POST" else None
    places = sorted(open_places(found), key=staff_label)
    listed = [PlaceForm(data, location=place, before=before.get(str(place.pk))) for place in places]
    is_valid = [form.is_valid() for form in listed]  # each of them, so that every error is shown
    if data is not None and all(is_valid):
        said = {form.location: form.correction() for form in listed}
        try:
            services.note_corrections(found, said, actor=request.actor)  # type: ignore[attr-defined]
        except FoundThereWanted as error:
            messages.error(request, words.what_went_wrong(error))
            for form in listed:
                if form.location in error.places:
                    form.ask_what_is_found(_("Write what is found there."))
        except RequestError as error:
            messages.error(request, words.what_went_wrong(error))
            return redirect(page_of(found))
        else:
            messages.success(request, _("Noted what is corrected where."))
            return redirect(page_of(found))
    context = {
        "found": found,
        "kind": words.kind(found.kind),
        "asked": selectors.asked_of(found),
        "forms": listed,
        "has_errors": any(form.errors for form in listed),
    }
    return show(request, "corrections", _("What is corrected where") + f": {found.reference}", context)


class LiftForm(LetterForm):
    """On which day the restriction ends, and the reason that the person reads before."""

    on = forms.DateField(label=gettext_lazy("Day"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    field_order = ("on", "text")

    def clean_on(self) -> Any:
        if self.cleaned_data["on"] <= today():
            raise forms.ValidationError(str(words.WHAT_WENT_WRONG[TooSoon]))
        return self.cleaned_data["on"]


@PAGE
@acting("lift_restriction")
@fresh_authentication_required
def lift_restriction(request: HttpRequest, found: PrivacyRequest) -> HttpResponse:
    """Tell the person that the restriction ends, on which day and why (GDPR Article 18(3))."""
    form = LiftForm(request.POST or None, initial={"on": found.lift_on or today() + NOTICE})
    letter = None
    if form.is_valid():
        on, text = form.cleaned_data["on"], form.cleaned_data["text"]
        if form.was_shown():
            return _announce(request, found, on=on, text=text)
        later = copy.copy(found)
        later.lift_on = on
        letter = letters.preview_lift(later, text=text)
    context = letter_context(found, form, letter) | {
        "lead": _(
            "The person is told before a restriction is lifted. On that day every place is asked to lift it, and they get a further receipt."
        ),
        "act": _("Send this letter, and lift it on that day"),
    }
    return show(request, "letter", _("Lift the restriction") + f": {found.reference}", context)


def _announce(request: HttpRequest, found: PrivacyRequest, *, on: date, text: str) -> HttpResponse:
    try:
        services.announce_lift(found, on=on, text=text, actor=request.actor)  # type: ignore[attr-defined]
    except RequestError as error:
        messages.error(request, words.what_went_wrong(error))
    else:
        messages.success(request, _("The letter is on its way. It is lifted on %(day)s.") % {"day": words.day(on)})
    return redirect(page_of(found))
