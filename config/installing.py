"""What `make run` makes of a folder: secrets, settings, databases, static files, sample people. A repeat makes what is missing."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def random_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


SECRETS: dict[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(60),
    "LOG_SIGNING_KEY": random_key,
    "ARCHIVE_SIGNING_KEY": random_key,
}


def data_dir() -> Path:
    return Path(os.environ.get("DATA_DIR") or ROOT / "var").resolve()


def write_environment(folder: Path, port: int) -> None:
    """Keep secrets in files of their own, readable by the owner alone, and the settings of a sample site beside them."""
    (folder / "places").mkdir(parents=True, exist_ok=True)
    (folder / "secrets").mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "anchors").mkdir(exist_ok=True)  # an anchor makes no folder: a missing one is a share that is away
    values = {
        "SITE_URL": f"http://127.0.0.1:{port}",
        "ALLOWED_HOSTS": "127.0.0.1,localhost,[::1]",
        "AUDIT_ORIGIN": "127.0.0.1/audit/log",  # the log's name must not change with the port
        "SAMPLE_SITE": "on",
        "ANCHORS": (folder / "anchors").as_uri(),  # one, where two are wanted: /audit/ says so
        "LOCATION_ROOTS": str(folder / "places"),
        "COMMAND_LINE_APPROVAL": "on",
        "ERASURE_COOLING_OFF_DAYS": "0",
    }
    for name, make in SECRETS.items():
        path = folder / "secrets" / name
        if not path.exists():
            _write_private(path, make())
        values[f"{name}_FILE"] = str(path)
    _write_private(folder / "environment", "".join(f"{name}={value}\n" for name, value in values.items()))


def _write_private(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    part.replace(path)


def set_up(say: Callable[[str], None]) -> bool:
    """Bring databases, static files and sample people up to date; False when a command fails (it has said why)."""
    say("Databases …")
    if not (manage("migrate", "--verbosity", "0") and manage("migrate", "--database", "keys", "--verbosity", "0")):
        return False
    if _static_files_are_old():
        say("Static files …")
        if not manage("collectstatic", "--noinput", "--verbosity", "0"):
            return False
    return manage("make_sample_people")


def manage(*arguments: str) -> bool:
    return subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, check=False).returncode == 0


def _static_files_are_old() -> bool:
    """Was anything that `collectstatic` gathers changed since it last ran?"""
    made = Path(os.environ.get("STATIC_ROOT") or ROOT / "staticfiles") / "staticfiles.json"
    if not made.exists():
        return True
    sources = [ROOT / "requirements.txt", *(ROOT / "static").rglob("*")]
    return max(path.stat().st_mtime for path in sources) > made.stat().st_mtime
