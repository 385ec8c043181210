"""What a bucket says of itself: versions, locks, replication, lifecycle, and whether our key may do what it has to."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from apps.locations.connectors.s3_errors import foreign_errors, optional, status_of
from apps.locations.contract import Health
from apps.locations.objects import rules_in_words
from apps.locations.said import said as _

NEEDED = (
    "s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads", "s3:GetObject", "s3:GetObjectVersion",
    "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload", "s3:GetBucketVersioning",
    "s3:GetBucketObjectLockConfiguration", "s3:GetReplicationConfiguration", "s3:GetLifecycleConfiguration",
)  # fmt: skip
FOR_LOCKS = ("s3:GetObjectRetention", "s3:GetObjectLegalHold")  # without them HeadObject does not tell of a lock
FOR_TAGS = ("s3:GetObjectTagging", "s3:GetObjectVersionTagging")
FOR_BYPASS = ("s3:BypassGovernanceRetention",)
TRIED = {  # permissions that a call about an object that nobody has shows: allowed, it is not found
    "s3:GetObject": ("head_object", {}),
    "s3:GetObjectVersion": ("head_object", {"VersionId": "null"}),
    "s3:AbortMultipartUpload": ("abort_multipart_upload", {"UploadId": "nobody-has-this"}),
}
TRIED_FOR_TAGS = {
    "s3:GetObjectTagging": ("get_object_tagging", {}),
    "s3:GetObjectVersionTagging": ("get_object_tagging", {"VersionId": "null"}),
}
SETTINGS = {
    "versions": "get_bucket_versioning",
    "lock": "get_object_lock_configuration",
    "replication": "get_bucket_replication",
    "lifecycle": "get_bucket_lifecycle_configuration",
}


def check(client: Any, bucket: str, *, bypasses: bool, reads_tags: bool) -> Health:
    """List, read the settings, and try the other calls on what does not exist: that shows permissions and changes nothing."""
    with foreign_errors():
        client.list_object_versions(Bucket=bucket, MaxKeys=1)
        client.list_multipart_uploads(Bucket=bucket, MaxUploads=1)
    read = {name: _setting(client, call, bucket) for name, call in SETTINGS.items()}
    tried = TRIED | (TRIED_FOR_TAGS if reads_tags else {})
    problems = [*_problems(client, bucket, read, bypasses), *_refused(client, bucket, tried)]
    needed = [*NEEDED, *(FOR_TAGS if reads_tags else ()), *(FOR_BYPASS if bypasses else ())]
    if read["lock"] is None or _is_lockable(read["lock"]):
        needed += FOR_LOCKS
    facts = (
        (_("Versions"), _unread() if read["versions"] is None else _state((read["versions"] or {}).get("Status"))),
        (_("Object Lock"), _unread() if read["lock"] is None else _lock_words(read["lock"])),
        (_("Replication"), _unread() if read["replication"] is None else _state(_is_replicated(read["replication"]))),
        (_("Lifecycle"), _unread() if read["lifecycle"] is None else _lifecycle_words(read["lifecycle"])),
        (_("Permissions it needs"), ", ".join(needed)),
    )
    horizon = None if read["lock"] is None else _horizon(read["lock"], bypasses)
    return Health(True, _("The bucket answers."), horizon_days=horizon, problems=tuple(problems), facts=facts)


def has_lock(client: Any, bucket: str) -> bool:
    return _is_lockable(optional(client, "get_object_lock_configuration", Bucket=bucket))


def _is_lockable(lock: dict[str, Any]) -> bool:
    return bool(lock.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled")


def _setting(client: Any, call: str, bucket: str) -> dict[str, Any] | None:
    """Return a setting, {} where the bucket has none, None where we may not read it."""
    from botocore.exceptions import ClientError

    with foreign_errors():
        try:
            answer: dict[str, Any] = getattr(client, call)(Bucket=bucket)
        except ClientError as error:
            if status_of(error) in {401, 403}:
                return None
            if status_of(error) in {400, 404, 405, 501}:
                return {}
            raise
    answer.pop("ResponseMetadata", None)
    return answer


def _problems(client: Any, bucket: str, read: dict[str, Any], bypasses: bool) -> list[str]:
    problems = []
    if not _may_delete(client, bucket):
        problems.append(_("Our key may not delete versions here: s3:DeleteObjectVersion is missing."))
    if (read["versions"] or {}).get("MFADelete") == "Enabled":
        problems.append(_("MFA Delete is on: versions can only be deleted by hand."))
    mode, days = _default_retention(read["lock"] or {})
    if days and not (bypasses and mode == "GOVERNANCE"):
        problems.append(_("Object Lock keeps each new object for %(days)d days.") % {"days": days})
    if _is_replicated(read["replication"]):
        problems.append(_("The bucket is replicated: add the other bucket as a place of its own."))
    if read["lock"] is None:
        problems.append(
            _("Our key may not read whether Object Lock is on: s3:GetBucketObjectLockConfiguration is missing.")
        )
    return problems


def _is_replicated(replication: dict[str, Any] | None) -> bool:
    return bool((replication or {}).get("ReplicationConfiguration", {}).get("Rules"))


def _refused(client: Any, bucket: str, tried: dict[str, tuple[str, dict[str, str]]]) -> Iterator[str]:
    for permission, (call, arguments) in tried.items():
        if _is_denied(client, call, Bucket=bucket, Key=_nobodys_key(), **arguments):
            yield _("A permission of our key is missing here: %(permission)s.") % {"permission": permission}


def _is_denied(client: Any, call: str, **arguments: str) -> bool:
    from botocore.exceptions import ClientError

    with foreign_errors():
        try:
            getattr(client, call)(**arguments)
        except ClientError as error:
            if status_of(error) in {400, 403, 404, 405, 501}:
                return status_of(error) == 403
            raise
    return False


def _nobodys_key() -> str:
    return f"habeas-permission-test-{secrets.token_hex(16)}"


def _may_delete(client: Any, bucket: str) -> bool:
    """Delete the null version of a key that nobody has: allowed, it does nothing."""
    key = _nobodys_key()
    with foreign_errors():
        wanted = {"Objects": [{"Key": key, "VersionId": "null"}], "Quiet": True}
        answer = client.delete_objects(Bucket=bucket, Delete=wanted)
    return not any(error.get("Code") == "AccessDenied" for error in answer.get("Errors", []))


def _default_retention(lock: dict[str, Any]) -> tuple[str, int]:
    default = lock.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention", {})
    return str(default.get("Mode", "")), int(default.get("Days", 0)) + 366 * int(default.get("Years", 0))


def _horizon(lock: dict[str, Any], bypasses: bool) -> int:
    mode, days = _default_retention(lock)
    return 0 if bypasses and mode == "GOVERNANCE" else days


def _lock_words(lock: dict[str, Any]) -> str:
    if not _is_lockable(lock):
        return _("off")
    mode, days = _default_retention(lock)
    if not days:
        return _("on, for objects that are locked one by one")
    return _("on, %(mode)s mode, %(days)d days for each new object") % {"mode": mode.lower(), "days": days}


def _lifecycle_words(lifecycle: dict[str, Any]) -> str:
    rules = [rule for rule in lifecycle.get("Rules", []) if rule.get("Status") == "Enabled"]
    return rules_in_words(len(rules))


def _state(value: Any) -> str:
    return _("on") if value in (True, "Enabled") else _("suspended") if value == "Suspended" else _("off")


def _unread() -> str:
    return _("we may not read it")
