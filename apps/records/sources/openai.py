"""Chat completions that OpenAI keeps (`store: true`), or a server that is compatible with it: each is one conversation.

They are listed oldest first, by when they were begun, and the list goes on after the last one that was read. One that took
long to be written comes before others that are there already, so that the next reading looks at the newest ones again.
Whose one is, its metadata say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext as _

from apps.locations.connectors.openai import OpenAIConnector, foreign_errors
from apps.locations.connectors.openai_objects import plain
from apps.locations.errors import Refused
from apps.records.importers.formats import openai_objects
from apps.records.importers.types import ParsedConversation, Skipped
from apps.records.services.deleting import BY_SCHEDULE
from apps.records.sources.reading import OVERLAP_TIME, Batch, Cursor

COMPLETIONS_A_BATCH = 50  # for each its messages are a call of their own
MESSAGES_A_PAGE = 100


class OpenAIReader:
    """`mapping`: `metadata_key`, under which the program writes whose a completion is, and `person_kind`."""

    def __init__(self, kind: str, config: dict[str, Any], mapping: dict[str, Any], *, seen: Any = None) -> None:
        self.key = str(mapping["metadata_key"])
        self.client = OpenAIConnector(config).client

    def check(self) -> list[str]:
        return [] if self._page("") else [_("There are no stored chat completions.")]

    def batches(self, cursor: Cursor) -> Iterator[Batch]:
        """`settled`: the last one before which nothing comes any more; from there the next reading goes on."""
        after = str(cursor.get("after") or "")
        settled = str(cursor.get("settled", after))
        young: deque[tuple[int, str]] = deque()  # behind that one
        page = self._first_page(after)
        while page:
            people: dict[str, Any] = {}
            troubles = []
            for completion in page:
                person = str((completion.metadata or {}).get(self.key) or "").strip()
                if person:
                    people.setdefault(person, []).append(self._parsed(completion))
                else:
                    troubles.append(Skipped(completion.id, _("Its metadata name no person.")))
            after = page[-1].id
            young += [(_begun(completion), completion.id) for completion in page]
            while young[0][0] <= young[-1][0] - OVERLAP_TIME.total_seconds():
                settled = young.popleft()[1]
            yield Batch(people, {"after": after, "settled": settled}, troubles)
            page = self._page(after)
        yield Batch({}, {"after": settled})

    def _first_page(self, after: str) -> list[Any]:
        """Go on after the last one; if that was deleted meanwhile, read all again: what is held is not stored twice."""
        try:
            return self._page(after)
        except Refused:
            if not after:
                raise
            return self._page("")

    def _page(self, after: str) -> list[Any]:
        where = {"after": after} if after else {}
        with foreign_errors():
            return list(self.client.chat.completions.list(limit=COMPLETIONS_A_BATCH, order="asc", **where).data)

    def _parsed(self, completion: Any) -> ParsedConversation:
        with foreign_errors():
            asked = self.client.chat.completions.messages.list(completion.id, limit=MESSAGES_A_PAGE, order="asc")
            messages = [plain(message) for message in asked]
        parsed = openai_objects.parse(plain(completion) | {"messages": messages})
        parsed.source = BY_SCHEDULE
        return parsed


def _begun(completion: Any) -> int:
    """Return when it was begun, in seconds since 1970; a server that is only compatible may not say."""
    return completion.created if isinstance(completion.created, int) else 0
