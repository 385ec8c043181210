"""The registry of events is closed, and nothing in it can hold a text."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.audit import details
from apps.audit.choices import KEY_KINDS, REASONS
from apps.audit.errors import UnknownDetail
from apps.audit.events import DETAILS, LOOKS, PURPOSES, Event
from apps.audit.handles import HANDLE_LENGTH, is_handle, new_handle, short
from apps.keys.kinds import KeyKind
from apps.locations.reasons import Reason

TEXTLESS = (
    details.Whole,
    details.Flag,
    details.Choice,
    details.Hex,
    details.Id,
    details.RowId,
    details.HandleOf,
    details.Day,
    details.Moment,
)
ALL = [(event, name, kind) for event, allowed in DETAILS.items() for name, kind in allowed.items()]
KINDS = sorted({kind.item if isinstance(kind, details.ListOf) else kind for _, _, kind in ALL}, key=repr)


def test_every_event_says_which_details_it_may_hold():
    assert set(DETAILS) == set(Event)
    assert all(re.fullmatch(r"[a-z_]+\.[a-z_]+", event) and len(event) <= 48 for event in Event.values)


@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_every_detail_is_of_a_type_that_holds_no_text(kind):
    assert isinstance(kind, TEXTLESS)
    if isinstance(kind, details.Choice):
        assert all(re.fullmatch(r"[a-z0-9_-]{1,24}", word) for word in kind.values)


@pytest.mark.parametrize("kind", KINDS, ids=repr)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=st.one_of(
        st.text(), st.sampled_from(["Ada Lovelace", "ada@example.org", "10.0.0.1", "", "ADA", "ada\n", "١٢"])
    )
)
def test_no_detail_takes_a_text_that_somebody_wrote(kind, text):
    try:
        encoded = kind.encode(text)
    except UnknownDetail as error:
        with pytest.raises(UnknownDetail) as other:
            kind.encode(None)
        assert str(error) == str(other.value)  # an error may be logged: it quotes nothing
    else:
        assert text in getattr(kind, "values", ()) or is_handle(text) or re.fullmatch(r"[0-9a-f]{64}", encoded)


@pytest.mark.parametrize(
    ("kind", "value", "encoded"),
    [
        (details.Whole(), 0, 0),
        (details.Whole(), details.LARGEST, details.LARGEST),
        (details.Flag(), False, False),
        (details.Choice(("a", "b")), "b", "b"),
        (details.Choice(tuple(KeyKind.values)), KeyKind.SITE, "site"),
        (details.Hex(2), b"\x00\xff", "00ff"),
        (details.Hex(2), "00ff", "00ff"),
        (details.Id(), UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (details.RowId(), UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (details.RowId(), 7, 7),
        (details.HandleOf(), "a" * 26, "a" * 26),
        (details.Day(), date(2026, 11, 22), "2026-11-22"),
        (details.Moment(), datetime(2026, 11, 22, 8, tzinfo=UTC), "2026-11-22T08:00:00.000000Z"),
        (
            details.Moment(),
            datetime(2026, 11, 22, 8, 0, 0, 5, tzinfo=timezone(timedelta(hours=8))),
            "2026-11-22T00:00:00.000005Z",
        ),
        (details.ListOf(details.Whole()), [2, 1], [2, 1]),
        (
            details.ListOf(details.RowId()),
            (one for one in (1, UUID(int=1))),
            [1, "00000000-0000-0000-0000-000000000001"],
        ),
        (details.ListOf(details.Id()), [], []),
    ],
)
def test_a_detail_has_one_spelling(kind, value, encoded):
    result = kind.encode(value)
    assert result == encoded
    assert type(result) is type(encoded)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (details.Whole(), -1),
        (details.Whole(), True),
        (details.Whole(), 1.0),
        (details.Whole(), details.LARGEST + 1),
        (details.Flag(), 1),
        (details.Choice(("a",)), 1),
        (details.Hex(2), b"\x00"),
        (details.Hex(2), "00FF"),
        (details.Hex(2), 2),
        (details.Id(), "3f0c7a52-6f0f-4a8e-9d57-0d6c3a1b7e11"),
        (details.RowId(), "7"),
        (details.HandleOf(), "A" * 26),
        (details.Day(), datetime(2026, 11, 22, tzinfo=UTC)),
        (details.Moment(), datetime(2026, 11, 22)),
        (details.ListOf(details.Whole()), "12"),
        (details.ListOf(details.Whole()), 12),
        (details.ListOf(details.Whole()), [1, "2"]),
    ],
)
def test_a_value_of_another_type_is_refused(kind, value):
    with pytest.raises(UnknownDetail):
        kind.encode(value)


def test_lists_that_may_not_be_imported_here_are_the_same_as_their_originals():
    assert set(REASONS.values) == set(Reason.values)
    assert set(KEY_KINDS.values) == set(KeyKind.values)


def test_every_look_says_why():
    assert all(DETAILS[event]["purpose"] is PURPOSES for event in LOOKS)


def test_a_handle_is_random_and_says_nothing():
    handles = {new_handle() for _ in range(100)}
    assert len(handles) == 100
    assert all(is_handle(handle) and len(handle) == HANDLE_LENGTH for handle in handles)
    assert not is_handle("ada@example.org") and not is_handle("") and not is_handle(None)
    assert short("abcd" + "x" * 18 + "wxyz") == "abcd…wxyz"
    assert short("") == ""
