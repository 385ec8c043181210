"""Data subjects: who they are, what they are known by, and whether anything may still be written for them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from uuid import UUID, uuid4

from allauth.account.models import EmailAddress
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.handles import new_handle
from apps.keys import services as keys
from apps.keys.services import KeyKind
from apps.locations import contract
from apps.records import contexts, suppression
from apps.records.errors import IdentityTaken, RecordingNotAllowed, RecordingRestricted, SubjectFrozen, SubjectNotFound
from apps.records.indexing.models import IndexKey
from apps.records.indexing.ring import IDENTITY, Ring, open_ring
from apps.records.keyring import is_named_still, open_subject_key, read_under_key
from apps.records.models import Identity, Subject
from apps.sealing import blind, content

SPELLED_LOOSELY = {"email", "name"}  # upper and lower case are one; in ids they differ


def identity_ring(kind: str) -> Ring:
    """Open the keys of the blind index of one kind of identity."""
    return open_ring(f"{IDENTITY}{kind}")


def identity_index(key: bytes, kind: str, value: str) -> bytes:
    """Return the blind index of a value under one key of the ring."""
    return blind.index(key, kind, value.strip(), exact=kind not in SPELLED_LOOSELY)


def is_spelled_as(kind: str, one: str, other: str) -> bool:
    """Say whether two values of a kind of identity name the same person."""
    if kind in SPELLED_LOOSELY:
        return blind.normalise(one) == blind.normalise(other)
    return one.strip() == other.strip()


def identity_indexes(ring: Ring, kind: str, value: str) -> list[bytes]:
    """Return every index value under which a person may be found by this value, the current one first."""
    return ring.all(partial(identity_index, kind=kind, value=value))


def create_subject(
    account: User | None = None,
    *,
    emails: Iterable[str] = (),
    known_by: Iterable[tuple[str, str]] = (),
    actor: Actor | None = None,
) -> Subject:
    """Add a person: the key first, then the row, what they are known by and the entry. Raises IdentityTaken.

    Without an account it is somebody else who brings them in: that raises SubjectSuppressed for one who was erased.
    """
    known_by = [*(("email", email) for email in _distinct(emails)), *known_by]
    if account is None:
        suppression.refuse_suppressed(known_by)
    subject_id = uuid4()
    key = keys.create_key(KeyKind.SUBJECT, owner=subject_id)
    try:
        while True:
            rings = {kind: identity_ring(kind) for kind in sorted({"email", *(kind for kind, _value in known_by)})}
            with transaction.atomic():
                if not all(ring.is_held() for ring in rings.values()):
                    continue
                for kind, value in known_by:
                    _refuse_held_under_older_keys(rings[kind], [(kind, value)])
                subject = Subject.objects.create(id=subject_id, account=account, handle=new_handle(), key_id=key.id)
                Identity.objects.bulk_create(
                    _sealed_identity(subject, key.key, rings[kind], kind, value) for kind, value in known_by
                )
                if account is not None:
                    suppression.forget(known_by)
                about = Actor.system() if actor is None else actor
                audit.append(Event.SUBJECT_CREATED, about=subject.handle, actor=about, with_account=account is not None)
                return subject
    except (IntegrityError, IdentityTaken):
        keys.discard_key(key.id)
        raise IdentityTaken from None


def subject_for(account: User) -> Subject:
    """Return the person behind a sign-in; made on the first visit, or joined to one whose address it has proven."""
    found = Subject.objects.filter(account=account).first()
    if found is not None:
        return found
    verified = set(EmailAddress.objects.filter(user=account, verified=True).values_list("email", flat=True))
    joined = _join(account, verified)
    if joined is not None:
        return joined
    emails = [email for email in _distinct([*verified, account.email]) if _owner_of_email(email) is None]
    try:
        return create_subject(account, emails=emails)
    except IdentityTaken:  # another page of the same sign-in was faster
        return Subject.objects.get(account=account)


def find_subject(value: str | UUID) -> Subject:
    """Return the person with this id or e-mail address; raises SubjectNotFound."""
    subject_id = value if isinstance(value, UUID) else _as_uuid(value)
    found = Subject.objects.filter(pk=subject_id).first() if subject_id else _owner_of_any_email(str(value))
    if found is None:
        raise SubjectNotFound
    return found


def find_by_identity(kind: str, value: str) -> list[Subject]:
    """Return the people known by this value; more than one only for names and telephones."""
    while True:
        ring = identity_ring(kind)
        indexes = identity_indexes(ring, kind, value)
        found = list(Subject.objects.filter(identities__kind=kind, identities__index__in=indexes).order_by("pk"))
        if ring.is_current():
            return found


def held_identity(subject: Subject, kind: str, value: str) -> Identity | None:
    """Return the person's identity that has this value."""
    while True:
        ring = identity_ring(kind)
        indexes = identity_indexes(ring, kind, value)
        found = Identity.objects.filter(subject=subject, kind=kind, index__in=indexes).first()
        if found is not None or ring.is_current():
            return found


def handles_of(kind: str, value: str) -> list[str]:
    """Return the handles of the people known by this value, for the log."""
    if kind != "subject_id":
        return [subject.handle for subject in find_by_identity(kind, value)]
    subject_id = _as_uuid(value)
    return list(Subject.objects.filter(pk=subject_id).values_list("handle", flat=True)) if subject_id else []


def kinds_in_use() -> list[str]:
    """Return the kinds of identity by which somebody is known. Each kind has keys of its own, so few are looked for."""
    names = IndexKey.objects.filter(name__startswith=IDENTITY).values_list("name", flat=True).distinct()
    kinds = sorted(name.removeprefix(IDENTITY) for name in names)
    return [kind for kind in kinds if Identity.objects.filter(kind=kind).exists()]


def add_identity(subject: Subject, kind: str, value: str, *, actor: Actor) -> Identity:
    """Note that a person is known by this value; a repeat returns what is there. Raises IdentityTaken, SubjectFrozen."""
    while True:
        key, ring = open_subject_key(subject), identity_ring(kind)
        try:
            with transaction.atomic():
                locked = lock_for_writing(subject.pk)
                if not ring.is_held():
                    continue
                indexes = identity_indexes(ring, kind, value)
                held = Identity.objects.filter(subject=subject, kind=kind, index__in=indexes).first()
                if held is not None:
                    return held
                if not is_named_still(subject, locked):
                    continue
                _refuse_held_under_older_keys(ring, [(kind, value)])
                identity = _sealed_identity(subject, key, ring, kind, value)
                identity.save(force_insert=True)
                audit.append(Event.IDENTITY_ADDED, about=subject.handle, actor=actor, identities=1)
        except IntegrityError:
            raise IdentityTaken from None
        return identity


def remove_identity(subject: Subject, identity_id: UUID, *, actor: Actor) -> None:
    """Forget a value; a repeat does nothing."""
    with transaction.atomic():
        lock_for_writing(subject.pk)
        if Identity.objects.filter(subject=subject, pk=identity_id).delete()[0]:
            audit.append(Event.IDENTITY_REMOVED, about=subject.handle, actor=actor, identities=1)


def identities_of(subject: Subject) -> list[tuple[str, str]]:
    """Open what a person is known by, as (kind, value)."""
    if not Identity.objects.filter(subject=subject).exists():
        return []
    return read_under_key(subject, partial(_open_identities, subject))


def _open_identities(subject: Subject, key: bytes) -> list[tuple[str, str]]:
    rows = Identity.objects.filter(subject=subject).order_by("kind", "pk")
    return [
        (row.kind, content.unseal_json(key, row.sealed, context=contexts.identity(subject.key_id, row.pk)))
        for row in rows
    ]


def identity_of(subject: Subject, *, request_id: UUID | None = None) -> contract.Identity:
    """Return the person as places are told of them."""
    return contract.Identity(
        subject_id=subject.pk,
        account_id=subject.account_id,
        request_id=request_id,
        values=tuple(identities_of(subject)),
    )


def is_of_staff(subject_id: UUID, actor: Actor) -> bool:
    """Say whether whoever acts as one of the staff is this very person. What they do as the person is theirs to do."""
    theirs = Subject.objects.filter(pk=subject_id, account__handles__handle=actor.handle)
    return actor.handle != "" and theirs.exists()


def lock_for_writing(subject_id: UUID, *, recording: bool = False) -> Subject:
    """Lock a person's row for the rest of the transaction and return it; everything written for them begins here.

    PostgreSQL locks the row; SQLite's transactions are IMMEDIATE, so what is read here is current and stays so. Raises
    SubjectFrozen once an erasure has begun (or the row is gone), and RecordingNotAllowed where consent is needed
    (RecordingRestricted: a restriction stands).
    """
    subject = Subject.objects.select_for_update(no_key=True).filter(pk=subject_id).first()
    if subject is None or subject.frozen_at is not None:
        raise SubjectFrozen
    if recording:
        _check_recording(subject)
    return subject


def check_writable(subject_id: UUID) -> None:
    """Ask beforehand what `lock_for_writing` will ask with authority; raises the same."""
    subject = Subject.objects.filter(pk=subject_id).only("frozen_at", "is_recording_allowed", "restricted_at").first()
    if subject is None or subject.frozen_at is not None:
        raise SubjectFrozen
    _check_recording(subject)


def _check_recording(subject: Subject) -> None:
    if subject.restricted_at is not None:
        raise RecordingRestricted
    if not subject.is_recording_allowed:
        raise RecordingNotAllowed


def freeze_subject(subject_id: UUID, *, actor: Actor | None = None) -> datetime:
    """Stop all writing for a person, and return since when; a repeat returns the first time. Raises SubjectNotFound.

    Writers hold the same lock: when this returns, what began before has been committed, and nothing begins any more.
    """
    with transaction.atomic():
        subject = Subject.objects.select_for_update(no_key=True).filter(pk=subject_id).first()
        if subject is None:
            raise SubjectNotFound
        if subject.frozen_at is None:
            subject.frozen_at = timezone.now()
            subject.save(update_fields=["frozen_at"])
            audit.append(Event.SUBJECT_FROZEN, about=subject.handle, actor=actor or Actor.system())
        return subject.frozen_at


def thaw_subject(subject_id: UUID) -> None:
    """Let writing go on after an erasure was called off before anything was destroyed."""
    Subject.objects.filter(pk=subject_id).update(frozen_at=None)


def _join(account: User, verified: set[str]) -> Subject | None:
    """Give a sign-in to the person who came by an import and whose address it has proven to own."""
    for email in sorted(verified):
        subject = _owner_of_email(email)
        if subject is None:
            continue
        if Subject.objects.filter(pk=subject.pk, account__isnull=True).update(account=account):
            return Subject.objects.get(pk=subject.pk)
    return None


def _owner_of_email(email: str) -> Subject | None:
    return next(iter(find_by_identity("email", email)), None)


def _owner_of_any_email(email: str) -> Subject | None:
    """Look for an address among the identities, then among the proven ones of sign-ins: those come and go by themselves."""
    addresses = EmailAddress.objects.filter(email__iexact=email.strip(), verified=True).values("user_id")
    return _owner_of_email(email) or Subject.objects.filter(account__in=addresses).first()


def _refuse_held_under_older_keys(ring: Ring, values: Iterable[tuple[str, str]]) -> None:
    """Raise IdentityTaken where a value that names one person is somebody's, under a key before the current one.

    Those that stand under the current key are the constraint's business.
    """
    for kind, value in values:
        older = ring.older(partial(identity_index, kind=kind, value=value))
        if kind in Identity.UNIQUE_KINDS and older and Identity.objects.filter(kind=kind, index__in=older).exists():
            raise IdentityTaken


def _sealed_identity(subject: Subject, key: bytes, ring: Ring, kind: str, value: str) -> Identity:
    value = value.strip()
    index = identity_index(ring.key, kind, value)
    identity = Identity(subject=subject, kind=kind, index=index, index_number=ring.number)
    identity.sealed = content.seal_json(key, value, context=contexts.identity(subject.key_id, identity.pk))
    return identity


def _distinct(emails: Iterable[str]) -> list[str]:
    return list({blind.normalise(email): email.strip() for email in emails if email.strip()}.values())


def _as_uuid(value: str) -> UUID | None:
    try:
        return UUID(value.strip())
    except ValueError:
        return None
