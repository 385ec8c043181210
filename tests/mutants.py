"""Mutants: one small mistake at a time is made in a module, and its tests have to notice. Survivors are printed.

    python -m tests.mutants [--minutes 10] [MODULE …]      MODULE as in apps/sealing/aead.py; default: all of TESTS_OF

The tests of a module are collected and run once; then, for each mistake, a forked child gives the functions their changed
code and runs those tests that come by the changed function, up to the first that fails. Mistakes: another comparison, and/or, no `not`, another arithmetic
operation, a number or bytes changed, True/False, None returned, a statement or an exception left out. What stands outside
functions (constants, columns) is not changed. docs/mutation.md lists the survivors, each with its reason.
"""

from __future__ import annotations

import argparse
import ast
import copy
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from django.db import connections
from hypothesis import HealthCheck, Phase, settings

ROOT = Path(__file__).resolve().parent.parent
TESTS_OF = {
    "apps/sealing/aead.py": ["sealing/test_aead.py", "sealing/test_formats.py"],
    "apps/sealing/blind.py": ["sealing/test_blind.py", "sealing/test_formats.py"],
    "apps/sealing/content.py": ["sealing/test_content.py", "sealing/test_formats.py"],
    "apps/sealing/hkdf.py": ["sealing/test_hkdf.py", "sealing/test_formats.py"],
    "apps/sealing/signatures.py": ["sealing/test_signatures.py", "sealing/test_formats.py"],
    "apps/sealing/streams.py": ["sealing/test_streams.py", "sealing/test_formats.py"],
    "apps/audit/merkle.py": ["audit/test_merkle.py", "audit/test_vectors.py"],
    "apps/audit/notes.py": ["audit/test_notes.py", "audit/test_vectors.py"],
    "apps/audit/proofs.py": ["audit/test_proofs.py", "audit/test_vectors.py"],
    "apps/audit/tiles.py": [
        "audit/test_vectors.py",
        "audit/test_pages.py::TestPublicLog",
        "audit/test_recovering.py",
        "audit/test_sequencer.py::test_a_checkpoint_signs_the_root_of_all_entries",
        "audit/test_verification.py::TestDatabase::test_a_full_tile_that_is_missing_is_never_guessed",
    ],
    "apps/audit/recovering.py": ["audit/test_recovering.py"],
    "apps/audit/continuing.py": ["audit/test_continued.py", "audit/test_bundles.py"],
    "apps/audit/verification.py": [  # not those of folders and bundles, at which the standalone verifier looks
        "audit/test_verification.py::test_a_good_log_is_good_in_every_way",
        "audit/test_verification.py::test_a_published_file_that_is_another_or_missing_is_found_on_the_site_too",
        "audit/test_verification.py::test_entries_that_wait_are_counted",
        "audit/test_verification.py::test_a_log_without_a_signature_is_not_good",
        "audit/test_verification.py::TestDatabase",
        "audit/test_verification.py::TestKeptCheckpoint",
        "audit/test_verification.py::TestQuickLook",
        "audit/test_continued.py",
    ],
    "apps/keys/intents.py": ["keys/test_destroying.py", "keys/test_replaying.py", "keys/test_recognising.py"],
    "apps/keys/services/destroying.py": ["keys/test_destroying.py", "keys/test_replacing.py", "keys/test_rarely.py"],
    "apps/keys/services/ending.py": ["keys/test_ending.py", "keys/test_rarely.py"],
    "apps/keys/services/replaying.py": ["keys/test_replaying.py"],
    "apps/keys/services/replacing.py": ["keys/test_replacing.py", "keys/test_rarely.py"],
}
QUICK = "not thorough"
COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.Add,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitAnd,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    function: int  # the line on which it begins, with its decorators
    line: int
    what: str
    tree: ast.Module


def mutants_of(source: str) -> Iterator[Mutant]:
    """Yield the module with one mistake each; what stands outside functions stays."""
    tree = ast.parse(source)
    for number, node in enumerate(ast.walk(tree)):
        if not isinstance(node, ast.FunctionDef):
            continue
        for inside, found in enumerate(_below(node)):
            for change in range(len(_changes(found))):
                mistaken = copy.deepcopy(tree)
                function = next(one for at, one in enumerate(ast.walk(mistaken)) if at == number)
                target = list(_below(function))[inside]
                before = ast.unparse(target).split("\n")[0]
                _changes(target)[change]()
                after = ast.unparse(ast.fix_missing_locations(target)).split("\n")[0]
                begins = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                yield Mutant(begins, found.lineno, f"{before}  →  {after}", mistaken)


def _below(function: ast.AST) -> Iterator[Any]:
    """Yield the nodes of a function's body, without docstrings, and without functions in it, which are visited by themselves."""
    waiting: list[Any] = list(getattr(function, "body", []))
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.JoinedStr):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if hasattr(node, "lineno"):
            yield node
        waiting += ast.iter_child_nodes(node)


def _changes(node: Any) -> list[Any]:
    """Return what can be done to a node, as functions that do it."""
    if isinstance(node, ast.Compare):
        return [_setting(node.ops, at, COMPARED[type(op)]()) for at, op in enumerate(node.ops)]
    if isinstance(node, ast.BoolOp):
        return [_setting(vars(node), "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())]
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in COMPUTED:
        return [_setting(vars(node), "op", COMPUTED[type(node.op)]())]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return [_without_not(node)]
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | bytes):
        return [_setting(vars(node), "value", _other(node.value))]
    if isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        return [_setting(vars(node), "value", ast.Constant(None))]
    if isinstance(node, ast.Raise | ast.Expr):
        return [_left_out(node)]
    return []


def _setting(place: Any, name: Any, value: Any) -> Any:
    return lambda: place.__setitem__(name, value)


def _without_not(node: Any) -> Any:
    def change() -> None:
        operand = node.operand
        node.__class__ = ast.Call
        vars(node).update(func=ast.Name("bool", ast.Load()), args=[operand], keywords=[])

    return change


def _left_out(node: Any) -> Any:
    def change() -> None:
        node.__class__ = ast.Pass

    return change


def _other(value: bool | int | bytes) -> bool | int | bytes:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value + b"!"


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


class Mutants:
    """A plugin of pytest: runs the collected tests once, then for each mutant in a child."""

    def __init__(self, path: Path, minutes: float) -> None:
        self.path, self.until = path, time.monotonic() + minutes * 60
        self.survivors: list[Mutant] = []
        self.tried = self.left = self.slow = 0
        self.comes_by: dict[pytest.Item, set[int]] = {}  # the functions that each test runs
        self.takes: dict[pytest.Item, float] = {}  # and its seconds

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        began = time.monotonic()
        items = session.items
        assert self._passes(items, self._noted), "the tests fail by themselves"
        items.sort(key=lambda item: (len(self.comes_by[item]), self.takes[item]))  # the most particular first
        self.patience = 10 + 5 * (time.monotonic() - began)
        self.databases = [(Path(c.settings_dict["NAME"]), self._copy(c)) for c in connections.all()]
        assert self._verdict(None, items[:20]) == 0, "the tests fail when they are run again"
        mutants = list(mutants_of(self.path.read_text()))
        random.Random(len(mutants)).shuffle(mutants)  # when time is short, some of every function
        for mutant in mutants:
            if time.monotonic() > self.until:
                self.left += 1
                continue
            self.tried += 1
            verdict = self._verdict(mutant, [item for item in items if mutant.function in self.comes_by[item]])
            if verdict == 0:
                self.survivors.append(mutant)
                print(f"\n{self.path.relative_to(ROOT)}:{mutant.line}: {mutant.what}", flush=True)
            self.slow += verdict < 0
        return True

    def _copy(self, connection: Any) -> bytes:
        connection.close()
        name = Path(connection.settings_dict["NAME"])
        return name.read_bytes() if name.is_file() else b""

    def _verdict(self, mutant: Mutant | None, items: list[pytest.Item]) -> int:
        """Return 0 if every test passes in a child, -1 if that took too long (which counts as noticed)."""
        connections.close_all()
        for name, content in self.databases:
            if content:
                for end in ("-wal", "-shm"):
                    name.with_name(name.name + end).unlink(missing_ok=True)
                name.write_bytes(content)
        child = os.fork()
        if child == 0:
            os.setsid()
            if mutant is not None:
                give_code(compile(mutant.tree, str(self.path), "exec"))
            os._exit(0 if self._passes(items) else 1)
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return -1

    def _noted(self, item: pytest.Item, after: pytest.Item) -> list[pytest.TestReport]:
        """Run a test, and note by which functions of the module it comes."""
        seen = self.comes_by[item] = set()
        name = str(self.path)

        def note(frame: FrameType, event: str, argument: object) -> None:
            if event == "call" and frame.f_code.co_filename == name:
                seen.add(frame.f_code.co_firstlineno)

        began = time.monotonic()
        threading.setprofile(note)
        sys.setprofile(note)
        try:
            return runtestprotocol(item, log=False, nextitem=after)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
            self.takes[item] = time.monotonic() - began

    @staticmethod
    def _passes(items: list[pytest.Item], run: Callable[..., list[pytest.TestReport]] | None = None) -> bool:
        following = [*items[1:], *items[:1]]  # what belongs to the session stays for the next run
        for item, after in zip(items, following, strict=True):
            reports = run(item, after) if run else runtestprotocol(item, log=False, nextitem=after)
            if any(report.failed for report in reports):
                return False
        return True


def give_code(module: CodeType) -> None:
    """Let every function of this file have the code that is compiled from the changed source."""
    codes: dict[tuple[str, int], CodeType] = {}
    waiting = [module]
    while waiting:
        code = waiting.pop()
        codes[code.co_qualname, code.co_firstlineno] = code
        waiting += [one for one in code.co_consts if isinstance(one, CodeType)]
    for function in [one for one in gc.get_objects() if isinstance(one, FunctionType)]:
        old = function.__code__
        if old.co_filename == module.co_filename:
            new = codes.get((old.co_qualname, old.co_firstlineno))
            if new is not None and new.co_freevars == old.co_freevars:
                function.__code__ = new


def try_module(name: str, minutes: float) -> None:
    plugin = Mutants(ROOT / name, minutes)
    tests = [f"tests/{one}" for one in TESTS_OF[name]]
    settings.register_profile(  # to fail is enough: the smallest example that fails is of no interest
        "mutants", phases=(Phase.explicit, Phase.generate), max_examples=30, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    quiet = ["-q", "--no-header", "--no-summary", "-p", "no:cacheprovider", "--hypothesis-profile", "mutants"]
    pytest.main([*tests, *quiet, "-m", QUICK], plugins=[plugin])
    left = f", {plugin.left} not tried for lack of time" if plugin.left else ""
    slow = f", {plugin.slow} of them by never ending" if plugin.slow else ""
    print(f"\n{name}: {plugin.tried} mutants, {plugin.tried - len(plugin.survivors)} noticed{slow}{left}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", default=list(TESTS_OF))
    parser.add_argument("--minutes", type=float, default=10, help="for each module; what is left is counted")
    options = parser.parse_args()
    if len(options.modules) == 1:
        try_module(options.modules[0], options.minutes)
        return
    for name in options.modules:  # each in a process of its own, with databases of its own
        command = [sys.executable, "-m", "tests.mutants", name, "--minutes", str(options.minutes)]
        subprocess.run(command, cwd=ROOT, check=False)


if __name__ == "__main__":
    main()
