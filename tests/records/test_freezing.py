"""What is written while an erasure begins, by real threads and connections; and what lies in the files of SQLite."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection, connections

from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed
from apps.records import objects
from apps.records.errors import RecordsError, SubjectFrozen, SubjectNotFound
from apps.records.importers.types import ParsedAttachment, ParsedConversation
from apps.records.models import Attachment, Conversation, Message, Subject
from apps.records.services import store_conversations
from apps.records.subjects import freeze_subject, thaw_subject
from tests.records.conftest import attachment, by, conversation

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


class Thread(threading.Thread):
    """A thread with connections of its own that keeps what its work raised."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__()
        self.work = work
        self.error: RecordsError | None = None
        self.start()

    def run(self) -> None:
        try:
            self.work()
        except RecordsError as error:
            self.error = error
        finally:
            connections.close_all()


def endless(prefix: str, seen: threading.Event) -> Iterator[ParsedConversation]:
    for number in range(10_000):
        yield conversation(f"{prefix}-{number}", *["text"] * 300)
        if number > 40:
            seen.set()


@pytest.mark.thorough
def test_an_import_that_runs_stops_at_the_freeze_and_adds_nothing_after_it(ada: Subject, ben: Subject) -> None:
    running = threading.Event()
    imports = Thread(lambda: store_conversations(ada, endless("ada", running), actor=by(ada)))
    assert running.wait(30)
    freeze_subject(ada.pk)
    frozen_with = Message.objects.filter(conversation__subject=ada).count()
    imports.join(30)
    assert isinstance(imports.error, SubjectFrozen)
    assert Message.objects.filter(conversation__subject=ada).count() == frozen_with > 0
    assert store_conversations(ben, [conversation("c", "text")], actor=by(ben)).messages == 1


def test_freezing_twice_gives_the_first_time_and_thawing_lets_writing_go_on(ada: Subject) -> None:
    first = freeze_subject(ada.pk)
    assert freeze_subject(ada.pk) == first
    thaw_subject(ada.pk)
    assert store_conversations(ada, [conversation("c", "text")], actor=by(ada)).messages == 1
    with pytest.raises(SubjectNotFound):
        freeze_subject(ada.key_id)


@pytest.mark.thorough
def test_two_imports_of_one_file_at_once_store_it_once(ada: Subject) -> None:
    parsed = [conversation(f"c{number}", *["text"] * 20) for number in range(60)]
    threads = [Thread(lambda: store_conversations(ada, parsed, actor=by(ada))) for _ in range(3)]
    for thread in threads:
        thread.join(60)
        assert thread.error is None
    assert Conversation.objects.filter(subject=ada).count() == 60
    assert Message.objects.filter(conversation__subject=ada, is_message=True).count() == 60 * 20
    assert all(row.node_count == 21 for row in Conversation.objects.filter(subject=ada))


def test_a_file_whose_person_is_frozen_while_it_arrives_is_left_written_down(ada: Subject, storage: Path) -> None:
    def slow() -> Iterator[bytes]:
        yield b"first"
        freeze_subject(ada.pk)
        yield b"second"

    parsed = conversation("c", "text", attachments=[ParsedAttachment("a.txt", "text/plain", "p", slow, 11)])
    with pytest.raises(SubjectFrozen):
        store_conversations(ada, [parsed], actor=by(ada))
    row = Attachment.objects.get()
    assert not row.stored and objects.names_of(objects.ATTACHMENTS, ada.pk) == [row.object_name]


def test_a_file_whose_key_is_destroyed_while_it_arrives_leaves_nothing_whole(
    ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "KEY_REREAD_SECONDS", 0.0)

    def slow() -> Iterator[bytes]:
        yield b"first"
        freeze_subject(ada.pk)
        keys.erase_keys([ada.key_id], about=ada.handle, actor=by(ada))
        yield b"second"

    parsed = conversation("c", "text", attachments=[ParsedAttachment("a.txt", "text/plain", "p", slow, 11)])
    with pytest.raises(KeyDestroyed):
        store_conversations(ada, [parsed], actor=by(ada))
    assert not Attachment.objects.get().stored


def test_nothing_lies_in_clear_in_the_files_of_the_database(ada: Subject, storage: Path) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads the files of SQLite")
    parsed = conversation(
        "external-canary", "canary text", "金丝雀", title="canary title", attachments=[attachment("canary.pdf", b"x")]
    )
    store_conversations(ada, [parsed], actor=by(ada))
    file = Path(str(connection.settings_dict["NAME"]))
    written = b"".join(path.read_bytes() for path in file.parent.glob(file.name + "*"))
    assert ada.handle.encode() in written  # the scan sees what is there
    for canary in ("canary", "金丝雀", "ada@example.org"):
        assert canary.encode() not in written
