"""The second verifier: a small Go program around golang.org/x/mod's sumdb, which nobody here wrote (tests/audit/go)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from apps.audit import selectors
from tests.services import not_here

SOURCE = Path(__file__).parent / "go" / "main.go"
GOPATH = Path("/usr/share/gocode")  # where Debian keeps golang-golang-x-mod-dev


class SecondVerifier:
    """One process that answers many questions."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, what: str, path: Path, *, kept: Sequence[Path] = (), keys: Sequence[str] | None = None) -> str:
        """Return "" if it is good, else why not."""
        keys = [str(key) for key in selectors.verifier_keys()] if keys is None else list(keys)
        question = {"What": what, "Path": str(path), "Keys": keys, "Kept": [str(one) for one in kept]}
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer.startswith(("good: ", "bad: ")), answer
        return "" if answer.startswith("good") else answer.removeprefix("bad: ").strip()

    def stop(self) -> None:
        self._process.communicate(timeout=20)


@pytest.fixture(scope="session")
def second_verifier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecondVerifier]:
    go = shutil.which("go")
    if go is None or not (GOPATH / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        not_here("Go with golang.org/x/mod (Debian: golang-go, golang-golang-x-mod-dev)")
    folder = tmp_path_factory.mktemp("go")
    offline = {"GO111MODULE": "off", "GOPATH": str(GOPATH), "GOFLAGS": "", "GOCACHE": str(folder / "cache")}
    program = folder / "second-verifier"
    subprocess.run(
        [go or "go", "build", "-o", str(program), str(SOURCE)], env=os.environ | offline, check=True, timeout=600
    )
    verifier = SecondVerifier(program)
    yield verifier
    verifier.stop()
