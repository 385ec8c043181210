"""What is erased in a proof, and how: each scene with the environment of one site, started by `manage.py shell`.

For each: are the keys of what goes openable before, from the site's own files; after, from the same files; and, when the
master key of that time has been destroyed, from those files and from copies of everything made before the erasure. The
files are those of every server that the site talks to: databases, broker, cache, logs, temporary folders.

In two parts, so that web server, worker and schedule can be started between them: `begin`, then `go_on`.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import httpx
from allauth.account.models import EmailAddress
from celery import current_app
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.utils import timezone
from redis import Redis

from apps.accounts.models import User
from apps.archives.services import create_archive
from apps.audit.actors import Actor, Role
from apps.audit.handles import new_handle
from apps.keys import journal
from apps.keys import services as keys
from apps.keys.errors import JournalNotTruncated
from apps.keys.models import Epoch, Key
from apps.keys.policy import GRACE
from apps.records import services as records
from apps.records.models import Conversation, Subject
from apps.records.services import store_conversations
from apps.records.subjects import create_subject
from apps.records.tasks import poke_import
from apps.requests import engine
from apps.requests import services as requests
from apps.requests.models import PrivacyRequest, Status
from tests.officers import anybody
from tests.proof import prober
from tests.proof.prober import Ring
from tests.records.conftest import attachment, conversation

TRUNCATE = "apps.keys.services.destroying.truncate_journal"
IMPATIENT = partial(journal.truncate_journal, patience=0.2)
CANARY, OTHER, IN_BROKER = "canary-goes-6b21", "canary-stays-90ff", "canary-broker-3d5c"
PASSWORD = "a good password"
OPEN_READER = "open reader"


@dataclass
class Scene:
    """One erasure: whose, which keys go with it and which stay."""

    name: str
    subject: Subject
    ring: Ring
    gone: set[UUID] = field(default_factory=set)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Proof:
    """Where everything lies, and what was seen. `broker`: where the broker keeps its messages; `beside`: further servers'."""

    folder: Path
    copies: Path
    broker: Path
    beside: list[Path] = field(default_factory=list)
    pg_dump: str = ""
    address: str = ""  # of the web server, where the whole site runs
    scenes: list[Scene] = field(default_factory=list)
    sent: set[str] = field(default_factory=set)  # ids that went through the broker
    in_broker: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def now(self) -> list[Path]:
        """The site's files as they lie there; servers bring their own to the disk first."""
        flush()
        return [self.folder, *self.beside, *([] if self.broker.is_relative_to(self.folder) else [self.broker])]

    def plant(self, name: str) -> None:
        """Give a new person a conversation that will go, or a part of it, and one that stays."""
        email = f"{name.replace(' ', '.')}@example.org"
        account = User.objects.create_user(email, PASSWORD)
        EmailAddress.objects.create(user=account, email=email, verified=True, primary=True)
        subject = create_subject(account, emails=[email])
        parsed = [
            conversation("goes", f"say {CANARY}", "an answer", attachments=[attachment("a.txt", CANARY.encode())]),
            conversation("stays", f"say {OTHER}", "an answer"),
        ]
        store_conversations(subject, parsed, actor=Actor.system(), source="chatgpt")
        if name == "whole person":
            upload = SimpleUploadedFile("talks.txt", f"say {CANARY}".encode())
            brought_in = records.start_import(subject, upload, actor=Actor.system())
            poke_import(brought_in.pk)
            self.sent.add(str(brought_in.pk))
            create_archive(
                request_id=uuid4(), subject_id=subject.pk, handle=new_handle(), language="en", formats=["json"]
            )
        scene = Scene(name, subject, Ring(subject.pk))
        scene.ring.note(CANARY, OTHER)
        self.scenes.append(scene)

    def plant_in_broker(self) -> None:
        """Send a key of the first person as if a task had it among its arguments; nobody takes the message."""
        row = Key.objects.get(pk=key_of(self.scenes[0], CANARY))
        arguments = [base64.b64encode(bytes(row.wrapped or b"")).decode(), IN_BROKER]
        with current_app.connection_for_write() as connection:
            connection.transport_options = connection.transport_options | {"confirm_publish": True}  # of RabbitMQ
            current_app.send_task("nobody.takes.it", arguments, queue="control", connection=connection)

    def copy_everything(self) -> None:
        """Copy all files raw, and make the backups that an operator makes. Master keys are kept apart."""
        for place in self.now:
            for path in place.rglob("*") if place.is_dir() else [place]:
                if path.is_file() and "master-keys" not in path.parts:
                    target = self.copies / place.name / path.relative_to(place)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)
        keys.back_up_keys(self.copies / "keys.backup", actor=Actor.system())
        for name in ("DATABASE_URL", "KEYS_DATABASE_URL") if self.pg_dump else ():
            command = [self.pg_dump, "--file", str(self.copies / f"{name}.sql"), os.environ[name]]
            subprocess.run(command, check=True, capture_output=True)

    def look(self, when: str, files: list[bytes]) -> None:
        """Note, for each scene, what opens from these files with whatever lives now."""
        tried = prober.candidates(files)
        for scene in self.scenes:
            scene.ring.note(CANARY, OTHER)  # a roll may have put other keys in the place of those that stay
            opened = prober.openable(scene.ring, tried)
            gone = {key_id: key for key_id, key in opened.items() if key_id in scene.gone} if scene.gone else opened
            scene.facts[when] = {
                "opened": len(gone),
                "read": sorted(prober.readable(scene.ring, gone, files)),
                "kinds": sorted({scene.ring.names[key_id][0] for key_id in gone}),
                "living": len(opened.keys() - scene.gone),
                "read with what lives": sorted(prober.readable(scene.ring, _without(opened, scene.gone), files)),
                "in clear": prober.in_clear(scene.ring, (CANARY, OTHER), files),
            }

    def look_at_broker(self, when: str) -> None:
        """Note what opens from the broker's files alone, and what of its messages can be seen there."""
        flush()
        files = prober.load([self.broker])
        tried = prober.candidates(files)
        texts = [view for data in files for view in prober.views(data)]
        self.in_broker[when] = {
            "opened": sum(len(prober.openable(scene.ring, tried)) for scene in self.scenes),
            "in clear": [one for scene in self.scenes for one in prober.in_clear(scene.ring, (CANARY, OTHER), texts)],
            "ids": all(any(sent.encode() in text for text in texts) for sent in self.sent),
            "control": any(IN_BROKER.encode() in text for text in texts),
        }

    def is_sent_to_disk(self) -> bool:
        """RabbitMQ writes what nobody wants confirmed when it has nothing else to do."""
        flush()
        texts = [view for data in prober.load([self.broker]) for view in prober.views(data)]
        return all(any(sent.encode() in text for text in texts) for sent in self.sent)

    def visit(self) -> None:
        """Read the first conversation through the web server, signed in: the session, its limits and its log come to be."""
        scene = self.scenes[0]
        row = Conversation.objects.get(key_id=key_of(scene, CANARY))
        with httpx.Client(base_url=self.address, follow_redirects=True) as client:
            token = client.get("/accounts/login/").text.partition('csrfmiddlewaretoken" value="')[2].partition('"')[0]
            email = scene.subject.account.email  # type: ignore[union-attr]
            client.post("/accounts/login/", data={"login": email, "password": PASSWORD, "csrfmiddlewaretoken": token})
            assert CANARY in client.get(f"/conversations/{row.pk}/").text


def flush() -> None:
    """Have every server bring to the disk what it holds."""
    for alias in ("default", "keys"):
        if connections[alias].vendor == "postgresql":
            with connections[alias].cursor() as cursor:
                cursor.execute("CHECKPOINT")
    if settings.CELERY_BROKER_URL.startswith("redis://"):
        with Redis.from_url(settings.CELERY_BROKER_URL) as server:
            server.save()


def wait_until(is_so: Callable[[], bool], *, seconds: float = 240) -> None:
    """Where servers do the work, this process looks on."""
    ends_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends_at, "it has not come about"
        time.sleep(0.2)


def key_of(scene: Scene, title: str) -> UUID:
    """Return the key of the conversation that has this canary."""
    found = next(one for one in scene.ring.sealed if one.words == title)
    return found.key_id


def whole_person(scene: Scene) -> None:
    """Everything goes, what was uploaded and what was being collected for the person included."""
    scene.gone = set(scene.ring.names)
    request = requests.open_request(scene.subject, kind="erasure", regime="gdpr", actor=Actor.system()).request
    requests.approve_request(request, actor=Actor.command_line(), rule="command_line")
    while engine.drain():
        pass
    wait_until(lambda: PrivacyRequest.objects.get(pk=request.pk).status in (Status.COMPLETED, Status.PARTLY_COMPLETED))


def held_remainder(scene: Scene) -> None:
    """A hold keeps one conversation; everything else of the person goes."""
    scene.gone = {key_of(scene, CANARY)}
    kept = Conversation.objects.get(key_id=key_of(scene, OTHER))
    until = timezone.now().date() + timedelta(days=90)
    records.place_hold(scene.subject, basis="order", until=until, actor=Actor.system(), conversation_id=kept.pk)
    whole = set(scene.gone)
    whole_person(scene)
    scene.gone = whole


def one_conversation(scene: Scene) -> None:
    scene.gone = {key_of(scene, CANARY)}
    row = Conversation.objects.get(key_id=key_of(scene, CANARY))
    records.delete_conversations(scene.subject, [row.pk], actor=Actor.system())


def one_message(scene: Scene) -> None:
    scene.gone = {key_of(scene, CANARY)}
    row = Conversation.objects.get(key_id=key_of(scene, CANARY))
    records.remove_message(scene.subject, row.pk, 1, actor=Actor.system())


def corrected_text(scene: Scene) -> None:
    scene.gone = {key_of(scene, CANARY)}
    row = Conversation.objects.get(key_id=key_of(scene, CANARY))
    records.correct_message(scene.subject, row.pk, 1, "other words", actor=Actor.system())


def with_an_open_reader(scene: Scene) -> None:
    """While somebody reads the key store, SQLite cannot empty its journal: the destruction says so, and is repeated."""
    scene.gone = {key_of(scene, CANARY)}
    row = Conversation.objects.get(key_id=key_of(scene, CANARY))
    with _reading(settings.DATABASES["keys"]["NAME"]), patch(TRUNCATE, IMPATIENT):
        try:
            records.delete_conversations(scene.subject, [row.pk], actor=Actor.system())
        except JournalNotTruncated:
            scene.facts["said that a reader is in the way"] = True
        files = prober.load([Path(settings.DATABASES["keys"]["NAME"]).parent])
        held_up = prober.openable(scene.ring, prober.candidates(files))
        scene.facts["opened while read"] = len(scene.gone & held_up.keys())
    records.finish_deletions(scene.subject.pk)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM keys_key").fetchone()
    try:
        yield
    finally:
        reader.close()


def end_the_master_key(folder: Path) -> int:
    """Roll, let the grace pass, back up, have two people decide, destroy; return how many master keys went."""
    system = Actor.system()
    keys.roll_master_key(actor=system)
    Epoch.objects.filter(emptied_at__isnull=False).update(emptied_at=timezone.now() - GRACE - timedelta(seconds=1))
    keys.back_up_keys(folder / "after.backup", actor=system)
    old = Epoch.objects.filter(emptied_at__isnull=False, destroyed_at=None).values_list("pk", flat=True)
    proposal = keys.propose_destruction(list(old), officer=uuid4(), actor=Actor(new_handle(), Role.APPROVER))
    officer = Actor(new_handle(), Role.APPROVER)
    keys.approve_proposal(proposal.pk, officer=uuid4(), actor=officer, may_decide=anybody)
    return len(keys.destroy_master_keys(actor=system).destroyed)


SCENES: dict[str, Callable[[Scene], None]] = {
    "whole person": whole_person,
    "one conversation": one_conversation,
    "one message": one_message,
    "corrected text": corrected_text,
    "held remainder": held_remainder,
    OPEN_READER: with_an_open_reader,
}
PATHS = ("folder", "copies", "broker")


def begin(state: str, **places: Any) -> None:
    """Plant everything, look for the first time, copy it all, and note in a file what `go_on` needs."""
    names = places.pop("scenes")
    given: dict[str, Any] = {name: Path(value) if name in PATHS else value for name, value in places.items()}
    proof = Proof(**given)
    proof.beside = [Path(one) for one in proof.beside]
    for name in names:
        proof.plant(name)
    wait_until(proof.is_sent_to_disk)
    proof.look_at_broker("traffic")
    proof.plant_in_broker()
    proof.look_at_broker("control")
    proof.copy_everything()
    proof.look("before", prober.load(proof.now))
    Path(state).write_bytes(pickle.dumps(proof))


def go_on(state: str) -> None:
    """Play every scene and print what was seen, as one line of JSON."""
    proof: Proof = pickle.loads(Path(state).read_bytes())  # noqa: S301  (what `begin` has just written)
    old = prober.load([proof.copies])
    if proof.address:
        proof.visit()
    for scene in proof.scenes:
        SCENES[scene.name](scene)
        wait_until(partial(_is_destroyed, scene))
    proof.look("after", prober.load(proof.now))
    proof.look("copies, old master key", [*old, *prober.load(proof.now)])
    ended = end_the_master_key(proof.copies)
    proof.look("copies, without it", [*old, *prober.load([*proof.now, proof.copies])])
    proof.look_at_broker("end")
    facts = {scene.name: scene.facts | {"gone": len(scene.gone)} for scene in proof.scenes}
    print(json.dumps({"ended": ended, "scenes": facts, "broker": proof.in_broker}))


def _without(opened: dict[UUID, bytes], gone: set[UUID]) -> dict[UUID, bytes]:
    return {key_id: key for key_id, key in opened.items() if key_id not in gone}


def _is_destroyed(scene: Scene) -> bool:
    """Say whether each of its keys is a tombstone, or below one."""
    tombstones = Key.objects.filter(destroyed_at__isnull=False).values("pk")
    return not Key.objects.filter(pk__in=scene.gone, destroyed_at=None).exclude(parent_id__in=tombstones).exists()
