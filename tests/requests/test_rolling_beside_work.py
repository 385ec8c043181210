"""Master keys are rolled and destroyed without a pause, while an import, an archive and erasures are at work.

Harder than any site has it: no grace at all, so that a key may be wrapped anew, and the master key that it was read under
be gone, at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connections

from apps.archives.selectors import read_range
from apps.audit.actors import Actor, Role
from apps.audit.handles import new_handle
from apps.keys import policy
from apps.keys import services as keys
from apps.keys.models import Epoch, Key
from apps.records import selectors as records
from apps.records.models import Conversation, Subject
from apps.records.services import delete_conversations, store_conversations
from apps.requests import selectors
from tests.officers import anybody
from tests.proof import prober
from tests.proof.prober import Ring
from tests.records.conftest import conversation
from tests.requests.conftest import filed, run, there

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])

SYSTEM = Actor.system()
CANARY = "canary-goes-4f10"
BATCHES, A_BATCH = 6, 4
LEAST_ROLLS = 3


@pytest.fixture(autouse=True)
def _no_grace(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MASTER_KEY_DIR = tmp_path / "master-keys"
    monkeypatch.setattr(policy, "GRACE", policy.GRACE * 0)


@pytest.fixture
def at_work() -> Iterator[Callable[[Callable[[], object]], Thread]]:
    """Do something in a thread of its own; what it raises fails the test."""
    failures: list[BaseException] = []

    def begin(work: Callable[[], object]) -> Thread:
        def body() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001  (shown by the test)
                failures.append(error)
            finally:
                connections.close_all()

        thread = Thread(target=body)
        thread.start()
        return thread

    yield begin
    assert not failures, failures


def set_standing_policy() -> None:
    proposal = keys.propose_policy(officer=uuid4(), actor=Actor(new_handle(), Role.APPROVER))
    officer = Actor(new_handle(), Role.APPROVER)
    keys.approve_proposal(proposal.pk, officer=uuid4(), actor=officer, may_decide=anybody)


def roll_and_destroy(folder: Path) -> None:
    keys.roll_master_key(actor=SYSTEM)
    keys.back_up_keys(folder / "keys.backup", actor=SYSTEM)
    keys.destroy_master_keys(actor=SYSTEM)


def store(subject: Subject, first: int, count: int, words: str = "") -> None:
    parsed = [
        conversation(f"c{number}", f"question {number} {words}", "answer") for number in range(first, first + count)
    ]
    store_conversations(subject, parsed, actor=SYSTEM)


@pytest.mark.thorough
def test_nothing_is_lost_and_nothing_erased_opens(ada: Subject, ben: Subject, at_work: Any, tmp_path: Path) -> None:
    store(ada, 0, A_BATCH)
    store(ben, 0, 8, CANARY)
    set_standing_policy()
    ring = Ring(ben.pk)
    ring.note(CANARY)
    doomed = list(Conversation.objects.filter(subject=ben).order_by("pk").values_list("pk", "key_id")[:4])
    old = [
        bytes(wrapped) for wrapped in Key.objects.filter(destroyed_at=None).values_list("wrapped", flat=True) if wrapped
    ]
    assert {key_id for _pk, key_id in doomed} <= set(prober.openable(ring, set(old)))  # the control
    is_over, rolls = Event(), 0

    def roll() -> None:
        nonlocal rolls
        while rolls < LEAST_ROLLS or not is_over.is_set():
            roll_and_destroy(tmp_path)
            rolls += 1

    def bring_in() -> None:
        for batch in range(BATCHES):
            store(ada, A_BATCH * (batch + 1), A_BATCH)

    request = filed(ada)
    rolling = at_work(roll)
    work = [
        at_work(bring_in),
        at_work(lambda: run(request)),
        at_work(lambda: [delete_conversations(ben, [pk], actor=SYSTEM) for pk, _key_id in doomed]),
    ]
    for thread in work:
        thread.join()
    is_over.set()
    rolling.join()
    roll_and_destroy(tmp_path)  # whatever was deleted during the last roll
    assert rolls >= LEAST_ROLLS

    request.refresh_from_db()
    assert request.status == "completed"
    [archive] = selectors.archives_of(request)
    file = tmp_path / "archive.zip"
    file.write_bytes(b"".join(read_range(archive, 0, there(archive.size))))
    call_command("verify_archive", file)
    for subject, wanted in ((ada, A_BATCH * (BATCHES + 1)), (ben, 4)):
        held = list(Conversation.objects.filter(subject=subject, erasing_at=None))
        assert len(held) == wanted
        for row in held:
            assert len(records.read_conversation(subject, row.pk).turns) == 2
    assert list(keys.damaged_keys()) == []

    living = [
        bytes(wrapped) for wrapped in Key.objects.filter(destroyed_at=None).values_list("wrapped", flat=True) if wrapped
    ]
    assert Epoch.objects.filter(destroyed_at=None).count() == 1
    opened = prober.openable(ring, {*old, *living})
    assert not {key_id for _pk, key_id in doomed} & opened.keys()
    ring.note(CANARY)
    assert len(prober.openable(ring, {*old, *living})) >= 5  # the control: what stays opens
