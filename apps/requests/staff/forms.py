"""The forms of the staff's pages: they check the shape, the services check the rules."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import User
from apps.accounts.roles import APPROVERS, COMPLIANCE
from apps.audit.events import Purpose
from apps.locations.labels import staff_label
from apps.locations.models import Location
from apps.locations.paths import KIND
from apps.requests.dates import EARLIEST, LATEST, today
from apps.requests.models import PrivacyRequest
from apps.requests.regimes import LEVELS as LEVEL_NAMES
from apps.requests.regimes import NONE, REGIMES, regime_of
from apps.requests.staff.queue import SHOWS, Filters
from apps.requests.staff.words import KINDS, LEVELS, METHODS, STATUSES

LONGEST_TEXT = 10_000
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # control and format characters, and what is none at all
ANY = ("", _("Any"))


def officers() -> QuerySet[User]:
    """Return who can be given a request."""
    staff = User.objects.filter(is_active=True, is_staff=True, groups__name__in=(COMPLIANCE, APPROVERS))
    return staff.order_by("email").distinct()


class PurposeForm(forms.Form):
    """Why a request is opened; the person is shown it."""

    purpose = forms.ChoiceField(label=_("Purpose"), choices=Purpose.choices, initial=Purpose.REVIEW)


class FindForm(PurposeForm):
    """An exact reference or an exact e-mail address. Posted, so that no address stands in a log or a history."""

    words = forms.CharField(
        label=_("Exact reference or exact e-mail address"), max_length=254,
        error_messages={"required": _("Write a reference or an e-mail address.")},
    )  # fmt: skip


class FilterForm(forms.Form):
    """What stands in the address of a list. Values that nobody offered are left out, not complained about."""

    show = forms.CharField(required=False, widget=forms.HiddenInput)
    who = forms.RegexField(r"^[0-9a-f]{64}(-[0-9a-f]{64}){0,9}\Z", required=False, widget=forms.HiddenInput)
    whose = forms.ChoiceField(
        label=_("Assigned to"), required=False, choices=[("", _("Anybody")), ("mine", _("Me")), ("nobody", _("Nobody"))]
    )
    status = forms.ChoiceField(label=_("Status"), required=False, choices=[ANY, *STATUSES.items()])
    kind = forms.ChoiceField(label=_("Kind"), required=False, choices=[ANY, *KINDS.items()])
    regime = forms.ChoiceField(
        label=_("Law"), required=False, choices=[ANY, *((code, regime.name) for code, regime in REGIMES.items())]
    )
    place = forms.ChoiceField(label=_("With an open step in"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        places = Location.objects.that_ever_held_data().order_by("name")
        self._field("place").choices = [ANY, *((str(place.pk), staff_label(place)) for place in places)]

    def _field(self, name: str) -> Any:
        return self.fields[name]

    def filters(self) -> Filters:
        self.is_valid()
        data = self.cleaned_data
        show = SHOWS.get(data.get("show", ""), SHOWS["all"] if data.get("status") or data.get("who") else None)
        place = UUID(data["place"]) if data.get("place") else None
        exact = {name: data.get(name, "") for name in ("whose", "status", "kind", "regime", "who")}
        return Filters(place=place, **exact) if show is None else Filters(show=show, place=place, **exact)


class IdentityForm(forms.Form):
    """How sure we are who asks, and by what it was checked."""

    level = forms.ChoiceField(label=_("How sure we are"), widget=forms.RadioSelect)
    methods = forms.MultipleChoiceField(
        label=_("By what it was checked"), choices=list(METHODS.items()), widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Say by what it was checked.")},
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        level: Any = self.fields["level"]
        level.choices = [(name, LEVELS[name]) for name in LEVEL_NAMES if name != NONE]


class KnownByForm(forms.Form):
    """Something else the person is known by in some place."""

    kind = forms.RegexField(
        rf"\A{KIND}\Z", label=_("Kind"), max_length=24,
        help_text=_("user_id, email, phone, or a kind of your own: the word that the places are set up with."),
        error_messages={"invalid": _("Write a kind such as user_id: small letters, digits and _.")},
        widget=forms.TextInput(attrs={"list": "identity-kinds"}),
    )  # fmt: skip
    value = forms.CharField(
        label=_("Value"), max_length=254,
        help_text=_("Only what you have made sure of: what stands here decides whose data is read and erased."),
    )  # fmt: skip

    def clean_kind(self) -> str:
        kind = str(self.cleaned_data["kind"])
        if kind == "subject_id":
            raise forms.ValidationError(_("Habeas gives this id itself. It cannot be noted."))
        return kind

    def clean_value(self) -> str:
        value = str(self.cleaned_data["value"])
        if any(unicodedata.category(sign) in UNSEEN for sign in value):
            raise forms.ValidationError(
                _("There is a character in it that cannot be seen. Type it instead of pasting.")
            )
        return value


class LetterForm(forms.Form):
    """A text that the person will read. It is sent only after exactly this text was shown as it will arrive."""

    text = forms.CharField(
        label=_("What the person will read"), max_length=LONGEST_TEXT, widget=forms.Textarea(attrs={"rows": 8}),
        error_messages={"required": _("Write what the person will read.")},
    )  # fmt: skip

    def seal(self) -> str:
        """Return what stands for exactly this text, so that a changed one is shown again before it goes out."""
        return hashlib.sha256(repr(sorted(self.cleaned_data.items())).encode()).hexdigest()

    def was_shown(self) -> bool:
        return self.data.get("shown") == self.seal()


class RefusalForm(LetterForm):
    ground = forms.ChoiceField(label=_("Ground"), error_messages={"required": _("Choose the ground.")})
    field_order = ("ground", "text")

    def __init__(self, *args: Any, request: PrivacyRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        regime = regime_of(request.regime)
        grounds = regime.grounds_for(request.kind)
        choices = [(ground.code, f"{ground.label} ({regime.name}, {ground.article})") for ground in grounds]
        field: Any = self.fields["ground"]
        field.choices = [("", _("Choose")), *choices]


class OfficerChoice(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return str(obj.email)


class AssignForm(forms.Form):
    officer = OfficerChoice(label=_("Assign to"), queryset=User.objects.none(), required=False, empty_label=_("Nobody"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["officer"]
        field.queryset = officers()


class HoldForm(forms.Form):
    basis = forms.CharField(
        label=_("Legal basis"), max_length=64,
        help_text=_("As in: GDPR Article 17(3)(e). The person reads it. No names, no file numbers."),
    )  # fmt: skip
    until = forms.DateField(
        label=_("Until"), widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("The last day. After it the erasure goes on by itself."),
    )  # fmt: skip

    def clean_until(self) -> Any:
        until = self.cleaned_data["until"]
        if until < today():
            raise forms.ValidationError(_("The last day must be today or later."))
        return until


class PeriodForm(forms.Form):
    """From which day to which day requests were received."""

    since = forms.DateField(label=_("First day"), widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=_("Last day"), widget=forms.DateInput(attrs={"type": "date"}))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for name in ("since", "until"):
            if data.get(name) and not EARLIEST <= data[name] <= LATEST:
                self.add_error(name, _("Enter a valid date."))
        if data.get("since") and data.get("until") and data["until"] < data["since"]:
            self.add_error("until", _("The last day must be on or after the first day."))
        return data
