"""T1 from end to end, with master keys that a provider can end: promised on a receipt, kept by the schedule, and seen.

AWS KMS is moto's server, made as strict as AWS; Vault is the stand-in of tests/keys/vault.py. Both over HTTP.
"""

# ruff: noqa: F811  (fixtures are imported)

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from apps.audit.actors import Actor, Role
from apps.audit.events import Event
from apps.audit.handles import new_handle
from apps.keys import services as keys
from apps.keys.errors import MasterKeyMissing
from apps.keys.models import Epoch, Key
from apps.keys.policy import GRACE
from apps.keys.providers import Provider, secrets
from apps.keys.tasks import tend_master_keys
from apps.keys.wrapping import unwrap_rows
from apps.records.models import Conversation, Subject
from apps.records.services import store_conversations
from apps.requests import selectors
from apps.requests.models import PrivacyRequest, Receipt
from apps.requests.moments import end_of_master_keys, horizon_of
from apps.requests.reissuing import reissue_receipts
from tests.keys.networks import _nothing_remembered, kms, moto, provider, strict_moto, vault  # noqa: F401
from tests.officers import anybody
from tests.records.conftest import conversation
from tests.requests.conftest import approved, as_person, person, run

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
SYSTEM = Actor.system()
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _figures(settings: Any) -> None:
    settings.MASTER_KEY_ROLL_DAYS, settings.KEYS_BACKUP_RETENTION_DAYS = 7, 5
    settings.RECORDS_BACKUP_RETENTION_DAYS, settings.AWS_KMS_WAITING_DAYS, settings.VAULT_SNAPSHOT_DAYS = 3, 9, 30


@pytest.fixture
def ada(provider: Provider, own_places: None) -> Subject:
    """Somebody with a conversation, all of whose keys were made under the provider's first epoch, and a standing policy."""
    subject = person("ada@example.org")
    store_conversations(subject, [conversation("one", "Words of Ada.", "An answer.")], actor=as_person(subject))
    officer = Actor(new_handle(), Role.APPROVER)
    policy = keys.propose_policy(officer=uuid4(), actor=officer)
    keys.approve_proposal(policy.pk, officer=uuid4(), actor=officer, may_decide=anybody)
    return subject


def promised(receipt: Receipt) -> tuple[date, dict[str, date]]:
    """Return T1 as the receipt says it, and its parts."""
    body = selectors.receipt_content(receipt)
    parts = {part["what"]: date.fromisoformat(part["until"]) for part in body["irrecoverable_parts"]}
    return date.fromisoformat(body["irrecoverable_by"]), parts


def day_after(moment: datetime) -> date:
    return (moment + DAY).date()


def old_copy_of(subject: Subject) -> Callable[[], bytes]:
    """Keep the rows of both keys as an old backup does; what is returned opens the conversation's with them, if it can."""
    conversation_id = Conversation.objects.get(subject=subject).key_id
    upper = Key.objects.select_related("epoch").get(pk=subject.key_id)
    lower = Key.objects.get(pk=conversation_id)

    def opened() -> bytes:
        secrets.forget_all()
        return unwrap_rows([lower], [upper])[conversation_id]

    return opened


def an_hour_later(request: PrivacyRequest) -> None:
    PrivacyRequest.objects.update(unreadable_at=timezone.now() - timedelta(hours=1))
    request.refresh_from_db()


def let_the_schedule_run(tmp_path: Path) -> None:
    """The roll is due; then its grace is over, and the night's backup of the keys was made."""
    Epoch.objects.filter(retired_at=None).update(created_at=timezone.now() - timedelta(days=8))
    tend_master_keys()
    rolled = Epoch.objects.filter(emptied_at__isnull=False, destroyed_at=None)
    rolled.update(emptied_at=timezone.now() - GRACE - timedelta(seconds=1))
    keys.back_up_keys(tmp_path / "keys.backup", actor=SYSTEM)
    tend_master_keys()


@pytest.mark.slow
def test_the_day_on_the_receipt_counts_every_wait_and_is_kept(provider: Provider, ada: Subject, tmp_path: Path) -> None:
    first = Epoch.objects.get()
    open_old_copy = old_copy_of(ada)
    request = run(approved(ada))
    [receipt] = selectors.receipts_of(request)
    by, parts = promised(receipt)
    roll = first.created_at + timedelta(days=7) + DAY  # a day for the schedule
    assert by == parts["keys"] == day_after(roll + GRACE + timedelta(days=5 + provider.waiting_days))
    assert parts["records_backups"] < by
    assert open_old_copy(), "the danger is real until then"

    an_hour_later(request)
    let_the_schedule_run(tmp_path)
    first.refresh_from_db()
    assert first.gone_at is not None
    assert abs(first.gone_at - timezone.now() - timedelta(days=provider.waiting_days)) < timedelta(hours=1)
    with pytest.raises(MasterKeyMissing):
        open_old_copy()
    horizon = horizon_of(request)
    assert horizon.by == day_after(first.gone_at) < by, "it is gone sooner than was promised"
    entry = end_of_master_keys(request, horizon)
    assert entry is not None and entry.event == Event.MASTER_KEYS_DESTROYED
    Receipt.objects.update(compared_at=None)
    assert reissue_receipts() == 0


@pytest.mark.slow
def test_a_longer_wait_of_the_provider_is_a_later_day_and_a_new_receipt(
    provider: Provider, ada: Subject, settings: Any
) -> None:
    request = run(approved(ada))
    by, _parts = promised(selectors.receipts_of(request)[0])
    settings.AWS_KMS_WAITING_DAYS, settings.VAULT_SNAPSHOT_DAYS = 9 + 14, 30 + 14
    Receipt.objects.update(compared_at=None)
    assert reissue_receipts() == 1
    newest, before = selectors.receipts_of(request)
    assert promised(newest)[0] == by + timedelta(days=14)
    assert promised(before)[0] == by


@pytest.mark.slow
@pytest.mark.parametrize("provider", ["aws_kms"], indirect=True)
def test_amazon_itself_names_the_day_that_is_counted(
    kms: Any, provider: Provider, ada: Subject, tmp_path: Path
) -> None:
    first = Epoch.objects.get()
    request = run(approved(ada))
    let_the_schedule_run(tmp_path)
    told = kms.describe_key(KeyId=first.reference.split(":")[0])["KeyMetadata"]
    assert told["KeyState"] == "PendingDeletion"
    assert horizon_of(request).by == day_after(told["DeletionDate"])
