"""Providers of master keys over a network: AWS KMS as moto's server has it, Vault as the stand-in of vault.py has it."""

from __future__ import annotations

import boto3
import pytest
from moto.core.exceptions import JsonRESTError
from moto.kms.models import KmsBackend
from moto.server import ThreadedMotoServer

from apps.keys.providers import provider_named, secrets
from tests.keys.vault import running_vault


@pytest.fixture(autouse=True)
def _nothing_remembered():
    secrets.forget_all()
    yield
    secrets.forget_all()


@pytest.fixture(scope="module")
def moto():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class NotNow(JsonRESTError):
    code = 400


@pytest.fixture(autouse=True)
def strict_moto(monkeypatch):
    """AWS refuses to decrypt under a key that is disabled or waits for its deletion; moto by itself does not."""
    real = KmsBackend.decrypt

    def decrypt(self, ciphertext_blob, encryption_context, key_id=None):
        state = self.keys[self.any_id_to_key_id(key_id)].key_state
        if state == "Disabled":
            raise NotNow("DisabledException", "disabled")
        if state != "Enabled":
            raise NotNow("KMSInvalidStateException", f"is {state}")
        return real(self, ciphertext_blob, encryption_context, key_id)

    monkeypatch.setattr(KmsBackend, "decrypt", decrypt)


@pytest.fixture
def kms(moto, settings, monkeypatch):
    for name, value in {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": "eu-central-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    settings.MASTER_KEY_PROVIDER, settings.AWS_KMS_ENDPOINT_URL = "aws_kms", moto
    return boto3.client("kms", endpoint_url=moto)


@pytest.fixture
def vault(settings):
    with running_vault() as (state, address):
        settings.MASTER_KEY_PROVIDER, settings.VAULT_ADDR, settings.VAULT_TOKEN = "vault", address, state.token
        yield state


@pytest.fixture(params=["aws_kms", "vault"])
def provider(request):
    request.getfixturevalue({"aws_kms": "kms", "vault": "vault"}[request.param])
    return provider_named(request.param)
