"""The storage page: administrators see what the last comparison found and start one; others do not."""

from __future__ import annotations

import pytest

from apps.records import tasks
from apps.records.models import Sweep
from apps.records.sweeping.comparing import KINDS
from tests.staff.conftest import text_of

pytestmark = pytest.mark.django_db(databases=["default", "keys"])
PAGE = "/admin/records/sweep/"


def test_an_administrator_sees_the_last_report_and_starts_another(at_roots, monkeypatch):
    assert "Nothing was compared yet" in at_roots.read(PAGE)
    tasks.sweep(now=True)
    assert "They agree" in at_roots.read(PAGE)
    assert "rows older than 24 hours that name one" in at_roots.read(PAGE)
    counts = {kind: {"found": 0, "removed": 0, "bytes": 0} for kind in KINDS} | {
        "orphan": {"found": 3, "removed": 1, "bytes": 2048}
    }
    row = Sweep.objects.get()
    Sweep.objects.filter(pk=row.pk).update(counts=counts)
    text = at_roots.read(PAGE)
    assert "They differ" in text
    assert "2.0" in text
    sent = []
    monkeypatch.setattr(tasks.sweep, "apply_async", lambda args, **options: sent.append(args))
    assert "A worker compares now" in text_of(at_roots.post(f"{PAGE}run/", follow=True))
    assert sent == [[True]]


@pytest.mark.parametrize("who", ["at_cleos", "at_dans"])
def test_officers_have_no_part_in_it(who, request):
    desk = request.getfixturevalue(who)
    assert desk.get(PAGE).status_code == 403
    assert desk.post(f"{PAGE}run/").status_code == 403
    assert "/admin/records/sweep/" not in desk.read("/admin/")
