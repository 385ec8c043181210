"""A prefix of a bucket of Google Cloud Storage as a store. Deleting takes every generation; what a hold or a retention
policy keeps is Blocked. What soft delete still has counts for the place's horizon, not here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from apps.locations import holding, objects
from apps.locations.connectors.gcs import (
    CONNECT_TIMEOUT,
    DELETE_LIMIT,
    READ_TIMEOUT,
    GcsConnector,
    foreign_errors,
    held,
)
from apps.locations.contract import Obstacle
from apps.locations.said import said as _
from apps.locations.stores import Found, Missing
from apps.locations.stores.parts import Reader, head_of

UPLOAD_SIZE = 4 * 1024 * 1024  # larger values go in pieces, of which nothing is seen before the last one


class GcsStore:
    def __init__(
        self, config: dict[str, Any], target: str, *, is_text: bool = False, connector: GcsConnector | None = None
    ) -> None:
        self._connector = connector or GcsConnector(config)
        self.prefix = f"{target.strip('/')}/" if target.strip("/") else ""

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        blob = self._connector.client.bucket(self._connector.bucket).blob(self.prefix + name, chunk_size=UPLOAD_SIZE)
        timeout = (CONNECT_TIMEOUT, READ_TIMEOUT)
        head, rest = head_of(chunks, UPLOAD_SIZE)
        with foreign_errors():
            if len(head) < UPLOAD_SIZE:
                blob.upload_from_string(head, content_type=objects.ANY_TYPE, timeout=timeout)
            else:
                blob.upload_from_file(Reader(chain([head], rest)), content_type=objects.ANY_TYPE, timeout=timeout)

    def get(self, name: str) -> Iterator[bytes]:
        stored = self._connector.look(self.prefix + name)
        opened = self._connector.read(stored, 0, stored.size) if stored else None
        if opened is None:
            raise Missing(_("An object is not in the bucket."))
        yield from opened.chunks

    def delete(self, names: Sequence[str]) -> None:
        """Delete every generation of each; raises Blocked when some are held, once the others are gone."""
        self._delete(lambda: self._generations(names))

    def delete_below(self, prefix: str) -> None:
        """Delete every generation of whatever begins so; raises Blocked when some are held, once the others are gone."""
        self._delete(lambda: self._connector.below(self.prefix + prefix))

    def _delete(self, found: Callable[[], Iterator[Any]]) -> None:
        is_whole = True
        for batch in objects.in_batches(found(), DELETE_LIMIT):
            is_whole = self._connector.delete(batch) == len(batch) and is_whole
        if not is_whole:
            self._explain(found())

    def _generations(self, names: Iterable[str]) -> Iterator[Any]:
        for key in (self.prefix + name for name in names):
            yield from (blob for blob in self._connector.below(key) if blob.name == key)

    def _explain(self, found: Iterator[Any]) -> None:
        """Say what holds back something that is still there; nothing is wrong when somebody else was faster."""
        left = ((blob.name.removeprefix(self.prefix), held(blob)) for blob in found)
        holding.explain(left, _("The bucket does not delete what it was asked to."))

    def obstacles(self, prefix: str) -> list[Obstacle]:
        return holding.obstacles(map(held, self._connector.below(self.prefix + prefix)))

    def find(self, prefix: str = "", after: str = "") -> Iterator[Found]:
        """Yield each name once, by its newest generation: they come by name, the oldest first."""
        last: Found | None = None
        for blob in self._connector.below(self.prefix + prefix, start=self.prefix + after if after else ""):
            name = blob.name.removeprefix(self.prefix)
            if name <= after:
                continue
            if last is not None and last.name != name:
                yield last
            last = Found(
                name, blob.size or 0, str(blob.generation), blob.time_deleted is None, blob.time_deleted or blob.updated
            )
        if last is not None:
            yield last
