"""ChatGPT's data export: a tree of nodes under `mapping`. Also the shape in which Habeas exports.

Observed shapes, 2023 to 2026; nothing is documented by OpenAI. Every key is kept as it came.
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from ..building import ORIGINAL, SOURCE_KEY
from ..errors import BadConversation
from ..trees import REPAIRED, latest_leaf, sound_tree
from ..types import Node, ParsedConversation
from ..values import as_dict, as_id, as_role, as_time, as_title, content_id

NAME = "chatgpt"


def matches(value: Any) -> bool:
    """A conversation has `mapping`; one that lost it still has keys that no other format has."""
    if not isinstance(value, dict):
        return False
    return "mapping" in value or ("current_node" in value and ("conversation_id" in value or "create_time" in value))


def identify(value: dict[str, Any]) -> str:
    """The conversation's own id; files of 2023 have `id` only."""
    return as_id(value.get("conversation_id")) or as_id(value.get("id")) or content_id(value)


def parse(value: dict[str, Any]) -> ParsedConversation:
    """Read the whole tree, all branches; raises BadConversation if there is none."""
    mapping = value.get("mapping")
    if not isinstance(mapping, dict):
        raise BadConversation(_("It has no messages: “mapping” is missing."))
    nodes = sound_tree(_draft(node_id, node) for node_id, node in mapping.items())
    external_id = identify(value)
    header = {key: item for key, item in value.items() if key != "mapping"}
    if header.get(SOURCE_KEY) == NAME:  # said by Habeas' own archive; so that reading it again changes nothing
        del header[SOURCE_KEY]
    if not (as_id(header.get("conversation_id")) or as_id(header.get("id"))):
        header["conversation_id"] = external_id
    current = header.get("current_node")
    if not isinstance(current, str) or current not in mapping:
        header["current_node"] = latest_leaf(nodes)
        if current is not None:
            header[REPAIRED] = {"current_node": current}
    started_at = as_time(value.get("create_time")) or _first_time(nodes)
    return ParsedConversation(
        external_id=external_id,
        title=as_title(value.get("title")),
        started_at=started_at,
        updated_at=as_time(value.get("update_time")) or _last_time(nodes) or started_at,
        header=header,
        nodes=nodes,
        source=as_id(value.get(SOURCE_KEY))[:24] or NAME,
    )


def _draft(node_id: str, value: Any) -> Node:
    node = value if isinstance(value, dict) else {ORIGINAL: value}
    message = node.get("message")
    if message is not None and not isinstance(message, dict):
        node = {**node, "message": None, ORIGINAL: value}
        message = None
    if node.get("id") != node_id:
        node = {"habeas_id": node["id"], **node, "id": node_id} if "id" in node else {"id": node_id, **node}
    node.setdefault("message", None)
    parent = node.setdefault("parent", None)
    author = as_dict(message).get("author")
    role = as_role(as_dict(author).get("role")) if message is not None else ""
    created_at = as_time(message.get("create_time")) if message is not None else None
    return Node(node_id, parent if isinstance(parent, str) else None, role, created_at, node)


def _first_time(nodes: list[Node]) -> Any:
    return min((node.created_at for node in nodes if node.created_at), default=None)


def _last_time(nodes: list[Node]) -> Any:
    return max((node.created_at for node in nodes if node.created_at), default=None)
