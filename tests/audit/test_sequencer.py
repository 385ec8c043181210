"""Entries get places, and what was signed lies outside the database."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import transaction

from apps.audit import selectors, services
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.models import Leaf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])


def test_waiting_for_an_entry_signs_it(handle, settings):
    with transaction.atomic():
        entry = services.append(Event.REQUEST_WITHDRAWN, about=handle, actor=Actor.system())
    assert not selectors.is_signed(entry)
    services.wait_until_signed(entry)
    assert selectors.is_signed(entry)
    assert list(Leaf.objects.values_list("index", flat=True)) == [0, 1]  # the first one says that the log began
    assert (Path(settings.TILES_DIR) / "checkpoint").read_text() == selectors.latest_checkpoint().note
