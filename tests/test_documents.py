"""What the documents name as shown by tests is there: the files and folders, the tests in them, and the modules."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PATH = re.compile(r"`((?:apps|bench|config|docs|tests|verify)/[\w./-]+?)/?(?:::(\w+))?`")


def named(document: Path) -> list[tuple[str, str]]:
    return [(path, name) for path, name in PATH.findall(document.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_and_test_that_a_document_names_is_there(document: Path) -> None:
    for path, name in named(document):
        assert (ROOT / path).exists(), path
        if name:
            assert name in names_in(ROOT / path), f"{path}::{name}"


def test_every_row_of_the_threat_model_names_tests_by_name() -> None:
    """A folder says little: each row names at least one test, in a file that pytest collects."""
    rows = [
        line for line in (ROOT / "docs/threat-model.md").read_text(encoding="utf-8").splitlines() if line[:2] == "| "
    ]
    claims = [row for row in rows if not row.startswith("| who |")]
    assert len(claims) > 15
    for row in claims:
        assert any(name for _path, name in PATH.findall(row)), row[:60]


def names_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
