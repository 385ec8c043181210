"""What a person must be told beside their data: GDPR Article 15(1) and (2), 11 CCR § 7024(h). In their language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.locations.models import Location
from apps.requests.models import Kind, PrivacyRequest, Step
from apps.requests.regimes import regime_of

RIGHTS = {
    Kind.ACCESS: gettext_lazy("To see everything and get a copy"),
    Kind.PORTABILITY: gettext_lazy("To take your conversations to another service"),
    Kind.ERASURE: gettext_lazy("To have your data erased"),
    Kind.RECTIFICATION: gettext_lazy("To have what is wrong corrected"),
    Kind.RESTRICTION: gettext_lazy("To have the use of your data restricted"),
}


def missing_places(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return the places that are not in the archive, each with its reason."""
    return [
        {"place": step.location.name, "reason": step.reason, "until": step.until}
        for step in steps
        if step.location is not None and step.state != Step.State.DONE
    ]


def disclosure(request: PrivacyRequest, folders: Mapping[str, Location]) -> dict[str, Any]:
    """Return the page "About your data" as sections of texts, facts and tables."""
    with translation.override(request.language):
        return {
            "reference": request.reference,
            "places": {folder: location.name for folder, location in folders.items() if folder},
            "intro": _("What the law wants you to be told beside the data itself."),
            "sections": [
                _controller(),
                _places(list(folders.values())),
                _source(),
                _rights(request),
                _automated(),
                _complaint(request),
            ],
        }


def _controller() -> dict[str, Any]:
    facts = [
        [_("Name"), settings.ORGANISATION_NAME],
        [_("Address"), settings.ORGANISATION_ADDRESS],
        [_("Data protection officer"), settings.PRIVACY_CONTACT],
    ]
    return {"heading": _("Who is responsible"), "facts": facts}


def _places(locations: Sequence[Location]) -> dict[str, Any]:
    rows = [[place.name, place.country, place.purpose, place.retention] for place in locations]
    return {
        "heading": _("Where your data is, why, and for how long"),
        "paragraphs": [
            _(
                "Every place that ever held data was asked for this request. Those outside our own house receive it as well."
            ),
        ],
        "table": {"columns": [_("Place"), _("Country"), _("Why"), _("Kept")], "rows": rows},
    }


def _source() -> dict[str, Any]:
    paragraphs = [
        _("Conversations come from you: you wrote them here, imported them, or an assistant answered you."),
        _("Categories: what you wrote and were answered, files, sign-in data, requests, and a log of who looked."),
    ]
    return {"heading": _("Where it comes from"), "paragraphs": paragraphs}


def _rights(request: PrivacyRequest) -> dict[str, Any]:
    regime = regime_of(request.regime)
    items = [
        f"{text} ({regime.name}, {regime.right(kind).article})"
        for kind, text in RIGHTS.items()
        if kind in regime.rights
    ]
    items.append(_("You may also object to a use."))
    return {"heading": _("Your rights"), "items": items}


def _automated() -> dict[str, Any]:
    text = _("This site makes no decision about you by a computer alone (GDPR Article 22).")
    return {"heading": _("Automated decisions"), "paragraphs": [text]}


def _complaint(request: PrivacyRequest) -> dict[str, Any]:
    authority = regime_of(request.regime).authority
    text = _("You may complain to %(authority)s, %(url)s, free of charge.") % {
        "authority": authority.name,
        "url": authority.url,
    }
    return {"heading": _("Not satisfied?"), "paragraphs": [text, str(authority.remedy)]}
