"""Where somebody lives decides the law. Regimes stand in requests/regimes.py; this is who lives under which."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from apps.requests.regimes import regime_of

GDPR_COUNTRIES = (
    ("AT", _("Austria")), ("BE", _("Belgium")), ("BG", _("Bulgaria")), ("HR", _("Croatia")), ("CY", _("Cyprus")),
    ("CZ", _("Czechia")), ("DK", _("Denmark")), ("EE", _("Estonia")), ("FI", _("Finland")), ("FR", _("France")),
    ("DE", _("Germany")), ("GR", _("Greece")), ("HU", _("Hungary")), ("IS", _("Iceland")), ("IE", _("Ireland")),
    ("IT", _("Italy")), ("LV", _("Latvia")), ("LI", _("Liechtenstein")), ("LT", _("Lithuania")),
    ("LU", _("Luxembourg")), ("MT", _("Malta")), ("NL", _("Netherlands")), ("NO", _("Norway")), ("PL", _("Poland")),
    ("PT", _("Portugal")), ("RO", _("Romania")), ("SK", _("Slovakia")), ("SI", _("Slovenia")), ("ES", _("Spain")),
    ("SE", _("Sweden")),
)  # fmt: skip
CALIFORNIA = "US-CA"
RESIDENCES = [
    ("", _("Choose a country")),
    (_("European Economic Area"), list(GDPR_COUNTRIES)),
    (_("United States"), [(CALIFORNIA, _("California")), ("US", _("Another state"))]),
    (
        pgettext_lazy("where somebody lives", "Elsewhere"),
        [("CN", _("Mainland China")), ("GB", _("United Kingdom")), ("other", _("Another country"))],
    ),
]


def regime_for(place: str) -> str:
    """Return the regime of a place; where no rule of its own is known the organisation's applies to everybody."""
    if place == CALIFORNIA:
        return "ccpa"
    if place in dict(GDPR_COUNTRIES):
        return "gdpr"
    return settings.DEFAULT_REGIME


def check_right(kind: str, residence: str) -> None:
    """Refuse a kind that the law of a place does not know."""
    regime = regime_of(regime_for(residence))
    if kind not in regime.rights:
        words = _(
            "The law of that place (%(law)s) does not know this right. Write to us under “Something else” instead."
        )
        raise forms.ValidationError(words % {"law": regime.name})
