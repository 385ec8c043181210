"""Quarantine: after a restore nothing is read, signed, sent or erased until the erasures since then are repeated (DESIGN §3).

The first time that a process asks, it checks the databases against each other and against what lies outside them
(settings.QUARANTINE_CHECKS); afterwards it looks at one row every two seconds, so that what one process finds stops all of
them. The row lifts nothing by itself: `replay_tombstones` does, once a scan has shown that nothing erased opens.

Who asks: every request (apps/portal/quarantine.py), the worker's loops and tasks, the commands that read or write
content, each opening of a key, and the sequencer before it signs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, models, transaction
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from apps.audit.actors import Actor
from apps.audit.entries import append
from apps.audit.errors import Quarantined
from apps.audit.events import Event
from apps.audit.models import Entry, SiteState

REREAD_SECONDS = 2.0
NO_GAP: dict[str, Any] = {"gap_found_at": None, "gap_accepted_by": None, "gap_actor": ""}


class Reason(models.TextChoices):
    """Why; the list in apps/audit/choices.py is the same."""

    OTHER_INSTALLATION = "other_installation", _("The two databases belong to different installations.")
    KEYS_LOST = "keys_lost", _("The keys database is empty or lacks keys that are needed.")
    LOG_BEHIND = "log_behind", _("The records database is older than the log that was published.")
    LOG_DIFFERS = "log_differs", _("The log in the records database is not the one that was published.")
    KEYS_BEHIND = "keys_behind", _("The keys database is older than it was when the site last started.")
    TOMBSTONES_MISSING = "tombstones_missing", _("The keys database holds keys that were destroyed.")


class _Memory:
    """What this process knows."""

    is_checked = False
    reason = ""
    read_at = -REREAD_SECONDS


_replaying: ContextVar[bool] = ContextVar("replaying", default=False)


def reason() -> str:
    """Return why the site stands in quarantine, or "" when it does not."""
    if _replaying.get():
        return ""
    if not _Memory.is_checked:
        check()
    elif time.monotonic() - _Memory.read_at >= REREAD_SECONDS:
        _remember(state().quarantine_reason)
    return _Memory.reason


def refuse() -> None:
    """Raise Quarantined when the site stands in quarantine."""
    why = reason()
    if why:
        raise Quarantined(
            f"the site stands in quarantine ({Reason(why).label}) See docs/operating.md, “After a restore”."
        )


def check() -> str:
    """Check everything anew; a site that does not recognise itself enters quarantine. Returns why it stands there."""
    why = state().quarantine_reason or found()
    if why:
        enter(why)
    else:
        _remember("")
    # What is written inside the caller's transaction may be rolled back: then the next question checks again.
    _Memory.is_checked = not (why and connection.in_atomic_block)
    return why


def found() -> str:
    """Return what the checks find now, whatever the row says: a Reason, or ""."""
    return next((why for path in settings.QUARANTINE_CHECKS if (why := import_string(path)())), "")


def enter(why: str) -> None:
    """Enter quarantine; a repeat keeps the first reason. The entry is signed once the log is whole again."""
    with transaction.atomic():
        state()
        fields = {"quarantined_at": timezone.now(), "quarantine_reason": Reason(why).value}
        if SiteState.objects.filter(quarantined_at__isnull=True).update(**fields):
            append(Event.QUARANTINE_ENTERED, about="", actor=Actor.system(), reason=why)
    _remember(state().quarantine_reason)


def lift(*, actor: Actor, **counts: int) -> Entry | None:
    """Leave quarantine, in one transaction with its entry; None if the site did not stand in it. For who has proven it."""
    with transaction.atomic():
        standing = SiteState.objects.filter(quarantined_at__isnull=False)
        if not standing.update(quarantined_at=None, quarantine_reason=""):
            return None
        entry = append(Event.QUARANTINE_LIFTED, about="", actor=actor, **counts)
    _remember("")
    return entry


@contextmanager
def replaying() -> Iterator[None]:
    """Let this thread open keys, sign and erase in quarantine: for the replay, which leaves nothing else to do so."""
    token = _replaying.set(True)
    try:
        yield
    finally:
        _replaying.reset(token)


def state() -> SiteState:
    """Return the one row, made on first use."""
    return SiteState.objects.get_or_create(only=True)[0]


def wait_for_others() -> None:
    """Let whoever else asks for this wait until the caller's transaction ends: for what may be said only once."""
    list(SiteState.objects.select_for_update().filter(pk=state().pk))


def adopt_installation(installation: UUID) -> None:
    """Write down to which installation the records belong; the keys database has the same id."""
    state()
    SiteState.objects.update(installation=installation)


def note_gap(is_there: bool) -> None:
    """Write down whether the log can be completed from its tiles; if not, two people may accept the gap."""
    gap: dict[str, Any] = {"gap_found_at": timezone.now()} if is_there else NO_GAP
    SiteState.objects.update(**gap)


def note_keys_seen(size: int) -> None:
    """Write down how much of the log the keys database has seen: one that is restored alone has seen less."""
    SiteState.objects.exclude(keys_seen=size).update(keys_seen=size)


def forget() -> None:
    """Let the next question check anew, as a process does at its start."""
    _Memory.is_checked, _Memory.reason, _Memory.read_at = False, "", -REREAD_SECONDS


def _remember(why: str) -> None:
    _Memory.reason, _Memory.read_at = why, time.monotonic()
