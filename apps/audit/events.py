"""Every event that the log knows, and for each the details it may hold. Both lists are closed.

To add an event: one member below in the section of its package, and one line in DETAILS. A detail is a number, a word
of a closed list (choices.py), an id, a handle, a hash or a date; never text (details.py has no type for it). A detail
given as None is left out.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.audit.choices import (
    APPROVAL_RULES,
    BLIND_INDEXES,
    FORMATS,
    GROUNDS,
    IDENTITY_LEVELS,
    IMPORT_FAILURES,
    KEY_KINDS,
    KEY_REASONS,
    KINDS,
    PHASES,
    PROVIDERS,
    QUARANTINE_REASONS,
    REASONS,
    REGIMES,
    ROLES,
)
from apps.audit.details import Choice, Day, DetailType, Flag, HandleOf, Hex, Id, ListOf, Moment, RowId, Whole


class Event(models.TextChoices):
    # audit
    LOG_STARTED = "log.started", _("Log started")
    SIGNING_KEY_CHANGED = "signing_key.changed", _("Signing key changed")
    LOG_GAP_ACCEPTED = "log.gap_accepted", _("Gap in the log accepted")
    LOG_CONTINUED = "log.continued", _("New log begun in the place of an earlier one")
    QUARANTINE_ENTERED = "quarantine.entered", _("The site stood still: a restored database")
    QUARANTINE_LIFTED = "quarantine.lifted", _("The site opened again after a restore")
    # keys
    KEYS_INTENDED = "keys.intended", _("Destruction of keys intended")
    KEYS_DESTROYED = "keys.destroyed", _("Keys destroyed")
    KEYS_INTENT_CANCELLED = "keys.intent_cancelled", _("Intent cancelled")
    KEY_SWEEP_CONFIRMED = "keys.sweep_confirmed", _("Keys without an owner: their destruction confirmed by a person")
    KEYS_BACKED_UP = "keys.backed_up", _("Keys backed up")
    KEYS_RESTORED = "keys.restored", _("Keys restored")
    MASTER_KEY_BEGUN = "master_key.begun", _("New master key in use")
    MASTER_KEY_ROLLED = "master_key.rolled", _("Keys wrapped anew")
    MASTER_KEYS_PROPOSED = "master_keys.proposed", _("Destroying master keys proposed")
    MASTER_KEYS_APPROVED = "master_keys.approved", _("Destroying master keys approved")
    MASTER_KEYS_WITHDRAWN = "master_keys.withdrawn", _("Proposal withdrawn")
    MASTER_KEY_POLICY_PROPOSED = "master_key.policy_proposed", _("Standing policy for master keys proposed")
    MASTER_KEY_POLICY_SET = "master_key.policy_set", _("Standing policy for master keys set")
    MASTER_KEY_POLICY_ENDED = "master_key.policy_ended", _("Standing policy for master keys ended")
    MASTER_KEYS_INTENDED = "master_keys.intended", _("Destruction of master keys intended")
    MASTER_KEYS_DESTROYED = "master_keys.destroyed", _("Master keys destroyed")
    BLIND_INDEX_BEGUN = "blind_index.begun", _("New key of a blind index")
    BLIND_INDEX_ENDED = "blind_index.ended", _("Old key of a blind index not needed any more")
    # accounts
    ACCOUNT_ERASED = "account.erased", _("Account erased")
    ROLE_GRANTED = "role.granted", _("Role granted")
    ROLE_REVOKED = "role.revoked", _("Role revoked")
    # locations
    LOCATION_ADDED = "location.added", _("Place added")
    LOCATION_CHANGED = "location.changed", _("Place changed")
    LOCATION_CHECKED = "location.checked", _("Place checked")
    LOCATION_TRIED = "location.tried", _("Place tried with somebody's identity")
    LOCATION_SWITCHED_OFF = "location.switched_off", _("Place switched off")
    LOCATION_SWITCHED_ON = "location.switched_on", _("Place switched on")
    LOCATION_EMPTIED = "location.emptied", _("Place recorded as emptied")
    # archives
    ARCHIVE_PUBLISHED = "archive.published", _("Archive published")
    ARCHIVE_DOWNLOADED = "archive.downloaded", _("Archive downloaded")
    ARCHIVE_DELIVERED = "archive.delivered", _("Archive fetched by staff for delivery")
    ARCHIVE_EXPIRED = "archive.expired", _("Archive expired")
    ARCHIVE_DISCARDED = "archive.discarded", _("Archive discarded")
    # records
    SUBJECT_CREATED = "subject.created", _("Person added")
    SUBJECT_FROZEN = "subject.frozen", _("Writing stopped")
    SUBJECT_ERASED = "subject.erased", _("Rows of the person erased")
    IDENTITY_ADDED = "identity.added", _("Identity added")
    IDENTITY_NOTED = "identity.noted", _("Identity noted, for a second person to confirm")
    IDENTITY_REMOVED = "identity.removed", _("Identity removed")
    CONVERSATIONS_IMPORTED = "conversations.imported", _("Conversations imported")
    IMPORT_RECEIVED = "import.received", _("File received for import")
    IMPORT_FINISHED = "import.finished", _("Import finished")
    IMPORT_FAILED = "import.failed", _("Import failed")
    CONVERSATIONS_DELETED = "conversations.deleted", _("Conversations deleted")
    MESSAGES_REMOVED = "messages.removed", _("Part of a conversation removed")
    MESSAGE_CORRECTED = "message.corrected", _("Message corrected")
    RETENTION_CHANGED = "retention.changed", _("Retention changed")
    CHOICES_CHANGED = "choices.changed", _("Choices changed")
    HOLD_PLACED = "hold.placed", _("Legal hold placed")
    HOLD_LIFTED = "hold.lifted", _("Legal hold lifted")
    USE_RESTRICTED = "use.restricted", _("Use of the person's data restricted")
    USE_RELEASED = "use.released", _("Use of the person's data allowed again")
    SOURCE_ADDED = "source.added", _("Source added")
    SOURCE_CHANGED = "source.changed", _("Source changed")
    SOURCE_PREVIEWED = "source.previewed", _("Rows of a source looked at")
    SOURCE_READ = "source.read", _("Source read")
    COPY_POLICY_ADDED = "copy_policy.added", _("Rule for copies added")
    COPY_POLICY_CHANGED = "copy_policy.changed", _("Rule for copies changed")
    COPY_POLICY_APPROVED = "copy_policy.approved", _("Readable copies agreed to by a second person")
    COPIES_WRITTEN = "copies.written", _("Copies written")
    COPIES_CHECKED = "copies.checked", _("Copies read again and compared")
    COPIES_REMOVED = "copies.removed", _("Copies deleted")
    COPIES_RESTORED = "copies.restored", _("Conversations restored from copies")
    STORAGE_SWEPT = "storage.swept", _("Storage compared with the database")
    SUBJECT_LOOKED_AT = "subject.looked_at", _("Person looked up")
    CONTENT_LOOKED_AT = "content.looked_at", _("Content looked at")
    # requests
    REQUEST_LOOKED_AT = "request.looked_at", _("Request looked at")
    REQUEST_OPENED = "request.opened", _("Request received")
    REQUEST_VERIFYING = "request.verifying", _("Identity being checked")
    REQUEST_VERIFIED = "request.verified", _("Identity confirmed")
    REQUEST_APPROVED = "request.approved", _("Request approved")
    REQUEST_SECOND_APPROVED = "request.second_approved", _("Request approved by a second person")
    APPROVALS_VOIDED = "request.approvals_voided", _("Approvals void, to be given anew")
    COMMAND_LINE_APPROVAL = "request.command_line_approval", _("Approved on the command line")
    REQUEST_COOLING_OFF = "request.cooling_off", _("Waiting, the person can still withdraw")
    REQUEST_REFUSED = "request.refused", _("Request refused")
    REQUEST_WITHDRAWN = "request.withdrawn", _("Request withdrawn")
    REQUEST_LAPSED = "request.lapsed", _("Request lapsed")
    REQUEST_EXTENDED = "request.extended", _("Deadline extended")
    REQUEST_ASSIGNED = "request.assigned", _("Request assigned")
    MESSAGE_SENT = "request.message_sent", _("Message sent")
    EVIDENCE_RECEIVED = "evidence.received", _("Evidence received")
    EVIDENCE_DESTROYED = "evidence.destroyed", _("Evidence destroyed")
    REQUEST_RUNNING = "request.running", _("Work begun")
    REQUEST_COMPLETED = "request.completed", _("Request completed")
    REQUEST_PARTLY_COMPLETED = "request.partly_completed", _("Request partly completed")
    REQUEST_RETENTION_ENDED = "request.retention_ended", _("Record of the request erased")
    COPY_ASKED = "request.copy_asked", _("Asked whether the erasure may go on without a copy")
    COPY_WAIVED = "request.copy_waived", _("The erasure does not wait for a copy any more")
    CORRECTIONS_NOTED = "request.corrections_noted", _("Noted what is corrected where")
    RESTRICTION_EXTENDED = "request.restriction_extended", _("Restriction extended to places added since")
    LIFT_ANNOUNCED = "request.lift_announced", _("Told when the restriction is lifted")
    LIFT_BEGUN = "request.lift_begun", _("Lifting of the restriction begun")
    STEP_INTENDED = "step.intended", _("Erasing in a place intended")
    STEP_DONE = "step.done", _("Step done")
    STEP_BLOCKED = "step.blocked", _("Step blocked")
    STEP_NEEDS_PERSON = "step.needs_person", _("Step needs a person")
    STEP_RETRIED = "step.retried", _("Step set going again by a person")
    STEP_CONFIRMED = "step.confirmed", _("Done by hand, confirmed by a person")
    RECEIPT_ISSUED = "receipt.issued", _("Receipt issued")


class Purpose(models.TextChoices):
    """Why a member of staff looked at a request or at personal data; the person is shown it (C-579/21)."""

    REVIEW = "review", _("Review of the request")
    IDENTITY_CHECK = "identity_check", _("Check of identity")
    CARRY_OUT = "carry_out", _("Carrying the request out")
    DELIVERY = "delivery", _("Delivery of the answer")
    ANSWER = "answer", _("Answer to a message")
    COMPLAINT = "complaint", _("Complaint or appeal")
    LEGAL = "legal", _("Legal claim or order of an authority")
    SUPPORT = "support", _("Technical support")
    AUDIT = "audit", _("Audit")


LOOKS = (
    Event.REQUEST_LOOKED_AT,
    Event.SUBJECT_LOOKED_AT,
    Event.CONTENT_LOOKED_AT,
    Event.ARCHIVE_DELIVERED,
    Event.LOCATION_TRIED,
)

PURPOSES = Choice(tuple(Purpose.values))

_COUNTS: dict[str, DetailType] = {"conversations": Whole(), "messages": Whole(), "attachments": Whole()}
_STEP: dict[str, DetailType] = {"step": Id(), "phase": PHASES, "location": Id(), "attempts": Whole()}
_COPY_POLICY: dict[str, DetailType] = {"location": Id(), "readable": Flag(), "active": Flag(), "proposed": Flag()}
_SOURCE: dict[str, DetailType] = {"source": Id(), "location": Id(), "active": Flag(), "adds_people": Flag()}
_RESULT: dict[str, DetailType] = {
    "found": Whole(),
    "exported": Whole(),
    "erased": Whole(),
    "remaining": Whole(),
    "corrected": Whole(),
    "restricted": Whole(),
    "lifted": Whole(),
}
_PROPOSAL: dict[str, DetailType] = {"proposal": Id(), "epochs": ListOf(Id())}
_LOCATION: dict[str, DetailType] = {"location": Id(), "enabled": Flag()}
_ENDED: dict[str, DetailType] = {"steps": Whole(), "blocked": Whole(), "needs_person": Whole()}

DETAILS: dict[Event, dict[str, DetailType]] = {
    # audit
    Event.LOG_STARTED: {"log_key": Hex(32), "archive_key": Hex(32)},
    Event.SIGNING_KEY_CHANGED: {"log_key": Hex(32), "archive_key": Hex(32)},
    Event.LOG_GAP_ACCEPTED: {"size": Whole(), "root": Hex(32), "kept": Whole()},
    Event.LOG_CONTINUED: {
        "log_key": Hex(32),
        "archive_key": Hex(32),
        "number": Whole(),  # of this log: its name ends with it
        "size": Whole(),  # the last checkpoint of the earlier log that is known
        "root": Hex(32),
        "kept": Whole(),  # entries of it that are left; they follow
        "officers": ListOf(HandleOf()),  # who signed that the gap is accepted
    },
    Event.QUARANTINE_ENTERED: {"reason": QUARANTINE_REASONS},
    Event.QUARANTINE_LIFTED: {
        "entries": Whole(),  # of the log, put back from its published tiles
        "people": Whole(),  # whose erasure was repeated
        "conversations": Whole(),
        "keys": Whole(),
        "lost": Whole(),  # conversations that no key opens any more
    },
    # keys
    Event.KEYS_INTENDED: {
        "erased": ListOf(Id()),
        "replaced": ListOf(Id()),
        "removed": ListOf(RowId()),
        "reason": KEY_REASONS,
        "kind": KEY_KINDS,
    },
    Event.KEYS_DESTROYED: {
        "intent": Hex(32),  # hash of the intent's entry in the log
        "destroyed": Whole(),
        "already": Whole(),
        "destroyed_at": Moment(),
        "reason": KEY_REASONS,
        "kind": KEY_KINDS,
    },
    Event.KEYS_INTENT_CANCELLED: {"intent": Hex(32)},
    Event.KEY_SWEEP_CONFIRMED: {
        "keys": Whole(),
        "live": Whole(),
        "sha256": Hex(32),
    },  # of the ids of the keys, in order
    Event.KEYS_BACKED_UP: {"keys": Whole(), "tombstones": Whole(), "sha256": Hex(32)},
    Event.KEYS_RESTORED: {"keys": Whole(), "tombstones": Whole(), "sha256": Hex(32)},
    Event.MASTER_KEY_BEGUN: {"epoch": Id(), "retired": ListOf(Id()), "provider": PROVIDERS},
    Event.MASTER_KEY_ROLLED: {
        "epoch": Id(),
        "emptied": ListOf(Id()),
        "rewrapped": Whole(),
        "replaced": Whole(),
        "damaged": Whole(),
        "waiting": Whole(),
    },
    Event.MASTER_KEYS_PROPOSED: _PROPOSAL,
    Event.MASTER_KEYS_APPROVED: _PROPOSAL,
    Event.MASTER_KEYS_WITHDRAWN: _PROPOSAL,
    Event.MASTER_KEY_POLICY_PROPOSED: {"proposal": Id()},
    Event.MASTER_KEY_POLICY_SET: {"proposal": Id()},
    Event.MASTER_KEY_POLICY_ENDED: {"proposal": Id()},
    Event.MASTER_KEYS_INTENDED: _PROPOSAL,
    Event.MASTER_KEYS_DESTROYED: {"intent": Hex(32), "epochs": ListOf(Id()), "gone_by": Day()},
    Event.BLIND_INDEX_BEGUN: {"index": BLIND_INDEXES, "key": Id()},
    Event.BLIND_INDEX_ENDED: {"index": BLIND_INDEXES, "key": Id()},
    # accounts
    Event.ACCOUNT_ERASED: {"users": Whole(), "sessions": Whole(), "addresses": Whole(), "authenticators": Whole()},
    Event.ROLE_GRANTED: {"role": ROLES, "officer": HandleOf()},
    Event.ROLE_REVOKED: {"role": ROLES, "officer": HandleOf()},
    # locations
    Event.LOCATION_ADDED: _LOCATION,
    Event.LOCATION_CHANGED: _LOCATION,
    Event.LOCATION_CHECKED: _LOCATION | {"reachable": Flag(), "horizon_days": Whole()},
    Event.LOCATION_TRIED: _LOCATION | {"purpose": PURPOSES},
    Event.LOCATION_SWITCHED_OFF: _LOCATION,
    Event.LOCATION_SWITCHED_ON: _LOCATION,
    Event.LOCATION_EMPTIED: _LOCATION,
    # archives
    Event.ARCHIVE_PUBLISHED: {
        "archive": Id(),
        "number": Whole(),
        "size": Whole(),
        "manifest": Hex(32),
        "missing": Whole(),
    },
    Event.ARCHIVE_DOWNLOADED: {"archive": Id(), "start": Whole(), "stop": Whole(), "complete": Flag()},
    Event.ARCHIVE_DELIVERED: {"archive": Id(), "purpose": PURPOSES},
    Event.ARCHIVE_EXPIRED: {"archive": Id(), "segments": Whole()},
    Event.ARCHIVE_DISCARDED: {"archive": Id(), "segments": Whole()},
    # records
    Event.SUBJECT_CREATED: {"with_account": Flag()},
    Event.SUBJECT_FROZEN: {},
    Event.SUBJECT_ERASED: _COUNTS | {"copies": Whole(), "imports": Whole(), "identities": Whole()},
    Event.IDENTITY_ADDED: {"identities": Whole()},
    Event.IDENTITY_NOTED: {"identities": Whole()},
    Event.IDENTITY_REMOVED: {"identities": Whole()},
    Event.CONVERSATIONS_IMPORTED: _COUNTS
    | {"import_id": Id(), "format": FORMATS, "already_held": Whole(), "skipped": Whole()},
    Event.IMPORT_RECEIVED: {"import_id": Id(), "size": Whole()},
    Event.IMPORT_FINISHED: _COUNTS | {"import_id": Id(), "already_held": Whole(), "skipped": Whole()},
    Event.IMPORT_FAILED: {"import_id": Id(), "reason": IMPORT_FAILURES},
    Event.CONVERSATIONS_DELETED: _COUNTS,
    Event.MESSAGES_REMOVED: _COUNTS,
    Event.MESSAGE_CORRECTED: _COUNTS,
    Event.RETENTION_CHANGED: {"days": Whole()},
    Event.CHOICES_CHANGED: {"recording": Flag(), "opted_out_of_training": Flag(), "opted_out_of_sharing": Flag()},
    Event.HOLD_PLACED: {"conversations": Whole(), "until": Day()},
    Event.HOLD_LIFTED: {"conversations": Whole()},
    Event.USE_RESTRICTED: {"conversations": Whole()},
    Event.USE_RELEASED: {"conversations": Whole()},
    Event.SOURCE_ADDED: _SOURCE,
    Event.SOURCE_CHANGED: _SOURCE,
    Event.SOURCE_PREVIEWED: {"location": Id(), "rows": Whole()},
    Event.SOURCE_READ: _COUNTS
    | {
        "source": Id(),
        "already_held": Whole(),
        "skipped": Whole(),
        "unknown_people": Whole(),
        "withheld": Whole(),
        "complete": Flag(),
    },
    Event.COPY_POLICY_ADDED: _COPY_POLICY,
    Event.COPY_POLICY_CHANGED: _COPY_POLICY,
    Event.COPY_POLICY_APPROVED: _COPY_POLICY,
    Event.COPIES_WRITTEN: {"location": Id(), "written": Whole(), "failed": Whole(), "complete": Flag()},
    Event.COPIES_CHECKED: {
        "location": Id(),
        "ok": Whole(),
        "missing": Whole(),
        "changed": Whole(),
        "skipped": Whole(),
        "complete": Flag(),
    },
    Event.COPIES_REMOVED: {"location": Id(), "removed": Whole()},
    Event.COPIES_RESTORED: _COUNTS | {"location": Id(), "already_held": Whole(), "failed": Whole()},
    Event.STORAGE_SWEPT: {
        "objects": Whole(),
        "complete": Flag(),
        "removed": Whole(),
        "orphan": Whole(),
        "missing": Whole(),
        "unfinished": Whole(),
        "temporary": Whole(),
        "expired": Whole(),
        "unknown": Whole(),
    },
    Event.SUBJECT_LOOKED_AT: {"purpose": PURPOSES},
    Event.CONTENT_LOOKED_AT: _COUNTS | {"purpose": PURPOSES},
    # requests
    Event.REQUEST_LOOKED_AT: {"purpose": PURPOSES},
    Event.REQUEST_OPENED: {
        "kind": KINDS,
        "regime": REGIMES,
        "identity": IDENTITY_LEVELS,
        "due": Day(),
        "by_staff": Flag(),
    },
    Event.REQUEST_VERIFYING: {},
    Event.REQUEST_VERIFIED: {"identity": IDENTITY_LEVELS},
    Event.REQUEST_APPROVED: {"rule": APPROVAL_RULES, "steps": Whole(), "locations": Whole()},
    Event.REQUEST_SECOND_APPROVED: {"rule": APPROVAL_RULES, "steps": Whole(), "locations": Whole()},
    Event.APPROVALS_VOIDED: {"approvals": Whole()},
    Event.COMMAND_LINE_APPROVAL: {"steps": Whole(), "locations": Whole(), "skips_cooling_off": Flag()},
    Event.REQUEST_COOLING_OFF: {"until": Moment()},
    Event.REQUEST_REFUSED: {"ground": GROUNDS},
    Event.REQUEST_WITHDRAWN: {},
    Event.REQUEST_LAPSED: {},
    Event.REQUEST_EXTENDED: {"due": Day(), "regime": REGIMES},
    Event.REQUEST_ASSIGNED: {"officer": HandleOf()},
    Event.MESSAGE_SENT: {"from_person": Flag()},
    Event.EVIDENCE_RECEIVED: {"documents": Whole()},
    Event.EVIDENCE_DESTROYED: {"documents": Whole()},
    Event.REQUEST_RUNNING: {"steps": Whole()},
    Event.REQUEST_COMPLETED: _ENDED,
    Event.REQUEST_PARTLY_COMPLETED: _ENDED,
    Event.REQUEST_RETENTION_ENDED: {},
    Event.COPY_ASKED: {"due": Day()},
    Event.COPY_WAIVED: {},
    Event.CORRECTIONS_NOTED: {"locations": Whole(), "corrections": Whole()},
    Event.RESTRICTION_EXTENDED: {"steps": Whole()},
    Event.LIFT_ANNOUNCED: {"on": Day()},
    Event.LIFT_BEGUN: {"steps": Whole()},
    Event.STEP_INTENDED: _STEP,
    Event.STEP_DONE: _STEP | _RESULT,
    Event.STEP_BLOCKED: _STEP | _RESULT | {"reason": REASONS, "until": Day()},
    Event.STEP_NEEDS_PERSON: _STEP | _RESULT | {"reason": REASONS},
    Event.STEP_RETRIED: _STEP,
    Event.STEP_CONFIRMED: _STEP | {"items": Whole(), "documents": Whole(), "until": Day()},
    Event.RECEIPT_ISSUED: {"body_sha256": Hex(32), "number": Whole(), "locations": Whole(), "blocked": Whole()},
}
