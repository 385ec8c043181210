"""The log under attack: whatever is done to it, three verifiers refuse it.

They are the site's own (`verify_audit_log`), the standalone one (verify/habeas_verify.py), and one around code that nobody
here wrote (golang.org/x/mod, tests/audit/go). Each attack is tried on a log that all three found good just before.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from apps.audit import merkle, notes, proofs, publishing, selectors, sequencer, services, tiles, verification
from apps.audit.actors import Actor
from apps.audit.entries import canonical_json
from apps.audit.errors import BadProof, LogDamaged
from apps.audit.events import Event
from apps.audit.models import Checkpoint, Entry, Leaf, Pending, Tile
from tests.audit.conftest import past_the_triggers
from tests.audit.second_verifier import SecondVerifier, second_verifier  # noqa: F401
from tests.audit.verifier import run_verifier

pytestmark = [
    pytest.mark.django_db(databases=["default"]),
    pytest.mark.usefixtures("signing_without_commits"),
    pytest.mark.services,
]

SIZE, KEPT_SIZE = 12, 7
BODY = canonical_json({"number": 1, "places": [], "words": "Zoë’s “receipt”\n"})
Entries = list[bytes]


@pytest.fixture
def receipt_entry(handle: str, write: Callable[[int], list[Entry]], tmp_path: Path) -> Entry:
    """A log of twelve entries, one of them about a receipt; its checkpoint at seven entries is kept elsewhere."""
    write(KEPT_SIZE - 1)
    (tmp_path / "kept").write_text(services.sequence().note)
    with transaction.atomic():
        entry = services.append(
            Event.RECEIPT_ISSUED, about=handle, actor=Actor.system(), number=1, body_sha256=sha256(BODY).digest()
        )
    write(SIZE - KEPT_SIZE - 1)
    assert services.sequence().size == SIZE
    return entry


class Verifiers:
    """Asks all three about the site's log, or the two that need no site about a folder or a receipt."""

    def __init__(self, second: SecondVerifier, folder: Path) -> None:
        self.second, self.folder, self.kept = second, folder, folder / "kept"

    def verdicts(self, log: Path, *, with_kept: bool = False) -> dict[str, str]:
        """Return what each says of a folder of tiles: "" for good."""
        options = ["--checkpoint", str(self.kept)] if with_kept else []
        result = run_verifier("log", log, self.folder, *options)
        kept = [self.kept] if with_kept else []
        return {
            "standalone": "" if result.code == 0 else result.err,
            "second": self.second.ask("log", log, kept=kept),
        }

    def site(self, *, with_kept: bool = False) -> str:
        try:
            verification.verify_everything(self.kept.read_text() if with_kept else None)
        except LogDamaged as error:
            return str(error)
        return ""

    def receipts(self, text: bytes) -> dict[str, str]:
        (self.folder / "receipt").write_bytes(text)
        result = run_verifier("receipt", self.folder / "receipt", self.folder)
        return {
            "site": receipt_on_site(text),
            "standalone": "" if result.code == 0 else result.err,
            "second": self.second.ask("receipt", self.folder / "receipt"),
        }


def receipt_on_site(text: bytes) -> str:
    try:
        proofs.check_receipt(text.decode(), selectors.public_key_text())
    except (BadProof, UnicodeDecodeError) as error:
        return str(error)
    return ""


@pytest.fixture
def verifiers(second_verifier: SecondVerifier, tmp_path: Path, receipt_entry: Entry, tiles_dir: Path) -> Verifiers:  # noqa: F811
    found = Verifiers(second_verifier, tmp_path)
    for with_kept in (False, True):
        assert set(found.verdicts(tiles_dir, with_kept=with_kept).values()) == {""}
        assert found.site(with_kept=with_kept) == ""
    return found


def files_of(folder: Path) -> list[Path]:
    """The files that the newest checkpoint leads to; tiles of an earlier size lie beside them."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return sorted(path for path in found if not path.parent.name.endswith(".p") or path.name == str(SIZE))


@pytest.mark.thorough
def test_any_byte_of_any_tile_entry_or_checkpoint_is_missed_by_nobody(verifiers: Verifiers, tiles_dir: Path) -> None:
    for path in files_of(tiles_dir):
        good = path.read_bytes()
        for at in range(len(good)):
            ends_line = good[at + 1 : at + 2] in (b"=", b"\n")  # there base64 has bits that mean nothing
            for bit in {1 << at % 8} | ({1} if ends_line else set()):
                path.write_bytes(good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :])
                found = verifiers.verdicts(tiles_dir)
                assert all(found.values()), (path.name, at, bit, found)
                if at % 16 == 0 or ends_line:
                    assert verifiers.site(), (path.name, at, bit)
        path.write_bytes(good)
    assert set(verifiers.verdicts(tiles_dir).values()) == {verifiers.site()} == {""}


def test_any_byte_of_a_receipt_is_missed_by_nobody(verifiers: Verifiers, receipt_entry: Entry) -> None:
    good = selectors.receipt_text(receipt_entry, BODY).encode()
    assert set(verifiers.receipts(good).values()) == {""}
    for at in range(len(good)):
        ends_line = good[at + 1 : at + 2] in (b"=", b"\n")  # there base64 has bits that mean nothing
        for bit in {1 << at % 8} | ({1} if ends_line else set()):
            found = verifiers.receipts(good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :])
            assert all(found.values()), (at, bit, found)
    for changed in (good[:-1], good[1:], good + b"\n", good + good, good.replace(b"index 7", b"index 6")):
        assert all(verifiers.receipts(changed).values())


def test_a_proof_of_one_entry_does_not_pass_for_another(verifiers: Verifiers, receipt_entry: Entry) -> None:
    """The right path of another place, and another entry's text at this place."""
    good = selectors.receipt_text(receipt_entry, BODY)
    other = Entry.objects.exclude(pk=receipt_entry.pk).latest("pk")
    lines, others = good.split("\n"), selectors.entry_proof(other).split("\n")
    mixed = [[lines[0], others[1], *lines[2:]], [*lines[:2], *others[2:]], [*lines[:3], *others[3:]]]
    for changed in mixed:
        assert all(verifiers.receipts("\n".join(changed).encode()).values())


# What somebody does with the entries


def drop(entries: Entries) -> Entries:
    return entries[:4] + entries[5:]


def swap(entries: Entries) -> Entries:
    return [*entries[:3], entries[4], entries[3], *entries[5:]]


def duplicate(entries: Entries) -> Entries:
    return [*entries[:4], entries[4], *entries[4:]]


def back_date(entries: Entries) -> Entries:
    record = json.loads(entries[4]) | {"at": "2020-01-01T00:00:00.000000Z"}
    return [*entries[:4], canonical_json(record), *entries[5:]]


def slip_in(entries: Entries) -> Entries:
    record = json.loads(entries[4]) | {"salt": "0" * 32}
    return [*entries[:4], canonical_json(record), *entries[4:]]


def truncate(entries: Entries) -> Entries:
    return entries[: KEPT_SIZE - 2]


def fork(entries: Entries) -> Entries:
    """Two sites go on from the same backup: what the other one signed at seven entries is kept."""
    record = json.loads(entries[4]) | {"salt": "1" * 32}
    return entries[:4] + [canonical_json(record | {"salt": f"{number:032x}"}) for number in range(9)]


ATTACKS = [drop, swap, duplicate, back_date, slip_in, truncate, fork]


def raw_entries() -> Entries:
    found = Leaf.objects.order_by("index").values_list("entry__data", flat=True)
    return [bytes(data) for data in found]


def write_log(folder: Path, entries: Entries, note: str) -> Path:
    """Write a log of less than 256 entries as its tiles, all hashes right."""
    hashes = [merkle.leaf_hash(data) for data in entries]
    bundle = b"".join(len(data).to_bytes(2) + data for data in entries)
    files = {
        tiles.path_of(0, 0, len(entries)): b"".join(hashes),
        tiles.path_of(tiles.ENTRIES, 0, len(entries)): bundle,
        publishing.CHECKPOINT: note.encode(),
    }
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def sign(entries: Entries) -> str:
    root = merkle.root_of([merkle.leaf_hash(data) for data in entries])
    statement = notes.CheckpointText(selectors.verifier_key().name, len(entries), root)
    return notes.sign_checkpoint(statement, sequencer.signing_key())


@pytest.mark.parametrize("attack", ATTACKS)
def test_without_the_signing_key_nothing_passes(
    verifiers: Verifiers, attack: Callable[[Entries], Entries], tiles_dir: Path, tmp_path: Path
) -> None:
    """Every hash is computed anew; but the root is not the one that is signed, whatever size the checkpoint is made to say."""
    entries = attack(raw_entries())
    signed = (tiles_dir / publishing.CHECKPOINT).read_text()
    for note in (signed, signed.replace(f"\n{SIZE}\n", f"\n{len(entries)}\n", 1)):
        forged = write_log(tmp_path / f"forged-{len(note)}", entries, note)
        assert all(verifiers.verdicts(forged).values())


@pytest.mark.parametrize("attack", ATTACKS)
def test_with_the_signing_key_a_kept_checkpoint_gives_it_away(
    verifiers: Verifiers, attack: Callable[[Entries], Entries], tmp_path: Path
) -> None:
    """The operator signs the rewritten log: it is whole by itself, and does not continue what an anchor or auditor holds."""
    entries = attack(raw_entries())
    forged = write_log(tmp_path / "forged", entries, sign(entries))
    assert set(verifiers.verdicts(forged).values()) == {""}
    assert all(verifiers.verdicts(forged, with_kept=True).values())


def test_an_old_copy_of_the_log_is_good_and_behind_what_was_kept(verifiers: Verifiers, tmp_path: Path) -> None:
    """Rolled back as a whole: nothing in it is wrong, so only the newer checkpoint tells."""
    entries = raw_entries()
    old = write_log(tmp_path / "old", entries[:5], sign(entries[:5]))
    assert set(verifiers.verdicts(old).values()) == {""}
    assert all(verifiers.verdicts(old, with_kept=True).values())


# The same in the database, with the administrator's rights


@pytest.fixture
def administrator() -> Iterator[Any]:
    with past_the_triggers(), connection.cursor() as cursor:
        yield cursor


@pytest.mark.parametrize("attack", ATTACKS)
def test_in_the_database_too(
    verifiers: Verifiers, attack: Callable[[Entries], Entries], administrator: Any, tiles_dir: Path
) -> None:
    """Entries are rewritten in place, with fitting columns, leaves and hashes; the published files stay as they are."""
    entries = attack(raw_entries())
    rewrite_database(entries)
    assert verifiers.site()
    for name in ("tile", "checkpoint"):  # nor does it help to take the published log away, or to publish the new one
        shutil.rmtree(tiles_dir / name, ignore_errors=True)
        (tiles_dir / name).unlink(missing_ok=True)
    write_log(tiles_dir, entries, Checkpoint.objects.latest("size").note)
    assert verifiers.site()


def rewrite_database(entries: Entries) -> None:
    for model in (Pending, Leaf, Tile, Entry):
        model._default_manager.all().delete()
    for index, data in enumerate(entries):
        record = json.loads(data)
        columns = {name: record[name] for name in ("event", "about", "actor", "role")}
        entry = Entry.objects.create(created_at=record["at"], data=data, **columns)
        Leaf.objects.create(index=index, entry=entry, leaf_hash=merkle.leaf_hash(data))


def test_the_same_entries_put_back_in_the_database_are_good(verifiers: Verifiers, administrator: Any) -> None:
    """The control of what follows: it is the attack that is found, not that rows are others."""
    rewrite_database(raw_entries())
    assert verifiers.site() == ""
