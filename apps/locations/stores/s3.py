"""A prefix of an S3 bucket as a store. Deleting takes every version; what Object Lock keeps is Blocked with its date."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from apps.locations import answers, holding, objects
from apps.locations.connectors.s3 import DELETE_LIMIT, S3Connector, foreign_errors
from apps.locations.contract import Obstacle
from apps.locations.said import said as _
from apps.locations.stores import Found, Missing
from apps.locations.stores.parts import Reader

READ_SIZE = 256 * 1024
LARGEST = 2**50  # of a value: it is read in chunks


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
                with answers.at_most(LARGEST):
                    body = self.client.get_object(Bucket=self.bucket, Key=self.prefix + name)["Body"]
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                    raise Missing(_("An object is not in the bucket.")) from None
                raise
            yield from body.iter_chunks(READ_SIZE)

    def delete(self, names: Sequence[str]) -> None:
        """Delete every version of each; raises Blocked when some are locked, once the others are gone."""
        versions = (
            {"Key": self.prefix + one["name"], "VersionId": one["id"]}
            for name in names
            for one in self._versions(self.prefix + name)
            if one["name"] == name
        )
        failed = [one for batch in objects.in_batches(versions, DELETE_LIMIT) for one in self._connector.delete(batch)]
        left = ((one["Key"].removeprefix(self.prefix), self._connector.held(one)) for one in failed)
        codes = ", ".join(sorted({str(one.get("Code")) for one in failed}))
        holding.explain(left, _("The bucket does not delete what it was asked to (%(code)s).") % {"code": codes})

    def obstacles(self, prefix: str) -> list[Obstacle]:
        return self._connector.obstacles(self._connector.below(self.prefix + prefix))

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
