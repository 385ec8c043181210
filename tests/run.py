"""`make test`: what a change is tried with, in about four minutes: on SQLite, without servers, without what takes its time.

`make test-all`: every test that this machine can run, with its real servers; then what talks to databases again, on
PostgreSQL. At the end it says what was skipped and why. TEST_SERVICES=required turns a skip into a failure, and so
either command into all.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.services import postgres_programs, running_postgres

ROOT = Path(__file__).resolve().parent.parent
# Packages that ask the database more than a plain question: locks, triggers, constraints, transactions, raw SQL.
ON_POSTGRES = ("accounts", "archives", "audit", "keys", "locations", "mail", "records", "requests")
# The plain stories are not repeated; a journey tells them over PostgreSQL.
AGAIN = "django_db and (thorough or not slow) and not services and not browser"
NOT_AGAIN = (
    "--ignore=tests/records/importers",  # pure
    "--deselect=tests/requests/test_engine.py::test_killed_at_any_effect_the_work_ends_once_and_whole_after_a_restart",  # copies SQLite's files
)


def run_tests(*arguments: str, **environment: str) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "--durations=25", "-p", "no:cacheprovider"]
    share = ["-n", "2", "--dist", "loadscope", "--no-loadscope-reorder"]  # in the order of tests/conftest.py
    return subprocess.run(
        [*command, *share, *arguments], cwd=ROOT, env=os.environ | environment, check=False
    ).returncode


def say(text: str) -> None:
    print(f"\n=== {text}", flush=True)


def main() -> int:
    required = os.environ.get("TEST_SERVICES") == "required"
    if "--all" not in sys.argv and not required:
        failed = run_tests("-m", "not slow and not thorough and not services and not browser")
        say(
            "make test-all tries what was left out here: long stories, real servers, a browser, every crash, PostgreSQL"
        )
        return failed
    say("SQLite")
    failed = run_tests()
    if postgres_programs() is None:
        say("PostgreSQL is not installed: the second pass was skipped (Debian, Ubuntu: apt install postgresql)")
        return failed or int(required)
    say("PostgreSQL")
    with running_postgres() as server:
        folders = [f"tests/{name}" for name in ON_POSTGRES if (ROOT / "tests" / name).exists()]
        again = run_tests(
            *folders, *NOT_AGAIN, "-m", AGAIN,
            DATABASE_URL=server.url("records"), KEYS_DATABASE_URL=server.url("keys"),
        )  # fmt: skip
    say("All passed" if not (failed or again) else "Some failed: see above")
    return failed or again


if __name__ == "__main__":
    sys.exit(main())
