"""Every vector has the outcome that it names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.records.importers.vectors import FOLDER, bytes_of, outcome_of

VECTORS = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_a_file_has_the_outcome_that_its_vector_names(path: Path, tmp_path: Path) -> None:
    vector = json.loads(path.read_text())
    file = tmp_path / "upload.bin"  # a name that says nothing
    file.write_bytes(bytes_of(vector["file"]))
    outcome = outcome_of(file, format=vector.get("format", "auto"), name=vector.get("name", "upload"))
    expected = vector["expect"]
    if "unreadable" in expected:
        assert expected["unreadable"] in outcome.get("unreadable", f"was read: {outcome}")
        return
    assert "unreadable" not in outcome, outcome
    assert outcome["format"] == expected["format"]
    assert len(outcome["conversations"]) == len(expected["conversations"]), outcome
    for found, wanted in zip(outcome["conversations"], expected["conversations"], strict=True):
        assert {key: found[key] for key in wanted} == wanted
    _check_skipped(outcome["skipped"], expected.get("skipped", []))


def _check_skipped(found: list[Any], wanted: list[Any]) -> None:
    assert len(found) == len(wanted), found
    for (what, why), (part_of_what, part_of_why) in zip(found, wanted, strict=True):
        assert part_of_what in what
        assert part_of_why in why


def test_there_are_vectors_for_good_files_and_for_bad_ones() -> None:
    expectations = [json.loads(path.read_text())["expect"] for path in VECTORS]
    assert any("unreadable" in expected for expected in expectations)
    assert any("conversations" in expected for expected in expectations)
