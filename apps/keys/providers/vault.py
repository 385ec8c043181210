"""Master keys in HashiCorp Vault's Transit engine: one transit key for each epoch, which seals the epoch's secret.

A reference is "<name>:<ciphertext of Vault>". Destroying deletes the transit key with all its versions. Raising
min_decryption_version would not do: that is a setting, and can be set back as long as the version is not trimmed
(developer.hashicorp.com/vault/api-docs/secret/transit). Snapshots of Vault's storage still hold a deleted key, so the end
is VAULT_SNAPSHOT_DAYS later. The token needs create and update on keys/habeas-*, keys/habeas-*/config, datakey/wrapped/…
and decrypt/…, and read and delete on keys/habeas-*.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from apps.keys.errors import KeyStoreDamaged, MasterKeyMissing, MasterKeyUnreachable
from apps.keys.providers import secrets
from apps.sealing.hkdf import KEY_SIZE
from apps.sealing.signatures import random_token

REFERENCE = re.compile(r"(habeas-[a-z0-9-]{1,64}):(vault:v\d+:[A-Za-z0-9+/=]+)")
SECONDS = 5.0
TOO_OLD = "disallowed by policy"  # the version is below min_decryption_version


class VaultProvider:
    is_provable = True

    def __init__(self) -> None:
        self.waiting_days: int = settings.VAULT_SNAPSHOT_DAYS

    def create(self) -> str:
        name = f"habeas-{timezone.now():%Y-%m-%d}-{random_token(5).lower()}"
        self._call("POST", f"keys/{name}", {"type": "aes256-gcm96", "exportable": False})
        made = self._call("POST", f"datakey/wrapped/{name}", {"bits": 8 * KEY_SIZE})
        return f"{name}:{made['ciphertext']}"

    def holds(self, reference: str) -> bool:
        try:
            self._call("GET", f"keys/{_parts(reference)[0]}")
        except MasterKeyMissing:
            return False
        return True

    def destroy(self, reference: str) -> datetime | None:
        """Delete the transit key, look that it is gone, and return when the last snapshot with it is too."""
        name, _sealed = _parts(reference)
        secrets.forget(reference)
        try:
            self._call("POST", f"keys/{name}/config", {"deletion_allowed": True})
            self._call("DELETE", f"keys/{name}")
        except MasterKeyMissing:  # by an earlier try
            pass
        if self.holds(reference):
            raise MasterKeyUnreachable(f"Vault still has the key {name} after it was deleted")
        return timezone.now() + timedelta(days=self.waiting_days)

    def wrap(self, reference: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        return secrets.wrap_all(self._secret(reference), items)

    def unwrap(self, reference: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        return secrets.unwrap_all(self._secret(reference), items)

    def _secret(self, reference: str) -> bytes:
        name, sealed = _parts(reference)

        def fetch() -> bytes:
            opened = self._call("POST", f"decrypt/{name}", {"ciphertext": sealed})
            try:
                return base64.b64decode(opened["plaintext"], validate=True)
            except (KeyError, binascii.Error, ValueError):
                raise KeyStoreDamaged(f"Vault's answer for the key {name} is not a secret") from None

        return secrets.secret_of(reference, fetch)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        import httpx

        url = f"{settings.VAULT_ADDR}/v1/{settings.VAULT_TRANSIT_MOUNT}/{path}"
        headers = {"X-Vault-Token": settings.VAULT_TOKEN, "X-Vault-Request": "true"}
        if settings.VAULT_NAMESPACE:
            headers["X-Vault-Namespace"] = settings.VAULT_NAMESPACE
        try:
            answer = httpx.request(method, url, json=body, headers=headers, timeout=SECONDS)
            told = answer.json() if answer.content else {}
        except (httpx.HTTPError, ValueError) as error:
            raise MasterKeyUnreachable(f"Vault does not answer ({type(error).__name__})") from None
        if answer.is_success:
            data = told.get("data")
            return data if isinstance(data, dict) else {}
        raise _refusal(answer.status_code, path, " ".join(map(str, told.get("errors") or [])))


def _refusal(status: int, path: str, why: str) -> Exception:
    """Turn Vault's answer into ours.

    A key that is not there is 404 without a word when it is read, and 400 with words otherwise; 404 with words is a wrong
    mount or namespace, and proves nothing.
    """
    name = path.split("/")[1] if path.startswith("keys/") else path.rsplit("/", 1)[-1]
    is_missing = status == 400 and any(words in why for words in ("not found", "could be found", TOO_OLD))
    if is_missing or (status == 404 and not why):
        return MasterKeyMissing(
            f"Vault has no usable key {name}, and keys are wrapped under it: restore it, or set its "
            "min_decryption_version back"
        )
    if status == 400:
        return KeyStoreDamaged(f"Vault refuses the request for the key {name}")
    return MasterKeyUnreachable(f"Vault refused with status {status}")


def _parts(reference: str) -> tuple[str, str]:
    found = REFERENCE.fullmatch(reference)
    if found is None:
        raise KeyStoreDamaged("an epoch's reference is not one of Vault")
    return found[1], found[2]
