"""The tree of a conversation, from positions alone: nothing has to be opened to know its branches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from apps.records.models import Message


@dataclass(frozen=True)
class Branch:
    """One path from the root to a leaf: `leaf` selects it, `length` counts its messages, `splits_after` those it shares
    with the path that is being read."""

    leaf: int
    length: int
    splits_after: int


class Tree:
    """`nodes`: position, parent, is it a message. One that came in later than what follows it has a later position."""

    def __init__(self, nodes: Iterable[tuple[int, int | None, bool]], *, current: int | None) -> None:
        ordered = sorted(nodes)
        self.parents = _sound({position: parent for position, parent, _is_message in ordered})
        self.messages = {position for position, _parent, is_message in ordered if is_message}
        self.children: dict[int | None, list[int]] = {}
        for position, parent in self.parents.items():
            self.children.setdefault(parent, []).append(position)
        self.main = self._line_to(current if current in self.parents else max(self.parents, default=None))
        self._on_main = set(self.main)

    @classmethod
    def of(cls, conversation_id: UUID, *, current: int | None) -> Tree:
        rows = Message.objects.filter(conversation_id=conversation_id).order_by("position")
        return cls(rows.values_list("position", "parent", "is_message"), current=current)

    def path(self, through: int | None = None) -> list[int]:
        """Return the positions from the root to a leaf: the current path, or the one that leads through a position."""
        start = self._line_to(through) if through in self.parents else self.main
        return [*start, *self._descend(start[-1] if start else None)]

    def versions(self, position: int) -> list[int]:
        """Return the messages that answer the same one as this does, itself included, oldest first."""
        return self.children[self.parents[position]]

    def reading_order(self) -> list[int]:
        """Return every position: the current path first, then each further branch from where it splits off."""
        order = self.path()
        seen = set(order)
        for position in self.parents:
            if position not in seen:
                branch = list(self._below(position, seen))
                seen.update(branch)
                order += branch
        return order

    def branches(self, path: list[int], *, limit: int) -> list[Branch]:
        """Return the branches that end in other leaves than this path, oldest first, at most `limit`."""
        on_path = set(path)
        found = []
        for leaf in self.parents:
            if leaf in self.children or leaf in on_path:
                continue
            line = self._line_to(leaf)
            shared = sum(1 for one in line if one in on_path and one in self.messages)
            found.append(Branch(leaf, sum(1 for one in line if one in self.messages), shared))
            if len(found) == limit:
                break
        return found

    def _line_to(self, position: int | None) -> list[int]:
        line = []
        while position is not None:
            line.append(position)
            position = self.parents[position]
        return line[::-1]

    def _descend(self, position: int | None) -> Iterator[int]:
        """Go on from a node to a leaf: along the current path where that is possible, else by the newest answer."""
        while position is not None and (below := self.children.get(position)):
            position = next((child for child in below if child in self._on_main), below[-1])
            yield position

    def _below(self, position: int, seen: set[int]) -> Iterator[int]:
        """Yield a node and what is below it, a branch at a time; without recursion: a tree may be as deep as it is long."""
        waiting = [position]
        while waiting:
            one = waiting.pop()
            yield one
            waiting += [child for child in reversed(self.children.get(one, ())) if child not in seen]


def _sound(parents: dict[int, int | None]) -> dict[int, int | None]:
    """Return the parents, None for one that is not there; what two versions made a circle of is cut at its first node."""
    found = {position: parent if parent in parents else None for position, parent in parents.items()}
    if all(parent is None or parent < position for position, parent in found.items()):
        return found  # as it is of nearly all
    ended: set[int] = set()
    for start in found:
        way: dict[int, None] = {}
        at: int | None = start
        while at is not None and at not in ended and at not in way:
            way[at] = None
            at = found[at]
        if at in way:
            circle = list(way)[list(way).index(at) :]
            found[min(circle)] = None
        ended.update(way)
    return found
