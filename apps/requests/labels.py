"""The words for kinds and states, for pages and letters."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.requests.models import Kind, Status, Step

KINDS: dict[str, Promise] = {
    Kind.ACCESS: _("A copy of your data"),
    Kind.PORTABILITY: _("Your conversations for another service"),
    Kind.ERASURE: _("Erase your data"),
    Kind.RECTIFICATION: _("Correct your data"),
    Kind.RESTRICTION: _("Restrict the use of your data"),
}
STATUSES: dict[str, Promise] = {
    Status.RECEIVED: _("Received"),
    Status.VERIFYING: _("Checking identity"),
    Status.IN_REVIEW: _("In review"),
    Status.APPROVED: _("Approved"),
    Status.COOLING_OFF: _("Waiting, you can still withdraw"),
    Status.RUNNING: _("Running"),
    Status.COMPLETED: _("Complete"),
    Status.PARTLY_COMPLETED: _("Partly complete"),
    Status.REFUSED: _("Refused"),
    Status.WITHDRAWN: _("Withdrawn"),
    Status.LAPSED: _("Lapsed"),
}
STATES: dict[str, Promise] = {
    Step.State.PENDING: _("Waiting"),
    Step.State.RUNNING: _("Running"),
    Step.State.DONE: _("Done"),
    Step.State.BLOCKED: _("Blocked"),
    Step.State.NEEDS_PERSON: _("Needs a person"),
}
PHASES: dict[str, Promise] = {
    Step.Phase.COLLECT: _("Collect"),
    Step.Phase.FINISH: _("Close the archive"),
    Step.Phase.PREPARE: _("Prepare"),
    Step.Phase.DESTROY: _("Destroy the keys"),
    Step.Phase.PURGE: _("Erase"),
    Step.Phase.VERIFY: _("Second look and receipt"),
    Step.Phase.CORRECT: _("Correct"),
    Step.Phase.RESTRICT: _("Restrict"),
    Step.Phase.LIFT: _("Lift the restriction"),
    Step.Phase.RECEIPT: _("Receipt"),
}


def kind_label(kind: str) -> str:
    return str(KINDS.get(kind, kind))


def status_label(status: str) -> str:
    return str(STATUSES.get(status, status))


def state_label(state: str) -> str:
    return str(STATES.get(state, state))
