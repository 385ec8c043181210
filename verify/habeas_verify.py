#!/usr/bin/env python3
"""Checks what Habeas hands out, with nothing of Habeas: Python ≥ 3.11, its standard library and `cryptography`.

    python habeas_verify.py receipt FILE --key KEY       a receipt, or the proof of one entry (.tlog-proof)
    python habeas_verify.py log FILE --key KEY           a folder or ZIP of the log's tiles, or an export in JSON Lines
    python habeas_verify.py archive FILE --key KEY       an archive, as it was downloaded

KEY is a verifier key, name+hash+base64, or the name of a file that holds one. Get it from somewhere else than FILE: from
the organisation's page /audit/log/, or from somebody who kept it. Without a key nothing can be judged.
Exit codes: 0 good; 1 bad, with one line on stderr; 3 it is not contradictory, but without a key nobody can judge.

The formats: c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-tiles, c2sp.org/tlog-proof; hashes as in RFC 6962.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

WIDTH = 256  # hashes in a full tile
LARGEST_PROOF = 64 * 1024 * 1024
LONGEST_LINE = 1024 * 1024  # of an export; an entry has at most 65,535 bytes
EXPORT_FORMAT = "habeas-log@v1"


class Bad(Exception):
    """It is not what it says it is, or it was changed."""


class Key(NamedTuple):
    """A verifier key: who signs, and the public half of an Ed25519 key."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        return sha256(self.name.encode() + b"\n\x01" + self.public).digest()[:4]


class Checkpoint(NamedTuple):
    origin: str
    size: int
    root: bytes


# Keys, signatures, notes


def from_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Bad("malformed base64") from None
    if base64.b64encode(data).decode() != text:
        raise Bad("malformed base64")
    return data


def read_key(text: str | None) -> Key | None:
    """Read a verifier key, or the file that holds one; None stays None."""
    if text is None:
        return None
    if "+" not in text or Path(text).is_file():
        text = read_file(Path(text)).decode("utf-8", "replace")
    name, _, rest = text.strip().partition("+")
    hash_, _, encoded = rest.partition("+")
    raw = from_base64(encoded)
    key = Key(name, raw[1:])
    if raw[:1] != b"\x01" or len(raw) != 33 or key.id.hex() != hash_:
        raise Bad("the key is not one of the form name+hash+base64")
    return key


def is_signed(key: Key, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def open_checkpoint(note: str, key: Key | None) -> Checkpoint:
    """Return what a checkpoint says; with a key, only if that key signed it."""
    text, gap, rest = note.rpartition("\n\n")
    lines = text.split("\n")
    if not gap or not rest.endswith("\n") or len(lines) != 3 or not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]):
        raise Bad("the checkpoint is malformed")
    signatures = [re.fullmatch(r"— (\S+) (\S+)", line) for line in rest[:-1].split("\n")]
    if not all(signatures):
        raise Bad("the checkpoint is malformed")
    checkpoint = Checkpoint(lines[0], int(lines[1]), from_base64(lines[2]))
    mine = [from_base64(found[2]) for found in signatures if found and key and found[1] == key.name]
    mine = [signature[4:] for signature in mine if key and signature[:4] == key.id]
    if key and (checkpoint.origin != key.name or not mine):
        raise Bad("the checkpoint is not signed by this key")
    if key and not all(is_signed(key, f"{text}\n".encode(), signature) for signature in mine):
        raise Bad("the checkpoint's signature is wrong")
    return checkpoint


# The Merkle tree


def hash_leaf(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class Roots:
    """The root of ever more hashes, from the whole subtrees so far: memory grows with the logarithm."""

    def __init__(self) -> None:
        self.size = 0
        self._whole: list[bytes] = []  # the largest first

    def add(self, hashed: bytes) -> None:
        self.size += 1
        self._whole.append(hashed)
        for _ in range((self.size & -self.size).bit_length() - 1):
            right = self._whole.pop()
            self._whole.append(hash_node(self._whole.pop(), right))

    def root(self) -> bytes:
        if not self._whole:
            return sha256(b"").digest()
        result = self._whole[-1]
        for left in self._whole[-2::-1]:
            result = hash_node(left, result)
        return result


def root_of_proof(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to (RFC 9162 §2.1.3.2)."""
    node, last, result = index, size - 1, leaf
    for sibling in path:
        if last <= 0:
            raise Bad("the proof is too long")
        if node & 1 or node == last:
            result = hash_node(sibling, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = hash_node(result, sibling)
        node, last = node >> 1, last >> 1
    if last != 0 or not 0 <= index < size:
        raise Bad("the proof is too short")
    return result


# Receipts


def check_receipt(path: Path, key: Key | None, options: argparse.Namespace) -> str:
    """Check body → entry → leaf → root → signature of a .tlog-proof."""
    text = as_text(read_file(path, LARGEST_PROOF))
    head, gap, note = text.partition("\n\n")
    lines = head.split("\n")
    if not gap or len(lines) < 3 or lines[0] != "c2sp.org/tlog-proof@v1" or not lines[1].startswith("extra "):
        raise Bad("it is not a proof of an entry")
    index = re.fullmatch(r"index (0|[1-9][0-9]{0,18})", lines[2])
    extra = as_object(from_base64(lines[1].removeprefix("extra ")), {"entry"}, {"body"})
    if not index:
        raise Bad("it is not a proof of an entry")
    entry, what = as_bytes(extra["entry"]), "the entry"
    if "body" in extra:
        what = check_body(as_object(entry, {"event", "about", "at", "details"}, None), as_bytes(extra["body"]))
    checkpoint = open_checkpoint(note, key)
    check_proof(entry, int(index[1]), lines[3:], checkpoint)
    return f"{what} stands at place {index[1]} of the log {checkpoint.origin}, signed at {checkpoint.size} entries"


def check_body(entry: dict[str, Any], body: bytes) -> str:
    """Check that the entry is about this very receipt."""
    held = entry["details"].get("body_sha256") if isinstance(entry["details"], dict) else None
    if entry["event"] != "receipt.issued" or held != sha256(body).hexdigest():
        raise Bad("the receipt's text is not the one that the log holds")
    return f"the receipt of {entry['at']} about {entry['about']}"


def check_proof(entry: bytes, index: int, proof: list[str], checkpoint: Checkpoint) -> None:
    path = [from_base64(line) for line in proof]
    if root_of_proof(hash_leaf(entry), index, checkpoint.size, path) != checkpoint.root:
        raise Bad(f"entry {index} is not in the log that the checkpoint signs")


# The log


def check_log(path: Path, key: Key | None, options: argparse.Namespace) -> str:
    """Rebuild the log from its raw entries; with --checkpoint also from an older checkpoint that somebody kept."""
    older = open_checkpoint(as_text(read_file(Path(options.checkpoint))), key) if options.checkpoint else None
    if path.is_dir():
        return check_tiles(lambda name: read_file(path / name) if (path / name).is_file() else None, key, older)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            return check_tiles(lambda name: archive.read(name) if name in names else None, key, older)
    return check_export(path, key, older)


def check_tiles(read: Callable[[str], bytes | None], key: Key | None, older: Checkpoint | None) -> str:
    note = read("checkpoint")
    if note is None:
        raise Bad("there is no file named checkpoint")
    checkpoint = open_checkpoint(as_text(note), key)
    roots, levels = Roots(), [bytearray()]
    check_growth(roots, older)
    for number in range(-(-checkpoint.size // WIDTH)):
        width = min(WIDTH, checkpoint.size - number * WIDTH)
        for entry in entries_of(read_tile(read, "entries", number, width), width):
            roots.add(hash_leaf(entry))
            levels[0] += hash_leaf(entry)
            check_growth(roots, older)
        close_tiles(read, levels, number)
    compare_unfinished(read, levels, checkpoint.size)
    return verdict(roots, checkpoint, older)


def read_tile(read: Callable[[str], bytes | None], level: int | str, number: int, width: int) -> bytes:
    """Read a tile; a partial one may have given way to the full one (tlog-tiles, "Partial Tiles")."""
    digits = f"{number:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    *heads, last = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join(["tile", str(level), *(f"x{head}" for head in heads), last])
    data = read(f"{name}.p/{width}") if width < WIDTH else None
    if data is None and (data := read(name)) is None:
        raise Bad(f"{name} is missing")
    return data


def entries_of(bundle: bytes, width: int) -> Iterator[bytes]:
    at = count = 0
    while at < len(bundle):
        start = at + 2
        at = start + int.from_bytes(bundle[start - 2 : start])
        count += 1
        if at > len(bundle):
            break
        if count <= width:
            yield bundle[start:at]
    if at != len(bundle) or count not in {width, WIDTH}:
        raise Bad("a bundle of entries is cut or has too many")


def close_tiles(read: Callable[[str], bytes | None], levels: list[bytearray], number: int) -> None:
    """Compare each tile that is full now, and hand its root up."""
    level = 0
    while len(levels[level]) == WIDTH * 32:
        compare(read, level, number, bytes(levels[level]))
        tile = Roots()
        for at in range(0, WIDTH * 32, 32):
            tile.add(bytes(levels[level][at : at + 32]))
        levels[level] = bytearray()
        level, number = level + 1, number // WIDTH
        if level == len(levels):
            levels.append(bytearray())
        levels[level] += tile.root()


def compare_unfinished(read: Callable[[str], bytes | None], levels: list[bytearray], size: int) -> None:
    for level, hashes in enumerate(levels):
        if hashes:
            compare(read, level, size // WIDTH ** (level + 1), bytes(hashes))


def compare(read: Callable[[str], bytes | None], level: int, number: int, hashes: bytes) -> None:
    tile = read_tile(read, level, number, len(hashes) // 32)
    if tile[: len(hashes)] != hashes or len(tile) not in {len(hashes), WIDTH * 32}:
        raise Bad(f"tile {number} of level {level} does not fit the entries")


def check_export(path: Path, key: Key | None, older: Checkpoint | None) -> str:
    """Check an export: all entries in their order, or a selection with a proof for each."""
    roots, count = Roots(), 0
    try:
        file = path.open("rb")
    except OSError as error:
        raise Bad(f"cannot read {path}: {error.strerror}") from None
    with file:
        header = as_object(file.readline(LONGEST_LINE), {"format", "checkpoint", "whole"}, set())
        if header["format"] != EXPORT_FORMAT or type(header["whole"]) is not bool:
            raise Bad("it is neither a folder of tiles nor an export of the log")
        checkpoint = open_checkpoint(as_bytes(header["checkpoint"]).decode(), key)
        check_growth(roots, older)
        while line := file.readline(LONGEST_LINE):
            record = as_object(line, {"index", "entry"}, {"proof"})
            count += 1
            if not header["whole"]:
                check_proof(as_bytes(record["entry"]), *place_of(record), checkpoint)
            elif record["index"] != roots.size:
                raise Bad(f"entry {roots.size} is missing or out of its order")
            else:
                roots.add(hash_leaf(as_bytes(record["entry"])))
                check_growth(roots, older)
    if header["whole"]:
        return verdict(roots, checkpoint, older)
    return f"{count} entries, each proven to stand in the log {checkpoint.origin}, signed at {checkpoint.size} entries"


def place_of(record: dict[str, Any]) -> tuple[int, list[str]]:
    index, proof = record["index"], record.get("proof")
    if type(index) is not int or not isinstance(proof, list) or not all(isinstance(one, str) for one in proof):
        raise Bad("an entry has no proof")
    return index, proof


def check_growth(roots: Roots, older: Checkpoint | None) -> None:
    if older and roots.size == older.size and roots.root() != older.root:
        raise Bad(f"the first {older.size} entries are not those of the older checkpoint: the log was rewritten")


def verdict(roots: Roots, checkpoint: Checkpoint, older: Checkpoint | None) -> str:
    if roots.size != checkpoint.size or roots.root() != checkpoint.root:
        raise Bad("the entries do not give the root that the checkpoint signs")
    if older and (older.size > checkpoint.size or older.origin != checkpoint.origin):
        raise Bad(
            f"the older checkpoint has {older.size} entries, this log {checkpoint.size}: it was cut or rolled back"
        )
    return f"{checkpoint.size} entries of the log {checkpoint.origin} give the signed root"


# Files, the command line


def read_file(path: Path, most: int = 1 << 40) -> bytes:
    try:
        if path.stat().st_size > most:
            raise Bad(f"{path} is too large")
        return path.read_bytes()
    except OSError as error:
        raise Bad(f"cannot read {path}: {error.strerror}") from None


def as_text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Bad("it is not a text that a log writes") from None


def as_bytes(value: Any) -> bytes:
    """Return the bytes of a text of JSON, which may hold other things than texts, and half characters."""
    try:
        return str.encode(value)
    except (TypeError, UnicodeEncodeError):
        raise Bad("it is not a text that a log writes") from None


def as_object(data: bytes, wanted: set[str], optional: set[str] | None) -> dict[str, Any]:
    """Read a JSON object that has these keys, and no others unless `optional` is None."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if (
        not isinstance(value, dict)
        or not wanted <= set(value)
        or (optional is not None and set(value) - wanted - optional)
    ):
        raise Bad("it is not what a log writes")
    return value


CHECKS: dict[str, Callable[[Path, Key | None, argparse.Namespace], str]] = {
    "receipt": check_receipt,
    "log": check_log,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Checks what Habeas hands out, offline. Exit: 0 good, 1 bad, 3 no key."
    )
    parser.add_argument("what", choices=sorted(CHECKS))
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--key", help="verifier key (name+hash+base64), or a file that holds it")
    parser.add_argument("--checkpoint", metavar="FILE", help="log: an older checkpoint that you kept")
    options = parser.parse_args(arguments)
    try:
        key = read_key(options.key)
        found = CHECKS[options.what](options.file, key, options)
    except Bad as error:
        print(f"bad: {error}", file=sys.stderr)
        return 1
    if key is None:
        print(f"cannot judge without --key KEY. Nothing contradicts itself: {found}", file=sys.stderr)
        return 3
    print(f"good: {found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
