"""Master keys in a real server with Vault's Transit engine: `bao` (OpenBao) or `vault`, where one is on the PATH; else skipped.

The stand-in of vault.py is held to what these show.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.keys import services
from apps.keys.epochs import current_epoch
from apps.keys.errors import KeyStoreDamaged, MasterKeyMissing, MasterKeyUnreachable
from apps.keys.providers import provider_named, secrets
from tests.keys.networks import _nothing_remembered  # noqa: F401
from tests.keys.test_network_providers import (
    test_keys_are_made_opened_and_rolled_and_an_old_copy_dies_with_its_master_key as the_life_of_a_master_key,
)
from tests.services import free_port

PROGRAM = shutil.which("bao") or shutil.which("vault")
TOKEN = "root-of-a-test"
pytestmark = [
    pytest.mark.services,
    pytest.mark.django_db(transaction=True, databases=["default", "keys"]),
    pytest.mark.skipif(PROGRAM is None, reason="neither bao nor vault is installed"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start one that keeps everything in memory, with the engine switched on."""
    home, port = Path(tmp_path_factory.mktemp("vault")), free_port()
    command = [str(PROGRAM), "server", "-dev", f"-dev-root-token-id={TOKEN}", f"-dev-listen-address=127.0.0.1:{port}", "-dev-no-store-token"]  # fmt: skip
    process = subprocess.Popen(command, env={"HOME": str(home)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, process)
        call(address, "POST", "sys/mounts/transit", {"type": "transit"})
        yield address
    finally:
        process.terminate()
        process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < until:
        try:
            if httpx.get(f"{address}/v1/sys/health", timeout=1).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise RuntimeError("it did not start")


def call(address: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    answer = httpx.request(method, f"{address}/v1/{path}", json=body, headers={"X-Vault-Token": TOKEN}, timeout=10)
    answer.raise_for_status()
    return answer.json() if answer.content else None


@pytest.fixture
def vault(server: str, settings: Any) -> str:
    settings.MASTER_KEY_PROVIDER, settings.VAULT_ADDR, settings.VAULT_TOKEN = "vault", server, TOKEN
    return server


def test_a_master_key_lives_and_an_old_copy_dies_with_it(vault: str, person: Any, tmp_path: Path) -> None:
    the_life_of_a_master_key(provider_named("vault"), person, tmp_path)


def test_raising_min_decryption_version_is_no_destruction_and_deleting_is(vault: str, person: Any) -> None:
    ada, reference = person(), current_epoch().reference
    path = f"transit/keys/{reference.split(':')[0]}"
    call(vault, "POST", f"{path}/rotate")
    call(vault, "POST", f"{path}/config", {"min_decryption_version": 2})
    secrets.forget_all()
    with pytest.raises(MasterKeyMissing):
        services.open_key(ada.id)
    call(vault, "POST", f"{path}/config", {"min_decryption_version": 1})
    assert services.open_key(ada.id) == ada.key, "it was never gone"
    for _twice in range(2):
        provider_named("vault").destroy(reference)
    assert not provider_named("vault").holds(reference)
    with pytest.raises(MasterKeyMissing):
        services.open_key(ada.id)


@pytest.mark.parametrize("trouble", ["token", "mount"])
def test_one_that_cannot_say_is_unreachable_and_proves_nothing(
    vault: str, person: Any, settings: Any, trouble: str
) -> None:
    ada, reference = person(), current_epoch().reference
    secrets.forget_all()
    settings.VAULT_TOKEN = "expired" if trouble == "token" else TOKEN
    settings.VAULT_TRANSIT_MOUNT = "elsewhere" if trouble == "mount" else "transit"
    for attempt in (provider_named("vault").holds, provider_named("vault").destroy, lambda one: provider_named("vault").unwrap(one, [])):  # fmt: skip
        with pytest.raises(MasterKeyUnreachable):
            attempt(reference)
    settings.VAULT_TOKEN, settings.VAULT_TRANSIT_MOUNT = TOKEN, "transit"
    assert services.open_key(ada.id) == ada.key


def test_a_sealed_one_is_unreachable(vault: str, person: Any) -> None:
    """Last: it is not opened again."""
    person()
    reference, provider = current_epoch().reference, provider_named("vault")
    name = reference.split(":")[0]
    with pytest.raises(KeyStoreDamaged):
        provider.unwrap(f"{name}:vault:v1:{'A' * 80}", [])
    secrets.forget_all()
    call(vault, "PUT", "sys/seal")
    for attempt in (provider.holds, provider.destroy, lambda one: provider.unwrap(one, [])):
        with pytest.raises(MasterKeyUnreachable):
            attempt(reference)
