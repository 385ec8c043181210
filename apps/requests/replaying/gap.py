"""Two people accept that a part of the log is gone for good; then a new log begins that names the old one (DESIGN §3)."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from apps.accounts.access import is_administrator_still
from apps.audit import continuing, quarantine
from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.models import SiteState
from apps.keys.services.replaying import begin_new_log_here


class GapNotAccepted(Exception):
    """There is no gap to accept, or the same person accepted it already: it takes another one."""


def accept_gap(user_id: UUID, *, actor: Actor) -> bool:
    """Accept the gap as one of two administrators; True when this was the second and the new log has begun.

    The first must be one still: otherwise this is the first word, and another is wanted.

    Afterwards the site still stands in quarantine: `replay_tombstones` erases what the keys database and the rest of the log
    know to be erased, and opens it.
    """
    with transaction.atomic():
        state = SiteState.objects.select_for_update().filter(gap_found_at__isnull=False).first()
        if state is None or not state.quarantine_reason or state.gap_accepted_by == user_id:
            raise GapNotAccepted
        continuing.sign_gap(actor=actor)
        if state.gap_accepted_by is None or not is_administrator_still(state.gap_accepted_by):
            SiteState.objects.update(gap_accepted_by=user_id, gap_actor=actor.handle)
            return False
    with quarantine.replaying():
        continuing.begin_new_log(officers=[state.gap_actor, actor.handle], instead_of=state.log_number)
        begin_new_log_here()
        quarantine.note_gap(False)
        audit.sequence()
    return True
