"""A prefix of an Azure container as a store. Deleting takes every snapshot and version; what an immutability policy or a
hold keeps is Blocked. What soft delete still has counts for the place's horizon, not here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from apps.locations import holding, objects
from apps.locations.connectors.azure import (
    DELETE_LIMIT,
    PASSES,
    READ_SIZE,
    AzureConnector,
    foreign_errors,
    held,
    is_folder,
    is_uncommitted,
)
from apps.locations.contract import Obstacle
from apps.locations.said import said as _
from apps.locations.stores import Found, Missing
from apps.locations.stores.parts import head_of


class AzureStore:
    def __init__(
        self, config: dict[str, Any], target: str, *, is_text: bool = False, connector: AzureConnector | None = None
    ) -> None:
        self._connector = connector or AzureConnector(config)
        self.prefix = f"{target.strip('/')}/" if target.strip("/") else ""

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        """A large value goes in blocks; those of one that broke off are listed, so they are taken back."""
        key = self.prefix + name
        blob = self._connector.container.get_blob_client(key)
        head, rest = head_of(chunks, READ_SIZE)
        if len(head) < READ_SIZE:
            with foreign_errors():
                blob.upload_blob(head, overwrite=True)
            return
        is_whole = False
        try:
            with foreign_errors():
                blob.upload_blob(chain([head], rest), overwrite=True)
            is_whole = True
        finally:
            if not is_whole:
                self._connector.delete_uncommitted(key)

    def get(self, name: str) -> Iterator[bytes]:
        stored = self._connector.look(self.prefix + name)
        opened = self._connector.read(stored, 0, stored.size) if stored else None
        if opened is None:
            raise Missing(_("A blob is not in the container."))
        yield from opened.chunks

    def delete(self, names: Sequence[str]) -> None:
        """Delete each with its snapshots and versions; raises Blocked when some are held, once the others are gone."""
        self._delete(lambda: self._blobs(names))

    def delete_below(self, prefix: str) -> None:
        """Delete whatever begins so, unfinished uploads too; raises Blocked when some are held, once the others are gone."""
        self._delete(lambda: self._connector.below(self.prefix + prefix))

    def _delete(self, found: Callable[[], Iterator[Any]]) -> None:
        """In passes: a version that is deleted can become another one."""
        for _pass in range(PASSES):
            erased = is_more = 0
            for batch in objects.in_batches(found(), DELETE_LIMIT):
                erased += self._connector.delete(batch)
                is_more += any(blob.version_id for blob in batch)
            if not erased or not is_more:
                break
        self._explain(found())

    def _blobs(self, names: Iterable[str]) -> Iterator[Any]:
        for key in (self.prefix + name for name in names):
            yield from (blob for blob in self._connector.below(key) if blob.name == key)

    def _explain(self, found: Iterator[Any]) -> None:
        """Say what holds back something that is still there."""
        left = ((blob.name.removeprefix(self.prefix), held(blob)) for blob in found)
        holding.explain(left, _("The container does not delete what it was asked to."))

    def obstacles(self, prefix: str) -> list[Obstacle]:
        return holding.obstacles(map(held, self._connector.below(self.prefix + prefix)))

    def find(self, prefix: str = "", after: str = "") -> Iterator[Found]:
        """Yield each name once; its current blob tells of it, if there is one. They come by name."""
        last: Found | None = None
        for blob in self._connector.below(self.prefix + prefix):
            if is_folder(blob) or blob.name.removeprefix(self.prefix) <= after:
                continue
            is_blocks = is_uncommitted(blob)
            is_current = not is_blocks and not blob.snapshot and (not blob.version_id or bool(blob.is_current_version))
            modified = None if is_blocks else blob.last_modified
            found = Found(blob.name.removeprefix(self.prefix), blob.size or 0, str(blob.etag), is_current, modified)
            if last is not None and last.name != found.name:
                yield last
            last = found if is_current or last is None or last.name != found.name else last
        if last is not None:
            yield last
