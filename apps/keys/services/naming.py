"""Keys that the site has once: for its own secrets, and one for each blind index."""

from __future__ import annotations

from django.db import IntegrityError

from apps.keys.errors import KeyStoreDamaged
from apps.keys.kinds import KeyKind
from apps.keys.models import Key
from apps.keys.services.creating import NewKey, create_key
from apps.keys.services.opening import open_key
from apps.keys.wrapping import unwrap_rows
from apps.sealing.hkdf import derive


def site_key(purpose: str) -> bytes:
    """Return the site's key for one purpose ("location credentials", "second factors" …), made on first use."""
    return derive(named_key(KeyKind.SITE, "site"), info=b"habeas site key: " + purpose.encode())


def blind_index_key(kind: str) -> bytes:
    """Return the key of the blind index of one field ("email", "user_id" …), made on first use."""
    return named_key(KeyKind.BLIND_INDEX, kind)


def named_key(kind: KeyKind, name: str) -> bytes:
    """Return the one key of that kind and name, made on first use; two processes that make it at once get the same."""
    return named(kind, name).key


def named(kind: KeyKind, name: str) -> NewKey:
    """Return that key with its id."""
    row = _row_of(kind, name)
    if row is None:
        try:
            return create_key(kind, owner=None, name=name)
        except IntegrityError:  # another process was first
            return named(kind, name)
    try:
        return NewKey(row.pk, unwrap_rows([row], [])[row.pk])
    except KeyStoreDamaged:  # wrapped anew since it was read, or really damaged
        return NewKey(row.pk, open_key(row.pk))


def _row_of(kind: KeyKind, name: str) -> Key | None:
    return Key.objects.select_related("epoch").filter(kind=kind, name=name).first()
