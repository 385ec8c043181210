"""The middle of an erasure: freeze and copy, destroy the keys, purge every place. The second look: second_look.py.

Until the intent to destroy the keys is in the log everything can be taken back. From there it only goes forward: the
intent is the tombstone (DESIGN §3), and a repeat of anything below finds it done.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.archives import services as archives
from apps.archives.selectors import open_archives
from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.keys import services as keys
from apps.keys.intents import MOST_KEYS, named_keys
from apps.keys.selectors import key_state
from apps.keys.services import Destruction
from apps.locations.contract import Scope
from apps.locations.errors import Blocked
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.records import subjects, suppression
from apps.records.models import Subject
from apps.records.services import standing_holds
from apps.records.services.erasing import replace_kept_key, subject_keys
from apps.requests import by_hand, claims, closing
from apps.requests.claims import Claim, Obstacle
from apps.requests.doubting import is_doubted
from apps.requests.models import COPIES, ENDED, Evidence, PrivacyRequest, Status, Step
from apps.requests.vault import details_of, seal_details
from apps.requests.who import copy_of, identity_now, identity_of
from apps.requests.workers import STOPPING

ASK_ARCHIVE_AGAIN = timedelta(seconds=20)
ASK_HOLD_AGAIN = timedelta(hours=1)
EVERYTHING = Scope()


def before_prepare(request: PrivacyRequest, step: Step) -> Obstacle | None:
    """Hold > restriction > erasure; and the person's own copy comes first, unless they have waived it (DESIGN §5)."""
    held = hold_on(request) or restriction_on(request)
    if held is not None:
        return held
    if not request.waives_archive_first and open_copies(request).exists():
        return Obstacle(Reason.WAITS_FOR_ARCHIVE, pause=ASK_ARCHIVE_AGAIN)
    return None


def before_destroy(request: PrivacyRequest, step: Step) -> Obstacle | None:
    """A hold is looked for in the transaction that claims the destruction; one that comes later comes too late."""
    return None if step.intent_entry is not None else hold_on(request) or restriction_on(request)


def hold_on(request: PrivacyRequest) -> Obstacle | None:
    """Return the hold that keeps everything of the person. One on a single conversation keeps that one alone."""
    if request.subject_id is None:
        return None
    holds = standing_holds(request.subject_id).filter(conversation__isnull=True)
    until = holds.order_by("-until").values_list("until", flat=True).first()
    return None if until is None else Obstacle(Reason.LEGAL_HOLD, until=until, pause=ASK_HOLD_AGAIN)


def restriction_on(request: PrivacyRequest) -> Obstacle | None:
    """Return the restriction that keeps the person's data as it is until it is lifted (GDPR Article 18(2))."""
    if request.subject_id is None:
        return None
    restricted = Subject.objects.filter(pk=request.subject_id, restricted_at__isnull=False)
    return Obstacle(Reason.RESTRICTED, pause=ASK_HOLD_AGAIN) if restricted.exists() else None


def open_copies(request: PrivacyRequest) -> QuerySet[PrivacyRequest]:
    """Return the copies that the person still waits for: being made, wholly or in part, or there and not fetched whole.

    A place may not answer for long: seven days before the erasure is due the person is asked, and staff decide.
    """
    others = PrivacyRequest.objects.filter(subject_id=request.subject_id, kind__in=COPIES).exclude(pk=request.pk)
    if request.subject_id is None:
        return others.none()
    unserved = open_archives(request.subject_id).filter(served_at__isnull=True)
    is_there = Q(status=Status.COMPLETED, pk__in=unserved.values("request_id"))
    return others.filter(is_there | ~Q(status__in=ENDED)).order_by("received_at")


def prepare(claim: Claim) -> None:
    """Stop every writing of content, then copy what later steps need under the request key."""
    request = claim.request
    if is_doubted(request, claim.details, Location.objects.that_ever_held_data()):
        raise Blocked(Reason.DOUBTED)  # the copy below is what every place is asked by until the end
    copied: dict[str, Any] = {}
    if request.subject_id is not None:
        subjects.freeze_subject(request.subject_id)
        copied["key"] = str(Subject.objects.values_list("key_id", flat=True).get(pk=request.subject_id))
    copied["identities"] = copy_of(identity_now(request, claim.details))
    with transaction.atomic():
        claims.conclude(claim)
        locked = PrivacyRequest.objects.select_for_update().get(pk=request.pk)
        details = details_of(locked, claim.vault) | copied  # staff may have noted something meanwhile
        PrivacyRequest.objects.filter(pk=request.pk).update(sealed=seal_details(request, details, claim.vault))


def destroy(claim: Claim) -> None:
    """Destroy the person's keys: the intent is signed first, then all of them go in one transaction."""
    intent = _intent(claim)
    if intent is None:  # nobody we know: there is no key
        return _mark_destroyed(claim, timezone.now())
    audit.wait_until_signed(intent)
    result = keys.destroy_keys(named_keys(intent), intent=intent)
    destroyed_at = result.destroyed_at
    rest = set(keys_of_person(claim.request)) - named_keys(intent)
    if rest:  # more than one intent may name: where a hold keeps the subject key, every other key goes by itself
        more = keys.erase_keys(list(rest), about=claim.request.handle, actor=Actor.system())
        destroyed_at = max(destroyed_at, more.destroyed_at)
    kept = replace_kept_key(claim.request.subject_id) if claim.request.subject_id else None
    if kept is not None:  # under a hold: until here an old backup and the person's key opened what was erased
        destroyed_at = max(destroyed_at, kept.destroyed_at)
    return _mark_destroyed(claim, destroyed_at, intent=intent, result=result)


def _intent(claim: Claim) -> Entry | None:
    """Return the entry that announces the destruction; write it the first time. From its commit there is no way back."""
    if claim.step.intent_entry is not None:
        return Entry.objects.get(pk=claim.step.intent_entry)
    with transaction.atomic():
        claims.lock(claim.request)
        ids = keys_of_person(claim.request)
        if not ids:
            return None
        if claim.request.subject_id is not None:  # another erasure of theirs, called off meanwhile, lets writing go on
            subjects.freeze_subject(claim.request.subject_id)
        entry = keys.intend_destruction(ids[:MOST_KEYS], about=claim.request.handle, actor=Actor.system())
        claims.note_intent(claim, entry.pk)
        end_other_requests(claim.request)
    return entry


def keys_of_person(request: PrivacyRequest) -> list[UUID]:
    """Return the subject key first (or, under a hold, all that it need not open), then archives and documents."""
    subject = Subject.objects.filter(pk=request.subject_id).first() if request.subject_id else None
    if subject is None:
        return []
    documents = Evidence.objects.filter(request__subject_id=subject.pk, destroyed_at__isnull=True)
    return [
        *subject_keys(subject),
        *archives.archive_key_ids(subject.pk),
        *documents.values_list("key_id", flat=True),
    ]


def end_other_requests(request: PrivacyRequest) -> None:
    """Let the person's other open requests lapse: after the keys are gone nobody can answer them."""
    others = PrivacyRequest.objects.select_for_update().filter(subject_id=request.subject_id).exclude(pk=request.pk)
    for other in others.exclude(status__in=ENDED):
        closing.mark_ended(other, Status.LAPSED)
        audit.append(Event.REQUEST_LAPSED, about=other.handle, actor=Actor.system())


def _mark_destroyed(
    claim: Claim, destroyed_at: datetime, *, intent: Entry | None = None, result: Destruction | None = None
) -> None:
    """Write T0: the tombstone, and the longest unit of work that may still have held the key (DESIGN §2)."""
    with transaction.atomic():
        claims.conclude(claim)
        _note_kept_key(claim)
        PrivacyRequest.objects.filter(pk=claim.request.pk).update(
            is_destroyed=True, unreadable_at=unreadable_from(destroyed_at)
        )
        if intent is not None and result is not None:
            keys.record_destruction(intent, result, actor=Actor.system())
            gone = Evidence.objects.filter(key_id__in=named_keys(intent), destroyed_at__isnull=True)
            gone.update(destroyed_at=destroyed_at)
            if UUID(claim.details["key"]) in named_keys(intent):  # the whole person, no hold
                suppression.suppress(identity_of(claim.request, claim.details).values)


def _note_kept_key(claim: Claim) -> None:
    """Where a hold keeps something, remember the key that opens it now: its end is the end of all (note_late_destruction)."""
    request, details = claim.request, claim.details
    if request.subject_id is None:
        return
    kept = Subject.objects.filter(pk=request.subject_id).values_list("key_id", flat=True).first()
    if kept is not None and details.get("key") not in (None, str(kept)):
        details["key"] = str(kept)
        PrivacyRequest.objects.filter(pk=request.pk).update(sealed=seal_details(request, details, claim.vault))


def unreadable_from(destroyed_at: datetime) -> datetime:
    return destroyed_at + timedelta(seconds=settings.STEP_BATCH_SECONDS)


def note_late_destruction(claim: Claim) -> None:
    """Where a hold kept the subject key at first, T0 is when that one went, after the hold."""
    key_id = claim.details.get("key")
    state = key_state(UUID(key_id)) if key_id else None
    if state is not None and state.destroyed_at is not None:
        unreadable_at = unreadable_from(state.destroyed_at)
        late = PrivacyRequest.objects.filter(pk=claim.request.pk, unreadable_at__lt=unreadable_at)
        late.update(unreadable_at=unreadable_at)


def purge(claim: Claim) -> None:
    """Erase in one place, after the intent to do so is signed. Safe to repeat: a repeat erases 0."""
    location = claim.step.location
    if location is None or location.emptied_at is not None:
        return claims.done(claim)
    _sign_intent_to_purge(claim)
    who = identity_of(claim.request, claim.details)
    ends_at = time.monotonic() + settings.STEP_TURN_SECONDS
    for progress in by_hand.connector_of(claim, location).erase(who, EVERYTHING, claim.cursor):
        with claims.progress(claim, progress.cursor, done=progress.erased, counts=progress.counts, kept=progress.kept):
            pass
        if STOPPING.is_set():
            with transaction.atomic():
                return claims.again(claim)
        if time.monotonic() >= ends_at:
            return claims.give_turn(claim)
    return claims.done(claim)


def _sign_intent_to_purge(claim: Claim) -> None:
    if claim.step.intent_entry is not None:
        return audit.wait_until_signed(Entry.objects.get(pk=claim.step.intent_entry))
    with transaction.atomic():
        claims.lock(claim.request)
        entry = audit.append(
            Event.STEP_INTENDED,
            about=claim.request.handle,
            actor=Actor.system(),
            step=claim.step.pk,
            phase=claim.step.phase,
            location=claim.step.location_id,
        )
        claims.note_intent(claim, entry.pk)
    return audit.wait_until_signed(entry)
