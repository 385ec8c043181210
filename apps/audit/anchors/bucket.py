"""An object-locked S3 bucket: one key, each checkpoint a version that nobody can delete before its date (COMPLIANCE mode).

Give it an account of its own, whose keys may put and read here and nothing else. Newest versions come first when they are
listed (S3 user guide, "Listing objects in a versioning-enabled bucket"), so a delete marker or an older checkpoint put on
top hides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.utils import timezone

from apps.audit.anchors import TIMEOUT
from apps.audit.errors import AnchorRefused, AnchorUnreachable

VERSIONS_READ = 20
LARGEST = 64 * 1024


class BucketAnchor:
    can_be_read = True

    def __init__(
        self,
        *,
        bucket: str,
        key: str,
        days: int,
        endpoint_url: str | None = None,
        region_name: str = "us-east-1",
        access_key: str | None = None,
        secret_key: str | None = None,
    ) -> None:
        self._place = {"Bucket": bucket, "Key": key}
        self._days = days
        self._account = {
            "endpoint_url": endpoint_url,
            "region_name": region_name,
            "aws_access_key_id": access_key,
            "aws_secret_access_key": secret_key,
        }

    def publish(self, note: str) -> bytes:
        """Put a version and ask for its lock: an object that the store did not lock proves nothing."""
        until = timezone.now() + timedelta(days=self._days)
        lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
        with self._client() as client:
            put = client.put_object(
                **self._place, **lock, Body=note.encode(), ContentType="text/plain", ChecksumAlgorithm="SHA256"
            )
            head = client.head_object(**self._place, VersionId=put.get("VersionId", "null"))
        if head.get("ObjectLockMode") != "COMPLIANCE":
            raise AnchorRefused("the bucket took the checkpoint and did not lock it")
        return b""

    def kept(self) -> Iterator[str]:
        with self._client() as client:
            bucket, key = self._place["Bucket"], self._place["Key"]
            pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key)
            found = (version for page in pages for version in page.get("Versions", []) if version["Key"] == key)
            for version in islice(found, VERSIONS_READ):
                body = client.get_object(**self._place, VersionId=version["VersionId"])["Body"]
                yield body.read(LARGEST).decode("utf-8", "replace")

    @contextmanager
    def _client(self) -> Iterator[Any]:
        config = Config(connect_timeout=5, read_timeout=TIMEOUT, retries={"max_attempts": 2, "mode": "standard"})
        try:
            yield boto3.client("s3", config=config, **self._account)
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
                raise AnchorUnreachable("the bucket does not answer") from None
            raise AnchorRefused(f"the bucket says {error.response.get('Error', {}).get('Code', 'no')}") from None
        except (BotoCoreError, ValueError):  # ValueError: an endpoint that is no address
            raise AnchorUnreachable("the bucket does not answer") from None
