"""Put together the parts of one conversation that an export cut into pieces."""

from __future__ import annotations

from .trees import REPAIRED, latest_leaf, sound_tree
from .types import Node, ParsedConversation


def merge(parts: list[ParsedConversation]) -> ParsedConversation:
    """One conversation with every node of every part; of two different nodes with one id both are kept.

    Title and header are those of the part that was changed last.
    """
    newest = max(parts, key=lambda part: part.updated_at.timestamp() if part.updated_at else 0.0)
    nodes: list[Node] = []
    known: dict[str, Node] = {}
    for part in parts:
        for node in part.nodes:
            _restore_links(node)
            first = known.get(node.id)
            if first is None or not _join(first, node):
                nodes.append(node)
                known.setdefault(node.id, node)
    nodes = sound_tree(nodes)
    header = dict(newest.header)
    header |= header.pop(REPAIRED, {})  # the node that it ends with may be in another part
    current = header.get("current_node")
    if not isinstance(current, str) or current not in known:
        header["current_node"] = latest_leaf(nodes)
    return ParsedConversation(
        external_id=newest.external_id,
        title=newest.title or next((part.title for part in parts if part.title), ""),
        started_at=min((part.started_at for part in parts if part.started_at), default=None),
        updated_at=newest.updated_at,
        header=header,
        nodes=nodes,
        source=newest.source,
    )


def _restore_links(node: Node) -> None:
    """A parent that was missing from one part may be in another."""
    links = node.data.pop(REPAIRED, {})
    node.data.update(links)
    parent = node.data.get("parent")
    node.parent = parent if isinstance(parent, str) else node.parent


def _join(first: Node, second: Node) -> bool:
    """Whether both are the same message; `first` then has what either knows of its place."""
    if first.data.get("message") is None:
        first.data["message"], first.role, first.created_at = second.data.get("message"), second.role, second.created_at
    elif second.data.get("message") not in (None, first.data["message"]):
        return False
    first.parent = first.parent or second.parent
    first.data["parent"] = first.parent
    given = [child for data in (first.data, second.data) for child in data.get("children") or []]
    first.data["children"] = list(dict.fromkeys(child for child in given if isinstance(child, str)))
    return True
