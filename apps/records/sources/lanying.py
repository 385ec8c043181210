"""Lanying IM (蓝莺IM): what its users and the assistants named here have written to each other, as the server shows it.

The provider has no list of what is new: each user's history with each assistant is asked for its newest message, and read
whole when that is newer than the last reading. Only of people who are known here, or are to be added: nobody else's
history is opened. Files are named with their address and not fetched, as in an access request (connectors/lanying.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from apps.locations.connectors.lanying import LanyingConnector, sender_of, when
from apps.records.importers.building import Builder
from apps.records.importers.types import ParsedConversation
from apps.records.services.deleting import BY_SCHEDULE
from apps.records.sources.reading import OVERLAP_TIME, Batch, Cursor

USERS_A_BATCH = 20


class LanyingReader:
    """`mapping`: `assistants`, the ids of assistants and groups whose history counts, and `person_kind`."""

    def __init__(self, kind: str, config: dict[str, Any], mapping: dict[str, Any], *, seen: Any = None) -> None:
        self.place = LanyingConnector(config)
        self.assistants = [one.strip() for one in str(mapping["assistants"]).split(",") if one.strip()]

    def check(self) -> list[str]:
        return [] if next(self.place.users(), None) else [_("This app has no users.")]

    def batches(self, cursor: Cursor) -> Iterator[Batch]:
        """Users in the order of their ids, some at a time. The next reading begins where this one began."""
        begun = cursor.get("begun") or timezone.now().isoformat()
        since, behind = cursor.get("since"), int(cursor.get("behind") or 0)
        after = datetime.fromisoformat(since) - OVERLAP_TIME if since else datetime.min.replace(tzinfo=UTC)
        users = sorted({uid for uid in self.place.users() if uid > behind and str(uid) not in self.assistants})
        for start in range(0, len(users), USERS_A_BATCH):
            some = users[start : start + USERS_A_BATCH]
            people = {str(uid): self._conversations(str(uid), after) for uid in some}
            yield Batch(dict(people), {"since": since, "begun": begun, "behind": some[-1]})
        yield Batch({}, {"since": begun})

    def _conversations(self, uid: str, after: datetime) -> Iterator[ParsedConversation]:
        for conversation in self.assistants:
            messages: dict[str, dict[str, Any]] = {}  # newest first, as the pages come
            for page, _next in self.place.history(uid, conversation):
                if not messages and not any((when(message) or after) >= after for message in page):
                    break
                messages |= {str(message.get("msg_id")): message for message in page}
            if messages:
                yield self._parsed(uid, conversation, list(reversed(messages.items())))

    def _parsed(self, uid: str, conversation: str, messages: list[tuple[str, dict[str, Any]]]) -> ParsedConversation:
        builder = Builder(BY_SCHEDULE)
        for number, message in messages:
            sender = sender_of(message)
            role = "user" if sender == uid else "assistant" if sender in self.assistants else "unknown"
            text = str(message.get("content") or "") or f"[{message.get('ctype')}]"
            name = sender if role == "unknown" else ""
            builder.add(number, builder.chain(), role, [text], created_at=when(message), original=message, name=name)
        return builder.finish(f"lanying:{conversation}")
