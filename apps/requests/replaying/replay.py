"""The replay itself: log → keys → replacements → rows and objects → proof → the site opens. Safe to repeat after a crash.

Until the last step the site stands in quarantine, and nobody but this can open a key, sign or erase.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from apps.audit import quarantine, recovering
from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.errors import LogDiverged
from apps.audit.quarantine import Reason
from apps.audit.recognising import check_log
from apps.audit.sequencer import log_size
from apps.keys import services as keys
from apps.keys.kinds import KeyKind
from apps.keys.services.replaying import (
    Returned,
    bury_erased,
    bury_returned,
    note_restored,
    returned_keys,
    unburied_keys,
)
from apps.records.copies.returning import bring_back_everything
from apps.records.errors import RecordsError
from apps.records.indexing.rotating import replace_lost_keys
from apps.records.models import Conversation, Subject
from apps.records.services import repeat_removal
from apps.requests.replaying.erasing import Erased, repeat_erasures
from apps.requests.replaying.lost import Loss, count_lost, standings

PUT_TILES_BACK = (
    "Put the folder of tiles back from its backup and run this again. If there is none, two administrators accept the gap on "
    "the site's page, each with their own sign-in; then a new log begins that names this one, and this command goes on."
)


class CannotReplay(Exception):
    """The site stays in quarantine. The message says why, and what a person has to do."""


@dataclass(frozen=True)
class Replayed:
    """What was put back, destroyed and erased once more."""

    entries: int
    keys: int  # destroyed once more
    replaced: int
    erased: Erased
    loss: Loss
    entries_lost: int  # of blind indexes that only a key opened which is gone


def replay_tombstones(*, actor: Actor, accept_loss: bool = False) -> Replayed:
    """Repeat every erasure since the backup, prove that nothing erased opens, and open the site.

    On a site that does not stand in quarantine it finds nothing to do and changes nothing. `accept_loss`: go on although
    some keys are lost for good; what they opened is taken away. Raises CannotReplay: then the site stays closed.
    """
    with quarantine.replaying():
        entries = _put_back_log()
        _check_installation()
        buried = bury_erased()
        entries_lost = replace_lost_keys(actor=actor)
        loss = _judge_loss(accept_loss=accept_loss)
        erased = repeat_erasures(_people_of(loss))
        replaced = _replace_again(actor)
        again = repeat_erasures()  # what a replacement has left behind
        erased.conversations += again.conversations
        entries_lost += replace_lost_keys(actor=actor)  # what had to be erased first
        _prove()
        note_restored()
        _open(actor, entries, buried, erased, loss)
    return Replayed(entries, buried, replaced, erased, loss, entries_lost)


def _put_back_log() -> int:
    try:
        entries = recovering.put_back_entries()
    except LogDiverged as error:
        quarantine.note_gap(True)
        raise CannotReplay(f"The log cannot be put back from its published tiles: {error}. {PUT_TILES_BACK}") from None
    why = check_log()
    if not why and keys.installation().log_size > log_size():
        why = Reason.LOG_BEHIND  # by what the keys database has seen of it
    if why:
        quarantine.note_gap(True)
        raise CannotReplay(f"{Reason(why).label} Its tiles are not all there (TILES_DIR). {PUT_TILES_BACK}")
    quarantine.note_gap(False)
    return entries


def _check_installation() -> None:
    ours, records = keys.installation().pk, quarantine.state().installation
    if records is not None and records != ours:
        raise CannotReplay(
            f"{Reason.OTHER_INSTALLATION.label} The keys are of {ours}, the records of {records}: look at "
            "KEYS_DATABASE_URL, or read the newest backup of keys in (restore_keys)."
        )


def _judge_loss(*, accept_loss: bool) -> Loss:
    """Refuse to go on without a person's word where something is lost; with it, make tombstones of the missing keys."""
    loss = count_lost()
    if loss.keys and not accept_loss:
        raise CannotReplay(
            f"Lost with keys that this database does not have: {loss.in_words()}. Read a newer backup of keys in "
            "(restore_keys), or run this again with --accept-loss: then what nobody can read any more is taken away."
        )
    if loss.keys:
        keys.declare_lost(loss.keys, actor=Actor.system())
    return loss


def _people_of(loss: Loss) -> list[UUID]:
    """Return whose key is lost: nobody has erased them, so they keep their sign-in and their requests."""
    return list(Subject.objects.filter(key_id__in=loss.keys).values_list("pk", flat=True))


def _replace_again(actor: Actor) -> int:
    """Repeat each replacement whose old key is back: what stays is sealed anew, the named rows go, then the key."""
    returned = returned_keys()
    for one in returned:
        try:
            _replace_one(one, actor)
        except RecordsError as error:
            raise CannotReplay(f"Key {one.key_id} cannot be replaced again: {type(error).__name__}.") from None
    return len(returned)


def _replace_one(one: Returned, actor: Actor) -> None:
    if one.kind == KeyKind.CONVERSATION:
        conversation = Conversation.objects.filter(key_id=one.key_id).select_related("subject").first()
        if conversation is not None:
            repeat_removal(conversation, one.removed, actor=actor)
    elif Subject.objects.filter(pk=one.owner, key_id=one.key_id).exists():
        keys.replace_key(one.key_id, actor=actor, removed=one.removed, even_if_frozen=True)
    bury_returned(one)  # where no row names it


def _prove() -> None:
    """Look at everything again: nothing that is held names a destroyed key, and every key that is held opens."""
    for column, standing in standings():
        if standing.destroyed or standing.lost:
            raise CannotReplay(
                f"Rows of {column} still name {len(standing.destroyed)} destroyed and {len(standing.lost)} lost keys."
            )
    left = unburied_keys()
    if left:
        raise CannotReplay(f"{left} keys live that the log says are destroyed.")
    damaged = next(keys.damaged_keys(), None)
    if damaged is not None:
        raise CannotReplay(f"Key {damaged} does not open: look whether every master key is in its place.")


def _open(actor: Actor, entries: int, buried: int, erased: Erased, loss: Loss) -> None:
    with transaction.atomic():
        quarantine.lift(
            actor=actor,
            entries=entries,
            people=erased.people,
            conversations=erased.conversations,
            keys=buried,
            lost=loss.conversations + erased.lost_conversations,
        )
        bring_back_everything()
    audit.sequence()
    why = quarantine.found()
    if why:
        quarantine.enter(why)
        raise CannotReplay(f"The site does not recognise itself yet: {Reason(why).label}")
