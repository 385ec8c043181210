"""The drill of docs/operating.md: backups of every age, restored in every combination; nothing erased comes back.

Ada erases a conversation, then everything; Ben's data must survive by hash. Each restore is of real copies of the
databases (SQLite's backup, pg_dump and pg_restore on PostgreSQL).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from apps.accounts.models import User
from apps.audit import anchoring, quarantine, selectors
from apps.audit.actors import Actor
from apps.audit.errors import LogDamaged
from apps.audit.events import Event
from apps.audit.models import AnchorState, Checkpoint, Entry, Leaf
from apps.audit.quarantine import Reason
from apps.audit.selectors import details_of, receipt_text
from apps.audit.sequencer import log_size
from apps.audit.services import sequence
from apps.audit.verification import verify_everything
from apps.keys import services as keys
from apps.keys.errors import InQuarantine
from apps.keys.models import Key
from apps.mail.models import Letter
from apps.records import services as records
from apps.records.models import Conversation, Identity, Message, Subject
from apps.records.selectors import read_conversation
from apps.requests.models import Kind, Receipt
from apps.requests.replaying import GapNotAccepted, accept_gap
from apps.requests.vault import body_of
from config.anchors import anchors as read_environment
from tests.journeys.scan import fingerprint, scan
from tests.records.conftest import attachment, conversation
from tests.requests.conftest import approved, as_person, run, staff
from tests.restoring import Backup, bucket_with_lock

pytestmark = [
    pytest.mark.thorough, pytest.mark.starts, pytest.mark.django_db(transaction=True, databases=["default", "keys"]),
]  # fmt: skip

GONE = ["canary-first-11", "canary-second-22", "canary-title-33", "canary-file-44"]
AGES = ("empty", "full", "shorter", "erased")


@dataclass
class Story:
    """What happened, and a backup after each part of it."""

    backups: dict[str, Backup]
    ada: Subject
    ben: Subject
    account: Any
    first: Any  # the conversation that Ada erased by itself
    bens: dict[str, dict[str, str]]  # hashes at each age
    checkpoint: str = ""

    @property
    def words_left(self) -> list[str]:
        found = scan(Path(settings.STORAGES["default"]["OPTIONS"]["location"]), GONE)
        return [word for word, places in found.items() if places]


def store(subject: Subject, name: str, text: str, title: str, file: bytes) -> Any:
    parsed = conversation(name, text, "An answer.", title=title, attachments=[attachment("notes.txt", file)])
    records.store_conversations(subject, [parsed], actor=as_person(subject), source="chatgpt")
    return Conversation.objects.filter(subject=subject).latest("imported_at").pk


@pytest.fixture
def story(ada: Subject, ben: Subject, tmp_path: Path) -> Iterator[Story]:
    """empty → full (both have conversations) → shorter (Ada erased one) → erased (Ada erased everything)."""
    keys.site_key("letters")
    story = Story({}, ada, ben, ada.account_id, None, {})

    def keep(age: str) -> None:
        sequence()
        story.bens[age] = fingerprint(f"{ben.pk}/{ben.account_id}")
        story.backups[age] = Backup(tmp_path / age)

    keep("empty")
    story.first = store(ada, "first", GONE[0], GONE[2], b"x")
    store(ada, "second", GONE[1], "Deposit", GONE[3].encode())
    store(ben, "bens", "Ben's words stay.", "Ben's title", b"Ben's file")
    keep("full")
    records.delete_conversations(ada, [story.first], actor=as_person(ada))
    keep("shorter")
    request = run(approved(ada, Kind.ERASURE))
    assert request.status == "completed"
    keep("erased")
    story.checkpoint = Checkpoint.objects.latest("size").note
    assert quarantine.reason() == ""
    yield story


def all_of_ada() -> dict[str, int]:
    return {
        "people": Subject.objects.count() - 1,
        "accounts": User.objects.count() - 1,
        "identities": Identity.objects.exclude(subject__account__email="ben@example.org").count(),
        "conversations": Conversation.objects.exclude(subject__account__email="ben@example.org").count(),
        "messages": Message.objects.exclude(conversation__subject__account__email="ben@example.org").count(),
        "letters": Letter.objects.filter(sealed__isnull=False).exclude(owner=None).count(),
    }


@pytest.mark.parametrize("age", AGES[:3])
@pytest.mark.parametrize("what", ["default", "keys", "default keys", "default keys storage"])
def test_a_restored_site_recognises_itself_replays_proves_and_opens(story: Story, age: str, what: str) -> None:
    story.backups[age].restore(*what.split())
    assert quarantine.reason() != "", "a restored site notices"
    with pytest.raises(InQuarantine):
        keys.open_key(story.ben.key_id)
    lost = what == "keys"  # the key of Ada's request was made since, and on the empty site those of Ben's conversation
    if lost:
        losses = "1 conversations, 2 messages, 1 files, 1 requests" if age == "empty" else ": 1 requests"
        with pytest.raises(CommandError, match=losses):
            call_command("replay_tombstones")
        assert quarantine.reason() != ""
    call_command("replay_tombstones", *(["--accept-loss"] if lost else []))
    assert quarantine.reason() == ""
    assert story.words_left == []
    assert not any(all_of_ada().values()), all_of_ada()
    if not (lost and age == "empty"):
        assert fingerprint(f"{story.ben.pk}/{story.ben.account_id}") == story.bens[age if "default" in what else "full"]
    lifted = Entry.objects.get(event=Event.QUARANTINE_LIFTED)
    assert details_of(lifted)["people"] == (1 if "default" in what else 0)
    assert verify_everything(story.checkpoint).is_complete, "the log goes on from what was signed before"


def test_where_everything_went_back_together_one_anchor_alone_knows_better(
    story: Story, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder elsewhere, or an object-locked bucket: what no restore of the site reaches."""
    with bucket_with_lock("anchors") as address:
        (tmp_path / "auditors").mkdir()
        query = f"endpoint_url={address}&access_key=a&secret_key=b&days=30"
        monkeypatch.setenv("ANCHORS", f"file://{tmp_path}/auditors,s3://anchors/habeas?{query}")
        both = settings.ANCHORS = read_environment("ANCHORS")
        assert anchoring.anchor_due() == 2
        everything = ("default", "keys", "storage", "tiles")
        for named, noticed in (([], ""), (both[:1], Reason.LOG_BEHIND), (both[1:], Reason.LOG_BEHIND)):
            settings.ANCHORS = named
            story.backups["shorter"].restore(*everything)
            assert quarantine.reason() == noticed, named
        with pytest.raises(InQuarantine):
            keys.open_key(story.ben.key_id)
        with pytest.raises(CommandError, match="TILES_DIR"):
            call_command("replay_tombstones")
        newest = selectors.latest_checkpoint()
        assert newest is not None and newest.size < int(story.checkpoint.splitlines()[1])
        assert anchoring.anchor_due() == 0, "the older log is not put over the newer one"
        assert AnchorState.objects.get().outcome == AnchorState.Outcome.AHEAD
        story.backups["erased"].restore("tiles")
        call_command("replay_tombstones")
        assert quarantine.reason() == ""
        assert story.words_left == []
        assert not any(all_of_ada().values()), all_of_ada()
        assert verify_everything(story.checkpoint).is_complete


def test_what_was_signed_before_a_restore_is_put_back_to_the_byte(story: Story) -> None:
    before = dict(Entry.objects.values_list("leaf__index", "data"))
    story.backups["full"].restore("default")
    call_command("replay_tombstones")
    after = dict(Entry.objects.values_list("leaf__index", "data"))
    assert {index: after[index] for index in before} == before
    assert Checkpoint.objects.filter(note=story.checkpoint).exists()


def test_a_restore_of_the_newest_backup_changes_nothing(story: Story) -> None:
    story.backups["erased"].restore("default", "keys")
    assert quarantine.reason() == ""
    call_command("replay_tombstones")
    assert not Entry.objects.filter(event=Event.QUARANTINE_ENTERED).exists()


def test_a_replay_that_is_killed_is_repeated(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    story.backups["full"].restore("default", "keys")

    def die(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    for place in ("erasing.adopt_key", "erasing.drop_conversations", "replay._prove", "replay.note_restored"):
        with monkeypatch.context() as killed:
            killed.setattr(f"apps.requests.replaying.{place}", die)
            with pytest.raises(KeyboardInterrupt):
                call_command("replay_tombstones")
                if place == "erasing.adopt_key":  # nothing was replaced here
                    raise KeyboardInterrupt
        if place == "erasing.adopt_key":
            story.backups["full"].restore("default", "keys")
        quarantine.forget()
        assert quarantine.reason() != ""
    call_command("replay_tombstones")
    assert quarantine.reason() == ""
    assert story.words_left == []


def test_conversations_of_living_people_open_after_a_replay(story: Story) -> None:
    story.backups["full"].restore("default", "keys")
    call_command("replay_tombstones")
    found = Conversation.objects.get(subject=story.ben)
    assert "Ben's words stay." in repr(read_conversation(story.ben, found.pk).turns)


def test_without_its_tiles_the_site_stays_closed_and_says_why(story: Story, tmp_path: Path) -> None:
    story.backups["full"].restore("default", "tiles")
    assert quarantine.reason() == Reason.LOG_BEHIND, "the keys database has seen more of the log"
    with pytest.raises(CommandError, match="TILES_DIR"):
        call_command("replay_tombstones")
    assert quarantine.reason() == Reason.LOG_BEHIND
    story.backups["erased"].restore("tiles")
    call_command("replay_tombstones")
    assert quarantine.reason() == ""


def test_a_log_that_cannot_be_completed_is_continued_as_a_new_one_that_names_it(story: Story, tmp_path: Path) -> None:
    with pytest.raises(GapNotAccepted):
        accept_gap(story.account, actor=Actor.system())
    old_key, receipt = selectors.public_key_text(), receipt_of_ada(tmp_path / "receipt")
    story.backups["shorter"].restore("default")
    shutil.rmtree(settings.TILES_DIR)
    client = signed_in("dan")
    assert "For staff" in client.get("/").content.decode()
    assert "Accept the gap" not in client.get("/").content.decode(), "first the tiles are looked for"
    with pytest.raises(CommandError, match="two administrators"):
        call_command("replay_tombstones")
    assert not Checkpoint.objects.filter(size__gt=log_size()).exists()
    for name, says in (
        ("leo", "Another administrator has to"),  # who leaves before anybody agrees: then it was nobody's word
        ("dan", "Another administrator has to"),
        ("dan", "another administrator"),
        ("eve", "new log has begun"),
    ):
        client = signed_in(name)
        if name != "leo":
            User.objects.get(email="leo@example.org").groups.clear()
        assert "Accept the gap" in client.get("/").content.decode() or says == "another administrator"
        answer = client.post("/accept-gap/", follow=True)
        assert says in answer.content.decode(), (answer.redirect_chain, answer.content.decode()[-3000:])
    assert quarantine.reason() != ""
    call_command("replay_tombstones")
    assert quarantine.reason() == ""
    assert story.words_left == []
    assert not User.objects.filter(email="ada@example.org").exists(), "the keys database knew of her erasure"
    assert selectors.origin() == f"{settings.AUDIT_ORIGIN}/2"
    assert verify_everything().is_complete
    first = details_of(Leaf.objects.get(index=0).entry)
    assert len(set(first["officers"])) == 2
    earlier = Path(settings.TILES_DIR) / "earlier" / "1" / "checkpoint"
    assert earlier.read_text().splitlines()[1] == str(first["size"])
    assert verify_everything(earlier.read_text()).is_complete
    with pytest.raises(LogDamaged, match="names"):
        verify_everything(story.checkpoint)  # it had more entries than are known here
    verifier = [sys.executable, str(settings.BASE_DIR / "verify" / "habeas_verify.py")]
    done = subprocess.run(
        [*verifier, "log", settings.TILES_DIR, "--key", selectors.public_key_text()], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"continues {settings.AUDIT_ORIGIN} after a gap" in done.stdout
    assert subprocess.run([*verifier, "receipt", receipt, "--key", old_key], capture_output=True).returncode == 0
    call_command("verify_receipt", str(receipt))
    assert "The log before this one" in client.get("/audit/log/").content.decode()


def receipt_of_ada(path: Path) -> Path:
    """Keep what Ada downloaded before all this."""
    found = Receipt.objects.latest("issued_at")
    path.write_text(receipt_text(Entry.objects.get(pk=found.entry_id), body_of(found)))
    return path


def signed_in(name: str) -> Client:
    """An administrator at a browser, signed in while the site stands still."""
    email = f"{name}@example.org"
    if not User.objects.filter(email=email).exists():
        user = staff(email, "administrators")
        EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    client = Client()
    client.post("/accounts/login/", {"login": email, "password": "a good password"})
    return client


def test_changed_tiles_are_not_put_back(story: Story) -> None:
    story.backups["full"].restore("default")
    bundle = max(Path(settings.TILES_DIR).glob("tile/entries/000*/*"), key=lambda path: int(path.name))
    data = bytearray(bundle.read_bytes())
    data[-5] ^= 1
    bundle.write_bytes(bytes(data))
    with pytest.raises(CommandError, match="not those that were signed"):
        call_command("replay_tombstones")
    assert quarantine.reason() == Reason.LOG_BEHIND


def test_a_lost_keys_database_comes_back_from_its_backup(story: Story, tmp_path: Path, capsys: Any) -> None:
    story.backups["full"].restore("default", "keys", "tiles")
    file = tmp_path / "keys.backup"
    call_command("backup_keys", str(file))
    store(story.ben, "later", "Words since the backup.", "Later", b"y")
    records.delete_conversations(story.ada, [story.first], actor=as_person(story.ada))
    sequence()
    Backup(tmp_path / "fresh")
    for model in (Key, keys.installation().__class__):
        model.objects.all().delete()
    quarantine.forget()
    assert quarantine.reason() == Reason.KEYS_LOST
    capsys.readouterr()
    call_command("restore_keys", str(file))
    said = capsys.readouterr().out
    assert "Lost with 1 keys made since the backup: 1 conversations, 2 messages, 1 files." in said
    assert "replay_tombstones" in said
    with pytest.raises(CommandError, match="--accept-loss"):
        call_command("replay_tombstones")
    call_command("replay_tombstones", "--accept-loss")
    assert quarantine.reason() == ""
    assert Conversation.objects.filter(subject=story.ben).count() == 1
    assert not Conversation.objects.filter(pk=story.first).exists()
    assert Conversation.objects.filter(subject=story.ada).count() == 1


@pytest.fixture
def changed(ada: Subject, ben: Subject, tmp_path: Path) -> Story:
    """full → Ada removed one message, and her key was replaced because of it, as the next roll does."""
    story = Story({}, ada, ben, ada.account_id, None, {})
    keys.site_key("letters")
    story.first = store(ada, "first", GONE[0], "Deposit", b"x")
    store(ben, "bens", "Ben's words stay.", "Ben's title", b"Ben's file")
    sequence()
    story.backups["full"] = Backup(tmp_path / "full")
    records.remove_message(ada, story.first, 1, actor=as_person(ada))
    keys.replace_key(ada.key_id, actor=Actor.system())
    sequence()
    assert quarantine.reason() == ""
    return story


def test_a_replacement_is_repeated_where_its_old_key_comes_back(changed: Story) -> None:
    old = set(Key.objects.filter(destroyed_at__isnull=False).values_list("pk", flat=True))
    changed.backups["full"].restore("default", "keys", "storage")
    with quarantine.replaying():
        assert GONE[0] in repr(read_conversation(changed.ada, changed.first).turns), "the backup holds what was removed"
    call_command("replay_tombstones")
    assert quarantine.reason() == ""
    assert changed.words_left == []
    ada = Subject.objects.get(pk=changed.ada.pk)
    assert ada.key_id != changed.ada.key_id
    [left] = Conversation.objects.filter(subject=ada)
    assert "An answer." in repr(read_conversation(ada, left.pk).turns)
    assert old <= set(Key.objects.filter(destroyed_at__isnull=False).values_list("pk", flat=True))


def test_keys_from_before_a_replacement_open_what_stayed(changed: Story, capsys: Any) -> None:
    """Ada's key of today is lost with the backup: its predecessor opens her conversations, and is replaced again."""
    changed.backups["full"].restore("keys")
    assert quarantine.reason() == Reason.TOMBSTONES_MISSING
    capsys.readouterr()
    call_command("replay_tombstones", "--accept-loss")
    assert "2 replaced once more" in capsys.readouterr().out
    assert changed.words_left == []
    assert not Key.objects.filter(pk=changed.ada.key_id, destroyed_at=None).exists()
    found = Conversation.objects.get(subject=changed.ben)
    assert "Ben's words stay." in repr(read_conversation(changed.ben, found.pk).turns)


def test_what_only_a_replaced_key_opened_is_listed_as_lost(changed: Story, capsys: Any) -> None:
    changed.backups["full"].restore("default", "storage")
    capsys.readouterr()
    call_command("replay_tombstones")
    assert "1 conversations" in capsys.readouterr().out.partition("replaced since: ")[2]
    assert changed.words_left == []
    assert not Conversation.objects.filter(subject=changed.ada).exists()
    assert Identity.objects.filter(subject=changed.ada).count() == 0, "her address was never proven"
