"""A conversation on its way in: packed small as soon as it is read, then compared with what is held of it.

Pure work on values: what is written, and when, is storing.py's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from apps.records import contexts
from apps.records.importers.assets import ATTACHMENTS_KEY
from apps.records.importers.building import SOURCE_KEY
from apps.records.importers.display import CORRECTED_AT, REMOVED_AT
from apps.records.importers.types import Node, ParsedAttachment, ParsedConversation
from apps.records.importers.values import as_dict
from apps.records.rows import Row
from apps.sealing import content
from apps.sealing.aead import Box

ID, PARENT, ROLE, CREATED, DATA = range(5)  # of a packed message: a list, so that names are not repeated in each
_CHANGED_HERE = {REMOVED_AT, CORRECTED_AT}
ADDED_BY_EXPORT = {SOURCE_KEY, ATTACHMENTS_KEY}  # by ours, and known from the rows


@dataclass(slots=True)
class Draft:
    """One conversation as it came, its nodes packed. `packed[i]`, `ids[i]`, `parents[i]`, `are_messages[i]` are one node."""

    index: bytes
    external_id: str
    title: str
    header: dict[str, Any]
    source: str
    started_at: datetime
    updated_at: datetime
    ids: list[str]
    parents: list[str | None]
    packed: list[bytes]
    are_messages: list[bool]
    attachments: list[ParsedAttachment]
    size: int = 0
    is_stored: bool = False  # something of it was written now

    def packed_header(self, places: dict[str, int], held: dict[str, Any] | None = None) -> bytes:
        """Pack what is sealed on the conversation's row; `current` is the position of the node it ends with.

        Of a header that repeated what the person had removed (`is_trimmed`) only the place where it ends is taken anew.
        """
        current = self.header.get("current_node")
        place = places.get(current) if isinstance(current, str) else None
        if held is not None and held.get("is_trimmed"):
            return content.pack({**held, "current": place})
        return content.pack({"id": self.external_id, "title": self.title, "header": self.header, "current": place})


@dataclass(slots=True)
class Held:
    """A conversation that is here already: its row, its key, its nodes in order of position as (parent, sealed)."""

    conversation_id: UUID
    key_id: UUID
    key: bytes
    message_count: int
    node_count: int
    updated_at: datetime
    sealed: bytes
    messages: Sequence[tuple[int | None, bytes]] = ()


@dataclass(slots=True)
class Write:
    """A node to be written: at a new position, or over what stands there."""

    position: int
    parent: int | None
    is_message: bool
    packed: bytes
    is_new: bool = True


@dataclass(slots=True)
class Plan:
    """What is to be written of one draft, under which key."""

    draft: Draft
    conversation_id: UUID
    key_id: UUID
    key: bytes
    is_new: bool
    messages: int  # that are held; grows as the plan is carried out
    nodes: int
    header: bytes | None  # packed; None: stays as it is
    updated_at: datetime
    writes: list[Write]
    box: Box = field(init=False)
    prefix: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.box = Box(self.key)
        self.prefix = contexts.messages(self.key_id, self.conversation_id)

    @property
    def is_empty(self) -> bool:
        return not self.is_new and not self.writes and self.header is None

    def seal_header(self) -> bytes:
        assert self.header is not None  # noqa: S101 - the caller asked before
        return self.box.seal(self.header, context=contexts.conversation(self.key_id, self.conversation_id))

    def seal_rows(self, writes: Sequence[Write]) -> Iterator[Row]:
        seal, prefix, conversation_id = self.box.seal, self.prefix, self.conversation_id
        for write in writes:
            context = contexts.message(prefix, write.position)
            sealed = seal(write.packed, context=context)
            yield conversation_id, write.position, write.parent, write.is_message, sealed


def make_draft(parsed: ParsedConversation, *, index: bytes, source: str, now: datetime) -> Draft:
    """Pack a conversation; raises sealing's UnpackableValue if a value cannot be kept."""
    times = [_aware(moment) for moment in (parsed.started_at, parsed.updated_at) if moment is not None]
    times += [_aware(node.created_at) for node in parsed.nodes if node.created_at is not None]
    packed = [pack_node(node) for node in parsed.nodes]
    return Draft(
        index=index,
        external_id=parsed.external_id,
        title=parsed.title or "",
        header={name: value for name, value in parsed.header.items() if name not in ADDED_BY_EXPORT},
        source=parsed.source or source,
        started_at=_aware(parsed.started_at) if parsed.started_at else min(times, default=now),
        updated_at=_aware(parsed.updated_at) if parsed.updated_at else max(times, default=now),
        ids=[node.id for node in parsed.nodes],
        parents=[node.parent for node in parsed.nodes],
        packed=packed,
        are_messages=[node.role != "" for node in parsed.nodes],
        attachments=list(parsed.attachments),
        size=sum(map(len, packed)),
    )


def plan_new(draft: Draft, *, conversation_id: UUID, key_id: UUID, key: bytes) -> Plan:
    """Plan a conversation of which nothing is held."""
    places = {name: position for position, name in enumerate(draft.ids)}
    writes = [
        Write(position, places.get(parent) if parent is not None else None, is_message, packed)
        for position, (parent, is_message, packed) in enumerate(
            zip(draft.parents, draft.are_messages, draft.packed, strict=True)
        )
    ]
    header = draft.packed_header(places)
    return Plan(draft, conversation_id, key_id, key, True, 0, 0, header, draft.updated_at, writes)


def plan_update(draft: Draft, held: Held) -> Plan:
    """Plan what a conversation that came again adds: new messages, and newer versions of those that are held.

    Nothing that is held is lost by it: an older export changes nothing, and links to children are joined.
    """
    plan = Plan(
        draft,
        held.conversation_id,
        held.key_id,
        held.key,
        is_new=False,
        messages=held.message_count,
        nodes=held.node_count,
        header=None,
        updated_at=held.updated_at,
        writes=[],
    )
    opened = [
        plan.box.unseal(sealed, context=contexts.message(plan.prefix, position))
        for position, (_parent, sealed) in enumerate(held.messages)
    ]
    is_newer = draft.updated_at >= held.updated_at
    if opened[: len(draft.packed)] == draft.packed:  # the usual repeat; packing gives the same bytes for the same value
        places = {name: position for position, name in enumerate(draft.ids)}
    else:
        places = _merge(plan, opened, [parent for parent, _sealed in held.messages], is_newer)
    plan.updated_at = max(draft.updated_at, held.updated_at)
    if is_newer:
        context = contexts.conversation(held.key_id, held.conversation_id)
        before = plan.box.unseal(held.sealed, context=context)
        header = draft.packed_header(places, content.unpack(before))
        if header != before and content.unpack(header) != content.unpack(before):
            plan.header = header
    return plan


def _merge(plan: Plan, opened: list[bytes], parents: list[int | None], is_newer: bool) -> dict[str, int]:
    """Fill in the writes of `plan` and return the position of every message, held and new, by its id."""
    draft = plan.draft
    values = [content.unpack(packed) for packed in opened]
    places: dict[str, int] = {value[ID]: position for position, value in enumerate(values)}
    for name in draft.ids:
        places.setdefault(name, len(places))
    for name, parent, is_message, packed in zip(
        draft.ids, draft.parents, draft.are_messages, draft.packed, strict=True
    ):
        position = places[name]
        above = places.get(parent) if parent is not None else None
        if position >= len(opened):
            plan.writes.append(Write(position, above, is_message, packed))
        elif packed != opened[position]:
            value = _joined(values[position], content.unpack(packed), is_newer)
            above = parents[position] if above is None else above
            if value != values[position] or above != parents[position]:
                plan.writes.append(Write(position, above, value[ROLE] != "", content.pack(value), is_new=False))
    plan.writes.sort(key=lambda write: write.position)
    return places


def _joined(held: list[Any], came: list[Any], is_newer: bool) -> list[Any]:
    """Return the newer of two versions of a message, with the children of both and a parent if either has one.

    What was removed or corrected here stays as it is: the file still has what the person did not want kept.
    """
    base, other = (came, held) if is_newer and not is_changed_here(held[DATA]) else (held, came)
    result = list(base)
    data = dict(base[DATA])
    children = list(data.get("children") or [])
    data["children"] = children + [child for child in other[DATA].get("children") or [] if child not in children]
    if base[PARENT] is None and other[PARENT] is not None:
        result[PARENT] = data["parent"] = other[PARENT]
    result[DATA] = data
    return result


def is_changed_here(data: dict[str, Any]) -> bool:
    """Say whether a message was removed or corrected by the person."""
    return not _CHANGED_HERE.isdisjoint(as_dict(as_dict(data.get("message")).get("metadata")))


def pack_node(node: Node) -> bytes:
    created = _aware(node.created_at).isoformat() if node.created_at else None
    return content.pack([node.id, node.parent, node.role, created, node.data])


def unpack_node(packed: bytes) -> Node:
    """Return what `pack_node` was given."""
    name, parent, role, created, data = content.unpack(packed)
    return Node(name, parent, role, datetime.fromisoformat(created) if created else None, data)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
