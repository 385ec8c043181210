"""Real places for the contract tests: what the test puts there and sees there, past the connector."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import boto3

from apps.locations.connectors.files import FilesConnector
from apps.locations.connectors.s3 import S3Connector


class Place(Protocol):
    connector: Any

    def put(self, path: str, data: bytes) -> None: ...

    def everything(self) -> dict[str, str]:
        """Every name that is there, versions and leftovers included, with a digest of its bytes."""
        ...


class FilesPlace:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.connector = FilesConnector({"root": str(root), "templates": ["users/{user_id}/", "mail/{email}.json"]})

    def put(self, path: str, data: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def everything(self) -> dict[str, str]:
        return {str(path.relative_to(self.root)): _digest(path) for path in self._paths()}

    def _paths(self) -> Iterator[Path]:
        for folder, _folders, names in os.walk(self.root):
            for name in names:
                yield Path(folder) / name


class S3Place:
    def __init__(self, client: Any, bucket: str, config: dict[str, Any], *, locked: bool = False) -> None:
        self.client, self.bucket = client, bucket
        client.create_bucket(Bucket=bucket, **({"ObjectLockEnabledForBucket": True} if locked else {}))
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        templates = ["users/{user_id}/", "mail/{email}.json"]
        self.config = config | {"bucket": bucket, "templates": templates}
        self.connector = S3Connector(self.config)

    def put(self, path: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=path, Body=data)

    def everything(self) -> dict[str, str]:
        seen = {}
        for page in self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket):
            for kind in ("Versions", "DeleteMarkers"):
                for found in page.get(kind, []):
                    seen[f"{found['Key']}#{found['VersionId']}"] = found.get("ETag", "marker")
        for page in self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket):
            for upload in page.get("Uploads", []):
                seen[f"{upload['Key']}#upload"] = upload["UploadId"]
        return seen


def new_bucket(endpoint_url: str, access_key: str, secret_key: str, *, locked: bool = False) -> S3Place:
    """Make a bucket of the test's own, with versions; `locked`: with Object Lock."""
    credentials = {"access_key": access_key, "secret_key": secret_key}
    client = boto3.client(
        "s3", endpoint_url=endpoint_url, region_name="us-east-1",
        aws_access_key_id=access_key, aws_secret_access_key=secret_key,
    )  # fmt: skip
    config = {"endpoint_url": endpoint_url, "region_name": "us-east-1"} | credentials
    return S3Place(client, f"habeas-{uuid.uuid4().hex[:12]}", config, locked=locked)


def _digest(path: Path) -> str:
    return str(path.readlink()) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
