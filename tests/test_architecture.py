"""The import table of the house (docs/architecture.md): downward only, no cycles, none hidden in functions."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

APPS = Path(__file__).resolve().parent.parent / "apps"
MAY_IMPORT = {
    "portal": {"accounts", "archives", "audit", "locations", "records", "requests"},
    "requests": {"accounts", "archives", "audit", "keys", "locations", "mail", "records", "sealing"},
    "records": {"accounts", "archives", "audit", "keys", "locations", "sealing"},
    "archives": {"audit", "keys", "locations", "sealing"},
    "accounts": {"audit", "keys", "mail", "sealing"},
    "locations": {"audit", "keys", "sealing"},
    "mail": {"keys", "sealing"},
    "keys": {"audit", "sealing"},
    "audit": {"sealing"},
    "sealing": set(),
}
LONGEST_FILE = 450  # lines: one reading


def sources() -> list[Path]:
    return [path for path in sorted(APPS.glob("*/**/*.py")) if "migrations" not in path.parts]


@cache
def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_every_package_has_its_row() -> None:
    assert {path.name for path in APPS.iterdir() if (path / "__init__.py").exists()} == set(MAY_IMPORT)


def test_a_file_imports_only_what_its_package_may() -> None:
    for path in sources():
        package = path.relative_to(APPS).parts[0]
        packages = {name.split(".")[1] for name in imported(path) if name.startswith("apps.")}
        assert packages <= MAY_IMPORT[package] | {package}, path


def test_sealing_is_free_of_django() -> None:
    for path in sources():
        if path.relative_to(APPS).parts[0] == "sealing":
            assert not any(name.split(".")[0] in {"django", "celery", "config"} for name in imported(path)), path


def test_the_table_has_no_cycle() -> None:
    done: set[str] = set()
    while len(done) < len(MAY_IMPORT):
        free = {package for package, below in MAY_IMPORT.items() if package not in done and below <= done}
        assert free, f"a cycle among {set(MAY_IMPORT) - done}"
        done |= free


def test_modules_of_one_package_do_not_import_each_other_in_a_circle() -> None:
    names = {
        ".".join(("apps", *path.relative_to(APPS).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in sources()
    }
    graph = {
        name: {other for other in imported(path) if other in names and other != name} for name, path in names.items()
    }
    done: set[str] = set()
    while len(done) < len(graph):
        free = {name for name, below in graph.items() if name not in done and below <= done}
        assert free, f"a cycle among {sorted(set(graph) - done)}"
        done |= free


def test_a_file_is_one_reading() -> None:
    long = {path: lines for path in sources() if (lines := len(path.read_text().splitlines())) > LONGEST_FILE}
    assert not long
