"""An installation of its own for a measurement, shared by the processes that take part in it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def environment(database: str = "", keys_database: str = "") -> dict[str, str]:
    """Return the environment of a fresh installation in a temporary folder; databases default to SQLite files there."""
    folder = Path(tempfile.mkdtemp(prefix="habeas-bench-"))
    (folder / "keys").mkdir()
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATA_DIR": str(folder),
        "SECRET_KEY": _key(),
        "LOG_SIGNING_KEY": _key(),
        "ARCHIVE_SIGNING_KEY": _key(),
        "COMMAND_LINE_APPROVAL": "on",
        "LOG_LEVEL": "ERROR",
        "CELERY_BROKER_URL": "memory://",
        "DATABASE_URL": database or f"sqlite:///{folder / 'records.sqlite3'}",
        "KEYS_DATABASE_URL": keys_database or f"sqlite:///{folder / 'keys' / 'keys.sqlite3'}",
    }


def _key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def migrate(env: dict[str, str]) -> None:
    for extra in ([], ["--database", "keys"]):
        subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0", *extra], cwd=ROOT, env=env, check=True)


def call(env: dict[str, str], module: str, *arguments: str) -> dict[str, Any]:
    """Run a module in a process of its own and return the JSON object of its last line."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{module} {arguments}: {done.stdout[-1000:]} {done.stderr[-3000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer
