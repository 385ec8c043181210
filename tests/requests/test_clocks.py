"""Deadlines: months that clamp, days off that shift, business days that skip."""

from datetime import date

import pytest

from apps.requests.calendars import public_holidays
from apps.requests.clocks import DayType, Period, add_business_days, add_months, next_working_day
from apps.requests.models import Kind
from apps.requests.regimes import CCPA, GDPR, REGIMES, is_enough


def never(day: date) -> bool:
    return False


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        (date(2026, 11, 22), 1, date(2026, 12, 22)),
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2028, 1, 31), 1, date(2028, 2, 29)),
        (date(2026, 12, 31), 2, date(2027, 2, 28)),
        (date(2026, 11, 30), 3, date(2027, 2, 28)),
        (date(2026, 12, 15), 1, date(2027, 1, 15)),
        (date(2026, 3, 31), 24, date(2028, 3, 31)),
    ],
)
def test_months_end_on_the_same_day_or_on_the_last_one(start, months, end):
    assert add_months(start, months) == end


def test_a_period_that_would_end_on_a_day_off_ends_on_the_next_working_day():
    german = public_holidays("DE")
    assert next_working_day(date(2026, 12, 25), german) == date(2026, 12, 28)  # Friday, Saturday and Sunday are off
    assert next_working_day(date(2026, 12, 24), german) == date(2026, 12, 24)


def test_business_days_leave_out_weekends_and_holidays():
    assert add_business_days(date(2026, 11, 20), 10, never) == date(2026, 12, 4)
    assert add_business_days(date(2026, 11, 20), 10, public_holidays("US-CA")) == date(
        2026, 12, 8
    )  # Thanksgiving and the day after


def test_calendar_days_do_not_shift_by_themselves():
    assert Period(45, DayType.DAY, "").end(date(2026, 11, 22), never) == date(2027, 1, 6)


@pytest.mark.parametrize(
    ("received", "due", "extended"),
    [
        (date(2026, 11, 22), date(2026, 12, 22), date(2027, 2, 22)),
        (date(2026, 11, 25), date(2026, 12, 28), date(2027, 2, 25)),  # 25 December is a holiday
        (date(2026, 1, 31), date(2026, 3, 2), date(2026, 4, 30)),  # 28 February is a Saturday
    ],
)
def test_gdpr_gives_one_month_and_three_from_the_same_day(received, due, extended):
    assert GDPR.due(GDPR.respond, received) == due
    assert GDPR.extended is not None
    assert GDPR.due(GDPR.extended, received) == extended


def test_ccpa_gives_ten_business_days_to_acknowledge_and_45_days_to_answer():
    assert CCPA.acknowledge is not None
    assert CCPA.extended is not None
    assert CCPA.due(CCPA.acknowledge, date(2026, 11, 23)) == date(2026, 12, 9)
    assert CCPA.due(CCPA.respond, date(2026, 11, 23)) == date(2027, 1, 7)
    assert CCPA.due(CCPA.extended, date(2026, 11, 23)) == date(2027, 2, 21)


@pytest.mark.parametrize("regime", REGIMES.values(), ids=lambda regime: regime.code)
def test_every_figure_names_its_rule(regime):
    for period in (regime.respond, regime.extended, regime.acknowledge):
        assert period is None or period.cite
    for kind in regime.rights:
        right = regime.right(kind)
        assert str(right.article)
        assert right.identity in ("reasonable", "reasonably_high")
        assert {"identity_not_verified", "manifestly_unfounded"} <= {ground.code for ground in regime.grounds_for(kind)}
    assert regime.ground("legal_claim", Kind.ERASURE)
    assert regime.ground("legal_claim", Kind.ACCESS) is None


def test_identity_levels_are_ordered():
    assert is_enough("reasonably_high", "reasonable")
    assert not is_enough("none", "reasonable")


@pytest.mark.parametrize(
    ("code", "kind", "article", "identity", "approval", "told"),
    [
        ("gdpr", "rectification", "Article 16", "reasonable", "officer", "Article 19"),
        ("gdpr", "restriction", "Article 18(1)", "reasonable", "officer", "Article 19"),
        ("ccpa", "rectification", "Cal. Civ. Code § 1798.106", "reasonably_high", "officer", "11 CCR § 7023(c)"),
        ("ccpa", "erasure", "Cal. Civ. Code § 1798.105", "reasonably_high", "two_officers", "11 CCR § 7022(b)"),
        ("gdpr", "access", "Article 15", "reasonable", "officer_or_policy", "Article 19"),
    ],
)
def test_each_law_says_which_right_it_gives_and_who_says_yes(code, kind, article, identity, approval, told):
    right = REGIMES[code].right(kind)
    assert (str(right.article), right.identity, right.approval) == (article, identity, approval)
    assert str(REGIMES[code].notify_cite_of(kind)) == told


def test_only_the_gdpr_restricts_and_each_kind_can_be_refused_only_on_its_own_grounds():
    assert [code for code, regime in REGIMES.items() if "restriction" in regime.rights] == ["gdpr"]
    assert [code for code, regime in REGIMES.items() if regime.wants_ground("restriction")] == ["gdpr"]
    for regime in REGIMES.values():
        assert regime.ground("accurate", "rectification")
        assert regime.ground("accurate", "erasure") is None
        assert regime.ground("freedom_of_expression", "rectification") is None
        assert regime.asking_ground("accuracy", "rectification") is None
