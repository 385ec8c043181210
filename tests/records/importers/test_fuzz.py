"""Whatever a file holds, it is read, skipped with a reason, or refused in words: no other exception, no unsound tree."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.records.importers import ParsedConversation, Skipped, UnreadableFile, read, read_text
from apps.records.importers.display import text_of
from apps.records.importers.limits import MAX_DEPTH
from tests.records.importers.vectors import FOLDER, bytes_of, zip_of

_EXAMPLES = settings(
    deadline=None, max_examples=150, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)

NAMES = """
mapping id conversation_id title name create_time update_time current_node message author role content parts text
content_type parent children metadata attachments recipient uuid chat_messages sender parent_message_uuid files
file_name extracted_content chat history messages currentId parentId models timestamp conversationId messageId
parentMessageId isCreatedByUser object choices output input instructions tool_calls function type thinking
conversations from value language thoughts summary asset_pointer image_url url data items prompt completion
audio_asset_pointer frames_asset_pointers screenshot state content_references citations aggregate_result
habeas_attachments habeas_source habeas_original habeas_links output_text source refusal audio
"""
WORDS = """
a b n1 n2 user assistant human gpt system text multimodal_text code thoughts image_asset_pointer chat.completion
text_completion response message reasoning tool_use tool_result image_url file-service://file-ABCDEF
data:image/png;base64,iVBORw0KGgo= data:,%00 canmore.create_textdoc 2024-01-01T00:00:00Z 9999-99-99
"""
_KEYS, _WORDS = st.sampled_from(NAMES.split()), st.sampled_from(WORDS.split())
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    _WORDS,
    st.text(max_size=20),
    st.just(10**400),
    st.just("\ud800"),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.one_of(_KEYS, _WORDS), inner, max_size=6)),
    max_leaves=40,
)
_MESSAGES = st.lists(
    st.dictionaries(_KEYS, _VALUES, max_size=5)
    | st.fixed_dictionaries({"role": _VALUES, "content": _VALUES})
    | st.fixed_dictionaries({"from": _VALUES, "value": _VALUES})
    | st.fixed_dictionaries({"uuid": _WORDS, "parent_message_uuid": _WORDS, "content": _VALUES, "files": _VALUES})
    | st.fixed_dictionaries({"messageId": _WORDS, "parentMessageId": _WORDS, "children": _VALUES, "content": _VALUES}),
    max_size=5,
)
_NODES = st.dictionaries(
    _WORDS,
    st.fixed_dictionaries(
        {},
        optional={
            "id": _VALUES,
            "parent": st.one_of(_WORDS, _VALUES),
            "children": st.one_of(st.lists(_WORDS), _VALUES),
            "message": st.one_of(
                st.fixed_dictionaries({}, optional={"author": _VALUES, "content": _VALUES, "metadata": _VALUES}),
                _VALUES,
            ),
            "parentId": st.one_of(_WORDS, _VALUES),
            "content": _VALUES,
        },
    ),
    max_size=6,
)
_CONVERSATIONS = st.one_of(
    st.fixed_dictionaries({"mapping": _NODES, "title": _VALUES, "current_node": _VALUES}),
    st.fixed_dictionaries({"chat_messages": _MESSAGES, "name": _VALUES, "created_at": _VALUES}),
    st.fixed_dictionaries({"chat": st.fixed_dictionaries({"history": st.fixed_dictionaries({"messages": _NODES})})}),
    st.fixed_dictionaries({"conversationId": _VALUES, "messages": _MESSAGES}),
    st.fixed_dictionaries(
        {"object": _WORDS, "choices": _VALUES, "output": _VALUES, "input": _VALUES, "messages": _VALUES}
    ),
    st.fixed_dictionaries({"messages": _MESSAGES}),
    st.fixed_dictionaries({"conversations": _MESSAGES}),
    _MESSAGES,
    _VALUES,
)
_FILES = [bytes_of(json.loads(path.read_text())["file"]) for path in sorted(FOLDER.glob("*.json"))]


def check(data: bytes) -> int:
    """Read these bytes and see that what comes out is sound; returns how many conversations came."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            outcomes = list(read(Path(file.name)))
        except UnreadableFile as error:
            assert error.why
            return 0
        found = [outcome for outcome in outcomes if isinstance(outcome, ParsedConversation)]
        assert all(skip.what and skip.why for skip in outcomes if isinstance(skip, Skipped))
        for conversation in found:
            check_conversation(conversation)
        return len(found)


def check_conversation(conversation: ParsedConversation) -> None:
    assert conversation.external_id
    seen: dict[str, Any] = {}
    for node in conversation.nodes:
        assert node.id not in seen
        assert node.parent is None or node.parent in seen
        assert node.data["id"] == node.id
        assert node.data["parent"] == node.parent
        seen[node.id] = node
        for part in text_of(node):
            part.text.encode()
    for node in conversation.nodes:
        assert node.data["children"] == [child for child in node.data["children"] if seen[child].parent == node.id]
    assert orjson.dumps([conversation.title, conversation.header, *[node.data for node in conversation.nodes]])
    for attachment in conversation.attachments:
        try:
            assert sum(map(len, attachment.open())) == attachment.size
        except UnreadableFile:
            continue  # damaged, and said so


@pytest.mark.slow
@_EXAMPLES
@given(st.binary(max_size=2_000))
def test_any_bytes(data: bytes) -> None:
    check(data)


@pytest.mark.slow
@_EXAMPLES
@given(st.lists(_CONVERSATIONS, max_size=3), st.sampled_from(["list", "lines", "zip", "one"]))
def test_any_values_under_the_names_that_formats_use(values: list[Any], shape: str) -> None:
    if shape == "lines":
        check("\n".join(map(json.dumps, values)).encode())
    elif shape == "zip":
        check(zip_of([("conversations.json", json.dumps([value]).encode()) for value in values]))
    else:
        check(json.dumps(values[0] if shape == "one" and values else values).encode())


@pytest.mark.slow
@_EXAMPLES
@given(
    st.sampled_from(_FILES), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=8)), max_size=4)
)
def test_good_files_with_pieces_cut_out_and_put_in(data: bytes, cuts: list[tuple[float, int, bytes]]) -> None:
    for place, length, new in cuts:
        at = int(place * len(data))
        data = data[:at] + new + data[at + length :]
    check(data)


@_EXAMPLES
@given(st.text(max_size=300))
def test_any_pasted_text(text: str) -> None:
    try:
        outcomes = list(read_text(text))
    except UnreadableFile:
        return
    for outcome in outcomes:
        if isinstance(outcome, ParsedConversation):
            check_conversation(outcome)


@pytest.mark.parametrize("data", _FILES[:20])
def test_the_unchanged_files_pass_the_same_check(data: bytes) -> None:
    check(data)


@pytest.mark.parametrize("depth", [*range(MAX_DEPTH - 30, MAX_DEPTH + 5), 200, 240, 260, 500, 900])
def test_what_is_as_deep_as_allowed_can_be_stored_and_shown(depth: int) -> None:
    """What goes around a value when it is kept must fit as well."""
    nested: Any = "deep"
    for _level in range(depth):
        nested = [nested]
    shapes = [
        {"mapping": {"a": nested}},
        {"mapping": {"a": {"message": {"content": {"content_type": "new", "value": nested}}}}},
        {"chat_messages": [{"content": [{"type": "new", "value": nested}]}]},
        {"messages": [{"role": "user", "content": nested}]},
    ]
    assert sum(check(json.dumps([shape]).encode()) for shape in shapes) in (0, 1, 2, 3, 4)
