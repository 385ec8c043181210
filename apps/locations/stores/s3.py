"""A prefix of an S3 bucket as a store. Deleting takes every version; what Object Lock keeps is Blocked with its date."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from apps.locations.connectors.s3 import S3Connector, foreign_errors
from apps.locations.errors import Blocked, Refused
from apps.locations.reasons import Reason
from apps.locations.said import said as _
from apps.locations.stores import Found, Missing
from apps.locations.stores.parts import Reader

READ_SIZE = 256 * 1024
DELETE_LIMIT = 1_000


class S3Store:
    def __init__(self, config: dict[str, Any], target: str, *, is_text: bool = False) -> None:
        self._connector = S3Connector(config)
        self.bucket = self._connector.bucket
        self.prefix = f"{target.strip('/')}/" if target.strip("/") else ""

    @property
    def client(self) -> Any:
        return self._connector.client

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        with foreign_errors():
            self.client.upload_fileobj(Reader(chunks), self.bucket, self.prefix + name)

    def get(self, name: str) -> Iterator[bytes]:
        from botocore.exceptions import ClientError

        with foreign_errors():
            try:
                body = self.client.get_object(Bucket=self.bucket, Key=self.prefix + name)["Body"]
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                    raise Missing(_("An object is not in the bucket.")) from None
                raise
            yield from body.iter_chunks(READ_SIZE)

    def delete(self, names: Sequence[str]) -> None:
        """Delete every version of each; raises Blocked when a lock holds one."""
        versions = [
            version for name in names for version in self._versions(self.prefix + name) if version["name"] == name
        ]
        for first in range(0, len(versions), DELETE_LIMIT):
            part = versions[first : first + DELETE_LIMIT]
            listed = [{"Key": self.prefix + one["name"], "VersionId": one["id"]} for one in part]
            with foreign_errors():
                answer = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": listed, "Quiet": True})
            failed = [one for one in answer.get("Errors", []) if one.get("Code") not in {"NoSuchKey", "NoSuchVersion"}]
            if failed:
                self._explain(failed[0])

    def find(self, prefix: str = "", after: str = "") -> Iterator[Found]:
        last = after
        for version in self._versions(self.prefix + prefix, after=after):
            if version["name"] != last:  # the newest version of a key comes first
                yield Found(version["name"], version["size"], version["stamp"], version["is_current"])
            last = version["name"]

    def _versions(self, prefix: str, *, after: str = "") -> Iterator[dict[str, Any]]:
        """Yield every version and delete marker, by key and the newest first; some servers begin with `after` itself."""
        where = {"Bucket": self.bucket, "Prefix": prefix} | ({"KeyMarker": self.prefix + after} if after else {})
        pages = iter(self.client.get_paginator("list_object_versions").paginate(**where))
        while True:
            with foreign_errors():
                page = next(pages, None)
            if page is None:
                return
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            for one in sorted(found, key=lambda one: (one["Key"], not one["IsLatest"])):
                yield {
                    "name": one["Key"].removeprefix(self.prefix),
                    "id": one["VersionId"],
                    "size": one.get("Size", 0),
                    "stamp": f"{one.get('ETag', '')}-{one['LastModified'].isoformat()}",
                    "is_current": one["IsLatest"] and "Size" in one,
                }

    def _explain(self, failed: dict[str, Any]) -> None:
        """Say until when a version is locked, or that the permission is missing."""
        from botocore.exceptions import ClientError

        which = {"Bucket": self.bucket, "Key": failed["Key"], "VersionId": failed.get("VersionId", "null")}
        try:
            head = self.client.head_object(**which)
        except ClientError:
            head = {}
        until = head.get("ObjectLockRetainUntilDate")
        if until and until > datetime.now(UTC):
            raise Blocked(Reason.OBJECT_LOCK.value, until)
        if head.get("ObjectLockLegalHoldStatus") == "ON":
            raise Blocked(Reason.LEGAL_HOLD.value)
        raise Refused(_("The bucket does not delete what it was asked to (%(code)s).") % {"code": failed.get("Code")})
