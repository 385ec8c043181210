"""What an AI provider calls a person's conversations: the ids that imported and recorded objects carry.

A provider that cannot be searched can only be asked for ids that somebody noted (DESIGN §4).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apps.records.importers.building import ORIGINAL
from apps.records.models import Conversation, Subject
from apps.records.opening import living_keys, open_head
from apps.sealing.aead import Box

OPENED_TOGETHER = 200
SOURCES = ("openai", "sync")  # "sync": what a schedule brought in, from the provider too
KINDS = {"response": "openai_response", "chat.completion": "openai_completion"}


def provider_ids(subject: Subject) -> list[tuple[str, str]]:
    """Return (kind of identity, id) of everything that came as an object of OpenAI's API, each once."""
    found: dict[tuple[str, str], None] = {}
    rows = Conversation.objects.filter(subject=subject, source__in=SOURCES).order_by("started_at", "pk")
    batch: list[Conversation] = []
    for row in rows.iterator(chunk_size=OPENED_TOGETHER):
        batch.append(row)
        if len(batch) == OPENED_TOGETHER:
            found |= dict.fromkeys(_ids_of(batch))
            batch = []
    return list(found | dict.fromkeys(_ids_of(batch)))


def _ids_of(batch: list[Conversation]) -> Iterator[tuple[str, str]]:
    opened = living_keys(batch)
    for row in batch:
        if row.key_id in opened:
            original = open_head(row, Box(opened[row.key_id])).header.get(ORIGINAL)
            yield from _ids_in(original if isinstance(original, dict) else {})


def _ids_in(original: dict[str, Any]) -> Iterator[tuple[str, str]]:
    kind, object_id = KINDS.get(str(original.get("object"))), original.get("id")
    if kind and isinstance(object_id, str) and object_id:
        yield kind, object_id
    conversation = original.get("conversation")
    conversation_id = conversation.get("id") if isinstance(conversation, dict) else conversation
    if isinstance(conversation_id, str) and conversation_id:
        yield "openai_conversation", conversation_id
