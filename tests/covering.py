"""`make coverage`: every branch of apps/sealing, apps/keys and apps/audit is taken by some test, or this fails.

What is special to PostgreSQL is tried there, and counted together. Left out are the thorough tests, which repeat a work
at every point of a crash or for every byte of a file: they take no branch that the others do not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.services import postgres_programs, running_postgres

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests/sealing", "tests/keys", "tests/audit")
QUICK = "not thorough"
ON_POSTGRES = (
    "tests/audit/test_triggers.py",
    "tests/audit/test_sequencer.py",
    "tests/keys/test_creating_and_opening.py",
)
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")


def coverage(*arguments: str, **environment: str) -> int:
    command = [sys.executable, "-m", "coverage", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=False).returncode


def main() -> int:
    coverage("erase")
    failed = coverage("run", "--parallel-mode", *PYTEST, *TESTS, "-m", QUICK)
    if postgres_programs() is None:
        print("PostgreSQL is not installed: what is special to it is not covered")
    else:
        with running_postgres() as server:
            databases = {"DATABASE_URL": server.url("records"), "KEYS_DATABASE_URL": server.url("keys")}
            failed |= coverage("run", "--parallel-mode", *PYTEST, *ON_POSTGRES, **databases)
    coverage("combine", "--quiet")
    return coverage("report") or failed


if __name__ == "__main__":
    sys.exit(main())
