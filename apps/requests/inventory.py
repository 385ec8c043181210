"""The inventory of personal data: every column of every table, how it is held, what exports it and what erases it.

tests/requests/test_inventory.py fails when a column is missing here or when one named here is gone, so that a new column
cannot come in undeclared. How a column is held:

- sealed: ciphertext under a key that can be destroyed
- blind: a keyed index (HMAC-SHA-256) of a value, or the hash of a random secret
- opaque: random ids and handles, names of objects, references between rows
- clear: personal data, readable; each has a reason in docs/threat-model.md
- plain: says nothing about a person: states, counts, dates of our own work, settings

`exports` and `erases` name who answers for the table: a place (records, archives, account), a retention, or "site" for
what is about no data subject.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    exports: str
    erases: str
    sealed: str = ""
    blind: str = ""
    opaque: str = ""
    clear: str = ""
    plain: str = ""

    def columns(self) -> list[str]:
        return " ".join([self.sealed, self.blind, self.opaque, self.clear, self.plain]).split()


UNTIL_END = "request retention"  # kept under the request key; the key dies when the request's retention is over

INVENTORY = {
    # sign-in (allauth and Django)
    "account.EmailAddress": Table("account", "account", opaque="id user_id", clear="email", plain="verified primary"),
    "account.EmailConfirmation": Table("account", "account", opaque="id email_address_id key", plain="created sent"),
    "accounts.OfficerHandle": Table("site", "account", opaque="id user_id handle", plain="year"),
    "accounts.User": Table(
        "account", "account", blind="password", opaque="id", clear="email last_login date_joined",
        plain="is_superuser language time_zone email_code is_active is_staff",
    ),
    "accounts.User_groups": Table("account", "account", opaque="id user_id group_id"),
    "accounts.User_user_permissions": Table("account", "account", opaque="id user_id permission_id"),
    "admin.LogEntry": Table(
        "account", "account", opaque="id user_id object_id", clear="action_time object_repr change_message",
        plain="content_type_id action_flag",
    ),
    # `data` is JSON: shared secrets and recovery seeds in it are sealed, a passkey's name and public key are not.
    "mfa.Authenticator": Table("account", "account", opaque="id user_id", clear="data last_used_at", plain="type created_at"),
    "sessions.Session": Table("account", "account", opaque="session_key session_data", plain="expire_date"),
    "usersessions.UserSession": Table(
        "account", "account", opaque="id user_id session_key", clear="created_at ip last_seen_at user_agent data",
    ),
    # the outbox
    "mail.Letter": Table(
        "account", "account", sealed="sealed", opaque="id owner key_id",
        plain="template state attempts next_try_at created_at sent_at",
    ),
    # what is held
    "records.Subject": Table(
        "records", "records", opaque="id account_id handle key_id",
        plain="is_recording_allowed retention_days opted_out_of_training opted_out_of_sharing restricted_at frozen_at created_at",
    ),
    "records.Identity": Table("records", "records", sealed="sealed", blind="index", opaque="id subject_id", plain="kind index_number"),
    "records.IndexKey": Table("site", "site", opaque="id key_id", plain="name number created_at retired_at ended_at"),
    "records.Suppressed": Table("none: nothing finds the person through it", "its own end date", blind="index", plain="index_number until"),
    "records.Conversation": Table(
        "records", "records", sealed="sealed", blind="external_index", opaque="id subject_id key_id",
        plain="index_number source started_at updated_at message_count node_count stored_bytes revision imported_at erasing_at",
    ),
    "records.Message": Table("records", "records", sealed="sealed", opaque="conversation_id", plain="position parent is_message"),
    "records.Attachment": Table("records", "records", sealed="sealed", opaque="id conversation_id object_name", plain="size stored created_at"),
    "records.Import": Table(
        "records", "records", sealed="sealed sealed_report", opaque="id subject_id key_id object_name token",
        plain="size stored state reason format conversations messages attachments already_held skipped done_items total_items attempts "
        "lease_until created_at finished_at",
    ),
    "records.Rewrite": Table("records", "records", sealed="sealed", opaque="id subject_id old new intent", plain="old_bytes created_at"),
    "records.LegalHold": Table("records", "records", opaque="id subject_id conversation_id", plain="basis until created_at"),
    "records.CopyPolicy": Table(
        "site", "site", blind="place_mac", opaque="id location_id destination_id proposed_by approved_by token bring_back",
        plain="target form every check_days is_active next_copy_at next_check_at bring_back_at lease_until created_at",
    ),
    "records.Copy": Table(
        "copies", "copies", blind="mac", opaque="id policy_id subject_id conversation_id key_id object_name",
        plain="mac_number revision size stored created_at checked_at doomed_at held_until",
    ),
    "records.CopyRun": Table(
        "site", "site", opaque="id policy_id cursor",
        plain="kind state reason counts started_at finished_at lease_until",
    ),
    "records.Source": Table(
        "site", "site", opaque="id location_id token", plain="name mapping every adds_people is_active cursor next_run_at lease_until created_at",
    ),
    "records.SourceRun": Table(
        "site", "14 days", sealed="sealed_report", opaque="id source_id", plain="state reason counts started_at finished_at",
    ),
    "records.SourceFile": Table("site", "site", blind="index", opaque="id source_id", plain="index_number stamp"),
    "records.Forgotten": Table("records", "records", blind="external_index", opaque="id subject_id", plain="index_number"),
    "records.Sweep": Table(
        "site", "site", opaque="id", plain="state removes takes_unknown objects_seen rows_seen counts started_at finished_at",
    ),
    # downloads
    "archives.Archive": Table(
        "archives", "archives", opaque="id subject_id request_id handle key_id manifest_sha256",
        plain="number language formats state member_count central_start size missing_count created_at ready_at expires_at served served_at",
    ),
    "archives.Segment": Table("archives", "archives", opaque="id archive_id step_id token object_name", plain="number size stored committed created_at"),
    "archives.Member": Table(
        "archives", "archives", opaque="id archive_id step_id crc32",
        plain="name media_type method size packed_size piece_count is_closed is_listed",
    ),
    "archives.Piece": Table(
        "archives", "archives", opaque="id archive_id member_id segment_id sha256 plain_sha256", plain="number start length plain_length",
    ),
    "archives.Mark": Table("archives", "archives", opaque="id archive_id member_id", plain="number offset central_offset"),
    # requests
    "requests.PrivacyRequest": Table(
        "account", UNTIL_END, sealed="sealed", blind="email_index code_hash", opaque="id reference handle key_id subject_id assigned_to_id",
        plain="email_index_number kind regime status identity_level language time_zone ground received_at due_on cooling_off_until waives_archive_first "
        "asked_at alerted_at is_destroyed unreadable_at ended_at retain_until lift_on lifted_at",
    ),
    "requests.Clock": Table("account", UNTIL_END, opaque="id request_id", plain="regime duty due_on extended_on met_at"),
    "requests.Approval": Table("account", UNTIL_END, opaque="id request_id officer_id", plain="rule given_at"),
    "requests.Step": Table(
        "account", UNTIL_END, sealed="sealed_cursor sealed_kept", opaque="id request_id location_id token intent_entry",
        plain="phase order state attempts lease_until worker found done_count counts remaining reason until next_try_at "
        "blocked_since started_at ended_at",
    ),
    "requests.Message": Table("account", UNTIL_END, sealed="sealed", opaque="id request_id", plain="is_from_person sent_at"),
    "requests.Evidence": Table("account", "decision", sealed="sealed", opaque="id request_id key_id object_name", plain="size stored created_at destroyed_at"),
    "requests.Task": Table(
        "account", UNTIL_END, sealed="sealed", opaque="id request_id step_id officer_id",
        plain="due_on item_count stays_until reminded_at opened_at confirmed_at",
    ),
    "requests.TaskFile": Table("account", UNTIL_END, sealed="sealed", opaque="id task_id object_name", plain="is_proof size stored created_at"),
    "requests.Receipt": Table(
        "account", UNTIL_END, sealed="sealed_body", blind="body_sha256", opaque="id request_id entry_id", plain="number is_final irrecoverable_by irrecoverable_code compared_at is_settled issued_at",
    ),
    "requests.Intake": Table(
        "account", UNTIL_END, sealed="sealed", blind="code_hash link_hash", opaque="id key_id reference handle",
        plain="kind regime language time_zone link_expires_at created_at",
    ),
    # the log: handles and closed lists only; never erased
    "audit.Entry": Table("account", "never: holds no personal data", opaque="id about actor data", plain="created_at event role"),
    "audit.Leaf": Table("site", "never", opaque="index entry_id leaf_hash"),
    "audit.Pending": Table("site", "sequencer", opaque="entry_id"),
    "audit.Tile": Table("site", "never", opaque="id hashes root", plain="level index"),
    "audit.Checkpoint": Table("site", "never", opaque="root note", plain="size signed_at"),
    "audit.AnchorState": Table("site", "never", plain="name tried_at outcome size anchored_at"),
    "audit.Anchoring": Table("site", "never", opaque="id proof", plain="anchor size anchored_at"),
    "audit.SiteState": Table("site", "site", opaque="id installation gap_accepted_by gap_actor", plain="only log_number gap_found_at keys_seen quarantined_at quarantine_reason"),
    # keys: in their own database
    "keys.Key": Table(
        "none: keys are not data", "destroy step", sealed="wrapped", opaque="id name owner parent_id epoch_id replaces",
        plain="kind created_at child_destroyed_at destroyed_at",
    ),
    "keys.Epoch": Table(
        "site", "site", opaque="id reference proposal_id intent_entry",
        plain="provider created_at retired_at emptied_at destroyed_at gone_at",
    ),
    "keys.Removed": Table("none: keys are not data", "next roll", opaque="id parent_id removed_id"),
    "keys.Backup": Table("site", "site", opaque="id sha256", plain="keys tombstones begun_at verified_at"),
    "keys.Proposal": Table(
        "site", "site", opaque="id proposed_by approved_by approval_entry",
        plain="is_standing proposed_at approved_at withdrawn_at executed_at",
    ),
    "keys.Installation": Table("site", "site", opaque="id", plain="only created_at restored_at log_size waiting_keys"),
    # the site itself
    "locations.Location": Table(
        "site", "site", sealed="sealed_config", opaque="id",
        plain="kind name country purpose retention is_enabled created_at emptied_at checked_at is_reachable health "
        "horizon_days horizon_reason",
    ),
    "auth.Group": Table("site", "site", opaque="id", plain="name"),
    "auth.Group_permissions": Table("site", "site", opaque="id group_id permission_id"),
    "auth.Permission": Table("site", "site", opaque="id content_type_id", plain="name codename"),
    "contenttypes.ContentType": Table("site", "site", opaque="id", plain="app_label model"),
}  # fmt: skip
