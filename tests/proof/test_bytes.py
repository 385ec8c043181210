"""Gone means gone, proven by bytes: no wrapped key found in any raw file opens what was erased, by any chain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.journeys.site import Site
from tests.proof.scenes import CANARY, OTHER
from tests.services import Postgres, postgres_programs

pytestmark = pytest.mark.thorough
READ_BOTH = [CANARY, OTHER]
KINDS = ["archive", "conversation", "import", "subject"]


def prove(site: Site, copies: Path, *more: str) -> dict[str, Any]:
    arguments = [str(site.folder), str(copies), *more]
    said = site.manage("shell", "-c", f"from tests.proof.scenes import main; main(*{arguments!r})", timeout=600)
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    assert answer["ended"] == 1  # master keys destroyed
    scenes: dict[str, Any] = answer["scenes"]
    return scenes


def new_site(folder: Path, **environment: str) -> Site:
    folder.mkdir()
    site = Site(folder, environment)
    site.manage("migrate", "--verbosity", "0")
    site.manage("migrate", "--database", "keys", "--verbosity", "0")
    return site


def check_control_and_end(scenes: dict[str, Any]) -> None:
    """Before, everything opens from the raw files; so does an old copy with the old master key. In the end nothing does."""
    for name, facts in scenes.items():
        assert facts["before"]["read"] == READ_BOTH, name
        assert facts["copies, old master key"]["opened"] == facts["gone"] > 0, name
        assert CANARY in facts["copies, old master key"]["read"], name
        end = facts["copies, without it"]
        assert (end["opened"], end["read"]) == (0, []), name
        assert not any(facts[when]["in clear"] for when in ("before", "after", "copies, without it")), name
        kinds = facts["copies, old master key"]["kinds"]
        assert kinds == (KINDS if name == "whole person" else ["conversation"]), name
        if name != "whole person":
            assert end["living"] > 0, f"{name}: what stays opens"


def test_nothing_opens_in_the_files_of_sqlite_nor_in_old_copies_once_the_master_key_is_gone(tmp_path: Path) -> None:
    scenes = prove(new_site(tmp_path / "site"), tmp_path / "copies")
    for name, facts in scenes.items():  # SQLite overwrites: at once, while the master key still lives
        assert (facts["after"]["opened"], facts["after"]["read"]) == (0, []), name
    reader = scenes["open reader"]
    assert reader["said that a reader is in the way"] is True
    assert reader["opened while read"] == reader["gone"]
    check_control_and_end(scenes)


@pytest.mark.services
def test_nothing_opens_in_postgresql_its_write_ahead_log_and_dumps_once_the_master_key_is_gone(
    tmp_path: Path, postgres: Postgres
) -> None:
    postgres.create("proof_records", "proof_keys")
    with psycopg.connect(postgres.url("postgres")) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
    programs = postgres_programs()
    assert row is not None and programs is not None
    site = new_site(
        tmp_path / "site",
        DATABASE_URL=postgres.url("proof_records"),
        KEYS_DATABASE_URL=postgres.url("proof_keys"),
    )
    scenes = prove(site, tmp_path / "copies", row[0], str(programs / "pg_dump"))
    for name, facts in scenes.items():  # dead tuples and the log keep it: this is why master keys are rolled
        assert facts["after"]["opened"] == facts["gone"], name
    check_control_and_end(scenes)
