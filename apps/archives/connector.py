"""The place "archives": earlier downloads of a person. Access lists them, erasure takes them, neither contains them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from apps.archives import objects, services
from apps.archives.models import Archive, Segment
from apps.archives.selectors import archives_of
from apps.locations import own_storage
from apps.locations.contract import Entry, Health, Identity, Item, Obstacle, Progress, Remaining, Scope
from apps.locations.errors import LocationError
from apps.locations.reasons import Reason
from apps.locations.said import said as _

_DONE = "done"


class ArchivesConnector:
    """Of our own: it needs no configuration. The keys die in the erasure's destroy step, not here."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config

    def check(self) -> Health:
        try:
            objects.check()
            return own_storage.health(_("The storage for archives answers."))
        except LocationError as error:
            return Health(is_reachable=False, message=error.said, horizon_days=None)

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]:
        return []

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        for archive in _earlier(who):
            yield Item(name=str(archive.pk), kind="archive", size=archive.size, modified=archive.created_at)

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        """Yield archives.json: when each was made, how large it is, until when it can be had."""
        if cursor == _DONE:
            return
        listed = [_described(archive) for archive in _earlier(who)]
        if listed:
            content = orjson.dumps(listed, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
            yield Entry("archives.json", "application/json", (content,), _DONE, count=len(listed))

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        """Delete objects and rows of every archive of the person, in one go: there are few. A repeat finds none."""
        count = services.erase_archives(who.subject_id)
        yield Progress(erased=count, cursor=_DONE, counts={"archives": count} if count else {})

    def restrict(self, who: Identity, on: bool) -> int:
        """Nothing to mark: only the person opens their downloads."""
        return 0

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        """Look again into the rows and into the storage itself."""
        rows = archives_of(who.subject_id).count()
        known = Segment.objects.filter(archive__subject_id=who.subject_id).values_list("object_name", flat=True)
        count = rows + len(set(objects.names_left(who.subject_id)) - set(known))
        return Remaining(count=count, reason=Reason.STILL_THERE.value if count else "")


def _earlier(who: Identity) -> Iterator[Archive]:
    """Yield the person's published archives, but not the one that is being made for this very request."""
    published = archives_of(who.subject_id).filter(ready_at__isnull=False)
    yield from published.exclude(request_id=who.request_id) if who.request_id else published


def _described(archive: Archive) -> dict[str, Any]:
    return {
        "made": archive.ready_at,
        "size": archive.size,
        "can be downloaded until": archive.expires_at,
        "downloaded completely": archive.served_at,
        "state": archive.state,
    }
