"""Forms check shape; rules are checked by services."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from apps.locations.contract import Scope
from apps.portal.residence import RESIDENCES, check_right, regime_for
from apps.requests.asking import WANTED, WHERE
from apps.requests.dates import EARLIEST, LATEST
from apps.requests.models import Kind
from apps.requests.regimes import REGIMES

LONGEST_NOTE = 5_000
LONGEST_ASKED = 2_000
LONGEST_MESSAGE = 200_000
LONGEST_PASTE = 2_000_000  # characters; larger texts come as a file

ERASE_WORDS = ("erase", "删除")


class Form(forms.Form):
    """Fields without a colon after the label, and without the browser's own messages in its own language."""

    use_required_attribute = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)


class DateField(forms.DateField):
    """A day of this age: beyond it time zones overflow, and a year with a slip of the finger is told at once."""

    widget = forms.DateInput(attrs={"type": "date", "class": "short"}, format="%Y-%m-%d")
    default_error_messages = {"invalid": _("Write the date as year, month and day, such as 2026-03-01.")}

    def clean(self, value: Any) -> date | None:
        day: date | None = super().clean(value)
        if day is not None and not EARLIEST <= day <= LATEST:
            raise forms.ValidationError(self.error_messages["invalid"])
        return day


class KindForm(Form):
    kind = forms.ChoiceField(
        choices=[(kind, "") for kind in Kind.values],
        error_messages={
            "required": _("Choose what you would like to happen."),
            "invalid_choice": _("Choose what you would like to happen."),
        },
    )


class FindForm(Form):
    """Opens status and receipt without signing in."""

    reference = forms.CharField(
        label=_("Your reference"), max_length=40, help_text=_("It starts with HB and is in every e-mail from us"),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false"}),
        error_messages={"required": _("Enter your reference.")},
    )  # fmt: skip
    code = forms.CharField(
        label=_("Your receipt code"), max_length=80, help_text=_("Six groups of five letters and digits. You saw it once, when you made the request"),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false", "class": "mono"}),
        error_messages={"required": _("Enter your receipt code.")},
    )  # fmt: skip


class DetailsForm(Form):
    """What a request needs beside its kind. Hidden again on the confirming page, so that nothing is kept in between."""

    residence = forms.ChoiceField(
        label=_("Where do you live?"), choices=RESIDENCES,
        help_text=_("This decides which law applies, and so the date by which you get an answer"),
        error_messages={"required": _("Choose where you live."), "invalid_choice": _("Choose where you live.")},
        widget=forms.Select(attrs={"autocomplete": "country"}),
    )  # fmt: skip
    note = forms.CharField(
        label=_("Anything that helps us"), required=False, max_length=LONGEST_NOTE, strip=True,
        help_text=_("Leave out passwords and health details. A person in the privacy team reads this."),
        widget=forms.Textarea(attrs={"rows": 4}),
    )  # fmt: skip

    @property
    def regime(self) -> str:
        return regime_for(self.cleaned_data["residence"])

    def scope(self, language: str) -> Scope:
        return Scope(language=language)

    def asked(self) -> dict[str, str]:
        """Return what is asked for beside the kind, in the person's own words."""
        return {}


class CopyDetailsForm(DetailsForm):
    """Access and portability: of which time, and in which forms."""

    ALL, DATES = "all", "dates"
    FORMATS = (
        ("html", _("Pages to read in your browser (always included)")),
        ("json", _("One file for other programs and services (always included)")),
        ("txt", _("Plain text, one file for each conversation")),
        ("csv", _("A table for spreadsheets")),
    )

    span = forms.ChoiceField(
        label=_("Which conversations?"), initial=ALL, widget=forms.RadioSelect,
        choices=((ALL, _("All of them, and everything else about me")), (DATES, _("Only from a certain time"))),
    )  # fmt: skip
    since = DateField(label=_("First day"), required=False)
    until = DateField(label=_("Last day"), required=False)
    formats = forms.MultipleChoiceField(
        label=_("In which forms?"), required=False, choices=FORMATS[2:], widget=forms.CheckboxSelectMultiple,
        help_text=_("The download always has pages to read in your browser and one file for other programs. You can have more:"),
    )  # fmt: skip
    field_order = ("residence", "span", "since", "until", "formats", "note")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        since, until = data.get("since"), data.get("until")
        if data.get("span") == self.DATES and not (since or until) and not (self.errors.keys() & {"since", "until"}):
            self.add_error("since", _("Give a first day or a last day, or choose all conversations."))
        if since and until and until < since:
            self.add_error(
                "until", _("The last day must be on or after the first day, %(day)s.") % {"day": date_format(since)}
            )
        return data

    def _date(self, name: str) -> date | None:
        return self.cleaned_data.get(name) if self.cleaned_data["span"] == self.DATES else None

    def scope(self, language: str) -> Scope:
        formats = ("html", "json", *self.cleaned_data["formats"])
        return Scope(since=self._date("since"), until=self._date("until"), formats=formats, language=language)


class ErasureDetailsForm(DetailsForm):
    """An erasure is of everything; single conversations are deleted on their own page."""

    waive = forms.BooleanField(
        label=_("Do not wait until I have fetched a copy that I asked for"), required=False,
        help_text=_("Without this, an erasure begins only when your copy has been downloaded or has expired."),
    )  # fmt: skip
    field_order = ("residence", "waive", "note")


class RectificationDetailsForm(DetailsForm):
    """What is wrong, where, and what it should say."""

    where = forms.ChoiceField(
        label=_("Where is it?"), choices=list(WHERE.items()), widget=forms.RadioSelect,
        error_messages={"required": _("Choose where it is."), "invalid_choice": _("Choose where it is.")},
    )  # fmt: skip
    which = forms.CharField(
        label=_("Which conversation, which entry, which place?"), required=False, max_length=300,
        help_text=_("A title, a day or an address is enough. If you do not know, we look."),
    )  # fmt: skip
    wrong = forms.CharField(
        label=_("What is wrong?"), max_length=LONGEST_ASKED, widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("As it stands there now, as exactly as you can"), error_messages={"required": _("Write what is wrong.")},
    )  # fmt: skip
    right = forms.CharField(
        label=_("What should it say?"), max_length=LONGEST_ASKED, widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("If it should just go, write that."), error_messages={"required": _("Write what it should say.")},
    )  # fmt: skip
    field_order = ("where", "which", "wrong", "right", "residence", "note")

    def asked(self) -> dict[str, str]:
        return {name: self.cleaned_data[name] for name in ("where", "which", "wrong", "right")}


class RestrictionDetailsForm(DetailsForm):
    """On which ground, and what should rest."""

    ground = forms.ChoiceField(
        label=_("Why?"), widget=forms.RadioSelect,
        choices=[(ground.code, ground.label) for regime in REGIMES.values() for ground in regime.asking_grounds],
        error_messages={"required": _("Choose why."), "invalid_choice": _("Choose why.")},
    )  # fmt: skip
    what = forms.CharField(
        label=_("What should be left alone?"), max_length=LONGEST_ASKED, widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("And what you want checked or need it for. A person in the privacy team reads this."),
        error_messages={"required": _("Write what should be left alone.")},
    )  # fmt: skip
    field_order = ("ground", "what", "residence", "note")

    def clean_residence(self) -> str:
        residence: str = self.cleaned_data["residence"]
        check_right(Kind.RESTRICTION, residence)
        return residence

    def asked(self) -> dict[str, str]:
        return {name: self.cleaned_data[name] for name in ("ground", "what")}


DETAILS: dict[str, type[DetailsForm]] = {
    Kind.ACCESS: CopyDetailsForm,
    Kind.PORTABILITY: CopyDetailsForm,
    Kind.ERASURE: ErasureDetailsForm,
    Kind.RECTIFICATION: RectificationDetailsForm,
    Kind.RESTRICTION: RestrictionDetailsForm,
}
ASKED_FORMS: dict[str, type[DetailsForm]] = {kind: DETAILS[kind] for kind in WANTED}


class EraseWordForm(Form):
    """One deliberate act before what nobody can bring back: the word, in either language."""

    word = forms.CharField(
        label=_("Type the word “erase”"), max_length=40,
        widget=forms.TextInput(attrs={"class": "short", "autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}),
        error_messages={"required": _("Type the word “erase”.")},
    )  # fmt: skip

    def clean_word(self) -> str:
        word = self.cleaned_data["word"].strip().casefold()
        if word not in ERASE_WORDS:
            raise forms.ValidationError(_("Type the word “erase”."))
        return word


class IntakeForm(Form):
    """A request without an account. Nothing here says whether anybody is known."""

    kind = forms.ChoiceField(
        label=_("What would you like to happen?"), initial="access", widget=forms.RadioSelect,
        choices=(
            ("access", _("See everything and get a copy")),
            ("portability", _("Take my conversations to another service")),
            ("erasure", _("Have my data erased")),
            ("rectification", _("Have something corrected")),
            ("restriction", _("Have the use of my data restricted")),
        ),
        error_messages={"required": _("Choose what you would like to happen."), "invalid_choice": _("Choose what you would like to happen.")},
    )  # fmt: skip
    email = forms.EmailField(
        label=_("Your e-mail address"), max_length=254, help_text=_("The one that you used with us. We send a link to it."),
        widget=forms.EmailInput(attrs={"autocomplete": "email", "spellcheck": "false"}),
        error_messages={"required": _("Enter your e-mail address."), "invalid": _("Enter an e-mail address such as name@example.org.")},
    )  # fmt: skip
    name = forms.CharField(
        label=_("Your name"), required=False, max_length=200, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    residence = DetailsForm.base_fields["residence"]
    first_use = forms.CharField(
        label=_("When did you first use the service?"), required=False, max_length=300,
        help_text=_("About is enough, such as spring 2025. What you give here shows that it is you."),
    )  # fmt: skip
    conversation = forms.CharField(
        label=_("What was one of your conversations about, and when?"), required=False, max_length=1_000,
    )  # fmt: skip
    other = forms.CharField(
        label=_("Something else that only you and we know"), required=False, max_length=1_000,
        help_text=_("For example a customer number, or another address that you used. Leave out passwords."),
    )  # fmt: skip
    note = DetailsForm.base_fields["note"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for form in ASKED_FORMS.values():  # all of them stand on the page; which are wanted, the kind decides
            for name in form.base_fields.keys() - self.fields.keys():
                self.fields[name] = copy.deepcopy(form.base_fields[name])
                self.fields[name].required = False

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        form = ASKED_FORMS.get(data.get("kind", ""))
        for name, field in form.base_fields.items() if form else ():
            if field.required and not data.get(name) and name not in self.errors:
                self.add_error(name, field.error_messages["required"])
        if form and data.get("residence"):
            try:
                check_right(data["kind"], data["residence"])
            except forms.ValidationError as error:
                self.add_error("residence", error)
        return data

    @property
    def regime(self) -> str:
        return regime_for(self.cleaned_data["residence"])

    def asked(self) -> dict[str, str]:
        form = ASKED_FORMS.get(self.cleaned_data["kind"])
        names = form.base_fields.keys() - DetailsForm.base_fields.keys() if form else ()
        return {name: self.cleaned_data[name] for name in names}

    def data_points(self) -> dict[str, str]:
        """Return what the person said of themselves, for staff to compare (11 CCR 7062)."""
        names = ("first_use", "conversation", "other")
        return {name: self.cleaned_data[name] for name in names if self.cleaned_data[name]}


class MessageForm(Form):
    text = forms.CharField(
        label=_("Write to the privacy team"), max_length=LONGEST_NOTE, help_text=_("A person reads it. The answer appears here, and you get an e-mail."),
        widget=forms.Textarea(attrs={"rows": 4}), error_messages={"required": _("Write your message first.")},
    )  # fmt: skip


class CorrectionForm(Form):
    text = forms.CharField(
        label=_("Your words"), max_length=LONGEST_MESSAGE,
        widget=forms.Textarea(attrs={"rows": 8}), error_messages={"required": _("Write what it should say. To have it gone, remove the message.")},
    )  # fmt: skip


class ImportForm(Form):
    """One of the two: a file, or text pasted in."""

    file = forms.FileField(
        label=_("A file"), required=False,
        help_text=_("The ZIP or JSON from ChatGPT, Claude, Open WebUI, LibreChat or OpenAI; JSONL, ShareGPT, CSV or text; an archive that you got here; a screenshot."),
        error_messages={"empty": _("This file is empty. Choose another one.")},
    )  # fmt: skip
    text = forms.CharField(
        label=_("Or paste text"), required=False, max_length=LONGEST_PASTE, strip=False,
        help_text=_("A conversation as you copied it from a page, or the content of a file."),
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"}),
        error_messages={"max_length": _("This text is too long to paste. Save it in a file and choose that.")},
    )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.errors and not data.get("file") and not (data.get("text") or "").strip():
            self.add_error("file", _("Choose a file, or paste text."))
        return data


class SearchForm(Form):
    words = forms.CharField(
        label=_("Words in a title or message"), max_length=200, widget=forms.TextInput(attrs={"type": "search"}),
        error_messages={"required": _("Write the words to look for.")},
    )  # fmt: skip
    cursor = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)


def time_zones() -> list[tuple[str, str]]:
    """Every zone by region and city; names without a region are historical doubles."""
    names = sorted(
        name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix/", "right/"))
    )
    return [("UTC", "UTC"), *((name, name.replace("_", " ")) for name in names)]


class ChoicesForm(Form):
    """What a person decides about their conversations. Nothing is ticked for them."""

    recording = forms.BooleanField(required=False)
    no_training = forms.BooleanField(required=False)
    no_sharing = forms.BooleanField(required=False)
    retention = forms.TypedChoiceField(
        label=_("Erase conversations by themselves after"), required=False, coerce=int, empty_value=None,
        choices=(("", _("The organisation's rule")), (730, _("2 years")), (365, _("1 year")), (90, _("90 days")), (30, _("30 days"))),
    )  # fmt: skip
    time_zone = forms.ChoiceField(label=_("Show times in the zone of"), choices=time_zones)
