"""What a person asks for beside the kind of request, in their own words. Sealed with the request; named here for pages.

A rectification says where something is wrong, what, and what it should say; a restriction on which ground, and what should rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.requests.errors import EmptyText, UnknownGround
from apps.requests.models import Kind, PrivacyRequest
from apps.requests.regimes import Regime, regime_of

CONVERSATION, ACCOUNT, ELSEWHERE = "conversation", "account", "elsewhere"
WHERE: dict[str, Promise] = {
    CONVERSATION: _("In a conversation"),
    ACCOUNT: _("In my account: name, e-mail address, telephone"),
    ELSEWHERE: _("Somewhere else"),
}
LABELS: dict[str, Promise] = {
    "where": _("Where it is"),
    "which": _("Which one"),
    "wrong": _("What is wrong"),
    "right": _("What it should say"),
    "ground": _("Ground"),
    "what": _("What should rest"),
}
WANTED: dict[str, tuple[str, ...]] = {Kind.RECTIFICATION: ("wrong", "right"), Kind.RESTRICTION: ("what",)}


@dataclass(frozen=True)
class Line:
    label: str
    text: str


def check_asked(kind: str, regime: Regime, asked: Mapping[str, str]) -> dict[str, str]:
    """Return what belongs to a request of this kind. Raises EmptyText, and UnknownGround for a ground the law has not."""
    if regime.wants_ground(kind) and regime.asking_ground(asked.get("ground", ""), kind) is None:
        raise UnknownGround(asked.get("ground", ""))
    if any(not asked.get(name, "").strip() for name in WANTED.get(kind, ())):
        raise EmptyText
    return {name: asked[name].strip() for name in LABELS if asked.get(name, "").strip()} if kind in WANTED else {}


def lines_of(request: PrivacyRequest, details: Mapping[str, Any]) -> list[Line]:
    """Return what is asked, in the order of LABELS and in the active language."""
    return asked_lines(request.kind, request.regime, details.get("asked", {}))


def asked_lines(kind: str, regime: str, asked: Mapping[str, str]) -> list[Line]:
    """Return the same before there is a request."""
    return [Line(str(LABELS[name]), _words(kind, regime, name, asked[name])) for name in LABELS if asked.get(name)]


def _words(kind: str, code: str, name: str, value: str) -> str:
    if name == "where":
        return str(WHERE.get(value, value))
    if name == "ground":
        regime = regime_of(code)
        ground = regime.asking_ground(value, kind)
        return f"{ground.label} ({regime.name}, {ground.article})" if ground else value
    return value
