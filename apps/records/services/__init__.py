"""What is written of people's records: conversations in, choices, holds, and out again."""

from apps.records.services.attachments import sweep_attachments
from apps.records.services.choices import set_opt_outs, set_recording, set_retention
from apps.records.services.deleting import (
    Deleted,
    delete_all_conversations,
    delete_conversations,
    finish_deletions,
    mark_all_conversations,
    mark_conversations,
    retention_days,
    run_retention,
)
from apps.records.services.holds import (
    free_conversations,
    held_conversations,
    held_until,
    lift_hold,
    place_hold,
    standing_holds,
)
from apps.records.services.storing import store_conversations
from apps.records.subjects import (
    add_identity,
    create_subject,
    find_subject,
    freeze_subject,
    identity_of,
    remove_identity,
    subject_for,
    thaw_subject,
)

__all__ = [
    "Deleted",
    "add_identity",
    "create_subject",
    "delete_all_conversations",
    "delete_conversations",
    "find_subject",
    "finish_deletions",
    "free_conversations",
    "freeze_subject",
    "held_conversations",
    "held_until",
    "identity_of",
    "lift_hold",
    "mark_all_conversations",
    "mark_conversations",
    "place_hold",
    "remove_identity",
    "retention_days",
    "run_retention",
    "set_opt_outs",
    "set_recording",
    "set_retention",
    "standing_holds",
    "store_conversations",
    "subject_for",
    "sweep_attachments",
    "thaw_subject",
]
