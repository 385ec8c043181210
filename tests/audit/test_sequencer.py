"""Entries get contiguous places, and what counts as signed lies outside the database."""

from __future__ import annotations

import base64
import shutil
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from pymerkle import InmemoryTree

from apps.audit import merkle, notes, publishing, selectors, sequencer, services, tasks, tiles
from apps.audit.actors import Actor
from apps.audit.errors import InsideTransaction, LogDiverged, NotSigned, PublishingFailed
from apps.audit.events import Event
from apps.audit.models import Checkpoint, Entry, Leaf, Pending, Tile
from tests.audit.conftest import newest, past_the_triggers

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])


class Crash(Exception):
    """Stands for kill -9: nothing after it runs."""


@pytest.fixture
def crash_at():
    """Let the process die the next time it comes to a function."""
    own = pytest.MonkeyPatch()  # what else is patched stays so

    def crash_at(module, name, *, after=False):
        real = getattr(module, name)

        def die(*args, **kwargs):
            own.undo()
            if after:
                real(*args, **kwargs)
            raise Crash

        own.setattr(module, name, die)

    yield crash_at
    own.undo()


def test_waiting_for_an_entry_signs_it(write, tiles_dir):
    (entry,) = write()
    assert not selectors.is_signed(entry)
    services.wait_until_signed(entry)
    assert selectors.is_signed(entry)
    assert list(Leaf.objects.values_list("index", flat=True)) == [0, 1]
    assert selectors.index_of(entry) == 1
    assert not Pending.objects.exists()
    assert (tiles_dir / "checkpoint").read_text() == newest().note


def test_what_is_signed_already_is_not_waited_for(write, monkeypatch):
    (entry,) = write()
    services.wait_until_signed(entry)
    monkeypatch.setattr(services, "sequence", None)
    services.wait_until_signed(entry, timeout=0)


def test_the_first_entry_says_that_the_log_began_and_with_which_keys(write):
    write(3)
    services.sequence()
    first = Leaf.objects.get(index=0).entry
    assert first.event == Event.LOG_STARTED
    assert selectors.details_of(first)["log_key"] == selectors.verifier_key().public.hex()


def test_another_signing_key_is_an_entry(write, settings):
    services.sequence()
    before = selectors.public_key_text()
    settings.LOG_SIGNING_KEY = base64.b64encode(b"M" * 32).decode()
    write()
    services.sequence()
    services.sequence()
    assert list(Entry.objects.order_by("pk").values_list("event", flat=True)) == [
        "log.started",
        "step.done",
        "signing_key.changed",
    ]
    settings.ARCHIVE_SIGNING_KEY = settings.LOG_SIGNING_KEY
    services.sequence()
    assert Entry.objects.filter(event=Event.SIGNING_KEY_CHANGED).count() == 2
    checkpoint = newest()
    assert notes.open_checkpoint(checkpoint.note, selectors.verifier_key()).size == 4
    with pytest.raises(notes.BadNote):
        notes.open_checkpoint(checkpoint.note, notes.VerifierKey.parse(before))


def test_a_checkpoint_signs_the_root_of_all_entries(write):
    write(700)
    checkpoint = services.sequence()
    other = InmemoryTree(algorithm="sha256")
    for entry in Entry.objects.order_by("leaf__index"):
        other.append_entry(bytes(entry.data))
    said = notes.open_checkpoint(checkpoint.note, selectors.verifier_key())
    assert (said.size, said.root) == (701, other.get_root())
    assert Tile.objects.count() == 2


def test_nothing_new_signs_nothing_new(write, tiles_dir):
    write()
    first = services.sequence()
    written = (tiles_dir / "checkpoint").stat().st_mtime_ns
    assert services.sequence() == first
    assert Checkpoint.objects.count() == 1
    assert (tiles_dir / "checkpoint").stat().st_mtime_ns == written


def test_a_run_takes_no_more_than_its_limit(write):
    write(30)
    assert services.sequence(limit=10).size == 11
    assert services.sequence().size == 31


def test_nothing_is_signed_that_could_still_roll_back(write):
    (entry,) = write()
    with transaction.atomic():
        with pytest.raises(InsideTransaction):
            services.sequence()
        with pytest.raises(InsideTransaction):
            services.wait_until_signed(entry)
    assert not Checkpoint.objects.exists()


def test_an_entry_that_rolled_back_is_never_signed(handle):
    with transaction.atomic():
        entry = services.append(Event.SUBJECT_FROZEN, about=handle, actor=Actor.system())
        transaction.set_rollback(True)
    started = time.monotonic()
    with pytest.raises(NotSigned):
        services.wait_until_signed(entry, timeout=0.1)
    assert time.monotonic() - started < 5


def test_who_waits_is_served_by_whoever_sequences_first(write, monkeypatch):
    (entry,) = write()
    other = threading.Thread(target=in_thread(lambda: sequencer.run(10)))
    monkeypatch.setattr(services, "sequence", lambda _limit: None if other.ident else other.start())
    services.wait_until_signed(entry, timeout=5)
    other.join()
    assert selectors.is_signed(entry)


@pytest.mark.parametrize(
    ("module", "name", "after"),
    [
        (sequencer, "_sign", False),  # places committed, nothing signed
        (publishing, "_write", True),  # one of the tiles written
        (publishing, "published", True),
        (publishing, "publish", False),
        (publishing, "publish", True),  # checkpoint outside, no row
        (sequencer, "_place", True),  # rolls back
    ],
)
def test_a_crash_anywhere_heals_at_the_next_run(write, crash_at, module, name, after):
    write(3)
    services.sequence()
    (entry,) = write(1)
    write(400)
    crash_at(module, name, after=after)
    with pytest.raises(Crash):
        services.sequence()
    assert not selectors.is_signed(entry)
    write(5)
    services.sequence()
    assert selectors.is_signed(entry)
    assert list(Leaf.objects.order_by("index").values_list("index", flat=True)) == list(range(410))
    assert published_size() == newest().size == 410
    assert_published_whole(410)


def test_checkpoints_never_contradict_each_other(write, crash_at):
    for number in (1, 250, 1, 5, 300, 2):
        write(number)
        crash_at(publishing, "publish", after=True)
        with pytest.raises(Crash):
            services.sequence()
        write(1)
        services.sequence()
    final = newest()
    tree = tiles.tree_of(final.size)
    for checkpoint in Checkpoint.objects.all():
        proof = tree.consistency_proof(checkpoint.size)
        assert merkle.verify_consistency(checkpoint.size, final.size, proof, bytes(checkpoint.root), bytes(final.root))


def published_size() -> int:
    said = publishing.published()
    assert said is not None
    return said.size


def assert_published_whole(size):
    root = publishing._root()
    assert all((root / name).read_bytes() == data for name, data in publishing.files_of(size))


def test_a_lost_folder_is_written_again(write, tiles_dir):
    write(300)
    services.sequence()
    shutil.rmtree(tiles_dir)
    services.sequence()
    assert_published_whole(301)


def in_thread(function):
    """Run in another thread, with a connection of its own that is closed afterwards."""

    def run(*args):
        try:
            function(*args)
        finally:
            connection.close()

    return run


def test_two_sequencers_and_many_writers_at_once(write):
    failures = []

    def guarded(function):
        def run():
            try:
                function()
            except Exception as error:  # noqa: BLE001 the test reports whatever happened in a thread
                failures.append(error)

        return in_thread(run)

    def write_and_wait():
        for _ in range(8):
            services.wait_until_signed(write(2)[-1])

    threads = [threading.Thread(target=guarded(work)) for work in [write_and_wait] * 4 + [services.sequence] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    services.sequence()
    assert list(Leaf.objects.order_by("index").values_list("index", flat=True)) == list(range(65))
    assert Leaf.objects.values("entry_id").distinct().count() == 65
    assert published_size() == newest().size == 65


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time; this is for PostgreSQL")
def test_an_append_waits_for_nobody_elses(write, handle):
    """One transaction has appended and stays open; another appends and commits meanwhile, and so does the sequencer."""
    services.sequence()
    committed = []

    def append_and_sequence():
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        committed.append(write(1)[0])
        services.sequence()

    with transaction.atomic():
        open_entry = services.append(Event.SUBJECT_FROZEN, about=handle, actor=Actor.system())
        other = threading.Thread(target=in_thread(append_and_sequence))
        other.start()
        other.join()
        assert Leaf.objects.filter(entry=committed[0]).exists() and not Leaf.objects.filter(entry=open_entry).exists()
    services.wait_until_signed(open_entry)
    assert list(Leaf.objects.order_by("index").values_list("entry_id", flat=True))[1:] == [
        committed[0].pk,
        open_entry.pk,
    ]


def test_a_checkpoint_stays_near_while_others_go_on_writing(write, monkeypatch):
    """A run takes what waits when it begins, and does not chase the writers."""
    services.sequence()
    monkeypatch.setattr(sequencer, "BATCH", 2)
    real = sequencer._sequence_batch

    def with_writers(limit, last):
        write(4)
        return real(limit, last)

    write(5)
    with monkeypatch.context() as patch:
        patch.setattr(sequencer, "_sequence_batch", with_writers)
        assert services.sequence().size == 1 + 5
    assert services.sequence().size == Entry.objects.count()


def test_of_many_that_wait_the_first_are_signed_before_the_last_have_their_places(write, monkeypatch):
    """How long an entry waits does not grow with what waits behind it."""
    services.sequence()
    monkeypatch.setattr(services, "MOST_ENTRIES", 3)
    entries = write(8)
    assert services.sequence().size == 9
    assert list(Checkpoint.objects.order_by("size").values_list("size", flat=True)) == [1, 4, 7, 9]
    more = write(8)
    services.wait_until_signed(more[0])
    assert not selectors.is_signed(more[-1]), "whoever waits for the first does not wait for the last"
    assert services.sequence().size == 17
    assert selectors.is_signed(entries[-1]) and selectors.is_signed(more[-1])


def test_what_came_while_it_signed_does_not_wait_for_the_next_call_if_that_took_long(write, monkeypatch):
    services.sequence()
    real, waiting = services.sequence, [3, 2]

    def slowly():
        checkpoint = real()
        if waiting:
            write(waiting.pop())
        return checkpoint

    monkeypatch.setattr(services, "sequence", slowly)
    tasks.sequence_entries()
    assert Pending.objects.exists(), "it has not waited long: the next call takes it"
    monkeypatch.setattr(tasks, "SOON", -tasks.SOON)
    tasks.sequence_entries()
    assert not Pending.objects.exists()
    assert newest().size == 1 + 2 + 3


def test_a_sequencer_that_never_catches_up_lets_go(write, monkeypatch):
    monkeypatch.setattr(tasks, "SOON", -tasks.SOON)
    monkeypatch.setattr(tasks, "MOST_ROUNDS", 2)
    real, rounds = services.sequence, []

    def beside_a_writer():
        rounds.append(real())
        write(1)

    monkeypatch.setattr(services, "sequence", beside_a_writer)
    tasks.sequence_entries()
    assert len(rounds) == 2


def roll_back(table, condition):
    """What an administrator or a backup does: past the triggers."""
    with past_the_triggers(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table} WHERE {condition}")


def test_a_restored_database_signs_nothing(write):
    write(5)
    services.sequence()
    for table, condition in [
        ("audit_checkpoint", "1=1"),
        ("audit_leaf", '"index" > 3'),
        ("audit_entry", "id > 1000000"),
    ]:
        roll_back(table, condition)
    (entry,) = write(1)
    with pytest.raises(LogDiverged, match="was it restored"):
        services.sequence()
    with pytest.raises(NotSigned):
        services.wait_until_signed(entry)
    assert not Checkpoint.objects.exists()
    assert Leaf.objects.count() == 4  # not even a place is given, so that the missing entries can come back


def test_a_rewritten_database_signs_nothing(write):
    write(5)
    services.sequence()
    with past_the_triggers():
        Leaf.objects.filter(index=2).update(leaf_hash=b"x" * 32)
    write(1)
    with pytest.raises(LogDiverged, match="not those that were signed"):
        services.sequence()
    assert Checkpoint.objects.count() == 1


def test_the_checkpoints_in_the_database_count_too(write, tiles_dir):
    write(5)
    services.sequence()
    shutil.rmtree(tiles_dir)
    roll_back("audit_leaf", '"index" > 3')
    with pytest.raises(LogDiverged):
        services.sequence()


def test_a_published_checkpoint_that_nobody_can_read_stops_the_log(write, tiles_dir):
    services.sequence()
    (tiles_dir / "checkpoint").write_bytes(b"\xff")
    with pytest.raises(LogDiverged):
        services.sequence()


def test_without_room_for_tiles_nothing_counts_as_signed(write, tiles_dir, monkeypatch):
    services.sequence()
    (entry,) = write()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "_write", full)
        with pytest.raises(PublishingFailed, match="No space left"):
            services.wait_until_signed(entry)
    assert not selectors.is_signed(entry)
    services.wait_until_signed(entry)
    assert selectors.is_signed(entry)


def test_a_publisher_that_hangs_is_not_waited_for_without_end(write, monkeypatch):
    services.sequence()
    write()
    monkeypatch.setattr(publishing, "LOCK_SECONDS", 0.05)
    with publishing.publisher(), pytest.raises(PublishingFailed):
        services.sequence()


def test_a_database_that_is_busy_is_not_signed_in_time(write, monkeypatch):
    def busy(*_):
        raise OperationalError("database is locked")

    monkeypatch.setattr(sequencer, "_sequence_batch", busy)
    (entry,) = write()
    with pytest.raises(NotSigned):
        services.wait_until_signed(entry)


def test_the_schedule_signs_and_raises_the_alarm_when_it_comes_late(write, caplog, monkeypatch):
    (entry,) = write()
    tasks.sequence_entries()
    assert selectors.is_signed(entry)
    assert caplog.records == []
    write()
    monkeypatch.setattr(selectors, "UNSIGNED_ALARM", -selectors.UNSIGNED_ALARM)
    tasks.sequence_entries()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_what_was_written_before_a_process_came_raises_no_alarm_at_its_start(write, caplog, monkeypatch, request):
    now = timezone.now()
    (entry,) = write()
    tasks._looking_since.cache_clear()
    request.addfinalizer(tasks._looking_since.cache_clear)
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(hours=1))  # it was switched off meanwhile
    tasks.sequence_entries()
    assert selectors.is_signed(entry) and caplog.records == []
    (entry,) = write()
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(hours=1, seconds=11))
    tasks.sequence_entries()
    assert selectors.is_signed(entry) and [record.levelname for record in caplog.records] == ["ERROR"]


def test_the_database_syncs_what_is_signed():
    """A power cut must not lose what was signed: another signature over other entries would contradict it."""
    setting = {"sqlite": ("PRAGMA synchronous", 2), "postgresql": ("SHOW synchronous_commit", "on")}[connection.vendor]
    with sequencer.exclusive(), connection.cursor() as cursor:
        cursor.execute(setting[0])
        assert cursor.fetchone()[0] == setting[1]


def test_every_published_file_is_on_the_disk_before_it_has_its_name_and_the_checkpoint_comes_last(
    write, tiles_dir, monkeypatch
):
    """Several are synced at once: none may have its name with bytes that a power cut takes away."""
    done: list[tuple[str, Path]] = []
    sync, replace = publishing._sync, Path.replace

    def noted_sync(path):
        sync(path)
        done.append(("sync", path))

    def noted_replace(path, target):
        assert ("sync", path) in done
        done.append(("name", target))
        return replace(path, target)

    monkeypatch.setattr(publishing, "_sync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write(300)
    services.sequence()
    named = [path for act, path in done if act == "name"]
    assert len(named) >= 5  # entries and hashes of a full tile and a partial one, and a level above them
    assert named[-1] == tiles_dir / "checkpoint"
    begun = done.index(("name", named[-1]))
    for path in named[:-1]:
        assert ("sync", path.parent) in done[done.index(("name", path)) : begun], path
    assert ("sync", tiles_dir) in done[begun:]
