"""`check --deploy` is silent about a real deployment, and names what must not go live."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from apps.accounts import checks
from apps.accounts.models import User
from config import checks as site_checks

ROOT = Path(__file__).resolve().parent.parent.parent


def check_deploy(folder: Path) -> subprocess.CompletedProcess[str]:
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
        "ANCHORS": "mailto:auditors@example.org,https://anchors.example.org/checkpoint",
    }
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_real_deployment_is_clean(tmp_path: Path) -> None:
    done = check_deploy(tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def real(settings: Any) -> Any:
    """The settings of a real deployment, to spoil one by one."""
    settings.SITE_URL = "https://privacy.example.org"
    settings.EMAIL_FILE_PATH = None
    settings.COMMAND_LINE_APPROVAL = settings.SAMPLE_SITE = False
    settings.STAFF_SECOND_STEP = True
    settings.ORGANISATION_NAME, settings.PRIVACY_CONTACT = "Example", "dpo@example.org"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache"}}
    return settings


def found() -> set[str | None]:
    messages = [*site_checks.real_deployment(), *checks.no_sample_people(), *checks.staff_have_a_second_step()]
    return {message.id for message in messages}


WRONG: list[tuple[str, Any, str]] = [
    ("SITE_URL", "http://privacy.example.org", "config.E001"),
    ("EMAIL_FILE_PATH", "/var/mail", "config.E002"),
    ("COMMAND_LINE_APPROVAL", True, "config.E003"),
    ("ORGANISATION_NAME", "Larkspur", "config.E004"),
    ("CACHES", {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}, "config.W001"),
    ("ANCHORS_WANTED", 2, "config.W002"),
    ("SAMPLE_SITE", True, "accounts.E001"),
    ("STAFF_SECOND_STEP", False, "accounts.E003"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "value", "named"), WRONG)
def test_what_must_not_go_live_is_named(name: str, value: Any, named: str, real: Any) -> None:
    assert found() == set()
    setattr(real, name, value)
    assert found() == {named}


@pytest.mark.django_db
def test_it_fails_while_sample_people_exist() -> None:
    User.objects.create_user("ada@example.org", "x")
    assert checks.no_sample_people() == []
    User.objects.create_user(f"ada@{checks.SAMPLE_DOMAIN}", "x")
    assert [message.id for message in checks.no_sample_people()] == ["accounts.E002"]
