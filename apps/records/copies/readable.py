"""A conversation in a form that anybody can read: JSON in the shape of a ChatGPT export, text, or a table.

Files are named and not contained. Nothing of it is protected: that is what the policy's page warns of.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from apps.archives.csv import header_row, message_rows
from apps.archives.entries import conversation_json
from apps.archives.rendering import MESSAGES_PER_PAGE
from apps.archives.text import render_text
from apps.keys.errors import KeyDestroyed
from apps.records.loading import load_group
from apps.records.models import Conversation, CopyPolicy


def readable_copy(row: Conversation, form: str) -> Iterator[bytes]:
    """Yield a conversation as `form`; raises KeyDestroyed when it is erased meanwhile."""
    [(_row, loaded)] = load_group([row])
    if loaded is None:
        raise KeyDestroyed(row.key_id, row.updated_at)
    loaded.files = []
    info = loaded.info(1)
    pages = max(1, -(-len(loaded.order) // MESSAGES_PER_PAGE))
    for page in range(1, pages + 1):
        is_json = form == CopyPolicy.Form.JSON
        part = loaded.slice(info, page, is_last=page == pages, is_shown=not is_json)
        if is_json:
            yield from conversation_json(part, is_first_of_all=True)
        elif form == CopyPolicy.Form.TXT:
            yield from render_text(info, part.turns, first=part.is_first, language=settings.LANGUAGE_CODE)
        else:
            if part.is_first:
                yield header_row(settings.LANGUAGE_CODE)
            yield from message_rows(info, part.turns)
    if form == CopyPolicy.Form.JSON:
        yield b"\n]\n"
