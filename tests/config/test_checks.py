"""`check --deploy` is silent about a real deployment, and names what must not go live."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from apps.accounts import checks
from apps.accounts.models import User

ROOT = Path(__file__).resolve().parent.parent.parent


def check_deploy(folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(folder),
        "SECRET_KEY": "Zq8" * 20 + "random enough",
        "LOG_SIGNING_KEY": base64.b64encode(b"L" * 32).decode(),
        "ARCHIVE_SIGNING_KEY": base64.b64encode(b"A" * 32).decode(),
        "SITE_URL": "https://privacy.example.org",
        "ORGANISATION_NAME": "Example",
        "ORGANISATION_ADDRESS": "Example, Street 1, 10115 Berlin",
        "PRIVACY_CONTACT": "dpo@example.org",
        "EMAIL_URL": "smtp://mail.example.org:587",
        "CACHE_URL": "redis://127.0.0.1:6379/1",
    } | changes
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_real_deployment_is_clean(tmp_path: Path) -> None:
    done = check_deploy(tmp_path)
    assert done.returncode == 0, done.stderr


WRONG = [
    ({"SITE_URL": "http://127.0.0.1:8000", "SAMPLE_SITE": "on"}, ["accounts.E001", "accounts.E003", "config.E001"]),
    ({"STAFF_SECOND_STEP": "off"}, ["accounts.E003"]),
    ({"EMAIL_URL": "folder:///var/mail"}, ["config.E002"]),
    ({"COMMAND_LINE_APPROVAL": "on"}, ["config.E003"]),
    ({"ORGANISATION_NAME": "Larkspur"}, ["config.E004"]),
    ({"CACHE_URL": "locmem://"}, ["config.W001"]),
]


@pytest.mark.parametrize(("changes", "named"), WRONG)
def test_what_must_not_go_live_is_named(changes: dict[str, str], named: list[str], tmp_path: Path) -> None:
    done = check_deploy(tmp_path, **changes)
    assert done.returncode == 1
    for name in named:
        assert name in done.stderr


@pytest.mark.django_db
def test_it_fails_while_sample_people_exist() -> None:
    User.objects.create_user("ada@example.org", "x")
    assert checks.no_sample_people() == []
    User.objects.create_user(f"ada@{checks.SAMPLE_DOMAIN}", "x")
    assert [found.id for found in checks.no_sample_people()] == ["accounts.E002"]
