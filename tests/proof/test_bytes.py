"""Gone means gone, proven by bytes: no wrapped key found in any raw file opens what was erased, by any chain."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.journeys.site import Site
from tests.proof.scenes import CANARY, OPEN_READER, OTHER, SCENES
from tests.services import Postgres, not_here, postgres_programs, running_rabbitmq, running_redis

pytestmark = pytest.mark.thorough
READ_BOTH = [CANARY, OTHER]
KINDS = ["archive", "conversation", "import", "subject"]
EVERY_SCENE = list(SCENES)


def prove(site: Site, tmp_path: Path, *, scenes: list[str], runs: bool = False, **places: Any) -> dict[str, Any]:
    """Play the scenes; with `runs` beside the site's own web server, worker and schedule."""
    state, copies = str(tmp_path / "state"), tmp_path / "copies"
    copies.mkdir()
    given = {"folder": str(site.folder), "copies": str(copies), "scenes": scenes} | places
    given["address"] = site.address if runs else ""
    shell(site, f"begin({state!r}, **{given!r})")
    with site_running(site) if runs else contextlib.nullcontext():
        answer: dict[str, Any] = json.loads(shell(site, f"go_on({state!r})").splitlines()[-1])
    assert answer["ended"] == 1  # master keys destroyed
    check_broker(answer["broker"])
    found: dict[str, Any] = answer["scenes"]
    return found


def shell(site: Site, work: str) -> str:
    return site.manage("shell", "-c", f"from tests.proof.scenes import begin, go_on; {work}", timeout=600)


@contextlib.contextmanager
def site_running(site: Site) -> Iterator[None]:
    try:
        site.start()
        yield
    finally:
        site.kill()


def new_site(folder: Path, **environment: str) -> Site:
    (folder / "tmp").mkdir(parents=True)
    site = Site(folder, environment | {"TMPDIR": str(folder / "tmp")})
    site.manage("migrate", "--verbosity", "0")
    site.manage("migrate", "--database", "keys", "--verbosity", "0")
    site.manage("collectstatic", "--noinput", "--verbosity", "0")
    return site


def check_broker(seen: dict[str, Any]) -> None:
    """What went through the broker is seen in its files, and no key and no word was; a key that had been would be found."""
    assert {when: facts["opened"] for when, facts in seen.items()} == {"traffic": 0, "control": 1, "end": 0}
    assert {when: facts["control"] for when, facts in seen.items()} == {"traffic": False, "control": True, "end": True}
    assert seen["traffic"]["ids"] is True
    assert not any(facts["in clear"] for facts in seen.values())


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
        stays = [] if name == "whole person" else [OTHER]  # also sealed anew under another key nothing else is there
        for when in ("after", "copies, old master key", "copies, without it"):
            assert facts[when]["read with what lives"] == stays, (name, when)


def test_nothing_opens_in_the_files_of_sqlite_nor_in_old_copies_once_the_master_key_is_gone(tmp_path: Path) -> None:
    site = new_site(tmp_path / "site")
    scenes = prove(site, tmp_path, scenes=EVERY_SCENE, broker=str(site.data / "broker"))
    for name, facts in scenes.items():  # SQLite overwrites: at once, while the master key still lives
        assert (facts["after"]["opened"], facts["after"]["read"]) == (0, []), name
    reader = scenes[OPEN_READER]
    assert reader["said that a reader is in the way"] is True
    assert reader["opened while read"] == reader["gone"]
    check_control_and_end(scenes)


@pytest.mark.services
def test_nothing_opens_in_the_files_of_a_whole_site_with_postgresql_and_redis_once_the_master_key_is_gone(
    tmp_path: Path, postgres: Postgres
) -> None:
    """Web server, worker and schedule do the work; PostgreSQL's log of writes, Redis' dump and its log of commands are read."""
    postgres.create("proof_records", "proof_keys")
    with psycopg.connect(postgres.url("postgres")) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
    programs = postgres_programs()
    assert row is not None and programs is not None
    data = Path(row[0])
    (tmp_path / "redis").mkdir()
    with running_redis(tmp_path / "redis", keeps=True) as redis:
        site = new_site(
            tmp_path / "site",
            DATABASE_URL=postgres.url("proof_records"),
            KEYS_DATABASE_URL=postgres.url("proof_keys"),
            CELERY_BROKER_URL=f"{redis}/0",
            CACHE_URL=f"{redis}/1",
        )
        scenes = prove(
            site,
            tmp_path,
            scenes=[name for name in EVERY_SCENE if name != OPEN_READER],
            runs=True,
            broker=str(tmp_path / "redis"),
            beside=[str(data), str(data.parent.with_name(f"{data.parent.name}.log"))],
            pg_dump=str(programs / "pg_dump"),
        )
        assert {path.suffix for path in (tmp_path / "redis").rglob("*") if path.is_file()} >= {".rdb", ".aof"}
    for name, facts in scenes.items():  # dead tuples and the log keep it: this is why master keys are rolled
        assert facts["after"]["opened"] == facts["gone"], name
    check_control_and_end(scenes)


@pytest.mark.services
def test_nothing_opens_in_the_files_of_rabbitmq(tmp_path: Path) -> None:
    try:
        with running_rabbitmq(tmp_path / "rabbitmq") as address:
            site = new_site(tmp_path / "site", CELERY_BROKER_URL=address)
            scenes = prove(site, tmp_path, scenes=["whole person"], broker=str(tmp_path / "rabbitmq"))
    except FileNotFoundError:
        not_here("RabbitMQ")
    check_control_and_end(scenes)
