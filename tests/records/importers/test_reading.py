"""Reading whole files: what is generated comes back, in bounded memory, the same each time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from apps.records.importers import ParsedConversation, Skipped, UnreadableFile, limits, read, read_text, survey
from apps.records.importers.formats import tables
from apps.records.importers.parsing import parse_json
from bench import samples
from tests.records.importers.test_fuzz import check_conversation
from tests.records.importers.vectors import zip_of

ROOT = Path(__file__).parents[3]


def parsed(path: Path, **more: Any) -> list[ParsedConversation]:
    return [outcome for outcome in read(path, **more) if isinstance(outcome, ParsedConversation)]


@pytest.mark.parametrize("format", samples.FORMATS)
def test_generated_files_come_back_with_every_message(tmp_path: Path, format: str) -> None:
    path = tmp_path / "upload"
    samples.write(format, path, 300, seed=7)
    reading = read(path)
    outcomes = list(reading)
    assert reading.format == format.removesuffix("-zip")
    assert not [outcome for outcome in outcomes if isinstance(outcome, Skipped)]
    found = [outcome for outcome in outcomes if isinstance(outcome, ParsedConversation)]
    for conversation in found:
        check_conversation(conversation)
    messages = [node for conversation in found for node in conversation.nodes if node.data["message"]]
    assert len(messages) == 300
    assert {node.role for node in messages} == {"user", "assistant"}
    if format != "txt":
        assert len(found) == 15


@pytest.mark.parametrize("format", samples.FORMATS)
def test_reading_twice_gives_the_same_ids(tmp_path: Path, format: str) -> None:
    path, other = tmp_path / "upload", tmp_path / "other name.bin"
    samples.write(format, path, 100, seed=1)
    other.write_bytes(path.read_bytes())
    ids = [conversation.external_id for conversation in parsed(path)]
    assert ids == [conversation.external_id for conversation in parsed(other)]
    assert len(ids) == len(set(ids))
    samples.write(format, path, 100, seed=2)
    assert not set(ids) & {conversation.external_id for conversation in parsed(path)}


def test_a_table_of_many_columns_with_long_names_is_not_multiplied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "upload"
    names = ["role", "content", *(f"{number:05}".ljust(200, "x") for number in range(300))]
    row = ["user", "Hello", *("QZ" for _ in range(300))]
    path.write_text("\n".join(",".join(line) for line in (names, row, row, row)) + "\n")
    (whole,) = parsed(path)
    messages = [node for node in whole.nodes if node.data["message"]]
    assert [node.role for node in messages] == ["user"] * 3
    assert all(len(json.dumps(node.data)) < 40_000 for node in messages)  # the names alone are 60 KB
    assert all(json.dumps(node.data["message"]).count("QZ") == 300 for node in messages)  # no cell is lost
    monkeypatch.setattr(tables, "MAX_VALUES", 1_000)
    assert [len([node for node in part.nodes if node.data["message"]]) for part in parsed(path)] == [2, 1]


def test_no_cell_of_a_table_hides_another_whose_column_has_the_same_name(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    long = "x" * 150
    path.write_text(f"role,content,tag,tag,tag~2,{long}1,{long}2\nuser,Hello,QZ1,QZ2,QZ3,QZ4,QZ5\n")
    (whole,) = parsed(path)
    [message] = [node.data["message"] for node in whole.nodes if node.data["message"]]
    assert all(json.dumps(message).count(f"QZ{number}") == 1 for number in range(1, 6))


def test_pasted_text_is_the_same_conversation_as_its_file(tmp_path: Path) -> None:
    text = "User: one\nAssistant: two\n"
    (tmp_path / "upload").write_bytes(text.replace("\n", "\r\n").encode("utf-16"))
    (from_file,) = parsed(tmp_path / "upload")
    (pasted,) = list(read_text(text))
    assert isinstance(pasted, ParsedConversation)
    assert pasted.external_id == from_file.external_id
    assert pasted.title == "one"
    with pytest.raises(UnreadableFile, match="no text"):
        read_text(" \n")


def test_parts_that_lie_apart_are_merged_also_when_few_fit_in_memory(tmp_path: Path, monkeypatch: Any) -> None:
    whole = list(samples.conversations(120, per_conversation=20))
    shards: list[list[dict[str, Any]]] = [[], [], []]
    for conversation in whole:
        nodes = list(conversation["mapping"].items())
        for number, shard in enumerate(shards):
            shard.append({**conversation, "mapping": dict(nodes[number::3])})
    files = {f"conversations-{n:03}.json": json.dumps(shard).encode() for n, shard in enumerate(shards)}
    path = tmp_path / "upload"
    path.write_bytes(zip_of(files))
    monkeypatch.setattr(survey, "MAX_MERGE_BYTES", 40_000)
    found = {conversation.external_id: conversation for conversation in parsed(path)}
    assert read(path).total == len(found) == len(whole)
    for conversation in whole:
        merged = found[conversation["id"]]
        check_conversation(merged)
        assert {node.id: node.data for node in merged.nodes} == conversation["mapping"]
        assert merged.header["current_node"] == conversation["current_node"]


@pytest.mark.slow
def test_a_list_inside_a_large_object_is_streamed(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    samples.write("chatgpt", path, 3_000)
    wrapped = b'{"exported": {"by": ["x"]}, "conversations": ' + path.read_bytes() + b', "more": [{"mapping": {}}]}'
    path.write_bytes(wrapped)
    assert len(wrapped) > 4 * limits.MIB
    assert sum(len(conversation.nodes) for conversation in parsed(path)) == 3_000 + 150


def test_many_unknown_pieces_do_not_fill_the_report_nor_hide_what_is_good(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(survey, "MAX_SKIPPED", 10)
    path = tmp_path / "upload"
    first, last = samples.conversations(40)
    path.write_text(json.dumps([first, *[{"n": n} for n in range(100)], last]))
    outcomes = list(read(path))
    assert len([outcome for outcome in outcomes if isinstance(outcome, ParsedConversation)]) == 2
    assert len(outcomes) == 2 + 10 + 1
    assert "90 more pieces" in outcomes[-1].why  # type: ignore[union-attr]
    monkeypatch.setattr(survey, "MAX_UNKNOWN", 50)
    *_others, stopped, _more = list(read(path))
    assert "rest was not read" in stopped.why  # type: ignore[union-attr]


@pytest.mark.parametrize("damage", ['"title": ,', '"title": "half, "x": 1', '"title": [[[', '"title": }'])
def test_many_damaged_conversations_do_not_hide_the_others(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "upload"
    good = [json.dumps(conversation) for conversation in samples.conversations(400, per_conversation=4)]
    texts = [damage.join(text.split('"title": "', 1)) if number % 3 == 1 else text for number, text in enumerate(good)]
    path.write_text(f"[{', '.join(texts)}]")
    outcomes = list(read(path))
    found = [outcome for outcome in outcomes if isinstance(outcome, ParsedConversation)]
    sound = [json.loads(text)["id"] for number, text in enumerate(good) if number % 3 != 1]
    assert [conversation.external_id for conversation in found] == sound
    assert len(outcomes) - len(found) >= 33


@pytest.mark.parametrize(("length", "is_read"), [(120, True), (480, True), (600, False), (20_000, False)])
def test_messages_nested_in_the_one_they_answer(tmp_path: Path, length: int, is_read: bool) -> None:
    """LibreChat's recursive export: two levels for each message."""
    text = "".join(
        f'{{"messageId": "m{n}", "text": "number {n}", "isCreatedByUser": true, "children": [' for n in range(length)
    )
    path = tmp_path / "upload"
    nested = f'{{"conversationId": "deep", "messages": [{text}{"]}" * length}]}}'
    path.write_text(f'[{nested}, {{"conversationId": "flat", "messages": [{{"messageId": "m", "text": "x"}}]}}]')
    outcomes = {getattr(found, "external_id", "skipped"): found for found in read(path)}
    assert outcomes.keys() == ({"deep", "flat"} if is_read else {"skipped", "flat"})
    if is_read:
        assert len(outcomes["deep"].nodes) == length  # type: ignore[union-attr]
        check_conversation(outcomes["deep"])  # type: ignore[arg-type]
    else:
        assert "nested too deeply" in outcomes["skipped"].why  # type: ignore[union-attr]


def test_a_named_format_is_kept_to(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    samples.write("claude", path, 10)
    assert parsed(path, format="claude")
    assert read(path, format="txt").format == "txt"
    with pytest.raises(UnreadableFile, match="known format"):
        read(path, format="chatgpt")
    with pytest.raises(UnreadableFile, match="is not known"):
        read(path, format="word")


MEASURE = """
import resource, sys
from pathlib import Path
from django.conf import settings
settings.configure(USE_I18N=False)
from apps.records import importers
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = sum(len(getattr(found, "nodes", ())) for found in importers.read(Path(sys.argv[1])))
print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.thorough
@pytest.mark.parametrize(("format", "nodes"), [("chatgpt", 15_750), ("chatgpt-zip", 15_750), ("csv", 15_000)])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, format: str, nodes: int) -> None:
    """23 MB as JSON; what is parsed of it at one time are some hundred KB."""
    path = tmp_path / "upload"
    samples.write(format, path, 15_000)
    done = subprocess.run([sys.executable, "-c", MEASURE, path], cwd=ROOT, capture_output=True, text=True, check=True)
    count, grown = map(int, done.stdout.split())
    assert count == nodes
    assert grown < 12


def test_a_key_that_comes_often_is_read_in_linear_time_and_none_hides_another():
    """In quadratic time these would take many minutes."""
    raw = b'{"v":NaN,' + b",".join(b'"k":%d' % number for number in range(30_000)) + b"}"
    value = parse_json(raw)
    assert len(value) == 30_001
    assert (value["k"], value["k~2"], value["k~30000"]) == (0, 1, 29_999)
    assert parse_json(b'{"v":NaN,"k":1,"k":1,"k":2,"k":1}') == {"v": "NaN", "k": 1, "k~2": 2}
