"""Runs the standalone verifier in this process, as its command line would."""

from __future__ import annotations

import contextlib
import io
import runpy
from pathlib import Path
from typing import Any, NamedTuple

from apps.audit import selectors

SCRIPT = Path(__file__).resolve().parents[2] / "verify" / "habeas_verify.py"
MAIN: Any = runpy.run_path(str(SCRIPT), run_name="habeas_verify")["main"]
OWN_KEY = "the log's own"


class Result(NamedTuple):
    code: int
    out: str
    err: str


def run_verifier(
    what: str, content: str | bytes | Path, folder: Path, *options: str, key: str | None = OWN_KEY
) -> Result:
    """Check a file, or content that is written into a file first."""
    if isinstance(content, Path):
        path = content
    else:
        path = folder / "file-to-check"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    key = selectors.public_key_text() if key == OWN_KEY else key
    arguments = [what, str(path), *options, *(["--key", key] if key else [])]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = MAIN(arguments)
    return Result(code, out.getvalue(), err.getvalue())
