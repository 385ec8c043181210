"""What the rest of the site does with requests: the one door to their changes."""

from apps.requests.documents import Document
from apps.requests.services.by_hand import confirm_task
from apps.requests.services.changing import (
    extend_deadline,
    extended_until,
    lapse_request,
    look_at_request,
    retry_step,
    send_message,
    waive_archive_first,
    withdraw_request,
)
from apps.requests.services.correcting import note_corrections
from apps.requests.services.deciding import (
    approve_request,
    assign_request,
    confirm_identity,
    needs_second_approver,
    refuse_request,
)
from apps.requests.services.evidence import add_evidence, describe_evidence, read_evidence
from apps.requests.services.intake import OpenedIntake, confirm_intake, intake_by_link, open_intake
from apps.requests.services.knowing import confirm_noted, drop_noted, note_identity, was_let_go
from apps.requests.services.lifting import announce_lift
from apps.requests.services.opening import Filing, OpenedRequest, open_request

__all__ = [
    "Document",
    "Filing",
    "OpenedIntake",
    "OpenedRequest",
    "add_evidence",
    "announce_lift",
    "approve_request",
    "assign_request",
    "confirm_identity",
    "confirm_intake",
    "confirm_noted",
    "confirm_task",
    "describe_evidence",
    "drop_noted",
    "extend_deadline",
    "extended_until",
    "intake_by_link",
    "lapse_request",
    "look_at_request",
    "needs_second_approver",
    "note_corrections",
    "note_identity",
    "open_intake",
    "open_request",
    "read_evidence",
    "refuse_request",
    "retry_step",
    "send_message",
    "waive_archive_first",
    "was_let_go",
    "withdraw_request",
]
