"""Test databases on SQLite, migrated once for each state of the migrations and copied from then on.

Migrating takes seconds, and every process of every run of the tests needs its databases. What they are made from is
hashed: another migration, trigger or pinned package makes another template.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

ALIASES = ("default", "keys")  # from one process, both or none: they name one installation
SOURCES = (
    "apps/*/migrations/*.py", "apps/*/models.py", "apps/accounts/roles.py", "apps/audit/triggers.py", "requirements.txt",
    "tests/databases.py",
)  # fmt: skip


def are_files() -> bool:
    return all(settings.DATABASES[alias]["ENGINE"].endswith("sqlite3") for alias in ALIASES)


def file_of(alias: str) -> Path:
    return Path(settings.DATABASES[alias]["TEST"]["NAME"])


def template() -> Path:
    """Return the folder that holds, or would hold, the migrated databases."""
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(settings.BASE_DIR.glob(pattern)):
            digest.update(path.name.encode() + path.read_bytes())
    return Path(tempfile.gettempdir()) / f"habeas-test-databases-{digest.hexdigest()[:16]}"


def copy_template() -> None:
    for alias in ALIASES:
        found = template() / alias
        if found.is_file():
            shutil.copyfile(found, file_of(alias))


def keep_template() -> None:
    """Keep what was migrated, unless somebody was quicker or only one database was wanted."""
    if template().exists() or not all(file_of(alias).exists() for alias in ALIASES):
        return
    draft = Path(tempfile.mkdtemp(prefix="habeas-test-databases-"))
    for alias in ALIASES:
        with contextlib.closing(sqlite3.connect(file_of(alias))) as database:
            database.execute("VACUUM INTO ?", [str(draft / alias)])
    try:
        draft.rename(template())
    except OSError:  # another process was quicker
        shutil.rmtree(draft)


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """What is there already is the copy; the folder around it goes with the process."""
    return are_files()


@pytest.fixture(scope="session")
def _databases_copied(django_db_modify_db_settings: None) -> None:
    if are_files():
        copy_template()


@pytest.fixture(scope="session")
def django_db_setup(_databases_copied: None, django_db_setup: Any) -> Iterator[None]:
    if are_files():
        keep_template()
    yield
