"""The entry that says which keys are going to be destroyed. Once it is signed it is their tombstone (DESIGN §3)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils.dateparse import parse_datetime

from apps.audit import selectors as audit
from apps.audit.actors import Actor
from apps.audit.entries import hash_of
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.services import append
from apps.keys.errors import AlreadyDestroyed, IntentNotSigned, NoKeysNamed
from apps.keys.lineage import with_twins
from apps.keys.models import Key

MOST_KEYS = 500  # in one intent and one transaction; well inside the 65,535 bytes of an entry
RECENT = 50  # intents about one handle that a repeat looks through
REPLACED = "replaced"  # another key opens what stays; every other reason is an erasure


def intend_destruction(
    key_ids: Collection[UUID], *, about: str, actor: Actor, reason: str = "erased", removed: Sequence[UUID | int] = ()
) -> Entry:
    """Write the intent in the caller's records transaction, so that it stands with the change that it belongs to.

    `reason`: erased, replaced, expired, discarded or ownerless. `removed`: for a replaced key, the keys or rows that
    the new one does not open. An erasure of a key that is being replaced names both.
    """
    if not key_ids:
        raise NoKeysNamed("an intent names at least one key")
    if reason != REPLACED:
        key_ids = sorted(with_twins(key_ids))
    kinds = set(Key.objects.filter(pk__in=key_ids).exclude(kind="").values_list("kind", flat=True))
    named = {REPLACED if reason == REPLACED else "erased": list(key_ids)}
    return append(
        Event.KEYS_INTENDED,
        about=about,
        actor=actor,
        reason=reason,
        kind=kinds.pop() if len(kinds) == 1 else None,
        removed=list(removed) or None,
        **named,
    )


def cancel_intent(intent: Entry, *, actor: Actor) -> Entry:
    """Take an intent back in the caller's transaction, while it holds the claim of the step and nothing is destroyed."""
    if Key.objects.filter(pk__in=named_keys(intent), destroyed_at__isnull=False).exists():
        raise AlreadyDestroyed(f"{intent} names a key that is destroyed")
    return append(Event.KEYS_INTENT_CANCELLED, about=intent.about, actor=actor, intent=hash_of(intent))


def check_intent(intent: Entry, key_ids: Collection[UUID]) -> None:
    """Refuse unless the intent is signed, stands, and names every one of the keys."""
    if not key_ids:
        raise NoKeysNamed("a destruction names at least one key")
    if intent.event != Event.KEYS_INTENDED:
        raise IntentNotSigned(f"{intent} is not an intent")
    if not set(key_ids) <= named_keys(intent):
        raise IntentNotSigned(f"{intent} does not name every key")
    if is_cancelled(intent):
        raise IntentNotSigned(f"{intent} was cancelled")
    if not audit.is_signed(intent):
        raise IntentNotSigned(f"{intent} is not signed yet")


def named_keys(intent: Entry) -> set[UUID]:
    """Return the keys that an intent says will be destroyed, erased or replaced."""
    details = audit.details_of(intent)
    return {UUID(text) for text in [*details.get("erased", []), *details.get(REPLACED, [])]}


def is_cancelled(intent: Entry) -> bool:
    hashed = hash_of(intent)
    return any(audit.details_of(entry)["intent"] == hashed for entry in _later(intent, Event.KEYS_INTENT_CANCELLED))


def outcome_of(intent: Entry) -> Entry | None:
    """Return the entry that says that the keys of this intent are destroyed."""
    hashed = hash_of(intent)
    for entry in _later(intent, Event.KEYS_DESTROYED):
        if audit.details_of(entry)["intent"] == hashed:
            return entry
    return None


def standing_intent(about: str, key_ids: Iterable[UUID]) -> Entry | None:
    """Return the newest intent about this handle that names exactly these keys and was not cancelled.

    A step that crashed after its intent finds it here, so that one destruction is one intent and one outcome. What else
    it names must be tombstones: the other one of two keys that were one (lineage.py).
    """
    wanted = set(key_ids)
    newest_first = Entry.objects.filter(event=Event.KEYS_INTENDED, about=about).order_by("-id")[:RECENT]
    for intent in newest_first:
        named = named_keys(intent)
        if wanted <= named and _are_tombstones(named - wanted) and not is_cancelled(intent):
            return intent
    return None


def standing_replacements(about: str, key_id: UUID) -> tuple[list[Entry], set[UUID | int]]:
    """Return the intents about this handle to replace this key, and what they say the new one does not open."""
    intents: list[Entry] = []
    removed: set[UUID | int] = set()
    newest_first = Entry.objects.filter(event=Event.KEYS_INTENDED, about=about).order_by("-id")[:RECENT]
    for intent in newest_first:
        details = audit.details_of(intent)
        if details.get(REPLACED) == [str(key_id)] and not is_cancelled(intent):
            intents.append(intent)
            removed |= {one if isinstance(one, int) else UUID(one) for one in details.get("removed", [])}
    return intents, removed


@dataclass(frozen=True)
class Intended:
    """A key that an uncancelled intent of the log names."""

    key_id: UUID
    about: str
    moment: datetime  # of its end, or else of the intent
    is_replaced: bool
    removed: tuple[UUID | int, ...]  # by a replacement


def intended_keys() -> Iterator[Intended]:
    """Yield every key that an uncancelled intent of the log names, in the order of the intents."""
    ends: dict[str, datetime | None] = {}
    for entry in Entry.objects.filter(event__in=(Event.KEYS_INTENT_CANCELLED, Event.KEYS_DESTROYED)).iterator(1000):
        details = audit.details_of(entry)
        ends[details["intent"]] = parse_datetime(details["destroyed_at"]) if "destroyed_at" in details else None
    for intent in Entry.objects.filter(event=Event.KEYS_INTENDED).order_by("id").iterator(1000):
        moment = ends.get(hash_of(intent), intent.created_at)
        if moment is not None:
            details = audit.details_of(intent)
            removed = tuple(one if isinstance(one, int) else UUID(one) for one in details.get("removed", []))
            for name in ("erased", REPLACED):
                for text in details.get(name, []):
                    yield Intended(UUID(text), intent.about, moment, name == REPLACED, removed)


def _are_tombstones(key_ids: Collection[UUID]) -> bool:
    return Key.objects.filter(pk__in=key_ids, destroyed_at__isnull=False).count() == len(key_ids)


def _later(intent: Entry, event: Event) -> Iterable[Entry]:
    return Entry.objects.filter(about=intent.about, event=event, id__gt=intent.pk).order_by("id")
