"""The place "records": what an access archive gets, and what an erasure leaves."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.db import connection as db
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.keys import services as keys
from apps.keys.models import Key
from apps.locations.contract import Identity, Scope
from apps.locations.errors import Refused, Unavailable
from apps.records import loading, objects, rows, subjects
from apps.records.connector import RecordsConnector
from apps.records.errors import SubjectFrozen
from apps.records.importers.types import ParsedAttachment
from apps.records.models import Attachment, Conversation, Import, Message, Subject
from apps.records.models import Identity as IdentityRow
from apps.records.services import (
    delete_conversations,
    import_path,
    import_text,
    place_hold,
    store_conversations,
    subject_keys,
)
from tests.records.conftest import START, attachment, by, conversation, node

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])

PLACE = RecordsConnector({})
EVERYTHING = Scope(formats=("html", "json", "txt", "csv"))


def give(subject: Subject, *, count: int = 3) -> None:
    store_conversations(
        subject,
        [
            conversation(
                f"{subject.handle}-{number}",
                f"question {number}",
                f"answer {number}",
                title=f"Title {number}",
                at=START + timedelta(days=number),
                attachments=[attachment(f"lease-{number}.pdf", b"lease" * 1000)] if number == 1 else [],
            )
            for number in range(count)
        ],
        actor=by(subject),
        source="chatgpt",
    )


def who(subject: Subject) -> Identity:
    return subjects.identity_of(subject)


def exported(place: RecordsConnector, person: Identity, scope: Scope, *, stop_after: int = 10**9) -> dict[str, bytes]:
    """Export as the engine does, beginning anew with the last cursor after every `stop_after` entries."""
    files: dict[str, bytes] = defaultdict(bytes)
    ended: set[str] = set()
    cursor = ""
    while True:
        taken = 0
        for entry in place.export(person, scope, cursor):
            assert entry.name not in ended, f"{entry.name} is written after its end"
            files[entry.name] += b"".join(entry.chunks)
            cursor = entry.cursor
            if entry.part != "piece":
                ended.add(entry.name)
            taken += 1
            if taken == stop_after:
                break
        if taken < stop_after:
            assert ended == set(files)
            return dict(files)


def destroy(subject: Subject) -> None:
    """What the erasure's first steps do."""
    subjects.freeze_subject(subject.pk)
    keys.erase_keys(subject_keys(subject), about=subject.handle, actor=by(subject))


def rows_of(subject: Subject) -> dict[str, int]:
    theirs: dict[str, Any] = {"subject_id": subject.pk}
    return {
        "subjects": Subject.objects.filter(pk=subject.pk).count(),
        "identities": IdentityRow.objects.filter(**theirs).count(),
        "conversations": Conversation.objects.filter(**theirs).count(),
        "messages": Message.objects.filter(conversation__subject_id=subject.pk).count(),
        "attachments": Attachment.objects.filter(conversation__subject_id=subject.pk).count(),
        "imports": Import.objects.filter(**theirs).count(),
    }


def test_find_counts_conversations_and_files_of_the_person_alone(ada: Subject, ben: Subject, storage: Path) -> None:
    give(ada)
    give(ben, count=1)
    kinds = sorted(item.kind for item in PLACE.find(who(ada), EVERYTHING))
    assert kinds == ["attachment", "conversation", "conversation", "conversation"]
    since = Scope(since=(START + timedelta(days=1)).date(), until=(START + timedelta(days=1)).date())
    assert sorted(item.kind for item in PLACE.find(who(ada), since)) == ["attachment", "conversation"]


@pytest.mark.parametrize("stop_after", [1, 2, 3, 7, 10**9])
def test_export_gives_the_same_files_wherever_it_is_cut(ada: Subject, storage: Path, stop_after: int) -> None:
    give(ada)
    files = exported(PLACE, who(ada), EVERYTHING, stop_after=stop_after)
    conversations = orjson.loads(files["conversations.json"])
    assert [one["title"] for one in conversations] == ["Deposit"] * 3 or [one["title"] for one in conversations]
    assert [len(one["mapping"]) for one in conversations] == [3, 3, 3]
    assert files["attachments/000002-1.pdf"] == b"lease" * 1000
    assert conversations[1]["habeas_attachments"][0]["path"] == "attachments/000002-1.pdf"
    assert b"question 2" in files["conversations/000003.html"]
    assert b"answer 0" in files["messages.csv"] and b"answer 0" in files["text/000001.txt"]
    assert orjson.loads(files["profile.json"])["known_as"] == [{"kind": "email", "value": "ada@example.org"}]
    assert len([line for line in files[".contents.jsonl"].splitlines() if line]) == 3


def test_an_export_of_nobody_is_empty_and_one_of_nothing_is_whole(ada: Subject, storage: Path) -> None:
    files = exported(PLACE, who(ada), Scope())
    assert orjson.loads(files["conversations.json"]) == []
    nobody = Identity(subject_id=ada.account_id or ada.key_id, account_id=None, request_id=None)
    assert list(PLACE.export(nobody, Scope(), "")) == []


@pytest.mark.slow
def test_a_long_conversation_with_branches_is_exported_whole(ada: Subject, storage: Path) -> None:
    nodes = [node("n0", None, "user", "start")]
    for number in range(1, 1200):
        nodes.append(node(f"n{number}", f"n{number - 1}", "assistant" if number % 2 else "user", f"text {number}"))
    nodes.append(node("other", "n10", "assistant", "another answer"))
    store_conversations(ada, [conversation("long", nodes=nodes, current="n1199")], actor=by(ada))
    files = exported(PLACE, who(ada), EVERYTHING, stop_after=2)
    [told] = orjson.loads(files["conversations.json"])
    assert len(told["mapping"]) == 1201
    assert told["mapping"]["n10"]["children"] == ["n11", "other"]
    assert sorted(name for name in files if name.startswith("conversations/")) == [
        "conversations/000001-2.html", "conversations/000001-3.html", "conversations/000001.html",
    ]  # fmt: skip
    last = files["conversations/000001-3.html"]
    assert b"another answer" in last and b"text 1199" in last
    assert last.index(b"text 1199") < last.index(b"another answer")


def test_a_conversation_that_vanishes_in_the_middle_leaves_readable_files(ada: Subject, storage: Path) -> None:
    give(ada)
    first = Conversation.objects.filter(subject=ada).order_by("started_at").first()
    assert first is not None
    for stop in range(1, 8):
        taken: dict[str, bytes] = defaultdict(bytes)
        cursor = ""
        for count, entry in enumerate(PLACE.export(who(ada), EVERYTHING, ""), 1):
            taken[entry.name] += b"".join(entry.chunks)
            cursor = entry.cursor
            if count == stop:
                break
        Conversation.objects.filter(pk=first.pk).update(erasing_at=timezone.now())
        for entry in PLACE.export(who(ada), EVERYTHING, cursor):
            taken[entry.name] += b"".join(entry.chunks)
        assert len(orjson.loads(taken["conversations.json"])) in (2, 3), stop
        Conversation.objects.filter(pk=first.pk).update(erasing_at=None)


def test_erasure_removes_every_row_key_and_file_of_ada_and_none_of_ben(
    ada: Subject, ben: Subject, storage: Path
) -> None:
    give(ada)
    give(ben)
    before = rows_of(ben)
    assert rows_of(ada) == before == {
        "subjects": 1, "identities": 1, "conversations": 3, "messages": 9, "attachments": 1, "imports": 0,
    }  # fmt: skip
    person = who(ada)
    destroy(ada)
    assert PLACE.remaining(person, EVERYTHING).count > 0
    progress = list(PLACE.erase(person, EVERYTHING, ""))
    assert sum(one.erased for one in progress) == 4
    assert set(rows_of(ada).values()) == {0}
    assert rows_of(ben) == before
    assert PLACE.remaining(person, EVERYTHING).count == 0
    assert list(PLACE.erase(person, EVERYTHING, "")) != [] and PLACE.remaining(person, EVERYTHING).count == 0
    assert not Key.objects.filter(parent_id=ada.key_id).exists()
    assert [path for path in storage.rglob("*") if path.is_file() and str(ada.pk) in str(path)] == []
    assert len([path for path in storage.rglob("*") if path.is_file() and str(ben.pk) in str(path)]) == 1
    assert exported(PLACE, who(ben), Scope())["attachments/000002-1.pdf"] == b"lease" * 1000


def test_erasure_that_was_stopped_goes_on(ada: Subject, storage: Path) -> None:
    give(ada)
    person = who(ada)
    destroy(ada)
    for _stop in range(6):
        for _progress in PLACE.erase(person, EVERYTHING, ""):
            break
    list(PLACE.erase(person, EVERYTHING, ""))
    assert set(rows_of(ada).values()) == {0}


def test_erasure_refuses_someone_for_whom_something_may_still_be_written(ada: Subject, storage: Path) -> None:
    give(ada)
    with pytest.raises(Refused):
        list(PLACE.erase(who(ada), EVERYTHING, ""))
    assert rows_of(ada)["messages"] == 9


def test_a_hold_keeps_its_conversation_readable_until_it_is_over(ada: Subject, storage: Path) -> None:
    give(ada)
    kept = Conversation.objects.filter(subject=ada).order_by("started_at")[1]
    until = timezone.now().date() + timedelta(days=100)
    hold = place_hold(ada, basis="GDPR 17(3)(e)", until=until, actor=by(ada), conversation_id=kept.pk)
    person = who(ada)
    assert [(one.reason, one.count, one.until) for one in PLACE.preflight(person, EVERYTHING)] == [
        ("legal_hold", 1, until)
    ]
    destroy(ada)
    list(PLACE.erase(person, EVERYTHING, ""))
    left = PLACE.remaining(person, EVERYTHING)
    assert (left.count, left.reason, left.until) == (1, "legal_hold", until)
    assert rows_of(ada) == {
        "subjects": 1, "identities": 1, "conversations": 1, "messages": 3, "attachments": 1, "imports": 0,
    }  # fmt: skip
    assert keys.open_key(kept.key_id)
    hold.until = date(2020, 1, 1)
    hold.save()
    list(PLACE.erase(person, EVERYTHING, ""))
    assert set(rows_of(ada).values()) == {0}
    assert PLACE.remaining(person, EVERYTHING).count == 0


def test_a_long_conversation_that_is_erased_while_it_is_read_ends_well(
    ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "MOST_AT_ONCE", 10)
    give(ada, count=1)
    nodes = [node("n0", None, "user", "start")]
    nodes += [node(f"n{n}", f"n{n - 1}", "user", f"text {n}") for n in range(1, 1100)]
    store_conversations(ada, [conversation("long", nodes=nodes)], actor=by(ada))
    long = Conversation.objects.get(subject=ada, node_count=1100)
    files: dict[str, bytes] = defaultdict(bytes)
    for entry in PLACE.export(who(ada), EVERYTHING, ""):
        files[entry.name] += b"".join(entry.chunks)
        if b"text 300" in files["conversations.json"] and Conversation.objects.filter(pk=long.pk).exists():
            delete_conversations(ada, [long.pk], actor=by(ada))
    told = orjson.loads(files["conversations.json"])
    assert sorted(len(one["mapping"]) for one in told) == [3, 500]


def test_a_file_that_was_lost_does_not_keep_the_rest_from_the_person(ada: Subject, storage: Path) -> None:
    give(ada)
    objects.delete(Attachment.objects.get().object_name)
    files = exported(PLACE, who(ada), EVERYTHING)
    assert "attachments/000002-1.pdf" not in files
    assert len(orjson.loads(files["conversations.json"])) == 3


def test_what_was_exported_comes_back_the_same(ada: Subject, ben: Subject, storage: Path, tmp_path: Path) -> None:
    give(ada)
    import_text(ada, "User: May he?\n\nAssistant: It depends.", actor=by(ada))
    nodes = [node("q", None, "user", "q"), node("a", "q", "assistant", "first"), node("b", "q", "assistant", "second")]
    store_conversations(ada, [conversation("tree", nodes=nodes, current="a")], actor=by(ada), source="claude")
    packed = tmp_path / "archive.zip"
    first = exported(PLACE, who(ada), Scope(formats=("json",)))
    with zipfile.ZipFile(packed, "w") as file:
        for name, content in first.items():
            if not name.startswith("."):
                file.writestr(name, content)
    again = import_path(ada, packed, actor=by(ada))
    assert (again.conversations, again.already_held) == (0, 5)
    report = import_path(ben, packed, actor=by(ben))
    assert (report.conversations, report.messages, report.attachments) == (5, 11, 1)
    second = exported(PLACE, who(ben), Scope(formats=("json",)))
    assert by_id(second) == by_id(first)
    assert [data for name, data in second.items() if name.startswith("attachments/")] == [b"lease" * 1000]
    sources = Conversation.objects.order_by("source").values_list("subject__handle", "source")
    assert sorted(s for h, s in sources if h == ben.handle) == sorted(s for h, s in sources if h == ada.handle)


def by_id(files: dict[str, bytes]) -> dict[str, Any]:
    told = {one.get("conversation_id") or one["id"]: one for one in orjson.loads(files["conversations.json"])}
    for one in told.values():
        for about in one.get("habeas_attachments", []):
            del about["path"], about["media_type"]  # the reader looks at the bytes
    return told


def test_an_upload_that_ends_after_the_erasure_leaves_no_object(ada: Subject, storage: Path) -> None:
    person = who(ada)

    def slow() -> Iterator[bytes]:
        yield b"first"
        destroy(ada)
        list(PLACE.erase(person, EVERYTHING, ""))
        yield b"second"

    parsed = conversation("c", "text", attachments=[ParsedAttachment("a.txt", "text/plain", "p", slow, 11)])
    with pytest.raises((SubjectFrozen, Unavailable)):
        store_conversations(ada, [parsed], actor=by(ada))
    assert PLACE.remaining(person, EVERYTHING).count == 0
    assert [path for path in storage.rglob("*") if path.is_file()] == []


def test_what_an_upload_left_behind_is_seen_by_the_second_look_and_taken_by_a_repeat(
    ada: Subject, storage: Path
) -> None:
    give(ada)
    person = who(ada)
    destroy(ada)
    list(PLACE.erase(person, EVERYTHING, ""))
    left = storage / "attachments" / str(ada.pk) / "unknown"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"sealed")
    assert PLACE.remaining(person, EVERYTHING).count == 1
    list(PLACE.erase(person, EVERYTHING, ""))
    assert PLACE.remaining(person, EVERYTHING).count == 0


def test_rows_go_in_batches_with_one_delete_each_and_are_never_read(
    ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "rows_per_transaction", lambda: 20)
    parsed = [conversation(f"c{number}", "a", "b", "c") for number in range(12)]
    store_conversations(ada, [*parsed, conversation("long", *["text"] * 99)], actor=by(ada))
    person = who(ada)
    destroy(ada)
    with CaptureQueriesContext(db) as seen:
        progress = list(PLACE.erase(person, EVERYTHING, ""))
    assert sum(one.counts.get("messages", 0) for one in progress) == 12 * 3 + 99, "as pages count: no root is one"
    deletes = [one["sql"] for one in seen.captured_queries if one["sql"].startswith('DELETE FROM "records_message"')]
    assert 5 + 3 <= len(deletes) <= 5 + 6
    reads = [one["sql"] for one in seen.captured_queries if 'FROM "records_message"' in one["sql"]]
    assert len(reads) == len(deletes)
    assert set(rows_of(ada).values()) == {0}
