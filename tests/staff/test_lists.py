"""The queue: order, filters, pages; and that it costs the same however many requests there are."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.audit.handles import new_handle
from apps.locations.models import Location
from apps.records.services import place_hold
from apps.requests.dates import today
from apps.requests.models import Approval, Clock, PrivacyRequest, Status, Step
from apps.requests.references import new_reference
from apps.requests.staff import queue
from apps.requests.statistics import statistics
from tests.requests.conftest import as_officer, events, filed
from tests.staff.conftest import LIST, Desk, text_of

OUT_OF_TIME = f"?show=all&after=0~0001-01-01T00:00:00%2B23:59~{'0' * 32}"
pytestmark = pytest.mark.django_db(databases=["default", "keys"])


def made(status: str = Status.IN_REVIEW, *, due_in: int = 20, **values) -> PrivacyRequest:
    """A row alone, as bulk data: quick to make, nothing sealed."""
    ended = status in ("completed", "refused", "withdrawn", "lapsed")
    defaults = {
        "reference": new_reference(), "handle": new_handle(), "code_hash": b"", "kind": "access", "regime": "gdpr",
        "received_at": timezone.now() - timedelta(days=10), "ended_at": timezone.now() if ended else None,
    }  # fmt: skip
    request = PrivacyRequest.objects.create(status=status, due_on=today() + timedelta(days=due_in), **defaults | values)
    Clock.objects.create(request=request, regime="gdpr", duty="respond", due_on=request.due_on)
    return request


def shown(desk: Desk, query: str = "") -> list[str]:
    """The references on a page of the list, in their order."""
    text = desk.read(f"{LIST}{query}")
    return [part.split("/")[0] for part in text.split(f'href="{LIST}HB')[1:]]


def short(*requests: PrivacyRequest) -> list[str]:
    return [request.reference.removeprefix("HB") for request in requests]


def test_what_is_late_comes_first_and_what_is_answered_in_part_last(at_cleos):
    part = made(Status.PARTLY_COMPLETED, due_in=-90)
    later, late, soon = made(due_in=20), made(due_in=-2), made(Status.RUNNING, due_in=3)
    ended = made(Status.COMPLETED, due_in=-1)
    assert shown(at_cleos) == short(late, soon, later, part)
    assert shown(at_cleos, "?show=ended") == short(ended)
    text = at_cleos.read(LIST)
    assert "2 days late" in text
    assert "90 days late" not in text
    assert "in 3 days" in text


@pytest.mark.slow
def test_each_way_to_look_shows_what_it_says(at_cleos, cleo, dan, own_places):
    late, soon, far = made(due_in=-1), made(due_in=7), made(due_in=8)
    verifying = made(Status.VERIFYING, due_in=30)
    first = made(due_in=31)
    Approval.objects.create(request=first, officer=dan, rule="person")
    mine = made(due_in=32, assigned_to=cleo)
    Approval.objects.create(request=mine, officer=cleo, rule="person")
    stuck = made(Status.RUNNING, due_in=33, kind="erasure", regime="ccpa")
    place = Location.objects.get(kind="records")
    Step.objects.create(request=stuck, phase="collect", location=place, state="needs_person")
    gone = made(Status.WITHDRAWN, due_in=34)
    Step.objects.create(request=gone, phase="collect", location=place, state="needs_person")
    expected = {
        "?show=overdue": [late],
        "?show=soon": [soon],
        "?show=identity": [verifying],
        "?show=review": [late, soon, far],
        "?show=second": [first],
        "?show=person": [stuck],
        "?show=ended": [gone],
        "?whose=mine": [mine],
        "?whose=nobody": [late, soon, far, verifying, first, stuck],
        "?kind=erasure": [stuck],
        "?regime=ccpa": [stuck],
        "?status=running": [stuck],
        f"?place={place.pk}": [stuck],
        "?show=all&status=withdrawn": [gone],
    }
    for query, requests in expected.items():
        assert shown(at_cleos, query) == short(*requests), query


@pytest.mark.slow
def test_what_nobody_offered_is_left_out(at_cleos):
    request = made()
    for query in (
        "?show=nonsense",
        "?place=1",
        "?status=x&kind=y",
        "?after=%00",
        "?after=0~x~y",
        "?who=zz",
        OUT_OF_TIME,
    ):
        assert shown(at_cleos, query) == short(request), query


def test_held_ones_are_shown(at_cleos, cleo, ada, ben):
    held, free = filed(ada, "erasure"), filed(ben, "erasure")
    place_hold(ada, basis="GDPR Article 17(3)(e)", until=date(2999, 1, 1), actor=as_officer(cleo))
    assert shown(at_cleos, "?show=held") == short(held)
    assert set(shown(at_cleos)) == set(short(held, free))


@pytest.mark.slow
@pytest.mark.parametrize("query", ["", "?show=all"])
def test_pages_follow_each_other_without_a_gap_or_a_double(at_cleos, monkeypatch, query):
    monkeypatch.setattr(queue, "PAGE", 3)
    part = [made(Status.PARTLY_COMPLETED, due_in=day % 2) for day in range(4)]
    others = [made(due_in=day % 3) for day in range(7)]
    seen, address = [], query
    for _page in range(4):
        references = shown(at_cleos, address)
        assert len(references) <= 3
        seen += references
        text = at_cleos.read(f"{LIST}{address}")
        if 'rel="next"' not in text:
            break
        address = text.split('rel="next" href="')[1].split('"')[0].removeprefix(LIST).replace("&amp;", "&")
    assert sorted(seen) == sorted(short(*part, *others))
    if not query:
        assert set(seen[:7]) == set(short(*others))


def queries(desk: Desk, path: str) -> int:
    desk.get(path)  # whatever is remembered afterwards
    with CaptureQueriesContext(
        connection,
    ) as captured:
        desk.read(path)
    return len(captured)


@pytest.mark.parametrize("path", [LIST, f"{LIST}?show=all", f"{LIST}?show=second", "/admin/"])
def test_the_queries_do_not_grow_with_the_rows(at_cleos, dan, own_places, path):
    place = Location.objects.get(kind="records")

    def add(count: int) -> None:
        for number in range(count):
            request = made(due_in=number - 5, assigned_to=dan if number % 2 else None)
            Approval.objects.create(request=request, officer=dan, rule="person")
            running = made(Status.RUNNING)
            Step.objects.create(request=running, phase="collect", location=place, state="pending")

    add(2)
    few = queries(at_cleos, path)
    add(12)
    assert queries(at_cleos, path) == few
    assert few < 40


def test_counts_stop_at_a_limit(at_cleos, monkeypatch):
    monkeypatch.setattr(queue, "COUNTED", 2)
    for _number in range(3):
        made(due_in=-1)
    assert "<b>2+</b><span>Overdue" in at_cleos.read("/admin/")


def test_nothing_overdue_is_said_in_grey(at_cleos):
    made()
    assert "Nothing is overdue" in at_cleos.read("/admin/")
    made(due_in=-1)
    text = at_cleos.read("/admin/")
    assert "Nothing is overdue" not in text
    assert 'class="card alarm"' in text


class TestAssigning:
    def test_several_are_given_to_an_officer_and_each_is_logged(self, at_cleos, dan, ada, ben):
        one, two, other = filed(ada), filed(ben), filed(ada)
        values = {"reference": [one.reference, two.reference], "officer": str(dan.pk), "back": f"{LIST}?show=all"}
        answer = at_cleos.post(f"{LIST}assign/", values, follow=True)
        assert answer.redirect_chain[0][0] == f"{LIST}?show=all"
        assert "2 requests assigned to dan@example.org." in text_of(answer)
        assert list(PrivacyRequest.objects.filter(assigned_to=dan).order_by("pk")) == sorted(
            [one, two], key=lambda r: r.pk
        )
        assert "request.assigned" in events(one)
        assert "request.assigned" not in events(other)

    def test_only_to_officers_and_back_only_to_the_list(self, at_cleos, ada, mallory):
        request = filed(ada)
        values = {"reference": request.reference, "officer": str(mallory.pk), "back": "https://elsewhere.example/"}
        answer = at_cleos.post(f"{LIST}assign/", values)
        assert answer.headers["Location"] == LIST
        request.refresh_from_db()
        assert request.assigned_to is None


class TestStatistics:
    def test_they_are_shown_and_given_as_csv(self, at_cleos):
        made(Status.COMPLETED, received_at=timezone.now() - timedelta(hours=1))
        made(Status.REFUSED, ground="excessive", received_at=timezone.now() - timedelta(hours=1))
        day = timezone.now().date()
        period = f"?since={day - timedelta(days=1)}&until={day}"
        text = at_cleos.read(f"{LIST}statistics/{period}")
        assert "The request is excessive" in text
        rows = list(csv.DictReader(io.StringIO(at_cleos.read(f"{LIST}statistics.csv{period}"))))
        assert [(row["regime"], row["received"], row["complied"], row["refused"]) for row in rows] == [
            ("gdpr", "2", "1", "1")
        ]

    def test_a_period_that_ends_before_it_begins_is_named(self, at_cleos):
        for years in ("since=0001-01-01&until=2026-01-01", "since=2026-01-01&until=9999-12-31"):
            assert "Enter a valid date" in at_cleos.read(f"{LIST}statistics/?{years}")
            assert at_cleos.get(f"{LIST}statistics.csv?{years}").status_code == 302
        text = at_cleos.read(f"{LIST}statistics/?since=2026-02-01&until=2026-01-01")
        assert "on or after the first day" in text


def test_a_mark_of_a_request_that_is_gone_still_finds_the_next_page(at_cleos):
    first, second = made(due_in=1), made(due_in=2)
    mark = f"0~{first.due_on}~{uuid4().hex}"
    first.delete()
    assert shown(at_cleos, f"?after={mark}") == short(second)


def test_the_days_are_mean_and_median_of_what_was_answered():
    now = timezone.now()
    for days in (1, 2, 9):
        made(Status.COMPLETED, received_at=now - timedelta(days=days), ended_at=now)
    made(Status.REFUSED, received_at=now - timedelta(days=4), ended_at=now)
    made(Status.WITHDRAWN, received_at=now - timedelta(days=9), ended_at=now)
    made(Status.RUNNING, received_at=now - timedelta(days=9))
    (figures,) = statistics(now.date() - timedelta(days=10), now.date())
    assert (figures.received, figures.complied, figures.open) == (6, 3, 1)
    assert (figures.mean_days, figures.median_days) == (4.0, 3.0)
