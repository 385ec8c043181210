"""Master keys in AWS KMS (against moto's server) and in Vault (against the stand-in of vault.py), over real HTTP."""

# ruff: noqa: F811  (fixtures are imported)

from __future__ import annotations

import base64
import uuid
from datetime import date, timedelta

import pytest
from botocore.exceptions import ClientError
from django.utils import timezone

from apps.audit.actors import Actor, Role
from apps.audit.handles import new_handle
from apps.keys import horizons, services
from apps.keys.epochs import current_epoch
from apps.keys.errors import KeyStoreDamaged, MasterKeyMissing, MasterKeyUnreachable
from apps.keys.horizons import key_horizon
from apps.keys.kinds import KeyKind
from apps.keys.models import Epoch, Key
from apps.keys.policy import GRACE
from apps.keys.providers import aws_kms, provider_named, secrets
from apps.keys.wrapping import unwrap_rows
from tests.keys.networks import _nothing_remembered, kms, moto, provider, strict_moto, vault  # noqa: F401
from tests.officers import anybody
from tests.services import free_port

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
SYSTEM = Actor.system()


def put_away(settings) -> None:
    """Nobody listens where the provider was."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    settings.AWS_KMS_ENDPOINT_URL = settings.VAULT_ADDR = nowhere
    secrets.forget_all()


def decide_and_destroy(epoch: Epoch, tmp_path) -> services.Ended:
    officer = Actor(new_handle(), Role.APPROVER)
    Epoch.objects.filter(pk=epoch.pk).update(emptied_at=timezone.now() - GRACE - timedelta(seconds=1))
    services.back_up_keys(tmp_path / "keys.backup", actor=SYSTEM)
    proposal = services.propose_destruction([epoch.pk], officer=uuid.uuid4(), actor=officer)
    services.approve_proposal(proposal.pk, officer=uuid.uuid4(), actor=officer, may_decide=anybody)
    return services.destroy_master_keys(actor=SYSTEM)


@pytest.mark.slow
def test_keys_are_made_opened_and_rolled_and_an_old_copy_dies_with_its_master_key(provider, person, tmp_path):
    ada, ben = person(), person()
    epoch = current_epoch()
    copy = Key.objects.select_related("epoch").get(pk=ada.id)
    services.erase_keys([ada.id], about="", actor=SYSTEM)
    secrets.forget_all()
    assert unwrap_rows([copy], []) == {ada.id: ada.key}  # the danger is real
    services.roll_master_key(actor=SYSTEM)
    assert services.open_key(ben.id) == ben.key
    [done] = decide_and_destroy(epoch, tmp_path).destroyed
    assert not provider.holds(epoch.reference)
    for _ in range(2):
        with pytest.raises(MasterKeyMissing):
            unwrap_rows([copy], [])
    assert done.gone_at is not None
    assert done.gone_at.date() >= date.today() + timedelta(days=provider.waiting_days - 1)
    again = provider.destroy(epoch.reference)
    assert again is not None
    assert abs(again - done.gone_at) < timedelta(minutes=1)
    assert services.open_key(ben.id) == ben.key


@pytest.mark.slow
def test_a_provider_that_does_not_answer_loses_nothing_and_seals_nothing(provider, person, settings):
    ada = person()
    address = settings.AWS_KMS_ENDPOINT_URL, settings.VAULT_ADDR
    put_away(settings)
    before = Key.objects.count()
    for attempt in (
        lambda: services.open_key(ada.id),
        lambda: services.create_key(KeyKind.SUBJECT, owner=uuid.uuid4()),
        lambda: services.roll_master_key(actor=SYSTEM),
        lambda: provider.holds(current_epoch().reference),
        lambda: provider.destroy(current_epoch().reference),
    ):
        with pytest.raises(MasterKeyUnreachable):
            attempt()
    assert Key.objects.count() == before
    settings.AWS_KMS_ENDPOINT_URL, settings.VAULT_ADDR = address
    assert services.open_key(ada.id) == ada.key
    assert services.roll_master_key(actor=SYSTEM).rewrapped == 1
    assert services.open_key(ada.id) == ada.key


def test_a_thousand_keys_of_an_epoch_are_one_call(vault, person):
    people = services.create_keys(KeyKind.REQUEST, [uuid.uuid4() for _ in range(1000)], parent=None)
    secrets.forget_all()
    vault.calls.clear()
    assert len(services.open_keys([key.id for key in people])) == 1000
    assert len(vault.calls) == 1


def test_a_secret_is_forgotten_after_a_minute(vault, person, monkeypatch):
    ada = person()
    vault.calls.clear()
    services.open_key(ada.id)
    assert vault.calls == []
    monkeypatch.setattr(secrets, "SECONDS", 0.0)
    secrets.forget_all()
    services.open_key(ada.id)
    services.open_key(ada.id)
    assert len(vault.calls) == 2


@pytest.mark.parametrize("name", ["aws_kms", "vault"])
@pytest.mark.parametrize("reference", ["", "no-colon", "key:%%%", "habeas-x:vault:v1"])
def test_a_reference_that_is_not_of_the_provider_is_damage(name, reference):
    if name == "aws_kms" and "%" not in reference and reference != "habeas-x:vault:v1":
        return
    with pytest.raises(KeyStoreDamaged):
        provider_named(name).unwrap(reference, [])


# AWS KMS


def test_kms_states_are_told_apart(kms, person):
    person()
    reference, provider = current_epoch().reference, provider_named("aws_kms")
    key_id = reference.split(":")[0]
    kms.disable_key(KeyId=key_id)
    secrets.forget_all()
    with pytest.raises(MasterKeyMissing):
        provider.unwrap(reference, [])
    assert provider.holds(reference)  # it can be enabled again
    kms.enable_key(KeyId=key_id)
    provider.unwrap(reference, [])
    assert not provider.holds(f"{uuid.uuid4()}:AAAA")
    gone_at = provider.destroy(f"{uuid.uuid4()}:AAAA")
    assert gone_at is not None
    assert gone_at <= timezone.now()
    secrets.forget_all()
    with pytest.raises((KeyStoreDamaged, MasterKeyUnreachable)):
        provider.unwrap(f"{key_id}:{base64.b64encode(b'x' * 80).decode()}", [])


def test_kms_refusals_that_may_pass_are_no_damage(kms, person, monkeypatch):
    person()
    reference, provider = current_epoch().reference, provider_named("aws_kms")

    class Client:
        def __init__(self, code):
            self.code = code

        def __getattr__(self, name):
            def call(**arguments):
                raise ClientError({"Error": {"Code": self.code}}, name)

            return call

    for code, error in {
        "AccessDeniedException": MasterKeyUnreachable,
        "ThrottlingException": MasterKeyUnreachable,
        "InvalidCiphertextException": KeyStoreDamaged,
    }.items():
        secrets.forget_all()
        monkeypatch.setattr(aws_kms, "_client", lambda endpoint_url, code=code: Client(code))
        with pytest.raises(error):
            provider.unwrap(reference, [])


def test_kms_that_cannot_delete_now_is_asked_again(kms, monkeypatch):
    provider = provider_named("aws_kms")
    reference = provider.create()

    def refuse(name, **arguments):
        if name == "schedule_key_deletion":
            raise MasterKeyMissing("Creating")
        return {"KeyMetadata": {"KeyState": "Creating"}}

    monkeypatch.setattr(provider, "_call", refuse)
    with pytest.raises(MasterKeyUnreachable):
        provider.destroy(reference)


def test_kms_that_waits_for_the_end_already_says_when_it_is(kms, monkeypatch):
    provider = provider_named("aws_kms")
    reference, end = provider.create(), timezone.now() + timedelta(days=3)

    def refuse(name, **arguments):
        if name == "schedule_key_deletion":
            raise MasterKeyMissing("PendingDeletion")
        return {"KeyMetadata": {"KeyState": "PendingDeletion", "DeletionDate": end}}

    monkeypatch.setattr(provider, "_call", refuse)
    assert provider.destroy(reference) == end


def test_kms_dates_without_a_zone_are_in_the_sites(kms):
    naive = timezone.now().replace(tzinfo=None)
    assert timezone.is_aware(aws_kms._moment(naive))


# Vault


@pytest.mark.slow
def test_raising_min_decryption_version_is_no_destruction_and_deleting_is(vault, person):
    ada = person()
    reference = current_epoch().reference
    [name] = vault.keys
    key = vault.keys[name]
    key.rotate()
    key.min_decryption_version = 2
    secrets.forget_all()
    with pytest.raises(MasterKeyMissing, match="min_decryption_version"):
        services.open_key(ada.id)
    key.min_decryption_version = 1
    assert services.open_key(ada.id) == ada.key  # it was never gone
    provider_named("vault").destroy(reference)
    assert vault.keys == {}
    with pytest.raises(MasterKeyMissing):
        services.open_key(ada.id)


@pytest.mark.slow
def test_vault_that_keeps_a_deleted_key_is_found_out(vault, person):
    person()
    vault.keeps_deleted = True
    with pytest.raises(MasterKeyUnreachable, match="still has"):
        provider_named("vault").destroy(current_epoch().reference)


@pytest.mark.parametrize("trouble", ["sealed", "token", "mount", "nonsense"])
def test_vault_that_cannot_say_is_unreachable_and_proves_nothing(vault, person, settings, trouble):
    person()
    provider, reference = provider_named("vault"), current_epoch().reference
    secrets.forget_all()
    vault.is_sealed = trouble == "sealed"
    vault.answer = b"<html>" if trouble == "nonsense" else None
    settings.VAULT_TOKEN = "expired" if trouble == "token" else vault.token
    settings.VAULT_TRANSIT_MOUNT = "elsewhere" if trouble == "mount" else "transit"
    settings.VAULT_NAMESPACE = "team"
    for attempt in (provider.holds, provider.destroy, lambda one: provider.unwrap(one, [])):
        with pytest.raises(MasterKeyUnreachable):
            attempt(reference)


def test_vault_answers_that_are_no_secret_are_damage(vault, person):
    person()
    provider, reference = provider_named("vault"), current_epoch().reference
    secrets.forget_all()
    vault.answer = b'{"data": {"plaintext": "%%%"}}'
    with pytest.raises(KeyStoreDamaged):
        provider.unwrap(reference, [])
    vault.answer = b'{"data": null}'
    with pytest.raises(KeyStoreDamaged):
        provider.unwrap(reference, [])
    vault.answer = None
    name = reference.split(":")[0]
    with pytest.raises(KeyStoreDamaged):
        provider.unwrap(f"{name}:vault:v1:{base64.b64encode(b'x' * 60).decode()}", [])


# By when it is irrecoverable


def day_of(horizon: horizons.KeyHorizon) -> date:
    assert horizon.by is not None
    return horizon.by


@pytest.mark.slow
def test_t1_is_a_date_only_under_a_standing_policy(vault, person, settings, tmp_path):
    ada = person()
    settings.KEYS_BACKUP_RETENTION_DAYS, settings.VAULT_SNAPSHOT_DAYS, settings.MASTER_KEY_ROLL_DAYS = 7, 30, 7
    assert key_horizon() == horizons.KeyHorizon(None, horizons.TWO_OFFICERS)
    officer = Actor(new_handle(), Role.APPROVER)
    policy = services.propose_policy(officer=uuid.uuid4(), actor=officer)
    services.approve_proposal(policy.pk, officer=uuid.uuid4(), actor=officer, may_decide=anybody)
    horizon = key_horizon()
    assert horizon.by is not None
    today = timezone.now().date()
    assert [part.code for part in horizon.parts] == ["roll", "grace", "keys_backups", "provider"]
    assert horizon.by == horizon.parts[-1].until
    assert today + timedelta(days=45) <= horizon.by <= today + timedelta(days=47)
    settings.MASTER_KEY_ROLL_DAYS = 0
    assert key_horizon() == horizons.KeyHorizon(None, horizons.NEVER_ROLLED)
    settings.MASTER_KEY_ROLL_DAYS = 7
    services.erase_keys([ada.id], about="", actor=SYSTEM)
    destroyed_at = timezone.now()
    epoch = current_epoch()
    services.roll_master_key(actor=SYSTEM)
    earlier = key_horizon(destroyed_at)
    assert day_of(earlier) < day_of(key_horizon())  # the new epoch never held the key
    Epoch.objects.filter(pk=epoch.pk).update(emptied_at=timezone.now() - GRACE - timedelta(seconds=1))
    services.back_up_keys(tmp_path / "b", actor=SYSTEM)
    [done] = services.destroy_master_keys(actor=SYSTEM).destroyed
    assert done.gone_at is not None
    gone, day = key_horizon(destroyed_at), (done.gone_at + timedelta(days=1)).date()
    assert gone == horizons.KeyHorizon(day, parts=(horizons.Part("gone", day),))
    services.withdraw_proposal(policy.pk, actor=officer)
    assert key_horizon(destroyed_at) == gone
    assert key_horizon().reason == horizons.TWO_OFFICERS
    assert key_horizon(made_at=timezone.now()).reason == horizons.TWO_OFFICERS


def test_a_single_conversation_waits_for_the_roll_that_replaces_the_key_above(vault, person, settings):
    officer = Actor(new_handle(), Role.APPROVER)
    policy = services.propose_policy(officer=uuid.uuid4(), actor=officer)
    services.approve_proposal(policy.pk, officer=uuid.uuid4(), actor=officer, may_decide=anybody)
    ada = person()
    [chat] = services.create_keys(KeyKind.CONVERSATION, [uuid.uuid4()], parent=ada.id)
    services.erase_keys([chat.id], about="", actor=SYSTEM)
    destroyed_at = timezone.now()
    first = current_epoch()
    Epoch.objects.filter(pk=first.pk).update(created_at=timezone.now() - timedelta(days=6))
    services.create_key(KeyKind.REQUEST, owner=uuid.uuid4())
    waiting = key_horizon(destroyed_at, above=ada.id)
    services.replace_key(ada.id, actor=SYSTEM)
    replaced = key_horizon(destroyed_at, above=ada.id)
    assert waiting.by == replaced.by == key_horizon(destroyed_at).by
    assert key_horizon(destroyed_at, above=uuid.uuid4()).by == replaced.by


def test_a_file_cannot_be_proven_gone(person):
    person()
    assert key_horizon() == horizons.KeyHorizon(None, horizons.CANNOT_BE_PROVEN)


def test_without_any_master_key_nothing_was_ever_readable():
    assert key_horizon().by == timezone.now().date()
