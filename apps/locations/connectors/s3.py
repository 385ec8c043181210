"""Amazon S3 and what speaks its protocol.

A simple DELETE on a versioned bucket only adds a marker, so every version and every delete marker is deleted by its id,
and unfinished multipart uploads are aborted (S3 user guide, "Deleting object versions"). DeleteObjects takes 1,000 keys
and reports failures per key under HTTP 200, so each answer is read. What Object Lock holds back is reported with its date.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import orjson
from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.locations.contract import Entry, Health, Identity, Item, Obstacle, Progress, Remaining, Scope
from apps.locations.cursors import BYTES_DONE, END, Cursor
from apps.locations.errors import LocationError, Refused, Unavailable
from apps.locations.fields import PathTemplatesField
from apps.locations.paths import finds_below, generated_name, kinds_in, resolve
from apps.locations.reasons import Reason

DELETE_LIMIT = 1000  # keys in one DeleteObjects
PIECE_SIZE = 32 * 1024 * 1024
CHUNK_SIZE = 256 * 1024
CONNECT_TIMEOUT, READ_TIMEOUT = 5, 30  # seconds, tried three times
LOCKS_READ = 100  # how many locked objects are asked for their date; the latest is told
INDEX_NAME, INDEX_TYPE = "index.jsonl", "application/x-ndjson"
UNAVAILABLE_CODES = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "503", "500", "502", "504"}


class ConfigForm(forms.Form):
    bucket = forms.CharField(label=gettext_lazy("Bucket"), max_length=63)
    endpoint_url = forms.URLField(
        label=gettext_lazy("Address"), required=False, assume_scheme="https",
        help_text=gettext_lazy("Empty for Amazon; otherwise the address of the store, as in https://s3.example.org"),
    )  # fmt: skip
    region_name = forms.CharField(label=gettext_lazy("Region"), required=False, max_length=40)
    access_key = forms.CharField(label=gettext_lazy("Access key"), max_length=200)
    secret_key = forms.CharField(
        label=gettext_lazy("Secret key"), max_length=200, required=False, widget=forms.PasswordInput,
        help_text=gettext_lazy("Kept sealed and never shown again. Empty: the one that is there stays."),
    )  # fmt: skip
    templates = PathTemplatesField()
    bypass_governance = forms.BooleanField(
        label=gettext_lazy("Erase although Object Lock in governance mode holds an object"), required=False,
        help_text=gettext_lazy("Needs the permission s3:BypassGovernanceRetention. Compliance mode cannot be bypassed."),
    )  # fmt: skip

    secrets = ("secret_key",)


class S3Connector:
    label = gettext_lazy("S3 bucket")
    ConfigForm = ConfigForm

    def __init__(self, config: dict[str, Any]) -> None:
        self.bucket = str(config["bucket"])
        self.templates: list[str] = config["templates"]
        self.bypass_governance = bool(config.get("bypass_governance"))
        self._config = config
        self._opened: Any = None

    @property
    def client(self) -> Any:
        if self._opened is None:
            import boto3
            from botocore.config import Config

            self._opened = boto3.client(
                "s3",
                endpoint_url=self._config.get("endpoint_url") or None,
                region_name=self._config.get("region_name") or "us-east-1",
                aws_access_key_id=self._config["access_key"],
                aws_secret_access_key=self._config["secret_key"],
                config=Config(
                    connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT, retries={"max_attempts": 3, "mode": "standard"},
                    s3={"addressing_style": "path" if self._config.get("endpoint_url") else "auto"},
                ),
            )  # fmt: skip
        return self._opened

    def identity_kinds(self) -> set[str]:
        return kinds_in(self.templates)

    def summary(self) -> list[str]:
        return [
            finds_below(self.templates),
            _("Reads the current version of each object."),
            _("Erases every version, delete marker and unfinished upload there, 1,000 in a request, then looks again."),
            _("Keeps what Object Lock holds, until its date, and says so.")
            if not self.bypass_governance
            else _(
                "Erases although Object Lock in governance mode holds an object; compliance mode and legal holds stay."
            ),
        ]

    def check(self) -> Health:
        with _foreign_errors():
            self.client.list_object_versions(Bucket=self.bucket, MaxKeys=1)
            self.client.list_multipart_uploads(Bucket=self.bucket, MaxUploads=1)
            status = self.client.get_bucket_versioning(Bucket=self.bucket)
        versioned = status.get("Status", "Off")
        problems = []
        if status.get("MFADelete") == "Enabled":
            problems.append(_("MFA Delete is on: versions can only be deleted by hand."))
        lock_days = self._default_lock_days()
        if lock_days:
            problems.append(_("Object Lock keeps each new object for %(days)d days.") % {"days": lock_days})
        if self._is_replicated():
            problems.append(_("The bucket is replicated: add the other bucket as a place of its own."))
        message = _("The bucket answers; versions: %(state)s.") % {"state": versioned}
        return Health(is_reachable=True, message=message, horizon_days=lock_days, problems=tuple(problems))

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]:
        if not self._has_lock():
            return []
        locked = [(found, until) for found in self._versions(who) if (until := self._locked_until(found))[0]]
        if not locked:
            return []
        dates = [until for _found, (_locked, until) in locked if until]
        return [Obstacle(Reason.OBJECT_LOCK, count=len(locked), until=max(dates, default=None))]

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        for listed in self._all_objects(who, ""):
            yield Item(listed["Key"], "object", listed["Size"], listed["LastModified"])

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        """Yield each current object and a line of index.jsonl with its key."""
        at = Cursor.read(cursor)
        if at.path == END:
            return
        number = at.number
        if at.offset:
            yield from self._entries(number, at.path, at.offset)
        for listed in self._all_objects(who, at.path):
            number += 1
            yield from self._entries(number, listed["Key"], 0)
        if number:
            yield Entry(INDEX_NAME, INDEX_TYPE, [], Cursor(number, END, 0).text, part="last", count=0)

    def _entries(self, number: int, key: str, start: int) -> Iterator[Entry]:
        """Yield an object in pieces, then its line in the index; one that went away meanwhile is said to be gone."""
        name, done = generated_name(number, key), Cursor(number, key, 0).text
        line: dict[str, Any] = {"name": key}
        head = self._optional("head_object", Bucket=self.bucket, Key=key)
        if head:
            size, kind = head["ContentLength"], str(head.get("ContentType") or "application/octet-stream")[:100]
            line |= {"file": name, "size": size, "modified": head["LastModified"].astimezone(UTC).isoformat()}
            while start != BYTES_DONE:
                stop = min(start + PIECE_SIZE, size)
                at = stop if stop < size else BYTES_DONE
                part = "piece" if stop < size else "last" if start else "whole"
                chunks = self._read(key, head["ETag"], start, stop)
                yield Entry(name, kind, chunks, Cursor(number, key, at).text, part=part, count=0)
                start = at
        else:
            line["gone"] = True
            if start > 0:
                yield Entry(
                    name, "application/octet-stream", [], Cursor(number, key, BYTES_DONE).text, part="last", count=0
                )
        index = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        yield Entry(INDEX_NAME, INDEX_TYPE, [index], done, part="piece", count=1)

    def _read(self, key: str, etag: str, start: int, stop: int) -> Iterator[bytes]:
        if start == stop:
            return
        with _foreign_errors():
            # The same version throughout: a changed object fails with 412 and is begun again.
            answer = self.client.get_object(
                Bucket=self.bucket, Key=key, IfMatch=etag, Range=f"bytes={start}-{stop - 1}"
            )
            yield from answer["Body"].iter_chunks(CHUNK_SIZE)

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        """Delete versions, markers and unfinished uploads, 1,000 a call. A repeat finds what is left."""
        for path in resolve(self.templates, who):
            yield from self._erase_versions(path)
        aborted = 0
        for upload in self._uploads(who):
            with _foreign_errors(missing_is_fine=True):
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
            aborted += 1
        if aborted:
            yield Progress(aborted, "", {"uploads": aborted})

    def _erase_versions(self, path: str) -> Iterator[Progress]:
        """List a page, delete it, list again from the same place: a marker that was deleted is no place to go on from."""
        marker: dict[str, str] = {}
        while True:
            with _foreign_errors():
                page = self.client.list_object_versions(Bucket=self.bucket, Prefix=path, MaxKeys=DELETE_LIMIT, **marker)
            listed = [found for kind in ("Versions", "DeleteMarkers") for found in page.get(kind, [])]
            batch = [
                {"Key": found["Key"], "VersionId": found["VersionId"]}
                for found in listed
                if _belongs(found["Key"], path)
            ]
            erased = self._delete(batch) if batch else 0
            if erased:
                yield Progress(erased, "", {"versions": erased})
            if not page.get("IsTruncated"):
                return
            if erased < len(listed):  # some stay (locked, or not the person's): go on behind them
                marker = {"KeyMarker": page["NextKeyMarker"]}
                if page.get("NextVersionIdMarker"):
                    marker["VersionIdMarker"] = page["NextVersionIdMarker"]

    def _delete(self, batch: list[dict[str, str]]) -> int:
        """Return how many went. What stays is seen, with its reason, at the second look."""
        extra = {"BypassGovernanceRetention": True} if self.bypass_governance else {}
        with _foreign_errors():
            answer = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": batch, "Quiet": True}, **extra)
        failed = [
            error for error in answer.get("Errors", []) if error.get("Code") not in {"NoSuchKey", "NoSuchVersion"}
        ]
        if failed and all(error.get("Code") in UNAVAILABLE_CODES for error in failed):
            raise Unavailable("The bucket could not delete some objects just now.")
        return len(batch) - len(failed)

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        count, asked, locked, until = 0, 0, 0, None
        has_lock = None
        for found in self._versions(who):
            count += 1
            has_lock = self._has_lock() if has_lock is None else has_lock
            if has_lock and asked < LOCKS_READ:
                asked += 1
                is_locked, date_ = self._locked_until(found)
                locked += is_locked
                until = max(filter(None, [until, date_]), default=None)
        count += sum(1 for _upload in self._uploads(who))
        if count == 0:
            return Remaining(0)
        if locked:
            return Remaining(count, Reason.OBJECT_LOCK if until else Reason.LEGAL_HOLD, until)
        return Remaining(count, Reason.CANNOT_DELETE)

    # Below: what is in the bucket.

    def _pages(self, call: str, result: tuple[str, ...], **arguments: Any) -> Iterator[dict[str, Any]]:
        pages = iter(self.client.get_paginator(call).paginate(Bucket=self.bucket, **arguments))
        while True:
            with _foreign_errors():
                page = next(pages, None)
            if page is None:
                return
            for name in result:
                yield from page.get(name, [])

    def _objects(self, path: str, after: str = "") -> Iterator[dict[str, Any]]:
        arguments = {"StartAfter": after} if after else {}
        for listed in self._pages("list_objects_v2", ("Contents",), Prefix=path, **arguments):
            if _belongs(listed["Key"], path):
                yield listed

    def _all_objects(self, who: Identity, after: str) -> Iterator[dict[str, Any]]:
        for path in sorted(resolve(self.templates, who)):
            if after < path or after.startswith(path):
                yield from self._objects(path, after if after.startswith(path) else "")

    def _versions(self, who: Identity) -> Iterator[dict[str, Any]]:
        for path in resolve(self.templates, who):
            for found in self._pages("list_object_versions", ("Versions", "DeleteMarkers"), Prefix=path):
                if _belongs(found["Key"], path):
                    yield found

    def _uploads(self, who: Identity) -> Iterator[dict[str, Any]]:
        for path in resolve(self.templates, who):
            for upload in self._pages("list_multipart_uploads", ("Uploads",), Prefix=path):
                if _belongs(upload["Key"], path):
                    yield upload

    # Below: what holds objects back.

    def _locked_until(self, found: dict[str, Any]) -> tuple[bool, date | None]:
        if "Size" not in found:
            return False, None  # a delete marker cannot be locked
        which = {"Bucket": self.bucket, "Key": found["Key"], "VersionId": found["VersionId"]}
        head = self._optional("head_object", **which)
        until = head.get("ObjectLockRetainUntilDate")
        if until and until <= datetime.now(UTC):
            until = None
        if until and head.get("ObjectLockMode") == "GOVERNANCE" and self.bypass_governance:
            until = None
        return bool(until) or head.get("ObjectLockLegalHoldStatus") == "ON", until.date() if until else None

    def _has_lock(self) -> bool:
        lock = self._optional("get_object_lock_configuration", Bucket=self.bucket)
        return lock.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled"

    def _default_lock_days(self) -> int:
        lock = self._optional("get_object_lock_configuration", Bucket=self.bucket).get("ObjectLockConfiguration", {})
        default = lock.get("Rule", {}).get("DefaultRetention", {})
        return int(default.get("Days", 0)) + 366 * int(default.get("Years", 0))

    def _is_replicated(self) -> bool:
        return bool(self._optional("get_bucket_replication", Bucket=self.bucket).get("ReplicationConfiguration"))

    def _optional(self, call: str, **arguments: Any) -> dict[str, Any]:
        """Ask for a setting that a bucket or store may not have; then the answer is empty."""
        from botocore.exceptions import ClientError

        with _foreign_errors():
            try:
                answer: dict[str, Any] = getattr(self.client, call)(**arguments)
            except ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
                if status in {400, 404, 405, 501}:
                    return {}
                raise
        return answer


def _belongs(key: str, path: str) -> bool:
    """A path that ends in "/" means everything below; any other means that very key and no longer one."""
    return path.endswith("/") or key == path


@contextmanager
def _foreign_errors(*, missing_is_fine: bool = False) -> Iterator[None]:
    """Turn the provider's errors into ours, without its words: they can hold keys and names."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except LocationError:
        raise
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if missing_is_fine and status == 404:
            return
        if (
            code in UNAVAILABLE_CODES
            or status >= 500
            or status in {409, 412, 429}
            or (status == 404 and code in {"NoSuchKey", "404"})
        ):
            raise Unavailable(f"The bucket cannot answer just now ({code}).") from None
        raise Refused(f"The bucket refuses us ({code}): check its name, the keys and the permissions.") from None
    except BotoCoreError as error:
        if type(error).__name__ in {"NoCredentialsError", "ParamValidationError", "InvalidRegionError"}:
            raise Refused("The bucket's settings are not complete or not valid.") from None
        raise Unavailable("The bucket does not answer.") from None
    except ValueError:
        raise Refused("The address of the bucket is not valid.") from None
