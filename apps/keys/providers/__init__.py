"""Where master keys live. One class for each kind of place; an epoch names the one that has its master key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, cast

from django.utils.module_loading import import_string

PROVIDERS = {
    "file": "apps.keys.providers.file.FileProvider",
    "aws_kms": "apps.keys.providers.aws_kms.AwsKmsProvider",
    "vault": "apps.keys.providers.vault.VaultProvider",
}


class Provider(Protocol):
    """What an epoch needs of its provider. The master key itself never leaves it by these methods.

    An item is (key or wrapped key, context); the same context is needed to unwrap. Lists, because a provider may have
    to be asked over a network. All raise MasterKeyMissing when there is no master key of that reference, and
    MasterKeyUnreachable when that cannot be known now.
    """

    is_provable: bool  # a destroyed master key is gone for good, as far as the provider's word goes
    waiting_days: int  # from asking for the destruction to the end of the master key

    def create(self) -> str:
        """Make a master key that survives a power cut, and return its reference."""
        ...

    def holds(self, reference: str) -> bool:
        """Say whether the master key is there."""
        ...

    def destroy(self, reference: str) -> datetime | None:
        """Destroy the master key, and return when it is gone for good (None: that cannot be proven); a repeat too."""
        ...

    def wrap(self, reference: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Wrap keys under the master key."""
        ...

    def unwrap(self, reference: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Unwrap keys; raises sealing's DecryptionError for one that was not wrapped here, or elsewhere in the table."""
        ...


def provider_named(name: str) -> Provider:
    """Return the provider of that name, ready for use."""
    return cast(Provider, import_string(PROVIDERS[name])())
