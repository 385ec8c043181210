"""What the tests of rectification and restriction share: what is asked, what an officer says, and the way to its end."""

from __future__ import annotations

from typing import Any

from apps.locations.contract import Change
from apps.locations.models import Location
from apps.records.models import Conversation, Subject
from apps.records.selectors.reading import read_conversation
from apps.requests import services
from apps.requests.corrections import NOTHING, VALUES, Correction
from apps.requests.models import PrivacyRequest, Task
from tests.requests.conftest import as_officer, filed, run

WISH = {"where": "conversation", "wrong": "It says Adda <script>alert(1)</script>.", "right": "Ada"}
RESTING = {"ground": "accuracy", "what": "Everything about my flat."}
OWN = ("Conversations", "Your downloads", "Account and requests")


def said(**ways: Any) -> dict[Location, Correction]:
    """Say for the places named what becomes of them, and for all others that nothing is to be corrected there."""
    names = {name.replace("_", " "): way for name, way in ways.items()}
    return {place: names.get(place.name, Correction(NOTHING)) for place in Location.objects.all()}


def values(*changes: tuple[str, str | None, str | None]) -> Correction:
    return Correction(VALUES, tuple(Change(field, right, before) for field, before, right in changes))


def rectification(subject: Subject, officer, **ways: Any) -> PrivacyRequest:
    request = filed(subject, "rectification", asked=WISH)
    services.note_corrections(request, said(**ways), actor=as_officer(officer))
    services.approve_request(request, officer=officer, actor=as_officer(officer))
    return run(request)


def restriction(subject: Subject, officer, **more: Any) -> PrivacyRequest:
    request = filed(subject, "restriction", asked=RESTING, **more)
    services.approve_request(request, officer=officer, actor=as_officer(officer))
    return run(request)


def confirm(request: PrivacyRequest, place: str, officer, **more: Any) -> PrivacyRequest:
    task = Task.objects.get(request=request, step__location__name=place, confirmed_at__isnull=True)
    options = dict[str, Any]({"note": "Done.", "item_count": 1}) | more
    services.confirm_task(task, officer=officer, actor=as_officer(officer), **options)
    return run(request)


def restricted_since(subject: Subject) -> Any:
    return Subject.objects.get(pk=subject.pk).restricted_at


def said_in(subject: Subject) -> list[str]:
    row = Conversation.objects.get(subject=subject, erasing_at__isnull=True)
    return ["".join(part.text for part in turn.parts) for turn in read_conversation(subject, row.pk).turns]
