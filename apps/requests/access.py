"""The middle of an access or portability request: collect from every place, side by side; then publish one archive.

Where a place is blocked, or needs a person, the archive of what is there is published and says so; the rest follows as
a further one (DESIGN §6).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from django.conf import settings
from django.db import transaction

from apps.archives import services as archives
from apps.archives.models import Archive, Member
from apps.archives.writer import BatchWriter
from apps.audit.actors import Actor
from apps.locations.contract import Entry, Scope
from apps.locations.errors import Blocked
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.requests import by_hand, claims, closing, letters
from apps.requests.claims import Claim
from apps.requests.disclosure import disclosure, missing_places
from apps.requests.doubting import is_doubted
from apps.requests.models import PrivacyRequest, Step
from apps.requests.vault import scope_of
from apps.requests.who import identity_of
from apps.requests.workers import STOPPING

BEGUN = "publishing"


def collect(claim: Claim) -> None:
    """Write a place's entries into the archive, in batches of at most settings.STEP_BATCH_SECONDS."""
    location = claim.step.location
    if location is None or location.emptied_at is not None:
        return claims.done(claim)
    details = claim.details
    if is_doubted(claim.request, details, [location]):
        raise Blocked(Reason.DOUBTED)
    who, scope = identity_of(claim.request, details), scope_of(details)
    connector = by_hand.connector_of(claim, location)
    archive = building_archive(claim.request, scope)
    ends_at = time.monotonic() + settings.STEP_TURN_SECONDS
    while True:
        entries = iter(connector.export(who, scope, claim.cursor))
        if _write_batch(claim, archive, entries, location):
            return claims.done(claim)
        if STOPPING.is_set():
            with transaction.atomic():
                return claims.again(claim)
        if time.monotonic() >= ends_at:
            return claims.give_turn(claim)


def _write_batch(claim: Claim, archive: Archive, entries: Iterator[Entry], location: Location) -> bool:
    """Write and commit one batch; say whether the place has nothing more."""
    writer = BatchWriter(archive, claim.step.pk, claim.token, folder_of(location))
    ends_at = time.monotonic() + settings.STEP_BATCH_SECONDS
    cursor, count, is_last = claim.cursor, 0, True
    is_kept = False
    try:
        for entry in entries:
            writer.write(entry)
            cursor, count = entry.cursor, count + entry.count
            if writer.is_full or time.monotonic() >= ends_at or STOPPING.is_set():
                is_last = False
                break
        writer.close()
        with claims.progress(claim, cursor, done=count):
            writer.commit()
        is_kept = True
    finally:
        if not is_kept:
            writer.abort()
    return is_last


def folder_of(location: Location) -> str:
    """Return the archive's folder of a place; the conversations stand at its top."""
    if location.kind == "records":
        return ""
    is_own = location.kind in settings.OWN_LOCATIONS
    return f"places/{location.kind if is_own else f'{location.kind}-{location.pk.hex[:8]}'}"


def building_archive(request: PrivacyRequest, scope: Scope) -> Archive:
    """Return the archive that is being written, or begin the first or the next one."""
    return archives.create_archive(
        request_id=request.pk,
        subject_id=request.subject_id,
        handle=request.handle,
        language=request.language,
        formats=list(scope.formats),
    )


def finish(claim: Claim) -> None:
    """Close the archive and publish it, once every place is done, blocked or needs a person."""
    if not claim.cursor:
        if closing.add_missing_steps(claim):
            return
        with claims.progress(claim, BEGUN):  # from here no other step of the request runs until it is published
            pass
    request, steps = claim.request, closing.other_steps(claim)
    archive = building_archive(request, scope_of(claim.details))
    missing = missing_places(steps)
    archives.finish_archive(
        archive,
        step_id=claim.step.pk,
        token=claim.token,
        disclosure=disclosure(request, {folder_of(step.location): step.location for step in steps if step.location}),
        missing=missing,
        reference=request.reference,
    )
    with closing.publishing(claim, steps):
        archives.publish(archive, actor=Actor.system())
        _begin_again(archive)
        archive.refresh_from_db()
        letters.archive_ready(request, claim.vault, archive, missing=len(missing))


def _begin_again(archive: Archive) -> None:
    """Let the steps that were left out because they broke off inside a file begin anew, in the next archive."""
    left_out = Member.objects.filter(archive=archive, is_closed=False).values("step_id")
    Step.objects.filter(pk__in=left_out).exclude(state=Step.State.DONE).update(sealed_cursor=None, done_count=0)
