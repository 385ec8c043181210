"""Correcting what is held of a person at their request: words of their messages, and what they are known by.

The words are found by what stands there, not by an id: a corrected conversation has another id, so only this can be
repeated after a crash. A repeat finds nothing and changes 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from django.utils import timezone

from apps.audit.actors import Actor
from apps.keys import services as keys
from apps.locations import contract
from apps.records import changes as rewriting
from apps.records.errors import ConversationsHeld, IdentityTaken, NotCorrectable, SubjectNotFound, SubjectRestricted
from apps.records.importers.display import REMOVED_AT, text_of
from apps.records.importers.types import Node
from apps.records.models import Conversation, Identity, Subject
from apps.records.opening import open_nodes
from apps.records.services.rewriting import rewrite_conversation
from apps.records.subjects import add_identity, find_by_identity, held_identity, remove_identity
from apps.sealing.aead import Box

MESSAGE = "message"  # the field that means: words in a message
EMAIL = "email"  # not corrected here: whoever proves an address is given what its person has
SHORTEST_WORDS = 3  # characters; fewer are found everywhere
SHORTEST_REMOVED = 12  # a message that is to go is named by more of its words
POSITIONS_AT_ONCE = 500
CONVERSATIONS_A_QUERY = 200


def rectify_subject(subject_id: UUID, changes: Sequence[contract.Change], *, actor: Actor) -> int:
    """Carry the corrections out; return how many messages and identities changed. Outside transactions.

    `field` is MESSAGE or a kind of identity, and `before` always needed. In the person's own words `before` becomes
    `value`; without a value each message with these words is removed, whoever wrote it. Raises SubjectNotFound,
    SubjectRestricted or NotCorrectable (before anything is changed), IdentityTaken, and what `rewrite_conversation` raises; a conversation that
    is held does not keep the others from being corrected.
    """
    subject = Subject.objects.filter(pk=subject_id).first()
    if subject is None:
        raise SubjectNotFound
    words = [change for change in changes if change.field == MESSAGE]
    known_by = [change for change in changes if change.field != MESSAGE]
    _check(subject, words, known_by)
    changed = sum(_correct_identity(subject, change, actor) for change in known_by)
    return changed + (_correct_messages(subject, words, actor) if words else 0)


def _check(subject: Subject, words: Sequence[contract.Change], known_by: Sequence[contract.Change]) -> None:
    """Refuse what cannot be carried out before anything is changed."""
    if subject.restricted_at is not None:
        raise SubjectRestricted
    for change in words:
        shortest = SHORTEST_REMOVED if change.value is None else SHORTEST_WORDS
        if len((change.before or "").strip()) < shortest:
            raise NotCorrectable
    kinds = set(Identity.objects.filter(subject=subject).values_list("kind", flat=True))
    for change in known_by:
        if change.field == EMAIL or change.field not in kinds or not change.before:
            raise NotCorrectable
        owners = find_by_identity(change.field, change.value) if change.value else []
        if change.field in Identity.UNIQUE_KINDS and any(owner.pk != subject.pk for owner in owners):
            raise IdentityTaken


def _correct_identity(subject: Subject, change: contract.Change, actor: Actor) -> int:
    """Add what is right, then remove what is wrong: cut off between the two, a repeat removes it."""
    held = held_identity(subject, change.field, change.before or "")
    if held is None:
        return 0
    if change.value:
        added = add_identity(subject, change.field, change.value, actor=actor)
        if added.pk == held.pk:  # the same to whoever looks it up, such as another case
            return 0
    remove_identity(subject, held.pk, actor=actor)
    return 1


def _correct_messages(subject: Subject, words: Sequence[contract.Change], actor: Actor) -> int:
    changed, held = 0, None
    for conversation in _conversations(subject):
        change = _change_of(conversation, words)
        if not change.positions:
            continue
        try:
            rewrite_conversation(subject, conversation.pk, change, actor=actor)
        except ConversationsHeld as error:
            held = error
            continue
        changed += len(change.positions)
    if held is not None:
        raise held
    return changed


def _conversations(subject: Subject) -> Iterator[Conversation]:
    """Yield them by id. One that is written anew gets an id before its old one, and is not met again."""
    rows = Conversation.objects.filter(subject=subject, erasing_at__isnull=True).order_by("pk")
    last: UUID | None = None
    while page := list((rows.filter(pk__gt=last) if last else rows)[:CONVERSATIONS_A_QUERY]):
        yield from page
        last = page[-1].pk


def _change_of(conversation: Conversation, words: Sequence[contract.Change]) -> rewriting.Change:
    removed: list[int] = []
    corrected: dict[int, str] = {}
    for position, node in _nodes(conversation):
        if any(change.value is None and _says(node, change.before or "") for change in words):
            removed.append(position)
        elif rewriting.is_correctable(node):
            before = rewriting.own_words(node)
            after = _corrected(before, words)
            if after != before:
                corrected[position] = after
    return rewriting.Change(timezone.now().isoformat(), removed=tuple(removed), corrected=corrected)


def _nodes(conversation: Conversation) -> Iterator[tuple[int, Node]]:
    """Yield every node with its position; the key is opened for a few at a time."""
    for start in range(0, conversation.node_count, POSITIONS_AT_ONCE):
        box = Box(keys.open_key(conversation.key_id))
        some = range(start, min(start + POSITIONS_AT_ONCE, conversation.node_count))
        yield from sorted(open_nodes(conversation, box, list(some)).items())


def _says(node: Node, words: str) -> bool:
    is_there = rewriting.changed_at(node, REMOVED_AT) is None
    return is_there and words in "\n".join(part.text for part in text_of(node) if part.text)


def _corrected(text: str, words: Sequence[contract.Change]) -> str:
    for change in words:
        if change.value is not None and change.before:
            text = _replaced(text, change.before, change.value)
    return text


def _replaced(text: str, before: str, value: str) -> str:
    """Put `value` for `before`, but not inside a `value` that stands there already: Ann becomes Anna, and stays so."""
    pieces = text.split(value) if value and before in value else [text]
    return value.join(piece.replace(before, value) for piece in pieces)
