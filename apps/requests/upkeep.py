"""What time brings: deadlines that come near, archives and links that expire, records whose retention is over.

Every function is safe to repeat and to run twice at once; all run outside transactions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, transaction
from django.db.models import Q
from django.utils import timezone

from apps.archives import services as archives
from apps.archives.models import Archive
from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.errors import AuditError
from apps.audit.events import Event
from apps.keys import services as keys
from apps.keys.errors import KeysError
from apps.locations.errors import LocationError
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.locations.services import check_location
from apps.mail.services import erase_letters
from apps.requests import by_hand, letters, task_letters
from apps.requests.dates import today
from apps.requests.errors import WrongStatus
from apps.requests.models import ENDED, Kind, PrivacyRequest, Status, Step, Task
from apps.requests.reissuing import reissue_receipts
from apps.requests.schedule import ACTIVE
from apps.requests.services.changing import lapse_request
from apps.requests.services.evidence import destroy_decided_evidence
from apps.requests.services.intake import expire_intakes, send_links
from apps.requests.services.lifting import extend_restrictions, lift_due_restrictions, standing_restrictions
from apps.requests.task_files import delete_task_files
from apps.requests.vault import open_vault

log = logging.getLogger(__name__)

ASK_BEFORE = timedelta(days=7)  # the person, whether an erasure may go on without their copy (DESIGN §5)
ALERT_BEFORE = timedelta(days=5)  # staff, that a place does not answer
REMIND_BEFORE = timedelta(days=3)  # whoever does a task by hand
REMIND_AGAIN = timedelta(days=7)
NEW = timedelta(hours=1)  # of a place: from one hourly run to the next
MOST_AT_ONCE = 500


def tidy() -> dict[str, int]:
    """Do the small things that follow from what happened: a worker does it every few seconds."""
    return _do(
        {
            "links sent": send_links,
            "documents destroyed": destroy_decided_evidence,
            "archives discarded": discard_unwanted_archives,
            "own places checked": check_own_places,
            "places told of restrictions": tell_new_places,
        }
    )


def nightly() -> dict[str, int]:
    """Do all that time brings; return how many of each. Runs hourly, so that a missed run is made up for."""
    return tidy() | _do(
        {
            "archives expired": archives.expire_due,
            "segments swept": archives.sweep_segments,
            "intakes expired": expire_intakes,
            "requests lapsed": lapse_unverified,
            "people asked": ask_about_copies,
            "restrictions lifted": lift_due_restrictions,
            "restrictions extended": extend_restrictions,
            "staff alerted": alert_staff,
            "helpers reminded": remind_of_tasks,
            "receipts issued anew": reissue_receipts,
            "records erased": end_retentions,
            "keys swept": lambda: keys.sweep_ownerless_keys().destroyed,
        }
    )


def _do(duties: dict[str, Callable[[], int]]) -> dict[str, int]:
    """Do one duty after the other. One that cannot be done now (a place or the log is away) does not stop the rest."""
    done: dict[str, int] = {}
    for name, duty in duties.items():
        try:
            done[name] = duty()
        except (LocationError, AuditError, KeysError, OperationalError) as error:
            log.warning("%s: %s; tried again", name, type(error).__name__)
    return done


def check_own_places() -> int:
    """Ask our own places how they are, once, soon after they were made: nobody adds them, and so nobody tests them."""
    new = list(Location.objects.filter(kind__in=settings.OWN_LOCATIONS, checked_at__isnull=True))
    for place in new:
        check_location(place, actor=Actor.system())
    return len(new)


def tell_new_places() -> int:
    """Ask what was added just now to heed the restrictions that stand; every hour all of them are gone through."""
    is_new = Location.objects.filter(created_at__gte=timezone.now() - NEW).exists()
    return extend_restrictions() if is_new else 0


def discard_unwanted_archives() -> int:
    """Destroy what was collected for requests that ended before they were answered."""
    ended = PrivacyRequest.objects.filter(status__in=(Status.WITHDRAWN, Status.LAPSED, Status.REFUSED))
    unwanted = Archive.objects.filter(state=Archive.State.BUILDING, request_id__in=ended.values("pk"))
    archive_ids = list(unwanted.values_list("pk", flat=True)[:MOST_AT_ONCE])
    for archive_id in archive_ids:
        archives.discard_archive(archive_id, actor=Actor.system())
    return len(archive_ids)


def lapse_unverified() -> int:
    """Close requests whose identity was not confirmed by the deadline (11 CCR 7021(b); GDPR Article 11(2))."""
    late = PrivacyRequest.objects.filter(status__in=(Status.RECEIVED, Status.VERIFYING), due_on__lt=today())
    lapsed = 0
    for request in late.order_by("due_on")[:MOST_AT_ONCE]:
        try:
            lapse_request(request, actor=Actor.system())
            lapsed += 1
        except WrongStatus:  # confirmed this very moment
            continue
    return lapsed


def ask_about_copies() -> int:
    """Ask people whose erasure waits for their copy, once, seven days before it is due; staff decide then."""
    near = PrivacyRequest.objects.filter(kind=Kind.ERASURE, status__in=ACTIVE, asked_at__isnull=True)
    near = near.filter(due_on__lte=today() + ASK_BEFORE)
    waiting = near.filter(steps__reason=Reason.WAITS_FOR_ARCHIVE, steps__state=Step.State.BLOCKED)
    return sum(_ask(request) for request in waiting.order_by("due_on")[:MOST_AT_ONCE])


def _ask(request: PrivacyRequest) -> int:
    with transaction.atomic():
        unasked = PrivacyRequest.objects.filter(pk=request.pk, asked_at__isnull=True)
        if not unasked.update(asked_at=timezone.now()):
            return 0
        letters.copy_question(request, open_vault(request))
        audit.append(Event.COPY_ASKED, about=request.handle, actor=Actor.system(), due=request.due_on)
    return 1


def alert_staff() -> int:
    """Write to the privacy team, once, when a place does not answer and the request is due in five days."""
    near = PrivacyRequest.objects.filter(status__in=ACTIVE, alerted_at__isnull=True, due_on__lte=today() + ALERT_BEFORE)
    stuck = near.filter(steps__reason=Reason.UNREACHABLE, steps__state=Step.State.BLOCKED).distinct()
    alerted = 0
    for request in stuck.order_by("due_on")[:MOST_AT_ONCE]:
        with transaction.atomic():
            unalerted = PrivacyRequest.objects.filter(pk=request.pk, alerted_at__isnull=True)
            if unalerted.update(alerted_at=timezone.now()):
                letters.staff_alert(request)
                alerted += 1
    return alerted


def remind_of_tasks() -> int:
    """Write to whoever has a task by hand, three days before its day, and weekly from when it has passed."""
    now = timezone.now()
    near = Q(reminded_at__isnull=True, due_on__lte=today() + REMIND_BEFORE)
    late = Q(due_on__lt=today(), reminded_at__lte=now - REMIND_AGAIN)
    tasks = Task.objects.filter(near | late, confirmed_at__isnull=True, request__status__in=ACTIVE)
    return sum(
        _remind(task) for task in tasks.select_related("step__location", "request").order_by("due_on")[:MOST_AT_ONCE]
    )


def _remind(task: Task) -> int:
    location = task.step.location
    if location is None:
        return 0
    assignment = by_hand.assignment_of(location)
    with transaction.atomic():
        unchanged = Task.objects.filter(pk=task.pk, reminded_at=task.reminded_at, confirmed_at__isnull=True)
        if not unchanged.update(reminded_at=timezone.now()):
            return 0
        task_letters.task_reminder(task, assignment, place=location, is_late=task.due_on < today())
    return 1


def end_retentions() -> int:
    """Destroy the keys of requests whose record need not be kept any longer, and empty their rows.

    A restriction's is kept while it stands: the person is told before it is lifted.
    """
    over = PrivacyRequest.objects.filter(status__in=ENDED, retain_until__lt=today(), key_id__isnull=False)
    over = over.exclude(pk__in=standing_restrictions().values("pk"))
    return sum(_end_retention(request) for request in over.order_by("retain_until")[:MOST_AT_ONCE])


def _end_retention(request: PrivacyRequest) -> int:
    if request.key_id is None:
        return 0
    keys.erase_keys([request.key_id], about=request.handle, actor=Actor.system(), reason="expired")
    erase_letters([request.pk])
    return empty_record(request)


def empty_record(request: PrivacyRequest) -> int:
    """Empty the row of a request whose key is destroyed; a repeat returns 0."""
    tasks = list(request.tasks.all())
    erase_letters([task.pk for task in tasks])
    for task in tasks:
        delete_task_files(task)
    with transaction.atomic():
        changed = PrivacyRequest.objects.filter(pk=request.pk, key_id=request.key_id).update(
            key_id=None, sealed=None, code_hash=b"", subject_id=None, email_index=None, assigned_to=None
        )
        if changed:
            _empty(request.pk)
            audit.append(Event.REQUEST_RETENTION_ENDED, about=request.handle, actor=Actor.system())
    return changed


def _empty(request_id: UUID) -> None:
    """Delete what was sealed beside the request; its dates and outcome stay for the statistics (11 CCR 7102)."""
    request = PrivacyRequest.objects.get(pk=request_id)
    request.messages.all().delete()
    request.receipts.all().delete()
    request.evidence.filter(destroyed_at__isnull=False).delete()
    request.approvals.update(officer=None)
    request.tasks.all().delete()
    request.steps.update(sealed_cursor=None, sealed_kept=None)
