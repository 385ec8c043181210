"""A log that continues another one after a gap: what is left of the old one follows as it was, and nobody can touch it unseen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.audit import continuing, notes, publishing, quarantine, selectors, sequencer, services, tiles, verification
from apps.audit.entries import canonical_json
from apps.audit.errors import LogDamaged
from apps.audit.handles import new_handle
from apps.audit.models import Checkpoint, Entry, Leaf, Pending, SiteState, Tile
from tests.audit import test_attacks as attacks
from tests.audit.conftest import past_the_triggers
from tests.audit.test_attacks import Entries, raw_entries, rewrite_database, sign, write_log
from tests.audit.verifier import run_verifier

pytestmark = [pytest.mark.django_db(databases=["default"]), pytest.mark.usefixtures("signing_without_commits")]

SIZE, KEPT_SIZE = 12, 7  # of the first log, and of its checkpoint that somebody kept


def continue_log(number: int = 1) -> Entry:
    with quarantine.replaying():
        entry = continuing.begin_new_log(officers=[new_handle(), new_handle()], instead_of=number)
    services.sequence()
    return entry


@pytest.fixture
def kept(write: Callable[[int], list[Entry]], tmp_path: Path) -> Path:
    """A checkpoint of the first log that somebody kept; the log has twelve entries."""
    write(KEPT_SIZE - 1)
    path = tmp_path / "kept"
    path.write_text(services.sequence().note)
    write(SIZE - KEPT_SIZE)
    assert services.sequence().size == SIZE
    return path


@pytest.fixture
def continued(kept: Path, write: Callable[[int], list[Entry]]) -> Entries:
    """The entries of the second log: the one that names the first log, the twelve of that, three new ones."""
    continue_log()
    write(3)
    assert services.sequence().size == 1 + SIZE + 3
    return raw_entries()


def standalone(log: Path, folder: Path, *kept: Path) -> str:
    """Return what the standalone verifier has against a log: "" for good."""
    keys = folder / "keys"
    keys.write_text("\n".join(str(key) for key in selectors.keys_of_every_log()))
    options = [option for path in kept for option in ("--checkpoint", str(path))]
    result = run_verifier("log", log, folder, *options, key=str(keys))
    return "" if result.code == 0 else result.err


def site(kept: Path | None = None) -> str:
    try:
        verification.verify_everything(kept.read_text() if kept else None)
    except LogDamaged as error:
        return str(error)
    return ""


def forge(entries: Entries, tiles_dir: Path) -> None:
    """Put a log into database and folder and sign it, as an operator can who holds the key."""
    with past_the_triggers():
        rewrite_database(entries)
        Checkpoint.objects.all().delete()
        (tiles_dir / publishing.CHECKPOINT).unlink()
    assert services.sequence().note == sign(entries)


def test_entries_keep_their_order_whatever_their_ids_and_go_before_what_was_still_waiting(write):
    early, waiting = write(2)
    Pending.objects.filter(entry__in=[early, waiting]).delete()  # two transactions that commit late
    write(3)
    services.sequence()
    Pending.objects.create(entry=early)
    services.sequence()
    Pending.objects.create(entry=waiting)
    before = raw_entries()
    assert before.index(bytes(early.data)) == 4
    first = continue_log()
    assert raw_entries() == [bytes(first.data), *before, bytes(waiting.data)]
    assert selectors.details_of(first)["kept"] == len(before)


def test_whoever_kept_a_checkpoint_of_the_old_log_can_go_on_from_it(continued, kept, tiles_dir, tmp_path):
    assert standalone(tiles_dir, tmp_path, kept) == standalone(tiles_dir, tmp_path) == ""
    assert site(kept) == site() == ""
    newest = tmp_path / "newest"
    newest.write_text((tiles_dir / "earlier/1/checkpoint").read_text())
    assert standalone(tiles_dir, tmp_path, kept, newest) == site(newest) == ""


def test_a_tile_of_the_old_log_that_was_kept_does_not_pass_for_one_of_the_new(kept, client):
    address = "/audit/log/tile/0/000.p/12"
    old = client.get(address)
    assert client.get(address, headers={"If-None-Match": old["ETag"]}).status_code == 304
    continue_log()
    new = client.get(address, headers={"If-None-Match": old["ETag"]})  # whoever keeps it has to ask
    assert new.status_code == 200 and new.content != old.content and new["ETag"] != old["ETag"]


def left(attack: Callable[[Entries], Entries]) -> Callable[[Entries], Entries]:
    """The same attack on what is left of the old log."""
    return lambda entries: [entries[0], *attack(entries[1:])]


def flip(entries: Entries) -> Entries:
    """Change one bit of an entry that neither verifier reads anything from: its salt."""
    at = entries[4].index(b'"salt":"') + 8
    other = b"0" if entries[4][at : at + 1] != b"0" else b"1"
    return [*entries[:4], entries[4][:at] + other + entries[4][at + 1 :], *entries[5:]]


ATTACKS = [attacks.drop, attacks.swap, attacks.duplicate, attacks.back_date, attacks.slip_in, attacks.truncate, flip]


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_left_of_the_old_log_cannot_be_changed_even_with_the_key(continued, attack, kept, tiles_dir, tmp_path):
    """What the first entry says of the old log does not fit any more: nobody needs to have kept anything."""
    entries = left(attack)(continued)
    signed = (tiles_dir / publishing.CHECKPOINT).read_text()
    assert standalone(write_log(tmp_path / "unsigned", entries, signed), tmp_path)
    assert standalone(write_log(tmp_path / "signed", entries, sign(entries)), tmp_path)
    forge(entries, tiles_dir)
    assert site() and site(kept)


def first_says(entries: Entries, **details: Any) -> Entries:
    record = json.loads(entries[0])
    return [canonical_json(record | {"details": record["details"] | details}), *entries[1:]]


@pytest.mark.parametrize("attack", ATTACKS)
def test_nor_with_a_first_entry_that_fits_it_as_long_as_somebody_kept_a_checkpoint(
    continued, attack, kept, tiles_dir, tmp_path
):
    """The first entry names the rewritten log as the old one; only what was kept of the true one tells."""
    rewritten = attack(continued[1 : SIZE + 1])
    root = notes.read_checkpoint(sign(rewritten)).root.hex()
    entries = first_says(continued, size=len(rewritten), root=root, kept=len(rewritten))[:1] + rewritten
    forged = write_log(tmp_path / "signed", entries, sign(entries))
    assert standalone(forged, tmp_path) == ""
    assert standalone(forged, tmp_path, kept)
    forge(entries, tiles_dir)
    assert site() == ""
    assert site(kept)


@pytest.mark.parametrize(
    ("details", "why"),
    [
        ({"size": KEPT_SIZE - 1}, "you keep 7 entries"),
        ({"size": KEPT_SIZE - 1, "kept": 0}, "you keep 7 entries"),
        ({"size": KEPT_SIZE, "kept": 0}, "you keep 7 entries"),  # with another root
        ({"root": "0" * 64}, "are not those"),
        ({"kept": 99}, "are missing"),
        ({"number": 3}, "not the name of log 3"),
        ({"number": 1}, "not what a log writes"),
        ({"number": True}, "not what a log writes"),
        ({"size": -1}, "not what a log writes"),
        ({"kept": 1.5}, "not what a log writes"),
        ({"root": "x"}, "not what a log writes"),
        ({"root": None}, "not what a log writes"),
    ],
)
def test_a_first_entry_that_says_something_else_is_refused(continued, kept, details, why, tmp_path):
    entries = first_says(continued, **details)
    assert why in standalone(write_log(tmp_path / "signed", entries, sign(entries)), tmp_path, kept)


def test_a_checkpoint_of_a_log_that_is_not_named_is_refused(continued, tiles_dir, tmp_path):
    other = tmp_path / "other"
    statement = notes.CheckpointText(selectors.origin(3), 1, b"r" * 32)
    other.write_text(notes.sign_checkpoint(statement, sequencer.signing_key()))
    keys = f"{selectors.public_key_text()}\n{notes.VerifierKey(statement.origin, sequencer.signing_key().public)}"
    (tmp_path / "keys").write_text(keys)
    result = run_verifier("log", tiles_dir, tmp_path, "--checkpoint", str(other), key=str(tmp_path / "keys"))
    assert result.code == 1 and "which this one does not name" in result.err


def test_nor_is_one_of_a_log_that_went_before_and_is_named_by_nothing(kept):
    SiteState.objects.update_or_create(only=True, defaults={"log_number": 2})
    assert "which this log does not name" in site(kept)


def test_a_third_log_is_compared_with_what_was_kept_of_both_before(continued, kept, tiles_dir, tmp_path, write):
    second = tmp_path / "second"
    second.write_text((tiles_dir / publishing.CHECKPOINT).read_text())
    continue_log(2)
    write(1)
    services.sequence()
    entries = raw_entries()
    assert entries[1:-1] == continued
    assert standalone(tiles_dir, tmp_path, kept, second) == site(kept) == site(second) == ""
    changed = [*entries[:2], *flip(entries[2:])]
    log = write_log(tmp_path / "forged", changed, sign(changed))
    assert standalone(log, tmp_path) and standalone(log, tmp_path, kept)
    forge(changed, tiles_dir)
    assert site(kept) and site(second) and site()


def test_a_database_that_differs_from_what_was_signed_vouches_for_nothing(kept, tiles_dir, tmp_path):
    """What follows is not the old log then, and the first entry does not say that it is."""
    with past_the_triggers():
        rewrite_database(flip(raw_entries()))
    first = continue_log()
    assert selectors.details_of(first) | {"size": SIZE, "kept": 0} == selectors.details_of(first)
    assert standalone(tiles_dir, tmp_path, kept) == site(kept) == ""


def test_a_lost_folder_is_written_from_what_the_database_knows_of_the_old_log(kept, tiles_dir, tmp_path):
    shutil.rmtree(tiles_dir)
    note = Checkpoint.objects.latest("size").note
    continue_log()
    assert (tiles_dir / "earlier/1/checkpoint").read_text() == note
    assert standalone(tiles_dir / "earlier/1", tmp_path, kept) == standalone(tiles_dir, tmp_path, kept) == ""


def test_a_gap_is_accepted_by_an_entry_that_says_what_is_known_of_the_log(kept, officer):
    """Beyond what is placed and signed, nothing can be said of it."""
    checkpoint = notes.read_checkpoint(Checkpoint.objects.latest("size").note)
    entry = continuing.sign_gap(actor=officer)
    said = {"size": SIZE, "root": checkpoint.root.hex(), "kept": SIZE}
    assert selectors.details_of(entry) == said and entry.actor == officer.handle
    for is_there in (True, False):
        quarantine.note_gap(is_there)
        assert (quarantine.state().gap_found_at is not None) == is_there


def test_the_page_of_the_log_names_the_one_before_with_its_key(kept, client):
    key = selectors.public_key_text()
    assert "The log before this one" not in client.get("/audit/log/").content.decode()
    continue_log()
    text = client.get("/audit/log/").content.decode()
    assert "The log before this one" in text and key in text and selectors.public_key_text() in text


def test_nor_does_one_whose_tiles_are_damaged(write, tiles_dir):
    write(300)
    services.sequence()
    with past_the_triggers():
        Tile.objects.all().delete()
    first = continue_log()
    assert selectors.details_of(first)["kept"] == 0
    assert Tile.objects.count() == 1 and site() == ""
    assert Leaf.objects.count() == 302


def test_nor_does_one_whose_root_cannot_be_told(kept, monkeypatch):
    def damaged(_):
        raise LogDamaged("a tile is missing in the database")

    with monkeypatch.context() as patch, quarantine.replaying():
        patch.setattr(tiles, "tree_of", damaged)
        first = continuing.begin_new_log(officers=[], instead_of=1)
    assert selectors.details_of(first)["kept"] == 0
    services.sequence()
    assert site() == ""


def test_a_site_of_which_nothing_is_known_begins_a_new_log_too(db, tiles_dir, tmp_path):
    first = continue_log()
    assert selectors.details_of(first) | {"size": 0, "kept": 0} == selectors.details_of(first)
    assert standalone(tiles_dir, tmp_path) == site() == ""
