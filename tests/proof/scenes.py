"""What is erased in a proof, and how: each scene in the process of one site, started by `manage.py shell`.

For each: are the keys of what goes openable before, from the site's own files; after, from the same files; and, when the
master key of that time has been destroyed, from those files and from copies of everything made before the erasure.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.utils import timezone

from apps.archives.services import create_archive
from apps.audit.actors import Actor, Role
from apps.audit.handles import new_handle
from apps.keys import journal
from apps.keys import services as keys
from apps.keys.errors import JournalNotTruncated
from apps.keys.models import Epoch
from apps.keys.policy import GRACE
from apps.records import services as records
from apps.records.models import Conversation, Subject
from apps.records.services import store_conversations
from apps.records.subjects import create_subject
from apps.requests import engine
from apps.requests import services as requests
from tests.officers import anybody
from tests.proof import prober
from tests.proof.prober import Ring
from tests.records.conftest import attachment, conversation

TRUNCATE = "apps.keys.services.destroying.truncate_journal"
IMPATIENT = partial(journal.truncate_journal, patience=0.2)
CANARY, OTHER = "canary-goes-6b21", "canary-stays-90ff"


@dataclass
class Scene:
    """One erasure: whose, which keys go with it and which stay."""

    name: str
    subject: Subject
    ring: Ring
    gone: set[UUID] = field(default_factory=set)
    facts: dict[str, Any] = field(default_factory=dict)


class Proof:
    def __init__(self, folder: Path, copies: Path, postgres: Path | None, dump: Callable[[Path], None]) -> None:
        self.folder, self.copies, self.postgres, self.dump = folder, copies, postgres, dump
        self.scenes: list[Scene] = []

    @property
    def now(self) -> list[Path]:
        """The site's files as they lie there; PostgreSQL brings its own to the disk first."""
        if self.postgres is None:
            return [self.folder]
        with connections["default"].cursor() as cursor:
            cursor.execute("CHECKPOINT")
        return [self.folder, self.postgres]

    def plant(self, name: str) -> None:
        """Give a new person a conversation that will go, or a part of it, and one that stays."""
        subject = create_subject(emails=[f"{name}@example.org"])
        parsed = [
            conversation("goes", f"say {CANARY}", "an answer", attachments=[attachment("a.txt", CANARY.encode())]),
            conversation("stays", f"say {OTHER}", "an answer"),
        ]
        store_conversations(subject, parsed, actor=Actor.system(), source="chatgpt")
        if name == "whole person":
            upload = SimpleUploadedFile("talks.txt", f"say {CANARY}".encode())
            records.start_import(subject, upload, actor=Actor.system())
            create_archive(
                request_id=uuid4(), subject_id=subject.pk, handle=new_handle(), language="en", formats=["json"]
            )
        scene = Scene(name, subject, Ring(subject.pk))
        scene.ring.note(CANARY, OTHER)
        self.scenes.append(scene)

    def copy_everything(self) -> None:
        """Copy all files raw, and make the backups that an operator makes. Master keys are kept apart."""
        for source in self.now:
            kept_apart = shutil.ignore_patterns("master-keys")
            shutil.copytree(source, self.copies / source.name, ignore=kept_apart, dirs_exist_ok=True)
        keys.back_up_keys(self.copies / "keys.backup", actor=Actor.system())
        self.dump(self.copies)

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
                "in clear": prober.in_clear(scene.ring, (CANARY, OTHER), files),
            }


def key_of(scene: Scene, title: str) -> UUID:
    """Return the key of the conversation that has this canary."""
    found = next(one for one in scene.ring.sealed if one.words == title)
    return found.key_id


def whole_person(scene: Scene) -> None:
    """Everything goes, what was uploaded and what was being collected for the person included."""
    scene.gone = set(scene.ring.names)
    request = requests.open_request(scene.subject, kind="erasure", regime="gdpr", actor=Actor.system()).request
    requests.approve_request(request, actor=Actor.command_line(), rule="command_line")
    engine.drain()


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
}


def main(folder: str, copies: str, postgres: str = "", pg_dump: str = "") -> None:
    """Play every scene and print what was seen, as one line of JSON."""

    def dump(target: Path) -> None:
        for name in ("DATABASE_URL", "KEYS_DATABASE_URL") if pg_dump else ():
            command = [pg_dump, "--file", str(target / f"{name}.sql"), os.environ[name]]
            subprocess.run(command, check=True, capture_output=True)

    proof = Proof(Path(folder), Path(copies), Path(postgres) if postgres else None, dump)
    scenes = SCENES if postgres else SCENES | {"open reader": with_an_open_reader}
    for name in scenes:
        proof.plant(name)
    proof.copy_everything()
    old = prober.load([proof.copies])
    proof.look("before", prober.load(proof.now))
    for scene, work in zip(proof.scenes, scenes.values(), strict=True):
        work(scene)
    proof.look("after", prober.load(proof.now))
    proof.look("copies, old master key", [*old, *prober.load(proof.now)])
    ended = end_the_master_key(proof.copies)
    proof.look("copies, without it", [*old, *prober.load([*proof.now, proof.copies])])
    facts = {scene.name: scene.facts | {"gone": len(scene.gone)} for scene in proof.scenes}
    print(json.dumps({"ended": ended, "scenes": facts}))
