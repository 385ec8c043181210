"""When the date on a receipt has slipped, or has become one, the person gets a new receipt (DESIGN §2)."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.models import Entry
from apps.keys.horizons import GONE
from apps.locations.horizons import Horizon
from apps.requests import letters
from apps.requests.errors import RecordErased
from apps.requests.models import Kind, PrivacyRequest, Receipt, Status, Step
from apps.requests.moments import irrecoverable
from apps.requests.receipts import next_number, write_receipt
from apps.requests.vault import details_of, open_vault

RENEW_EVERY = timedelta(days=7)  # a day that slips each night would else bring a letter each night
COMPARE_EVERY = timedelta(hours=20)  # once a night, whenever that is
MOST_AT_ONCE = 500


def reissue_receipts() -> int:
    """Compare what receipts say with what T1 is now, and issue those anew that are not true any more."""
    return sum(_compare(receipt) for receipt in _due())


def _due() -> list[Receipt]:
    """Return the newest receipts of erasures that are complete, those first that were not compared for longest.

    One of an erasure that goes on is not compared: the final one follows by itself.
    """
    before = timezone.now() - COMPARE_EVERY
    found = Receipt.objects.filter(
        Q(compared_at__isnull=True) | Q(compared_at__lt=before),
        is_settled=False,
        request__kind=Kind.ERASURE,
        request__status=Status.COMPLETED,
        request__key_id__isnull=False,
    )
    newest_first = found.select_related("request").order_by(F("compared_at").asc(nulls_first=True), "-number")
    return list(newest_first[:MOST_AT_ONCE])


def _compare(receipt: Receipt) -> int:
    request = receipt.request
    try:
        vault = open_vault(request)
        details = details_of(request, vault)
    except RecordErased:
        return 0
    steps = list(
        request.steps.select_related("location", "task").exclude(phase=Step.Phase.VERIFY).order_by("order", "pk")
    )
    horizon = irrecoverable(request, details, steps)
    is_over = _is_over(horizon)
    has_slipped = _has_slipped(receipt, horizon)
    with transaction.atomic():
        locked = PrivacyRequest.objects.select_for_update().filter(pk=request.pk, key_id=request.key_id).first()
        if locked is None or next_number(request) != receipt.number + 1:  # erased, or issued anew meanwhile
            Receipt.objects.filter(pk=receipt.pk).update(is_settled=True)
            return 0
        Receipt.objects.filter(pk=receipt.pk).update(compared_at=timezone.now(), is_settled=has_slipped or is_over)
        if not has_slipped:
            return 0
        renewed = write_receipt(request, vault, steps, receipt.number + 1, horizon)
        letters.receipt_renewed(request, vault, renewed)
    audit.wait_until_signed(Entry.objects.get(pk=renewed.entry_id))
    return 1


def _has_slipped(receipt: Receipt, horizon: Horizon) -> bool:
    """Say whether the receipt promises what does not hold, or says that there is no date where there is one now."""
    if receipt.irrecoverable_by is None or horizon.by is None:
        return (receipt.irrecoverable_by, receipt.irrecoverable_code) != (horizon.by, horizon.reason)
    return horizon.by > receipt.irrecoverable_by and not _was_renewed_lately(receipt)


def _was_renewed_lately(receipt: Receipt) -> bool:
    """Say whether it is itself a new receipt of these days, and what it promises is still some time away."""
    now = timezone.now()
    is_near = receipt.irrecoverable_by is None or receipt.irrecoverable_by <= (now + RENEW_EVERY).date()
    if is_near or receipt.issued_at <= now - RENEW_EVERY:
        return False
    return Receipt.objects.filter(request=receipt.request_id, is_final=True, number__lt=receipt.number).exists()


def _is_over(horizon: Horizon) -> bool:
    """Say whether T1 has come, with every master key gone: then nothing can change any more."""
    is_gone = bool(horizon.key_parts) and horizon.key_parts[-1].code == GONE
    return is_gone and horizon.by is not None and horizon.by <= timezone.now().date()
