"""What a restored database lacks of the log is put back from the published tiles, byte for byte, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from apps.audit import notes, publishing, recognising, recovering, selectors, sequencer, services, verification
from apps.audit.errors import LogDamaged, LogDiverged
from apps.audit.events import Event
from apps.audit.models import Checkpoint, Entry, Leaf, Pending, Tile
from apps.audit.quarantine import Reason
from apps.sealing.signatures import SigningKey
from tests.audit.anchors.conftest import name_anchors  # noqa: F401
from tests.audit.anchors.conftest import signed as checkpoint_of
from tests.audit.conftest import newest, past_the_triggers
from tests.audit.test_attacks import raw_entries

pytestmark = [pytest.mark.django_db(databases=["default"]), pytest.mark.usefixtures("signing_without_commits")]

SIZE = 520  # two full tiles and a part of a third


@pytest.fixture
def before(write: Callable[[int], list[Entry]]) -> list[bytes]:
    """The entries of a log that is signed and published."""
    write(SIZE - 1)
    assert services.sequence().size == SIZE
    return raw_entries()


def restore(size: int, *, placed: int | None = None) -> None:
    """Take the database back to `size` entries; those beyond `placed` had no place then."""
    placed = size if placed is None else placed
    entries = list(Leaf.objects.order_by("index").values_list("entry_id", flat=True))
    with past_the_triggers():
        Leaf.objects.filter(index__gte=placed).delete()
        Entry.objects.filter(pk__in=entries[size:]).delete()
        Tile.objects.filter(index__gte=placed // 256).delete()
        Checkpoint.objects.filter(size__gt=placed).delete()
    Pending.objects.bulk_create(Pending(entry_id=pk) for pk in entries[placed:size])


@pytest.mark.parametrize("size", [1, 255, 256, 300, SIZE - 1])
def test_everything_is_put_back_as_it_was(before, size):
    note = newest().note
    restore(size)
    assert recognising.check_log() == Reason.LOG_BEHIND
    assert recovering.put_back_entries() == SIZE - size
    assert raw_entries() == before
    assert newest().note == note
    assert verification.verify_everything().size == SIZE
    assert recognising.check_log() == ""


def test_entries_that_wait_here_already_keep_their_rows(before):
    restore(300, placed=280)
    waiting = set(Pending.objects.values_list("entry_id", flat=True))
    assert recovering.put_back_entries() == SIZE - 280
    assert raw_entries() == before
    assert set(Leaf.objects.filter(index__gte=280, index__lt=300).values_list("entry_id", flat=True)) == waiting
    assert not Pending.objects.exists()


def test_a_crash_between_two_tiles_is_gone_on_from(before, monkeypatch):
    restore(10)
    real = sequencer.place_signed
    monkeypatch.setattr(sequencer, "place_signed", lambda entries: _once(real, entries, monkeypatch))
    with pytest.raises(KeyboardInterrupt):
        recovering.put_back_entries()
    assert sequencer.log_size() == 256
    monkeypatch.setattr(sequencer, "place_signed", real)
    assert recovering.put_back_entries() == SIZE - 256
    assert raw_entries() == before


def _once(real, entries, monkeypatch):
    def killed(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sequencer, "place_signed", killed)
    return real(entries)


def test_nothing_is_put_back_where_nothing_is_missing_or_nothing_was_published(before, tiles_dir):
    assert recovering.put_back_entries() == 0
    restore(10)
    (tiles_dir / publishing.CHECKPOINT).unlink()
    assert recovering.put_back_entries() == 0
    assert len(raw_entries()) == 10


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["tile/0/001", "tile/1/000.p/2", "tile/0/002.p/8"])
def test_hashes_that_do_not_give_the_signed_root_put_nothing_back(before, tiles_dir, name):
    restore(300)
    flip(tiles_dir / name)
    with pytest.raises((LogDamaged, LogDiverged)):
        recovering.put_back_entries()
    assert raw_entries() == before[:300]


def test_entries_that_are_not_those_of_the_hashes_are_not_put_back(before, tiles_dir):
    restore(300)
    flip(tiles_dir / "tile/entries/002.p/8")
    with pytest.raises(LogDamaged, match="entries of tile 2 are not those that were signed"):
        recovering.put_back_entries()
    assert raw_entries() == before[:512]  # the tile before was whole


def test_a_missing_tile_is_named(before, tiles_dir):
    restore(300)
    (tiles_dir / "tile/entries/001").unlink()
    with pytest.raises(LogDiverged, match="tile/entries/001 of the published log cannot be read"):
        recovering.put_back_entries()
    assert raw_entries() == before[:300]


def test_a_database_that_begins_otherwise_is_not_gone_on_from(before):
    restore(300)
    with past_the_triggers():
        leaf = Leaf.objects.get(index=280)
        Leaf.objects.filter(index=280).update(leaf_hash=bytes(32))
    with pytest.raises(LogDiverged, match="first 300 entries of the published log are not those of the database"):
        recovering.put_back_entries()
    with past_the_triggers():
        Leaf.objects.filter(index=280).update(leaf_hash=leaf.leaf_hash)
    assert recovering.put_back_entries() == SIZE - 300


def test_a_checkpoint_of_somebody_else_is_not_believed(before, tiles_dir):
    restore(300)
    said = notes.read_checkpoint((tiles_dir / publishing.CHECKPOINT).read_text())
    (tiles_dir / publishing.CHECKPOINT).write_text(notes.sign_checkpoint(said, SigningKey(b"m" * 32)))
    with pytest.raises(LogDiverged, match="not signed by a key of this log"):
        recovering.put_back_entries()


@pytest.mark.parametrize("content", [b"no note", b"\xff\xfe"])
def test_a_published_checkpoint_that_cannot_be_read_is_another_log(before, tiles_dir, content):
    assert recognising.check_log() == ""
    (tiles_dir / publishing.CHECKPOINT).write_bytes(content)
    assert recognising.check_log() == Reason.LOG_DIFFERS


def test_what_lies_at_an_anchor_is_a_witness_too(write, tmp_path, name_anchors):  # noqa: F811
    write(3)
    size = services.sequence().size
    (anchor,) = name_anchors(f"file://{tmp_path}")
    anchor.open().publish(newest().note)
    assert recognising.check_log() == ""
    anchor.open().publish(checkpoint_of(size + 1))
    assert recognising.check_log() == Reason.LOG_BEHIND


def test_the_rows_say_what_the_entries_say(before):
    restore(1)
    recovering.put_back_entries()
    for entry in Entry.objects.order_by("-pk")[:5]:
        record = selectors.record_of(entry)
        assert (entry.event, entry.about, entry.actor, entry.role) == (
            Event.STEP_DONE, record["about"], record["actor"], record["role"],
        )  # fmt: skip
