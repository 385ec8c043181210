"""Master keys in AWS KMS: one KMS key for each epoch, which seals the epoch's secret (secrets.py).

A reference is "<key id>:<sealed secret in base64>". Destroying is ScheduleKeyDeletion: the key is of no use from then on,
and gone for good after the waiting time (7 to 30 days), within which an administrator of the AWS account can still cancel:
so the receipt's date is the end of it (docs.aws.amazon.com/kms/latest/developerguide/deleting-keys.html).
Needs kms:CreateKey, TagResource, GenerateDataKeyWithoutPlaintext, Decrypt, DescribeKey and ScheduleKeyDeletion.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.utils import timezone

from apps.keys.errors import KeyStoreDamaged, MasterKeyMissing, MasterKeyUnreachable
from apps.keys.providers import secrets

DAMAGED = {"InvalidCiphertextException", "IncorrectKeyException", "ValidationException"}
MISSING = {"NotFoundException", "KMSInvalidStateException", "DisabledException"}
USABLE, WAITS_FOR_ITS_END = {"Enabled", "Disabled"}, "PendingDeletion"


class AwsKmsProvider:
    is_provable = True

    def __init__(self) -> None:
        self.waiting_days: int = settings.AWS_KMS_WAITING_DAYS

    def create(self) -> str:
        made = self._call(
            "create_key",
            Description="Habeas: master key of one epoch",
            KeySpec="SYMMETRIC_DEFAULT",
            KeyUsage="ENCRYPT_DECRYPT",
            Tags=[{"TagKey": "habeas", "TagValue": "master-key"}],
        )
        key_id: str = made["KeyMetadata"]["KeyId"]
        sealed = self._call(
            "generate_data_key_without_plaintext",
            KeyId=key_id,
            KeySpec="AES_256",
            EncryptionContext=_context(key_id),
        )
        return f"{key_id}:{base64.b64encode(sealed['CiphertextBlob']).decode()}"

    def holds(self, reference: str) -> bool:
        try:
            state = self._call("describe_key", KeyId=_parts(reference)[0])["KeyMetadata"]["KeyState"]
        except MasterKeyMissing:
            return False
        return state in USABLE

    def destroy(self, reference: str) -> datetime | None:
        """Schedule the deletion and return when it is carried out; a repeat returns the date that stands."""
        key_id, _sealed = _parts(reference)
        secrets.forget(reference)
        try:
            asked = self._call("schedule_key_deletion", KeyId=key_id, PendingWindowInDays=self.waiting_days)
            return _moment(asked["DeletionDate"])
        except MasterKeyMissing:  # asked before, or gone
            return self._end_of(key_id)

    def wrap(self, reference: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        return secrets.wrap_all(self._secret(reference), items)

    def unwrap(self, reference: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        return secrets.unwrap_all(self._secret(reference), items)

    def _end_of(self, key_id: str) -> datetime:
        try:
            about = self._call("describe_key", KeyId=key_id)["KeyMetadata"]
        except MasterKeyMissing:
            return timezone.now()
        if about["KeyState"] != WAITS_FOR_ITS_END:
            raise MasterKeyUnreachable(
                f"KMS key {key_id} is in the state {about['KeyState']}: it cannot be deleted now"
            )
        return _moment(about["DeletionDate"])

    def _secret(self, reference: str) -> bytes:
        key_id, sealed = _parts(reference)

        def fetch() -> bytes:
            opened = self._call("decrypt", KeyId=key_id, CiphertextBlob=sealed, EncryptionContext=_context(key_id))
            return bytes(opened["Plaintext"])

        return secrets.secret_of(reference, fetch)

    def _call(self, name: str, **arguments: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(_client(settings.AWS_KMS_ENDPOINT_URL), name)(**arguments)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in MISSING:
                raise MasterKeyMissing(
                    f"KMS key {arguments.get('KeyId')} is not there or not enabled ({code}), and keys are wrapped under "
                    "it: enable it, or cancel its deletion, in the AWS account"
                ) from None
            if code in DAMAGED:
                raise KeyStoreDamaged(f"KMS refuses the sealed secret of an epoch ({code})") from None
            raise MasterKeyUnreachable(f"AWS KMS refused {name} ({code})") from None
        except BotoCoreError as error:
            raise MasterKeyUnreachable(f"AWS KMS does not answer ({type(error).__name__})") from None


@lru_cache(maxsize=4)
def _client(endpoint_url: str) -> Any:
    """Return a client, made once: it keeps its connections, and may be used by several threads."""
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "max_attempts": 3})
    return boto3.session.Session().client("kms", endpoint_url=endpoint_url or None, config=config)


def _context(key_id: str) -> dict[str, str]:
    return {"habeas": "secret of an epoch", "key": key_id}


def _parts(reference: str) -> tuple[str, bytes]:
    key_id, _, text = reference.partition(":")
    try:
        return key_id, base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise KeyStoreDamaged("an epoch's reference is not one of AWS KMS") from None


def _moment(value: datetime) -> datetime:
    return value if timezone.is_aware(value) else timezone.make_aware(value)
