"""Amazon S3 and what speaks its protocol. Tested against Ceph's gateway and moto.

A simple DELETE on a versioned bucket only adds a marker, so every version and every delete marker is deleted by its id,
and unfinished multipart uploads are aborted (S3 user guide, "Deleting object versions"). DeleteObjects takes 1,000 keys
and reports failures per key under HTTP 200, so each answer is read. What Object Lock holds back is reported with its date.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from itertools import chain, groupby, islice
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from apps.locations import answers, holding, objects
from apps.locations.connectors import s3_health
from apps.locations.connectors.s3_errors import GONE, NOT_DONE_CODES, UNAVAILABLE_CODES, foreign_errors, optional
from apps.locations.contract import Entry, Health, Identity, Item, Obstacle, Progress, Remaining, Scope
from apps.locations.errors import Refused, Unavailable
from apps.locations.finding import Finding, LabelledFindingForm, Search, covers
from apps.locations.objects import ANY_TYPE, CHUNK_SIZE, Opened, Stored
from apps.locations.reasons import Reason
from apps.locations.said import said as _

DELETE_LIMIT = 1000  # keys in one DeleteObjects
CONNECT_TIMEOUT, READ_TIMEOUT, TRIES = 5, 30, 3  # seconds
LARGEST_INVENTORY = 2**40
LOCKS_READ = 100  # how many objects are asked for their lock, one request each; the latest date is told
TAGS, METADATA = "tags", "metadata"


class ConfigForm(LabelledFindingForm):
    bucket = forms.CharField(label=gettext_lazy("Bucket"), max_length=63)
    endpoint_url = forms.URLField(
        label=gettext_lazy("Address"), required=False, assume_scheme="https",
        help_text=gettext_lazy("Empty for Amazon; otherwise the address of the store, as in https://s3.example.org"),
    )  # fmt: skip
    region_name = forms.CharField(
        label=gettext_lazy("Region"), required=False, max_length=40, help_text=gettext_lazy("As in eu-central-1")
    )
    access_key = forms.CharField(
        label=gettext_lazy("Access key"), max_length=200,
        help_text=gettext_lazy("Of a user who may only reach this bucket. The test below names the permissions it needs."),
    )  # fmt: skip
    secret_key = forms.CharField(
        label=gettext_lazy("Secret key"), max_length=200, required=False, widget=forms.PasswordInput,
        help_text=gettext_lazy("Kept sealed and never shown again."),
    )  # fmt: skip
    label_source = forms.ChoiceField(
        label=gettext_lazy("Labels are"), required=False,
        choices=[(TAGS, gettext_lazy("tags of the objects")), (METADATA, gettext_lazy("metadata of the objects (x-amz-meta-…)"))],
        help_text=gettext_lazy("Either takes one request for each object and version below the path above, at each look."),
    )  # fmt: skip
    bypass_governance = forms.BooleanField(
        label=gettext_lazy("Erase although Object Lock in governance mode holds an object"), required=False,
        help_text=gettext_lazy("Needs the permission s3:BypassGovernanceRetention. Compliance mode cannot be bypassed."),
    )  # fmt: skip

    secrets = ("secret_key",)
    field_order = (
        "bucket", "endpoint_url", "region_name", "access_key", "secret_key", "bypass_governance", "templates", "inventory",
        "inventory_kind", "label_name", "label_kind", "label_prefix", "label_source",
    )  # fmt: skip


class S3Connector:
    label = gettext_lazy("S3 bucket")
    ConfigForm = ConfigForm

    def __init__(self, config: dict[str, Any]) -> None:
        self.bucket = str(config["bucket"])
        self.finding = Finding(config)
        self.bypass_governance = bool(config.get("bypass_governance"))
        self._labels_are_tags = config.get("label_source") != METADATA
        self._config = config
        self._opened: Any = None
        self.requests_made = 0  # shown when the place is tried

    @property
    def client(self) -> Any:
        if self._opened is None:
            import boto3
            from botocore.config import Config

            with foreign_errors():
                self._opened = boto3.client(
                    "s3",
                    endpoint_url=self._config.get("endpoint_url") or None,
                    region_name=self._config.get("region_name") or "us-east-1",
                    aws_access_key_id=self._config["access_key"],
                    aws_secret_access_key=self._config["secret_key"],
                    config=Config(
                        connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT,
                        retries={"max_attempts": TRIES, "mode": "standard"},
                        s3={"addressing_style": "path" if self._config.get("endpoint_url") else "auto"},
                    ),
                )  # fmt: skip
            answers.keep_within(self._opened._endpoint.http_session._pool_classes_by_scheme)
            self._opened.meta.events.register("before-call", self._count_request)
            self._opened.meta.events.register("before-send.s3", _without_expect)
        return self._opened

    def _count_request(self, **_event: Any) -> None:
        self.requests_made += 1

    def identity_kinds(self) -> set[str]:
        return self.finding.kinds()

    def summary(self) -> list[str]:
        said = [*self.finding.words(), _("Reads the current version of each object.")]
        if self.finding.label:
            said.append(_("Each look asks every object and version below that path for its label: one request each."))
        said.append(
            _("Erases every version, delete marker and unfinished upload, up to 1,000 in a request, then looks again.")
        )
        if self.bypass_governance:
            said.append(_("Erases although Object Lock in governance mode holds an object."))
            said.append(_("Keeps what compliance mode or a legal hold locks, until it ends, and says so."))
        else:
            said.append(_("Keeps what Object Lock holds, until its date, and says so."))
        return said

    def check(self) -> Health:
        reads_tags = bool(self.finding.label) and self._labels_are_tags
        return s3_health.check(self.client, self.bucket, bypasses=self.bypass_governance, reads_tags=reads_tags)

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]:
        searches = self._searches(who)
        return self.obstacles(chain.from_iterable(map(self._matching, searches)))

    def obstacles(self, versions: Iterable[dict[str, Any]]) -> list[Obstacle]:
        """Look for locks, at the first LOCKS_READ versions only: of more the count is of those."""
        locked, until = self._locks(versions) if self._has_lock() else (0, None)
        return (
            [Obstacle(Reason.OBJECT_LOCK if until else Reason.LEGAL_HOLD, count=locked, until=until)] if locked else []
        )

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        return objects.items(self, who)

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        return objects.entries(self, who, cursor)

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        """Delete versions, markers and unfinished uploads, 1,000 a call. A repeat finds what is left."""
        searches = self._searches(who)
        singles: list[Iterable[dict[str, Any]]] = []
        for search in searches:
            if search.path.endswith("/") and not search.is_labelled:
                yield from self._erase_below(search.path)
            else:
                singles.append(self._matching(search))
        batch: list[dict[str, str]] = []
        for found in chain.from_iterable(singles):
            batch.append(_id_of(found))
            if len(batch) == DELETE_LIMIT:
                yield from self._progress(batch)
                batch = []
        if batch:
            yield from self._progress(batch)
        aborted = 0
        for upload in self._uploads(searches):
            with foreign_errors(missing_is_fine=True):
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
            aborted += 1
        if aborted:
            yield Progress(aborted, "", {"uploads": aborted})

    def _progress(self, batch: list[dict[str, str]]) -> Iterator[Progress]:
        erased = len(batch) - len(self.delete(batch))
        if erased:
            yield Progress(erased, "", {"versions": erased})

    def _erase_below(self, path: str) -> Iterator[Progress]:
        """List a page, delete it, list again from the same place: a marker that was deleted is no place to go on from.

        What a server says is deleted and lists again is passed over once; the second look finds it.
        """
        marker: dict[str, str] = {}
        seen, is_new = objects.PagesSeen(), True
        while True:
            with foreign_errors():
                page = self.client.list_object_versions(Bucket=self.bucket, Prefix=path, MaxKeys=DELETE_LIMIT, **marker)
            listed = [found for kind in ("Versions", "DeleteMarkers") for found in page.get(kind, [])]
            was_new, is_new = is_new, seen.is_new([_mark_of(found) for found in listed])
            if not (is_new or was_new):
                return
            batch = [_id_of(found) for found in listed]
            erased = len(batch) - len(self.delete(batch)) if batch else 0
            if erased:
                yield Progress(erased, "", {"versions": erased})
            if not page.get("IsTruncated"):
                return
            if erased < len(batch) or not is_new:  # some stay (locked): go on behind them
                marker = {"KeyMarker": page["NextKeyMarker"]}
                if page.get("NextVersionIdMarker"):
                    marker["VersionIdMarker"] = page["NextVersionIdMarker"]

    def delete(self, batch: list[dict[str, str]]) -> list[dict[str, str]]:
        """Return what the bucket says of those that stay; why they do is asked of each (`held`)."""
        extra = {"BypassGovernanceRetention": True} if self.bypass_governance else {}
        with foreign_errors():
            answer = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": batch, "Quiet": True}, **extra)
        failed = [error for error in answer.get("Errors", []) if error.get("Code") not in NOT_DONE_CODES]
        if failed and all(error.get("Code") in UNAVAILABLE_CODES for error in failed):
            raise Unavailable(_("The bucket could not delete some objects just now."))
        versions = {one["Key"]: {"VersionId": one["VersionId"]} for one in batch}  # some servers say the key alone
        return [versions.get(error.get("Key", ""), {}) | error for error in failed]

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        searches = self._searches(who)
        count, asked = 0, list[dict[str, Any]]()
        for found in chain.from_iterable(self._matching(search) for search in searches):
            count += 1
            if len(asked) < LOCKS_READ and "Size" in found:
                asked.append(found)
        count += sum(1 for _upload in self._uploads(searches))
        if count == 0:
            return Remaining(0)
        locked, until = self._locks(asked) if asked and self._has_lock() else (0, None)
        if locked:
            return Remaining(count, Reason.OBJECT_LOCK if until else Reason.LEGAL_HOLD, until)
        return Remaining(count, Reason.CANNOT_DELETE)

    # Below: what is in the bucket. `current`, `look` and `read` are what objects.py reads through.

    def current(self, who: Identity, after: str) -> Iterator[Stored]:
        for search in self._searches(who):
            if after < search.path or after.startswith(search.path):
                yield from self._objects(search, after if after.startswith(search.path) else "")

    def _objects(self, search: Search, after: str) -> Iterator[Stored]:
        arguments = {"StartAfter": after} if after else {}
        for found in self._pages("list_objects_v2", ("Contents",), Prefix=search.path, **arguments):
            if search.takes(found["Key"], lambda: self._labels(found["Key"])):  # noqa: B023 called at once
                yield Stored(found["Key"], found["Size"], found["LastModified"], str(found["ETag"]))

    def look(self, key: str) -> Stored | None:
        head = optional(self.client, "head_object", Bucket=self.bucket, Key=key)
        return Stored(key, head["ContentLength"], head["LastModified"], str(head["ETag"])) if head else None

    def read(self, stored: Stored, start: int, stop: int) -> Opened | None:
        """The same version throughout: a changed object fails with 412 and is begun again."""
        part = {"Range": f"bytes={start}-{stop - 1}"} if (start, stop) != (0, stored.size) else {}
        arguments: dict[str, Any] = {"Bucket": self.bucket, "Key": stored.key, "IfMatch": stored.mark} | part
        with answers.at_most(stop - start):
            answer = optional(self.client, "get_object", **arguments)
        if not answer:
            return None
        chunks = answers.exactly(_chunks(answer["Body"]), stop - start)
        return Opened(str(answer.get("ContentType") or ANY_TYPE), chunks)

    def below(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield every version and delete marker whose key begins so, by key."""
        return self._pages("list_object_versions", ("Versions", "DeleteMarkers"), Prefix=path)

    def _searches(self, who: Identity) -> list[Search]:
        return self.finding.searches(who, self._read_inventory)

    def _read_inventory(self, key: str) -> Iterator[bytes]:
        with answers.at_most(LARGEST_INVENTORY):
            answer = optional(self.client, "get_object", Bucket=self.bucket, Key=key)
        if not answer:
            raise Refused(_("The inventory file is not there: nobody can say what is whose."))
        yield from _chunks(answer["Body"])

    def _pages(self, call: str, result: tuple[str, ...], **arguments: Any) -> Iterator[dict[str, Any]]:
        pages = iter(self.client.get_paginator(call).paginate(Bucket=self.bucket, **arguments))
        seen = objects.PagesSeen()
        while True:
            with foreign_errors():
                page = next(pages, None)
            if page is None:
                return
            found = [one for name in result for one in page.get(name, [])]
            seen.add([_mark_of(one) for one in found])
            yield from found if len(result) == 1 else sorted(found, key=lambda one: str(one["Key"]))

    def _matching(self, search: Search) -> Iterator[dict[str, Any]]:
        """Yield the versions and markers that a search takes. A marker has no label: it goes with the last of its versions."""
        listed = self.below(search.path)
        if not search.is_labelled:
            yield from (found for found in listed if covers(search.path, found["Key"]))
            return
        for key, group in groupby(listed, key=lambda one: str(one["Key"])):
            same = list(group)
            versions = [found for found in same if "Size" in found]
            taken = [
                found
                for found in versions
                if search.takes(key, lambda: self._labels(found["Key"], found["VersionId"]))  # noqa: B023 called at once
            ]
            yield from same if taken and len(taken) == len(versions) else taken

    def _labels(self, key: str, version: str = "") -> dict[str, str]:
        which = {"Bucket": self.bucket, "Key": key} | ({"VersionId": version} if version else {})
        if not self._labels_are_tags:
            return {str(name): str(value) for name, value in self._optional("head_object", which, "Metadata").items()}
        return {tag["Key"]: tag["Value"] for tag in self._optional("get_object_tagging", which, "TagSet")}

    def _optional(self, call: str, which: dict[str, str], part: str) -> Any:
        """Return a part of what is said of an object; nothing of one that is gone. A store that cannot say is refused."""
        return optional(self.client, call, not_there=GONE, **which).get(part) or {}

    def _uploads(self, searches: list[Search]) -> Iterator[dict[str, Any]]:
        """Yield unfinished uploads below the paths; one has no label yet, so a labelled search cannot tell whose it is."""
        for search in searches:
            paths = search.whole if search.is_labelled else (search.path,)
            for path in paths:
                for upload in self._pages("list_multipart_uploads", ("Uploads",), Prefix=path):
                    if covers(path, upload["Key"]):
                        yield upload

    # Below: what holds objects back.

    def _locks(self, versions: Iterable[dict[str, Any]]) -> tuple[int, date | None]:
        """Ask up to LOCKS_READ versions; return how many are locked, and the latest date."""
        can_be_locked = (found for found in versions if "Size" in found)  # a delete marker cannot
        locked = [day for reason, day in map(self.held, islice(can_be_locked, LOCKS_READ)) if reason]
        return len(locked), max(filter(None, locked), default=None)

    def held(self, version: dict[str, Any]) -> holding.Hold:
        """Say what holds a version back, and until when: a legal hold has no end of its own."""
        which = {"Bucket": self.bucket, "Key": version["Key"], "VersionId": version["VersionId"]}
        head = optional(self.client, "head_object", **which)
        until = head.get("ObjectLockRetainUntilDate")
        if until and until <= datetime.now(UTC):
            until = None
        if until and head.get("ObjectLockMode") == "GOVERNANCE" and self.bypass_governance:
            until = None
        if until:
            return Reason.OBJECT_LOCK, until.date()
        return (Reason.LEGAL_HOLD if head.get("ObjectLockLegalHoldStatus") == "ON" else ""), None

    def _has_lock(self) -> bool:
        return s3_health.has_lock(self.client, self.bucket)


def _id_of(found: dict[str, Any]) -> dict[str, str]:
    return {"Key": found["Key"], "VersionId": found["VersionId"]}


def _mark_of(found: dict[str, Any]) -> tuple[str, str]:
    return str(found.get("Key")), str(found.get("VersionId") or found.get("UploadId") or "")


def _without_expect(request: Any, **_event: Any) -> None:
    """Send what is to be stored without asking first: the client waits without end for a "Continue" that breaks off."""
    request.headers.pop("Expect", None)


def _chunks(body: Any) -> Iterator[bytes]:
    with foreign_errors():
        yield from body.iter_chunks(CHUNK_SIZE)
