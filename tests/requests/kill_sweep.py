"""Kills the work of a request at each of its side effects in turn, restarts it, and looks whether it ended once, whole.

    python tests/requests/kill_sweep.py access|erasure|rectification|restriction [STRIDE]

An effect is a commit, a statement outside transactions that writes, or a change of a file. Before the N-th one the process
kills itself with SIGKILL; then a fresh process does what is due. N grows until a run is not killed any more. Prints one
line of JSON: how many effects there were, and what was wrong after which.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
import zipfile
from pathlib import Path
from typing import Any, cast
from uuid import UUID

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django  # noqa: E402
from django.conf import settings  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, connections  # noqa: E402
from django.db.backends.base.base import BaseDatabaseWrapper  # noqa: E402
from django.db.backends.utils import CursorWrapper  # noqa: E402

from apps.archives.models import Archive  # noqa: E402
from apps.archives.selectors import read_range  # noqa: E402
from apps.audit import services as audit  # noqa: E402
from apps.audit import verification  # noqa: E402
from apps.audit.actors import Actor  # noqa: E402
from apps.audit.models import Entry  # noqa: E402
from apps.audit.selectors import archive_key_text  # noqa: E402
from apps.keys import services as keys  # noqa: E402
from apps.keys.errors import KeyDestroyed  # noqa: E402
from apps.locations.contract import Change  # noqa: E402
from apps.locations.models import Location  # noqa: E402
from apps.mail.models import Letter  # noqa: E402
from apps.records.models import Subject  # noqa: E402
from apps.requests import engine, selectors, services, upkeep  # noqa: E402
from apps.requests.corrections import NOTHING, VALUES, Correction  # noqa: E402
from apps.requests.models import CHANGES, PrivacyRequest, Status, Step  # noqa: E402
from tests.requests.conftest import add_place, approved, filed, person  # noqa: E402
from tests.requests.fakes import ChangingPlace, FakeConnector  # noqa: E402
from verify import habeas_verify  # noqa: E402

DATA = Path(os.environ["DATA_DIR"])
FIXED = DATA / "fixed"  # what a run works on; the template is copied over it
ADA, BEN = "ada@example.org", "ben@example.org"
ITEMS = 2
WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


def prepare(kind: str) -> None:
    """Set up a site with Ada's approved request, and keep it as the template."""
    FIXED.mkdir()
    settings.CONNECTORS["fake"] = f"tests.requests.fakes.{'ChangingPlace' if kind in CHANGES else 'FakeConnector'}"
    settings.TILES_DIR = FIXED / "tiles"
    settings.MASTER_KEY_DIR = FIXED / "master-keys"
    settings.STEP_BATCH_SECONDS = 0  # every entry is a batch of its own: the most effects
    for alias, name in (("default", "records.sqlite3"), ("keys", "keys.sqlite3")):
        connections[alias].settings_dict["NAME"] = str(FIXED / name)
        call_command("migrate", database=alias, verbosity=0)
    ada, _ben = person(ADA), person(BEN)
    place = add_place(FIXED / "desk", "Support desk")
    place.put(ADA, ITEMS)
    place.put(BEN, ITEMS)
    if kind in CHANGES:
        for email in (ADA, BEN):
            ChangingPlace({"folder": str(FIXED / "desk")}).set(email, name="Adda")
        ready(ada, kind)
    else:
        approved(ada, kind)
    connections.close_all()
    shutil.copytree(FIXED, DATA / "template")


def ready(ada: Subject, kind: str) -> None:
    """File and approve a change: in the desk a value and a mark, in our own places nothing but the mark."""
    request = filed(ada, kind, asked={"wrong": "Adda", "right": "Ada", "what": "all", "ground": "accuracy"})
    if kind == "rectification":
        ways = {place: Correction(NOTHING) for place in Location.objects.exclude(kind="fake")}
        value = Correction(VALUES, (Change("name", "Ada", "Adda"),))
        ways |= dict.fromkeys(Location.objects.filter(kind="fake"), value)
        services.note_corrections(request, ways, actor=Actor.system())
    services.approve_request(request, rule="command_line", actor=Actor.command_line())


def restore() -> None:
    shutil.rmtree(FIXED)
    shutil.copytree(DATA / "template", FIXED)


class Killer:
    """Counts effects, and kills this process before the N-th."""

    def __init__(self, at: int) -> None:
        self.left = at

    def effect(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        database, statements = cast(Any, BaseDatabaseWrapper), cast(Any, CursorWrapper)
        commit, execute = database._commit, statements._execute_with_wrappers

        def counted_commit(wrapper: Any) -> Any:
            self.effect()
            return commit(wrapper)

        def counted_execute(cursor: Any, sql: str, params: Any, many: bool, executor: Any) -> Any:
            if not cursor.db.in_atomic_block and sql.lstrip().upper().startswith(WRITES):
                self.effect()
            return execute(cursor, sql, params, many, executor)

        database._commit, statements._execute_with_wrappers = counted_commit, counted_execute
        sys.addaudithook(self._file)

    def _file(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            flags = arguments[2] if isinstance(arguments[2], int) else 0
            if flags & (os.O_WRONLY | os.O_RDWR) and str(arguments[0]).startswith(str(FIXED)):
                self.effect()
        elif event in ("os.remove", "os.rename", "os.rmdir") and str(arguments[0]).startswith(str(FIXED)):
            self.effect()


def fork(work: Any) -> int:
    """Run in a child process; return its exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = work() or 0
        except BaseException:  # noqa: BLE001  # reported, then the child ends
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def drain() -> None:
    while engine.drain():
        pass


def killed_run(at: int) -> int:
    def work() -> int:
        Killer(at).install()
        drain()
        return 0

    return fork(work)


def second_run(kind: str, report: Path) -> None:
    def work() -> int:
        Step.objects.filter(next_try_at__isnull=False).exclude(state="done").update(next_try_at=None)  # pauses pass
        Step.objects.filter(state="blocked").update(state="pending")
        drain()
        upkeep.tidy()
        report.write_text(json.dumps(wrong(kind)))
        return 0

    report.write_text(json.dumps(["the second run broke off"]))
    fork(work)


def wrong(kind: str) -> list[str]:
    """Return what is not as it should be after all is done."""
    request = PrivacyRequest.objects.get(kind=kind)
    place = FakeConnector({"folder": str(FIXED / "desk")})
    found = [f"{name} is {value}, not {wanted}" for name, value, wanted in facts(request) if value != wanted]
    if len(place.items_of(BEN)) != ITEMS or not keys.open_key(Subject.objects.get(account__email=BEN).key_id):
        found.append("Ben has lost something")
    audit.sequence()
    try:
        verification.verify_everything()
    except Exception as error:  # noqa: BLE001  # whatever it is, it is reported
        found.append(f"the log: {error}")
    if kind in CHANGES:
        return found + wrong_change(request)
    return found + (wrong_erasure(request, place) if kind == "erasure" else wrong_archive(request, place))


def wrong_change(request: PrivacyRequest) -> list[str]:
    desk = ChangingPlace({"folder": str(FIXED / "desk")}).values
    is_correction = request.kind == "rectification"
    wanted = {"name": "Ada"} if is_correction else {"name": "Adda", "restricted": True}
    found = [] if desk == {ADA: wanted, BEN: {"name": "Adda"}} else [f"the desk holds {desk}"]
    if is_correction == (Subject.objects.get(account__email=ADA).restricted_at is not None):
        found.append("Ada's mark is not as it should be")
    if len(selectors.receipts_of(request)) != 1 or Letter.objects.filter(owner=request.pk).count() != 3:
        found.append("there is not one receipt, and a letter each for receiving, approving and the end")
    return found


def facts(request: PrivacyRequest) -> list[tuple[str, Any, Any]]:
    events = list(Entry.objects.filter(about=request.handle).values_list("event", flat=True))
    once = ["request.opened", "request.running", "request.completed"]
    ends = {"erasure": ["keys.intended", "keys.destroyed", "receipt.issued"], "access": ["archive.published"]}
    once += ends.get(request.kind, ["receipt.issued"])
    return [
        ("status", request.status, Status.COMPLETED),
        ("steps not done", request.steps.exclude(state="done").count(), 0),
        ("step.done", events.count("step.done"), request.steps.count()),
        *((event, events.count(event), 1) for event in once),
    ]


def wrong_erasure(request: PrivacyRequest, place: FakeConnector) -> list[str]:
    found = []
    if place.items_of(ADA) or Subject.objects.filter(account__email=ADA).exists() or Subject.objects.count() != 1:
        found.append("something of Ada is left")
    key_id = UUID(json.loads((DATA / "key.json").read_text()))
    try:
        keys.open_key(key_id)
        found.append("Ada's key opens")
    except KeyDestroyed:
        pass
    if len(selectors.receipts_of(request)) != 1 or Letter.objects.filter(owner=request.pk).count() != 1:
        found.append("there is not one receipt and one letter")
    return found


def wrong_archive(request: PrivacyRequest, place: FakeConnector) -> list[str]:
    archives = list(Archive.objects.filter(request_id=request.pk))
    if [archive.state for archive in archives] != [Archive.State.READY]:
        return [f"archives: {[archive.state for archive in archives]}"]
    with tempfile.NamedTemporaryFile(dir=DATA, suffix=".zip") as file:
        for chunk in read_range(archives[0], 0, archives[0].size or 0):
            file.write(chunk)
        file.flush()
        try:
            habeas_verify.check_archive(
                Path(file.name), habeas_verify.read_keys([archive_key_text()]), argparse.Namespace()
            )
        except habeas_verify.Bad as error:
            return [f"the archive: {error}"]
        names = [name for name in zipfile.ZipFile(file.name).namelist() if "/fake-" in name]
    return [] if len(names) == ITEMS == len(place.items_of(ADA)) else [f"the archive holds {len(names)} items"]


def main(kind: str, stride: int) -> None:
    prepare(kind)
    (DATA / "key.json").write_text(json.dumps(str(Subject.objects.get(account__email=ADA).key_id)))
    connection.close()
    connections.close_all()
    failures: dict[int, list[str]] = {}
    number, report = 1, DATA / "report.json"
    while True:
        restore()
        was_killed = killed_run(number) == -signal.SIGKILL
        second_run(kind, report)
        if found := json.loads(report.read_text()):
            failures[number] = found
        if not was_killed:
            break
        number += stride
    shutil.rmtree(DATA, ignore_errors=True)
    print(json.dumps({"effects": number - 1, "failures": failures}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1)
