"""Bringing conversations back from sealed copies. A copy is not a backup of the keys: without its key it stays shut.

The place itself is asked what is there, so that it works when the rows that named the copies are lost as well.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import islice
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed, KeysError, MasterKeyUnreachable
from apps.keys.selectors import are_below_another, live_keys_owned_by
from apps.locations.errors import LocationError
from apps.locations.stores import Missing, Store
from apps.records import contexts, objects
from apps.records.copies.adopting import adopt
from apps.records.copies.frames import read_conversation
from apps.records.copies.naming import Name, of_person, parse_name
from apps.records.copies.running import reason_of
from apps.records.copies.writing import store_of_policy
from apps.records.errors import Contention, DamagedCopy, LostClaim, RecordsError
from apps.records.models import Conversation, Copy, CopyPolicy, CopyRun, Subject
from apps.records.reports import ImportReport
from apps.records.services.storing import AsItWas, store_conversations
from apps.sealing.errors import DecryptionError
from apps.sealing.streams import unseal_stream

LEASE = timedelta(minutes=60)  # longer than a task may take, which may be one large conversation
NAMES_A_QUERY = 400
DESTROYED = "its key was destroyed"


@dataclass
class Restored:
    """How many came back, were whole already, or could not: each of these with its reason."""

    conversations: int = 0
    messages: int = 0
    attachments: int = 0
    already_held: int = 0
    failed: list[tuple[Name, str]] = field(default_factory=list)
    shut: int = 0  # of those: their keys are gone, as what was erased has it
    later: int = 0  # of those: not just now, so that a repeat may bring them back


def restore(
    policy: CopyPolicy,
    *,
    actor: Actor,
    subject_id: UUID | None = None,
    conversation_id: UUID | None = None,
    still_ours: Callable[[Restored], None] = lambda _so_far: None,
) -> Restored:
    """Restore everything, a person's conversations, or one. What is held is not written again. Raises LocationError.

    `still_ours` is asked before each copy, with how far it is, and may raise LostClaim.
    """
    store, result = store_of_policy(policy), Restored()
    beginning = of_person(policy.pk, subject_id) if subject_id else f"{policy.pk}/"
    for name in copies_there(store, beginning):
        still_ours(result)
        if conversation_id in (None, name.conversation_id):
            restore_one(store, name, result, actor)
    append_entry(policy, counts_of(result), actor)
    return result


def run_restore(policy_id: UUID, *, actor: Actor, subject_id: UUID | None = None) -> CopyRun | None:
    """Restore as a run that the page shows; None if another worker restores from this rule now."""
    policy = CopyPolicy.objects.select_related("destination").get(pk=policy_id)
    run = begin_run(policy)
    if run is None:
        return None
    try:
        still_ours = partial(_hold, run)
        result = restore(policy, actor=actor, subject_id=subject_id, still_ours=still_ours)
    except LostClaim:
        return None
    except LocationError as error:
        run.state, run.reason = CopyRun.State.FAILED, reason_of(error)
    else:
        run.state, run.counts = CopyRun.State.DONE, shown(counts_of(result))
    run.finished_at, run.lease_until = timezone.now(), None
    run.save()
    return run


def restore_commands() -> list[str]:
    """Return the command line for every rule whose sealed copies may bring something back, as a shell takes it."""
    names = sealed_rules().order_by("location__name").values_list("location__name", flat=True)
    return [f"manage.py restore_copies {shlex.quote(name)}" for name in names]


def sealed_rules() -> QuerySet[CopyPolicy]:
    """Return the rules whose places may hold sealed copies, stopped ones too."""
    return CopyPolicy.objects.filter(form=CopyPolicy.Form.SEALED, location__emptied_at__isnull=True)


def is_restoring(policy: CopyPolicy) -> bool:
    return _running(policy).filter(lease_until__gt=timezone.now()).exists()


def _running(policy: CopyPolicy) -> QuerySet[CopyRun]:
    return CopyRun.objects.filter(policy=policy, kind=CopyRun.Kind.RESTORE, state=CopyRun.State.RUNNING)


def begin_run(policy: CopyPolicy, *, going_on: UUID | None = None) -> CopyRun | None:
    """Begin a run, or take up the open one that is named, unless one is under way; others left open are closed as failed."""
    with transaction.atomic():
        CopyPolicy.objects.select_for_update().get(pk=policy.pk)
        if is_restoring(policy):
            return None
        others = _running(policy).exclude(pk=going_on) if going_on else _running(policy)
        others.update(state=CopyRun.State.FAILED, finished_at=timezone.now(), lease_until=None)
        run = _running(policy).first() or CopyRun(policy=policy, kind=CopyRun.Kind.RESTORE)
        run.lease_until = timezone.now() + LEASE
        run.save()
        return run


def hold_run(run: CopyRun, counts: dict[str, int]) -> None:
    """Keep the claim, and show how far it is; raises LostClaim."""
    mine = CopyRun.objects.filter(pk=run.pk, state=CopyRun.State.RUNNING, lease_until=run.lease_until)
    until = timezone.now() + LEASE
    if not mine.update(lease_until=until, counts=shown(counts)):
        raise LostClaim
    run.lease_until = until


def _hold(run: CopyRun, so_far: Restored) -> None:
    hold_run(run, counts_of(so_far))


def counts_of(result: Restored) -> dict[str, int]:
    return {
        "restored": result.conversations,
        "messages": result.messages,
        "attachments": result.attachments,
        "already_held": result.already_held,
        "failed": len(result.failed) - result.shut,
        "shut": result.shut,
        "later": result.later,  # among the failed; for whoever decides whether it is run again
    }


def shown(counts: dict[str, int]) -> dict[str, int]:
    return {name: counts[name] for name in ("restored", "already_held", "failed", "shut", "later")}


def append_entry(policy: CopyPolicy, counts: dict[str, int], actor: Actor) -> None:
    with transaction.atomic():
        audit.append(
            Event.COPIES_RESTORED,
            about="",
            actor=actor,
            location=policy.location_id,
            conversations=counts["restored"],
            messages=counts["messages"],
            attachments=counts["attachments"],
            already_held=counts["already_held"],
            failed=counts["failed"] + counts["shut"],
        )


def copies_there(store: Store, beginning: str, *, after: str = "", only_unknown: bool = False) -> Iterator[Name]:
    """Yield the sealed copies that the place holds, in its order, but those that are about to be deleted.

    `after`: the name from which it goes on. `only_unknown`: those that no row names.
    """
    found = (parse_name(one.name) for one in store.find(beginning, after) if one.is_current)
    sealed = (name for name in found if name is not None and name.form == CopyPolicy.Form.SEALED)
    while batch := list(islice(sealed, NAMES_A_QUERY)):
        known = Copy.objects.filter(pk__in=[name.copy_id for name in batch])
        left_out = set((known if only_unknown else known.filter(doomed_at__isnull=False)).values_list("pk", flat=True))
        yield from (name for name in batch if name.copy_id not in left_out)


def restore_one(store: Store, name: Name, result: Restored, actor: Actor) -> None:
    """Bring back what is in one copy, and count it. Raises LocationError when the place fails."""
    subject = Subject.objects.filter(pk=name.subject_id).first()
    if subject is None:
        result.failed.append((name, "the person is not known here"))
        return
    key_ids = _keys_of(name)
    if not key_ids:
        result.failed.append((name, "its key is not there: it was erased, or the keys are lost"))
        result.shut += 1
        return
    if are_below_another(key_ids, subject.pk):  # whoever can write to the place can rename what lies there
        result.failed.append((name, "it is somebody else's: its name in the place was changed"))
        return
    reason = "it does not open"
    for key_id in key_ids:
        try:
            parsed = read_conversation(_opened(store, name, key_id))
            report = store_conversations(
                subject, [parsed], actor=actor, source=parsed.source, as_it_was=_as_it_was(name, key_id)
            )
            if not report.skipped_count:
                adopt(store, name, key_id, subject, parsed.external_id)
        except (DecryptionError, DamagedCopy):
            continue  # another key of this conversation may be the one
        except Missing:
            reason = "it is not there any more"
        except KeyDestroyed:
            reason = DESTROYED
        except (MasterKeyUnreachable, Contention) as error:
            reason = f"not just now, so run it again: {type(error).__name__}"
            result.later += 1
            break
        except KeysError as error:
            reason = f"its key cannot be opened now: {type(error).__name__}"
        except RecordsError as error:
            reason = f"it may not be written: {type(error).__name__}"
        else:
            _add(result, name, report)
            return
    result.failed.append((name, reason))
    result.shut += reason == DESTROYED


def _as_it_was(name: Name, key_id: UUID) -> AsItWas | None:
    """Return the id and key of a conversation that is lost here, so that erasing it takes its copies along once more."""
    if Conversation.objects.filter(Q(pk=name.conversation_id) | Q(key_id=key_id)).exists():
        return None
    return AsItWas(name.conversation_id, keys.NewKey(key_id, keys.open_key(key_id)))


def _opened(store: Store, name: Name, key_id: UUID) -> Callable[[], Iterator[bytes]]:
    context = contexts.copy(key_id, name.conversation_id, name.copy_id)

    def plain() -> Iterator[bytes]:
        return unseal_stream(keys.open_key(key_id), objects.watched(store.get(str(name)), key_id), context=context)

    return plain


def _keys_of(name: Name) -> list[UUID]:
    """Return the keys that may open a copy: by its row, by the conversation's, or those made for this conversation."""
    known = Copy.objects.filter(pk=name.copy_id).values_list("key_id", flat=True)
    present = Conversation.objects.filter(pk=name.conversation_id).values_list("key_id", flat=True)
    owned = live_keys_owned_by([name.conversation_id], kind=keys.KeyKind.CONVERSATION)
    return list(dict.fromkeys([*known, *present, *owned]))


def _add(result: Restored, name: Name, report: ImportReport) -> None:
    result.conversations += report.conversations
    result.messages += report.messages
    result.attachments += report.attachments
    result.already_held += report.already_held
    if report.skipped_count:
        result.failed.append((name, "a file of it could not be stored"))
