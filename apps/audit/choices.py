"""The closed lists of words that a detail of an entry may be one of."""

from __future__ import annotations

from apps.audit.details import Choice

KINDS = Choice(
    (
        "access",
        "portability",
        "erasure",
        "rectification",
        "restriction",
        "objection",
        "opt_out",
        "withdrawal",
        "automated_decision",
        "complaint",
    )
)
REGIMES = Choice(("gdpr", "uk_gdpr", "ccpa", "pipl", "lgpd", "pipeda", "appi", "dpdp", "fadp", "us_state", "none"))
IDENTITY_LEVELS = Choice(("none", "reasonable", "reasonably_high"))
APPROVAL_RULES = Choice(("person", "standing_policy", "command_line"))
GROUNDS = Choice(
    (
        "identity_not_verified",
        "manifestly_unfounded",
        "excessive",
        "legal_obligation",
        "legal_claim",
        "public_interest",
        "rights_of_others",
        "freedom_of_expression",
        "not_applicable",
        "nothing_held",
        "accurate",
    )
)
PHASES = Choice(
    ("collect", "finish", "prepare", "destroy", "purge", "verify", "correct", "restrict", "lift", "receipt")
)
REASONS = Choice(  # those of apps/locations/reasons.py, which may not be imported here; a test compares the two
    (
        "unreachable",
        "refused",
        "disabled",
        "object_lock",
        "legal_hold",
        "retention_policy",
        "soft_delete",
        "cannot_delete",
        "storage_full",
        "too_many_attempts",
        "still_there",
        "not_signed",
        "waits_for_archive",
        "no_identity",
        "perhaps_anothers",
        "doubted",
        "hard_link",
        "foreign_key",
        "shared",
        "by_hand",
        "restricted",
    )
)
FORMATS = Choice(
    (
        "chatgpt",
        "claude",
        "openwebui",
        "librechat",
        "openai",
        "openai-chat",
        "sharegpt",
        "habeas",
        "txt",
        "csv",
        "paste",
        "images",
        "sync",
        "unknown",
    )
)
KEY_KINDS = Choice(
    ("subject", "conversation", "request", "evidence", "archive", "blind_index", "suppression", "site", "import")
)
PROVIDERS = Choice(("file", "aws_kms", "vault"))  # those of apps/keys/providers; a test compares the two
KEY_REASONS = Choice(("erased", "replaced", "expired", "discarded", "ownerless", "lost", "rotated"))
BLIND_INDEXES = Choice(("identity", "conversation", "source-file", "copy", "suppression"))
IMPORT_FAILURES = Choice(
    ("unreadable", "nothing_found", "too_large", "too_many_attempts", "frozen", "not_allowed", "storage_full")
)
QUARANTINE_REASONS = Choice(  # those of apps/audit/quarantine.py, which imports this list; a test compares the two
    ("other_installation", "keys_lost", "log_behind", "log_differs", "keys_behind", "tombstones_missing")
)
ROLES = Choice(("compliance", "approvers", "auditors", "administrators"))
