"""What is written of people's records: conversations in, choices, holds, and out again."""

from apps.records.services.attachments import sweep_attachments
from apps.records.services.choices import set_opt_outs, set_recording, set_retention
from apps.records.services.correcting import correct_message, remove_attachment, remove_message, repeat_removal
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
from apps.records.services.erasing import erase_subject_rows, look_for_rest, subject_keys
from apps.records.services.holds import (
    free_conversations,
    held_conversations,
    held_until,
    lift_hold,
    place_hold,
    standing_holds,
)
from apps.records.services.imports import (
    due_imports,
    fail_unreceived,
    import_path,
    import_text,
    run_due_imports,
    run_import,
    start_import,
)
from apps.records.services.rewriting import finish_rewrites, resume_rewrites
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
    "correct_message",
    "create_subject",
    "delete_all_conversations",
    "delete_conversations",
    "due_imports",
    "erase_subject_rows",
    "fail_unreceived",
    "find_subject",
    "finish_deletions",
    "finish_rewrites",
    "free_conversations",
    "freeze_subject",
    "held_conversations",
    "held_until",
    "identity_of",
    "import_path",
    "import_text",
    "lift_hold",
    "look_for_rest",
    "mark_all_conversations",
    "mark_conversations",
    "place_hold",
    "remove_attachment",
    "remove_identity",
    "remove_message",
    "repeat_removal",
    "resume_rewrites",
    "retention_days",
    "run_due_imports",
    "run_import",
    "run_retention",
    "set_opt_outs",
    "set_recording",
    "set_retention",
    "standing_holds",
    "start_import",
    "store_conversations",
    "subject_for",
    "subject_keys",
    "sweep_attachments",
    "thaw_subject",
]
