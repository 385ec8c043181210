"""Every erasure of the inventory, once more, for the rows that a restore has brought back: their keys are tombstones."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from apps.archives import services as archives
from apps.archives.models import Archive
from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.keys import services as keys
from apps.keys.intents import intended_keys
from apps.keys.kinds import KeyKind
from apps.keys.services.replaying import living_key_of
from apps.locations.contract import Identity, Scope
from apps.mail.models import Letter
from apps.mail.services import erase_letters
from apps.records.models import Conversation, Copy, Import, Subject
from apps.records.services import freeze_subject
from apps.records.services.replaying import adopt_key, drop_conversations, end_imports, lift_all_holds
from apps.requests import closing
from apps.requests.models import ENDED, Evidence, Intake, PrivacyRequest, Status
from apps.requests.replaying.lost import standing_of_column
from apps.requests.services.evidence import destroy_documents
from apps.requests.upkeep import empty_record

SYSTEM = Actor.system()
EVERYTHING = Scope()


@dataclass
class Erased:
    """What was erased once more, and what was lost with the older keys that opened it."""

    people: int = 0
    conversations: int = 0
    uploads: int = 0
    archives: int = 0
    documents: int = 0
    requests: int = 0
    letters: int = 0
    lost_conversations: int = 0  # in a backup under a key that a correction or removal has replaced since
    lost_identities: int = 0


def repeat_erasures(lost_people: Collection[UUID] = ()) -> Erased:
    """Erase all that hangs on tombstones. `lost_people`: whose key is lost, not erased; they keep their sign-in."""
    done = Erased()
    for subject in Subject.objects.filter(key_id__in=_destroyed("records.Subject.key_id")):
        living = living_key_of(subject.pk, KeyKind.SUBJECT)
        if living is not None:
            done.lost_identities += adopt_key(subject, living)
        else:
            _erase_person(subject, with_account=subject.pk not in lost_people)
            done.people += 1
    _drop_conversations(done)
    uploads = Import.objects.filter(key_id__in=_destroyed("records.Import.key_id"))
    done.uploads = end_imports(uploads.values_list("pk", flat=True))
    gone = Copy.objects.filter(key_id__in=_destroyed("records.Copy.key_id"), doomed_at__isnull=True)
    gone.update(doomed_at=timezone.now())  # the next run of their policy deletes them in their place
    done.archives = _end_archives()
    done.documents = _destroy_documents()
    done.letters = _erase_letters()
    done.requests = _empty_requests()
    return done


def _destroyed(column: str) -> set[UUID]:
    return standing_of_column(column).destroyed


def _erase_person(subject: Subject, *, with_account: bool) -> None:
    """Run what an erasure runs in every place of our own."""
    freeze_subject(subject.pk)
    lift_all_holds(subject.pk)
    who = Identity(subject.pk, subject.account_id, None)
    for kind in settings.OWN_LOCATIONS:
        if with_account or kind != "account":
            for _progress in import_string(settings.CONNECTORS[kind])({}).erase(who, EVERYTHING, ""):
                pass


def _drop_conversations(done: Erased) -> None:
    replaced = {one.key_id for one in intended_keys() if one.is_replaced}
    rows = Conversation.objects.filter(key_id__in=_destroyed("records.Conversation.key_id"))
    named = dict(rows.values_list("pk", "key_id"))
    done.lost_conversations = sum(1 for key_id in named.values() if key_id in replaced)
    done.conversations = drop_conversations(list(named)) - done.lost_conversations


def _end_archives() -> int:
    ended = Archive.objects.filter(key_id__in=_destroyed("archives.Archive.key_id"))
    for archive_id, state in list(ended.values_list("pk", "state")):
        is_building = state in (Archive.State.BUILDING, Archive.State.DISCARDED)
        (archives.discard_archive if is_building else archives.expire_archive)(archive_id, actor=SYSTEM)
    return ended.count()


def _destroy_documents() -> int:
    gone = Evidence.objects.filter(key_id__in=_destroyed("requests.Evidence.key_id"))
    ids = list(gone.values_list("pk", flat=True))
    gone.filter(destroyed_at__isnull=True).update(destroyed_at=timezone.now())
    destroy_documents(Evidence.objects.filter(pk__in=ids).select_related("request"))
    return len(ids)


def _erase_letters() -> int:
    letters = Letter.objects.filter(key_id__in=_destroyed("mail.Letter.key_id"))
    owners = [owner for owner in letters.values_list("owner", flat=True) if owner]
    return erase_letters(owners) + letters.delete()[0]


def _empty_requests() -> int:
    """End requests and intakes whose keys are gone; nobody could read or answer them."""
    count = 0
    for request in PrivacyRequest.objects.filter(key_id__in=_destroyed("requests.PrivacyRequest.key_id")):
        with transaction.atomic():
            if request.status not in ENDED:
                closing.mark_ended(request, Status.LAPSED)
                audit.append(Event.REQUEST_LAPSED, about=request.handle, actor=SYSTEM)
        erase_letters([request.pk])
        count += empty_record(request)
    intakes = list(Intake.objects.filter(key_id__in=_destroyed("requests.Intake.key_id")))
    for intake in intakes:
        erase_letters([intake.pk])
        intake.delete()
    return count + len(intakes)


def declare_lost(key_ids: Collection[UUID]) -> None:
    """Make tombstones of keys that are lost, by signed intent: what they opened can then be taken away like the rest."""
    keys.declare_lost(list(key_ids), actor=SYSTEM)
