"""Storing conversations, and reading them back."""

from __future__ import annotations

import pytest

from apps.records import selectors
from apps.records.models import Subject
from apps.records.services import store_conversations
from tests.records.conftest import by, conversation

pytestmark = pytest.mark.django_db(databases=["default", "keys"])


def texts_of(subject: Subject, conversation_id: object) -> list[str]:
    reading = selectors.read_conversation(subject, conversation_id)
    return [part.text for turn in reading.turns for part in turn.parts]


def test_what_was_stored_is_read_back_by_its_person_alone(ada: Subject, ben: Subject) -> None:
    report = store_conversations(ada, [conversation("c1", "May he?", "It depends.", title="Deposit")], actor=by(ada))
    assert report.as_dict() == {
        "format": "", "conversations": 1, "messages": 2, "attachments": 0, "already_held": 0, "skipped": [],
    }  # fmt: skip
    [line] = selectors.conversations_page(ada).items
    assert (line.title, line.message_count, line.file_count) == ("Deposit", 2, 0)
    assert texts_of(ada, line.id) == ["May he?", "It depends."]
    assert selectors.conversations_page(ben).items == []
