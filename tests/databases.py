"""The test databases: as they are after the migrations, at first and again after each test with real transactions.

SQLite: migrated once for each state of the migrations, and copied from then on. Migrating takes seconds, and every process
of every run of the tests needs its databases. What they are made from is hashed: another migration, trigger or pinned
package makes another template.

Django would empty every table after a test with real transactions and then make content types, permissions, roles and
own places anew, which takes longer than most tests.
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
from django.db import connections, transaction
from django.test import TransactionTestCase

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
def django_db_setup(_databases_copied: None, django_db_setup: Any, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock():
        as_migrated = {alias: _Kept(alias) for alias in ALIASES}
    if are_files():
        keep_template()

    def restore(case: Any) -> None:
        for alias in case._databases_names(include_mirrors=False):
            as_migrated[alias].restore()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", restore)
        yield


class _Kept:
    """What a database holds right after the migrations."""

    def __init__(self, alias: str) -> None:
        self.connection: Any = connections[alias]
        if self.connection.vendor == "sqlite":
            self.connection.ensure_connection()
            self.copy = sqlite3.connect(":memory:", check_same_thread=False)
            self.connection.connection.backup(self.copy)
            return
        self.tables = self.connection.introspection.django_table_names(only_existing=True, include_views=False)
        with self.connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA IF NOT EXISTS as_migrated")
            self.filled = self._filled(cursor)
            for table in self.filled:
                cursor.execute(f'CREATE TABLE as_migrated."{table}" AS TABLE public."{table}"')

    def restore(self) -> None:
        self.connection.ensure_connection()
        if self.connection.vendor == "sqlite":
            self.copy.backup(self.connection.connection)
            return
        with transaction.atomic(self.connection.alias), self.connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")  # no triggers, no order of foreign keys
            for table in self._filled(cursor):
                cursor.execute(f'DELETE FROM "{table}"')
            for table in self.filled:
                cursor.execute(f'INSERT INTO "{table}" OVERRIDING SYSTEM VALUE TABLE as_migrated."{table}"')

    def _filled(self, cursor: Any) -> list[str]:
        asked = " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT FROM \"{table}\")" for table in self.tables)
        cursor.execute(asked)
        return [table for (table,) in cursor.fetchall()]
