"""Checkpoints are left at every anchor in time, what is wrong shows, and nothing that was left is covered up."""

from __future__ import annotations

import base64
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apps.audit import anchoring, notes, selectors, services, tasks
from apps.audit.anchors.folder import FolderAnchor
from apps.audit.errors import AnchorRefused, AnchorUnreachable
from apps.audit.models import Anchoring, AnchorState, Checkpoint
from apps.sealing.signatures import SigningKey
from tests.audit.anchors.conftest import signed
from tests.audit.conftest import newest

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing_without_commits")]


@pytest.fixture
def folders(tmp_path, name_anchors):
    """Two folders as anchors."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    return name_anchors(f"file://{tmp_path}/one", f"file://{tmp_path}/two")


def later(monkeypatch, **by):
    real = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: real + timedelta(**by))


def sign_more(write):
    write(1)
    services.sequence()


def test_the_newest_checkpoint_is_left_everywhere_and_noted(folders, write):
    sign_more(write)
    assert anchoring.anchor_due() == 2
    assert [(one.anchor, one.size) for one in Anchoring.objects.order_by("pk")] == [(one.name, 2) for one in folders]
    assert anchoring.newest_anchor() == notes.read_checkpoint(newest().note)
    assert [(one.size, one.outcome, one.is_good) for one in anchoring.standings()] == [(2, "done", True)] * 2
    assert anchoring.problem() == ""


def test_it_is_left_at_most_once_an_interval_and_only_if_there_is_more(folders, write, monkeypatch):
    sign_more(write)
    assert anchoring.anchor_due() == 2
    later(monkeypatch, minutes=61)
    assert anchoring.anchor_due() == 0  # nothing new
    sign_more(write)
    assert anchoring.anchor_due() == 2
    sign_more(write)
    assert anchoring.anchor_due() == 0  # too soon
    tasks.anchor_checkpoints()
    assert Anchoring.objects.count() == 4


def test_without_anchors_or_without_a_checkpoint_there_is_nothing_to_do(folders, write, settings):
    assert anchoring.anchor_due() == 0
    assert anchoring.newest_anchor() is None
    sign_more(write)
    settings.ANCHORS = []
    assert anchoring.anchor_due() == 0
    assert anchoring.newest_anchor() is None


@pytest.mark.parametrize(("error", "outcome"), [(AnchorUnreachable, "unreachable"), (AnchorRefused, "refused")])
def test_one_that_fails_is_tried_again_and_does_not_stop_the_others(
    folders, write, monkeypatch, error, outcome, caplog
):
    real = FolderAnchor.publish

    def fails_for_one(self, note):
        if self._folder.name == "one":
            raise error("a reason")
        return real(self, note)

    sign_more(write)
    with monkeypatch.context() as patch:
        patch.setattr(FolderAnchor, "publish", fails_for_one)
        assert anchoring.anchor_due() == 1
        assert anchoring.anchor_due() == 0
    assert "a reason" in caplog.text
    assert [one.outcome for one in anchoring.standings()] == [outcome, "done"]
    later(monkeypatch, minutes=6)
    assert anchoring.anchor_due() == 1
    assert [one.outcome for one in anchoring.standings()] == ["done", "done"]


def test_a_try_that_was_cut_off_is_made_again(folders, write, monkeypatch):
    sign_more(write)
    AnchorState.objects.create(name=folders[0].name, tried_at=timezone.now())  # and then the process died
    assert anchoring.anchor_due() == 1
    later(monkeypatch, minutes=6)
    assert anchoring.anchor_due() == 1


def test_late_is_what_was_signed_two_intervals_ago_and_lies_nowhere_else(folders, write, monkeypatch, settings):
    sign_more(write)
    assert anchoring.problem() == ""
    anchoring.anchor_due()
    later(monkeypatch, minutes=121)
    assert anchoring.problem() == ""  # nothing has happened since
    Checkpoint.objects.create(size=9, root=b"r" * 32, note="n", signed_at=timezone.now() - timedelta(minutes=121))
    assert anchoring.problem() == "late"
    assert [one.is_good for one in anchoring.standings()] == [False, False]
    settings.ANCHORS_WANTED = 3
    assert anchoring.problem() == "2 of 3"


def test_an_anchor_that_never_took_anything_is_not_good(folders, write):
    assert [one.is_good for one in anchoring.standings()] == [False, False]


class TestReading:
    def test_the_largest_that_our_key_signed_counts(self, folders):
        for size in (3, 7):
            folders[0].open().publish(signed(size))
        folders[1].open().publish(signed(5))
        found = anchoring.newest_anchor()
        assert found is not None and found.size == 7

    def test_what_others_put_there_is_passed_over(self, folders, caplog):
        folders[0].open().publish(signed(3))
        stranger = notes.CheckpointText("testserver/audit/log", 99, b"x" * 32)
        folders[0].open().publish(notes.sign_checkpoint(stranger, SigningKey(b"m" * 32)))
        found = anchoring.newest_anchor()
        assert found is not None and found.size == 3
        assert "no key of this log" in caplog.text

    def test_one_that_is_away_is_passed_over_and_named(self, folders, tmp_path, caplog):
        folders[0].open().publish(signed(3))
        (tmp_path / "two").rmdir()
        found = anchoring.newest_anchor()
        assert found is not None and found.size == 3
        assert [reading.problem for reading in anchoring.read_anchors()] == ["", "unreachable"]
        assert "cannot be read" in caplog.text

    def test_what_cannot_be_read_is_not_asked(self, name_anchors):
        name_anchors("mailto:auditors@example.org")
        assert anchoring.read_anchors() == []

    def test_a_checkpoint_from_before_the_key_was_changed_counts(self, folders, write, settings):
        sign_more(write)
        anchoring.anchor_due()
        settings.LOG_SIGNING_KEY = base64.b64encode(b"M" * 32).decode()
        assert len(selectors.verifier_keys()) == 2
        found = anchoring.newest_anchor()
        assert found is not None and found.size == 2


class TestRestored:
    def test_an_older_checkpoint_is_never_put_over_a_newer_one(self, folders, write, caplog):
        sign_more(write)
        for placed in folders:
            placed.open().publish(signed(50))
        assert anchoring.anchor_due() == 0
        assert anchoring.problem() == "ahead"
        assert [one.outcome for one in anchoring.standings()] == ["ahead", "ahead"]
        assert "was the database restored" in caplog.text

    def test_nor_another_log_over_this_one(self, folders, write, caplog):
        for placed in folders:
            placed.open().publish(signed(2))
        sign_more(write)
        assert anchoring.anchor_due() == 0
        assert anchoring.problem() == "ahead"
        assert "was rewritten" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_two_who_come_at_once_leave_one(folders, write):
    sign_more(write)
    start, counts = threading.Barrier(2), []

    def anchor():
        try:
            start.wait()
            counts.append(anchoring.anchor_due())
        finally:
            connection.close()

    threads = [threading.Thread(target=anchor) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == Anchoring.objects.count() == 2
