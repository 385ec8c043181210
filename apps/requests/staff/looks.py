"""Why somebody opens a request. One look is one sitting: its purpose is asked for, logged, and stands for half an hour.

The person sees date, role and purpose of each look (C-579/21). Nothing of a request is shown before its entry in the log
is committed; without that the page fails.
"""

from __future__ import annotations

import time

from django.db import transaction
from django.http import HttpRequest

from apps.audit import services as audit
from apps.audit.events import Event, Purpose
from apps.records.models import Subject
from apps.requests import services
from apps.requests.models import PrivacyRequest

SESSION_KEY = "staff_looks"
SITTING_SECONDS = 30 * 60
MOST_KEPT = 100  # requests in one sitting; the oldest is asked for again


def look_at(request: HttpRequest, found: PrivacyRequest, purpose: str) -> None:
    """Write the look into the log, then let this session see the request for a while."""
    services.look_at_request(found, purpose=purpose, actor=request.actor)  # type: ignore[attr-defined]
    kept = sorted(_standing(request).items(), key=lambda item: item[1][1])[-MOST_KEPT + 1 :]
    request.session[SESSION_KEY] = dict(kept) | {found.pk.hex: [purpose, time.time()]}


def purpose_of(request: HttpRequest, found: PrivacyRequest) -> str:
    """Return the purpose of the look that still stands; "" when it has to be asked for."""
    purpose = _standing(request).get(found.pk.hex, ["", 0])[0]
    return str(purpose) if purpose in Purpose.values else ""


def _standing(request: HttpRequest) -> dict[str, list]:
    since = time.time() - SITTING_SECONDS
    looks: dict[str, list] = request.session.get(SESSION_KEY, {})
    return {pk: look for pk, look in looks.items() if look[1] > since}


def look_up(request: HttpRequest, rows: list[PrivacyRequest], purpose: str) -> None:
    """Write into the log that these requests of one person were found by their address."""
    actor = request.actor  # type: ignore[attr-defined]
    subject = Subject.objects.filter(pk__in={row.subject_id for row in rows if row.subject_id}).first()
    with transaction.atomic():
        about = [subject.handle] if subject else [row.handle for row in rows]
        for handle in about:
            audit.append(Event.SUBJECT_LOOKED_AT, about=handle, actor=actor, purpose=purpose)
