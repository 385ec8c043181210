"""Make a sound tree of whatever links a file gives: no orphans, no cycles, unique ids, parents before children."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .types import Node

REPAIRED = "habeas_links"  # in a node's data: the links as the file had them, where they could not stay


def node_data(node_id: str, parent: str | None, message: dict[str, Any] | None) -> dict[str, Any]:
    """A node in the shape of a ChatGPT export; `sound_tree` fills in the children."""
    return {"id": node_id, "message": message, "parent": parent, "children": []}


def sound_tree(drafts: Iterable[Node]) -> list[Node]:
    """The same nodes, linked soundly: an unknown parent becomes None, a cycle is cut, a repeated id gets a number.

    Order is the file's, except that a parent moves before its children. Changes `data` in place; what the file said
    is kept under `REPAIRED`.
    """
    nodes: dict[str, Node] = {}
    for draft in drafts:
        _give_unique_id(draft, nodes)
        nodes[draft.id] = draft
    for node in nodes.values():
        if node.parent not in nodes:
            node.parent = None
    ordered = _parents_first(nodes)
    _write_links(ordered)
    return ordered


def latest_leaf(nodes: list[Node]) -> str | None:
    """The node that a conversation ends with when the file does not say: the last one without children."""
    return next((node.id for node in reversed(nodes) if not node.data["children"]), None)


def _give_unique_id(draft: Node, nodes: dict[str, Node]) -> None:
    name, number = draft.id, 1
    while draft.id in nodes:
        number += 1
        draft.id = f"{name}~{number}"
    if draft.id != name:
        draft.data["id"] = draft.id


def _parents_first(nodes: dict[str, Node]) -> list[Node]:
    done: dict[str, Node] = {}
    for node in nodes.values():
        climb: dict[str, Node] = {}
        current: Node | None = node
        while current is not None and current.id not in done:
            climb[current.id] = current
            if current.parent in climb:  # a cycle
                current.parent = None
            current = nodes[current.parent] if current.parent is not None else None
        done.update(reversed(climb.items()))
    return list(done.values())


def _write_links(nodes: list[Node]) -> None:
    children: dict[str, list[str]] = {node.id: [] for node in nodes}
    for node in nodes:
        if node.parent is not None:
            children[node.parent].append(node.id)
    for node in nodes:
        data, found = node.data, children[node.id]
        given = data.get("children")
        if isinstance(given, list) and len(found) > 1:
            rank = {child: index for index, child in enumerate(given) if isinstance(child, str)}
            found.sort(key=lambda child: rank.get(child, len(rank)))
        links = {}
        if data.get("parent") not in (node.parent, ""):
            links["parent"] = data["parent"]
        if given and given != found:
            links["children"] = given
        if links:
            data[REPAIRED] = links | data.get(REPAIRED, {})
        data["parent"], data["children"] = node.parent, found
