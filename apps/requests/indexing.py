"""The blind index of the address that a request was filed with, brought under a new key (settings.BLIND_INDEXES)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from apps.keys.errors import KeyStoreDamaged
from apps.records.indexing.columns import Column, save_indexes
from apps.records.indexing.ring import IDENTITY, Ring
from apps.records.subjects import identity_index
from apps.requests.errors import RecordErased
from apps.requests.models import PrivacyRequest
from apps.requests.vault import details_of


def _renew(ring: Ring, rows: Sequence[PrivacyRequest]) -> int:
    values: dict[UUID, bytes] = {}
    for row in rows:
        try:
            values[row.pk] = identity_index(ring.key, "email", details_of(row)["email"])
        except (RecordErased, KeyStoreDamaged):  # its retention has just ended; or a person looks first
            continue
    return save_indexes(PrivacyRequest.objects.all(), ring, "email_index", "email_index_number", values)


EMAILS_OF_REQUESTS = Column(
    f"{IDENTITY}email",
    "email_index_number",
    lambda name: PrivacyRequest.objects.filter(email_index__isnull=False),
    lambda: _renew,
)
