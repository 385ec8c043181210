#!/usr/bin/env python3
"""Checks what Habeas hands out, with nothing of Habeas: Python ≥ 3.11, its standard library and `cryptography`.

    python habeas_verify.py receipt FILE --key KEY       a receipt, or the proof of one entry (.tlog-proof)
    python habeas_verify.py log FILE --key KEY           a folder or ZIP of the log's tiles (the auditors' bundle is one),
                                                         or an export in JSON Lines
    python habeas_verify.py archive FILE --key KEY       an archive, as it was downloaded

KEY is a verifier key, name+hash+base64, or the name of a file that holds one, or several, each on a line of its own; --key
may also be given several times: a log whose key was changed has several. Get keys from somewhere else than FILE: from the
organisation's page /audit/log/, or from somebody who kept them. Without a key nothing can be judged.
Exit codes: 0 good; 1 bad, with one line on stderr; 3 it is not contradictory, but without a key nobody can judge.

The formats: c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-tiles, c2sp.org/tlog-proof; hashes as in RFC 6962.
Archives: ZIP as in PKWARE APPNOTE 6.3.10, a manifest with the SHA-256 of every piece, its signature as a signed note.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import json
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

WIDTH = 256  # hashes in a full tile
LARGEST_PROOF = 64 * 1024 * 1024
LARGEST_TILE = WIDTH * (2 + 65_535)  # of entries; a checkpoint is much smaller
LONGEST_LINE = 1024 * 1024  # of an export; an entry has at most 65,535 bytes
ANCHORED = "anchors/*/*.checkpoint"
EXPORT_FORMAT = "habeas-log@v1"
ARCHIVE_FORMAT = "habeas archive manifest v1"
MOST_ARCHIVE = 1 << 44
MOST_MANIFEST = 1 << 30
BLOCK = 1024 * 1024  # of an archive in memory at once
LIMIT_32 = 0xFFFFFFFF
STORED, DEFLATED = 0, 8
METHODS = {STORED: "stored", DEFLATED: "deflated"}
DAMAGED_ZIP = (  # what zipfile throws
    zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, RuntimeError, struct.error, ValueError,
)  # fmt: skip


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


Keys = list[Key]  # none: nothing can be judged
Kept = list[Checkpoint]  # what somebody kept of this log or of an earlier one: the log must continue each of them


# Keys, signatures, notes


def from_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Bad("malformed base64") from None
    if base64.b64encode(data).decode() != text:
        raise Bad("malformed base64")
    return data


def read_keys(texts: list[str]) -> Keys:
    """Read verifier keys, or the files that hold them."""
    found: Keys = []
    for text in texts:
        if "+" not in text or Path(text).is_file():
            lines = read_file(Path(text)).decode("utf-8", "replace").split()
            written = [line for line in lines if re.fullmatch(r"[^\s+]+\+[0-9a-f]{8}\+\S+", line)]
            if not written:
                raise Bad("the file holds no key of the form name+hash+base64")
            found += [read_key(line) for line in written]
        else:
            found.append(read_key(text.strip()))
    return found


def read_key(text: str) -> Key:
    name, _, rest = text.partition("+")
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


def open_checkpoint(note: str, keys: Keys) -> Checkpoint:
    """Return what a checkpoint says; with keys, only if one of them signed it."""
    text, gap, rest = note.rpartition("\n\n")
    lines = text.split("\n")
    if not gap or not rest.endswith("\n") or len(lines) != 3 or not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]):
        raise Bad("the checkpoint is malformed")
    signatures = [re.fullmatch(r"— (\S+) (\S+)", line) for line in rest[:-1].split("\n")]
    if not all(signatures):
        raise Bad("the checkpoint is malformed")
    checkpoint = Checkpoint(lines[0], int(lines[1]), from_base64(lines[2]))
    if not keys:
        return checkpoint
    signed = [(found[1], from_base64(found[2])) for found in signatures if found]
    mine = [
        (key, signature[4:])
        for key in keys
        for name, signature in signed
        if name == key.name == checkpoint.origin and signature[:4] == key.id
    ]
    if not mine:
        raise Bad("the checkpoint is not signed by this key (if the log's key was changed, give the earlier ones too)")
    if not all(is_signed(key, f"{text}\n".encode(), signature) for key, signature in mine):
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


def check_receipt(path: Path, keys: Keys, options: argparse.Namespace) -> str:
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
    checkpoint = open_checkpoint(note, keys)
    check_proof(entry, int(index[1]), lines[3:], checkpoint)
    return f"{what} stands at place {index[1]} of the log {checkpoint.origin}, signed at {checkpoint.size} entries"


def check_body(entry: dict[str, Any], body: bytes) -> str:
    """Check that the entry is about this very receipt."""
    held = entry["details"].get("body_sha256") if isinstance(entry["details"], dict) else None
    found = sha256(body).hexdigest()
    if entry["event"] != "receipt.issued" or held != found:
        raise Bad("the receipt's text is not the one that the log holds")
    said = what_it_says(as_object(body, set(), None))
    fingerprint = " ".join(
        found[start : start + 4] for start in range(0, len(found), 4)
    )  # as the receipt's page shows it
    return f"the receipt of {entry['at']} about {entry['about']}{said}, SHA-256 {fingerprint},"


def what_it_says(body: dict[str, Any]) -> str:
    """Say what the receipt says: unreadable since when, and irrecoverable by when or why there is no day; or what was done."""
    if isinstance(body.get("act"), str):
        return f" ({body['act']} at {body.get('done_at')})"
    if not body.get("unreadable_at"):
        return ""
    by = body.get("irrecoverable_by") or f"no date ({body.get('irrecoverable_code') or 'see the receipt'})"
    return f" (unreadable from {body['unreadable_at']}, irrecoverable by {by})"


def check_proof(entry: bytes, index: int, proof: list[str], checkpoint: Checkpoint) -> None:
    path = [from_base64(line) for line in proof]
    if root_of_proof(hash_leaf(entry), index, checkpoint.size, path) != checkpoint.root:
        raise Bad(f"entry {index} is not in the log that the checkpoint signs")


# The log


def check_log(path: Path, keys: Keys, options: argparse.Namespace) -> str:
    """Rebuild the log from its raw entries; with --checkpoint also from older checkpoints that somebody kept."""
    kept = [open_checkpoint(as_text(read_file(Path(name))), keys) for name in options.checkpoint]
    if path.is_dir():
        anchored = {str(found.relative_to(path)): read_file(found, LARGEST_TILE) for found in path.glob(ANCHORED)}
        kept += read_anchored(anchored, keys)
        read = lambda name: read_file(path / name, LARGEST_TILE) if (path / name).is_file() else None  # noqa: E731
        return check_tiles(read, keys, kept)
    try:
        if zipfile.is_zipfile(path):
            return check_zip(path, keys, kept)
    except DAMAGED_ZIP:
        raise Bad("the ZIP file is damaged") from None
    return check_export(path, keys, kept)


def check_zip(path: Path, keys: Keys, kept: Kept) -> str:
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        if len(names) != len(archive.namelist()):
            raise Bad("a name stands in the ZIP twice")
        anchored = {name: read_entry(archive, name) for name in names if Path(name).match(ANCHORED)}
        kept = kept + read_anchored(anchored, keys)
        return check_tiles(lambda name: read_entry(archive, name) if name in names else None, keys, kept)


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a file of a bundle; what it would unpack to is looked at before."""
    found = archive.getinfo(name)
    if found.file_size > LARGEST_TILE or found.compress_type not in METHODS:
        raise Bad(f"{name} in the ZIP is none of a log: it is too large, or packed in another way")
    return archive.read(name)


def read_anchored(notes: dict[str, bytes], keys: Keys) -> Kept:
    """Read the checkpoints in the bundle that were left at anchors."""
    found = []
    for name, note in sorted(notes.items()):
        try:
            found.append(open_checkpoint(as_text(note), keys))
        except Bad as error:
            raise Bad(f"{name}: {error} (a log whose key was changed needs its earlier keys too)") from None
    return found


def check_tiles(read: Callable[[str], bytes | None], keys: Keys, kept: Kept) -> str:
    note = read("checkpoint")
    if note is None:
        raise Bad("there is no file named checkpoint")
    checkpoint = open_checkpoint(as_text(note), keys)
    log, levels = Log(checkpoint, kept), [bytearray()]
    for number in range(-(-checkpoint.size // WIDTH)):
        width = min(WIDTH, checkpoint.size - number * WIDTH)
        for entry in entries_of(read_tile(read, "entries", number, width), width):
            levels[0] += log.add(entry)
        close_tiles(read, levels, number)
    compare_unfinished(read, levels, checkpoint.size)
    return log.verdict()


class Part:
    """A log, or what is left of it in a later one: its roots as it grows, and the checkpoints that it must continue."""

    def __init__(self, origin: str, most: int, known: Kept) -> None:
        self.origin, self.roots, self.most = origin, Roots(), most
        self.known = [one for one in known if one.origin == origin]
        self._sizes = {one.size for one in self.known}
        self._compare()

    def add(self, hashed: bytes) -> None:
        if self.roots.size < self.most:
            self.roots.add(hashed)
            self._compare()

    def _compare(self) -> None:
        size = self.roots.size
        if size in self._sizes and any(self.roots.root() != one.root for one in self.known if one.size == size):
            raise Bad(
                f"the first {size} entries of {self.origin} are not those of the older checkpoint: it was rewritten"
            )


class Log:
    """Raw entries in their order, compared with the checkpoint, and with what was signed or kept of this log and earlier ones."""

    def __init__(self, checkpoint: Checkpoint, kept: Kept) -> None:
        self._checkpoint, self._kept = checkpoint, kept
        self._parts = [Part(checkpoint.origin, checkpoint.size, kept)]  # this log, then those before it
        self._named: dict[str, int] = {}  # each earlier log, and the size of its last checkpoint
        self.size = 0

    def add(self, entry: bytes) -> bytes:
        """Add the next entry; return its hash."""
        hashed = hash_leaf(entry)
        for part in self._parts:
            part.add(hashed)
        if self.size == len(self._named) and (said := said_of_earlier(entry)):
            self._begin_part(*said)
        self.size += 1
        return hashed

    def _begin_part(self, number: int, last: Checkpoint, left: int) -> None:
        """Await what is left of an earlier log: it follows the entry that names it."""
        origin = self._parts[-1].origin
        base = origin.removesuffix(f"/{number}")
        if base == origin:
            raise Bad(f"{origin} is not the name of log {number}, as its first entry says")
        last = last._replace(origin=base if number == 2 else f"{base}/{number - 1}")
        for one in self._kept:
            if one.origin == last.origin and (one.size > last.size or (one.size == last.size and one != last)):
                raise Bad(f"of the earlier log {one.origin} you keep {one.size} entries, this one names {last.size}")
        most = max(
            0, min(left, self._parts[-1].most - 1) if self._named else left
        )  # an older one is a part of what is left of a newer one
        self._named[last.origin] = last.size
        self._parts.append(Part(last.origin, most, [last, *self._kept] if last.size else self._kept))

    def verdict(self) -> str:
        checkpoint, (own, *earlier) = self._checkpoint, self._parts
        if self.size != checkpoint.size or own.roots.root() != checkpoint.root:
            raise Bad("the entries do not give the root that the checkpoint signs")
        for one in self._kept:
            if one.origin not in {own.origin, *self._named}:
                raise Bad(f"a kept checkpoint is of another log, {one.origin}, which this one does not name")
            if one.origin == own.origin and one.size > checkpoint.size:
                raise Bad(
                    f"the older checkpoint has {one.size} entries, this log {self.size}: it was cut or rolled back"
                )
        more = f", and continue {len(own.known)} older checkpoints" if own.known else ""
        for part in earlier:
            if part.roots.size != part.most:
                raise Bad(f"of the entries left of {part.origin}, some are missing")
            size = self._named[part.origin]
            more += f"; it continues {part.origin} after a gap, names {size} entries of it and holds {part.roots.size}"
        return f"{checkpoint.size} entries of the log {checkpoint.origin} give the signed root{more}"


def said_of_earlier(entry: bytes) -> tuple[int, Checkpoint, int] | None:
    """Return what an entry `log.continued` says: the number of its log, the last checkpoint of the one before, how much is left."""
    record = as_object(entry, {"event", "details"}, None)
    if record["event"] != "log.continued":
        return None
    details = as_object(json.dumps(record["details"]).encode(), {"number", "size", "root", "kept"}, None)
    numbers = number, size, left = details["number"], details["size"], details["kept"]
    if not all(type(one) is int and one >= 0 for one in numbers) or number < 2:
        raise Bad("it is not what a log writes")
    try:
        root = bytes.fromhex(details["root"])
    except (TypeError, ValueError):
        raise Bad("it is not what a log writes") from None
    return number, Checkpoint("", size, root), left


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


def check_export(path: Path, keys: Keys, kept: Kept) -> str:
    """Check an export: all entries in their order, or a selection with a proof for each."""
    count = 0
    try:
        file = path.open("rb")
    except OSError as error:
        raise Bad(f"cannot read {path}: {error.strerror}") from None
    with file:
        header = as_object(file.readline(LONGEST_LINE), {"format", "checkpoint", "whole"}, set())
        if header["format"] != EXPORT_FORMAT or type(header["whole"]) is not bool:
            raise Bad("it is neither a folder of tiles nor an export of the log")
        checkpoint = open_checkpoint(as_bytes(header["checkpoint"]).decode(), keys)
        log = Log(checkpoint, kept)
        while line := file.readline(LONGEST_LINE):
            record = as_object(line, {"index", "entry"}, {"proof"})
            count += 1
            if not header["whole"]:
                check_proof(as_bytes(record["entry"]), *place_of(record), checkpoint)
            elif record["index"] != log.size:
                raise Bad(f"entry {log.size} is missing or out of its order")
            else:
                log.add(as_bytes(record["entry"]))
    if header["whole"]:
        return log.verdict()
    return f"{count} entries, each proven to stand in the log {checkpoint.origin}, signed at {checkpoint.size} entries"


def place_of(record: dict[str, Any]) -> tuple[int, list[str]]:
    index, proof = record["index"], record.get("proof")
    if type(index) is not int or not isinstance(proof, list) or not all(isinstance(one, str) for one in proof):
        raise Bad("an entry has no proof")
    return index, proof


# Archives


class File(NamedTuple):
    """What the headers of a file in the ZIP must say."""

    name: bytes
    method: int
    crc32: int
    packed_size: int
    size: int


def check_archive(path: Path, keys: Keys, options: argparse.Namespace) -> str:
    """Check signature and manifest, then that the ZIP is made of these files and of not one byte more."""
    try:
        with path.open("rb") as file:
            return ArchiveFile(file).check(keys)
    except OSError as error:
        raise Bad(f"cannot read {path}: {error.strerror}") from None
    except (struct.error, zlib.error, KeyError, IndexError, TypeError, ValueError, OverflowError):
        raise Bad("it is not an archive as Habeas makes it, or it was changed") from None


class ArchiveFile:
    """A ZIP (PKWARE APPNOTE 6.3.10) as Habeas writes it: one way for everything, so each header can be computed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        size = file.seek(0, 2)
        if size > MOST_ARCHIVE or size < 22:
            raise Bad("it is not a ZIP file")
        count, directory_size, self._start = self._read_end(size)
        end = end_records(count, directory_size, self._start)
        if self._start + directory_size + len(end) != size or self._read(size - len(end), len(end)) != end:
            raise Bad("the end of the ZIP is not as it must be: it was cut, or something was added")
        self._directory = self._read(self._start, directory_size)
        self._entries = list(self._read_directory())
        if len(self._entries) != count or count < 2:
            raise Bad("the ZIP's directory does not have the number of files that it says")

    def check(self, keys: Keys) -> str:
        (name, manifest_file, start), (signature_name, signature_file, signature_start) = self._entries[-2:]
        if (name, signature_name) != ("manifest.json", "manifest.json.sig"):
            raise Bad("manifest.json and manifest.json.sig are not the last files")
        text = self._stored(manifest_file, start)
        signature = self._stored(signature_file, signature_start)
        manifest = as_object(text, {"format", "archive", "request", "created", "missing", "files"}, None)
        statement = f"{ARCHIVE_FORMAT}\n{manifest['archive']}\n{sha256(text).hexdigest()}\n"
        check_note(as_text(signature), statement, keys)
        self._modified = dos_time(manifest["created"])
        position, directory = self._check_files(manifest["files"])
        for stored, data in ((manifest_file, text), (signature_file, signature)):
            if stored.crc32 != zlib.crc32(data) or stored.method != STORED or stored.packed_size != stored.size:
                raise Bad("the headers of the manifest or of its signature were changed")
            directory += self._check_headers(stored, position, directory)
            position += len(local_header(stored, self._modified)) + stored.packed_size
        if position != self._start or directory != len(self._directory):
            raise Bad("there is something between the files that does not belong there")
        missing = "".join(f"; not in it: {place['place']}" for place in manifest["missing"])
        what = f"archive {manifest['archive']} for request {manifest['request']}, made {manifest['created']}"
        return f"{what}, {len(manifest['files'])} files{missing}"

    def _check_files(self, listed: list[dict[str, Any]]) -> tuple[int, int]:
        """Check every file that the manifest lists; return where the next local and central headers must be."""
        position = directory = 0
        names = [(entry["name"], entry["method"]) for entry in listed]
        found = [(name, METHODS.get(file.method)) for name, file, _start in self._entries[:-2]]
        if names != found or len({name for name, _method in names}) != len(names):
            raise Bad("the files of the ZIP are not those of the manifest")
        for entry, (name, file, _start) in zip(listed, self._entries, strict=False):
            if not is_harmless(name):
                raise Bad(f"{name!r} is not a name that an archive has")
            if file.size != entry["size"] or file.packed_size != sum(
                piece["packed_length"] for piece in entry["pieces"]
            ):
                raise Bad(f"{name} does not have the size that the manifest says")
            directory += self._check_headers(file, position, directory)
            position += len(local_header(file, self._modified))
            if self._check_pieces(name, file.method, entry["pieces"], position) != (file.crc32, file.size):
                raise Bad(f"{name} was changed")
            position += file.packed_size
        return position, directory

    def _check_headers(self, file: File, position: int, directory: int) -> int:
        """Compare both headers of a file with what they must be; return the size of the central one."""
        local = local_header(file, self._modified)
        central = central_header(file, self._modified, position)
        if (
            self._read(position, len(local)) != local
            or self._directory[directory : directory + len(central)] != central
        ):
            raise Bad(f"the headers of {as_text(file.name)} were changed")
        return len(central)

    def _check_pieces(self, name: str, method: int, pieces: list[dict[str, Any]], position: int) -> tuple[int, int]:
        """Check each piece, packed and unpacked; return the CRC-32 and the size of the whole."""
        inflater = zlib.decompressobj(-15)
        crc = size = 0
        for piece in pieces:
            packed_hash, plain_hash, length = sha256(), sha256(), 0
            for packed in self._blocks(position, piece["packed_length"]):
                packed_hash.update(packed)
                for plain in inflate(inflater, packed) if method == DEFLATED else (packed,):
                    plain_hash.update(plain)
                    crc, length = zlib.crc32(plain, crc), length + len(plain)
            position, size = position + piece["packed_length"], size + length
            digests = packed_hash.hexdigest(), plain_hash.hexdigest(), length
            if digests != (piece["packed_sha256"], piece["sha256"], piece["length"]):
                raise Bad(f"{name} was changed")
        if method == DEFLATED and (not inflater.eof or inflater.unused_data):
            raise Bad(f"{name} was changed")
        return crc, size

    def _read_end(self, size: int) -> tuple[int, int, int]:
        """Return number of files, size and place of the directory, as the last records say."""
        mark, *_head, count, directory_size, start, _comment = struct.unpack("<4sHHHHLLH", self._read(size - 22, 22))
        if mark != b"PK\5\6":
            raise Bad("it does not end as a ZIP file does: it is none, it was cut, or something was added")
        if size >= 98 and self._read(size - 42, 4) == b"PK\6\7":
            count, directory_size, start = struct.unpack("<QQQ", self._read(size - 66, 24))
        return count, directory_size, start

    def _read_directory(self) -> Iterator[tuple[str, File, int]]:
        """Yield name, headers' values and place of each file, as the directory says; compared with the rest later."""
        at = 0
        while at < len(self._directory):
            fields = struct.unpack_from("<4sHHHHHHLLLHHHHHLL", self._directory, at)
            method, crc, packed_size, size, name_length, extra_length, offset = *fields[4:5], *fields[7:12], fields[16]
            name = self._directory[at + 46 : at + 46 + name_length]
            wide = at + 50 + name_length
            values = []
            for value in (size, packed_size, offset):
                if value == LIMIT_32:
                    value = int.from_bytes(self._directory[wide : wide + 8], "little")
                    wide += 8
                values.append(value)
            yield as_text(name), File(name, method, crc, values[1], values[0]), values[2]
            at += 46 + name_length + extra_length

    def _stored(self, file: File, start: int) -> bytes:
        if file.size > MOST_MANIFEST:
            raise Bad("the manifest is too large")
        name_length, extra_length = struct.unpack("<HH", self._read(start + 26, 4))
        return self._read(start + 30 + name_length + extra_length, file.size)

    def _blocks(self, position: int, length: int) -> Iterator[bytes]:
        for at in range(position, position + length, BLOCK):
            yield self._read(at, min(BLOCK, position + length - at))

    def _read(self, position: int, length: int) -> bytes:
        if position < 0:
            raise Bad("it is not a ZIP file")
        self._file.seek(position)
        data = self._file.read(length)
        if len(data) != length:
            raise Bad("the file was cut")
        return data


def check_note(note: str, statement: str, keys: Keys) -> None:
    """Check a signed note that says exactly `statement` and has exactly one signature; with keys, of one of them."""
    text, gap, rest = note.rpartition("\n\n")
    found = re.fullmatch(r"— (\S+) (\S+)\n", rest)
    if not gap or f"{text}\n" != statement or not found:
        raise Bad("manifest.json.sig does not belong to this manifest: one of them was changed")
    signature = from_base64(found[2])
    mine = [key for key in keys if found[1] == key.name and signature[:4] == key.id]
    if keys and not any(is_signed(key, statement.encode(), signature[4:]) for key in mine):
        raise Bad("the manifest is not signed by this key")


def is_harmless(name: str) -> bool:
    """Say whether a name is relative and plain, so that unpacking it writes nothing outside the folder."""
    return bool(re.fullmatch(r"[\x20-\x7e]+", name)) and not re.search(r"(^|/)\.{0,2}(/|$)|[\\:*?\"<>|]", name)


def inflate(inflater: Any, packed: bytes) -> Iterator[bytes]:
    while packed:
        yield inflater.decompress(packed, BLOCK)
        packed = inflater.unconsumed_tail


def dos_time(created: str) -> int:
    """Return 2026-11-22T10:00:00Z in the MS-DOS form that ZIP files have."""
    moment = datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    date = (moment.year - 1980) << 9 | moment.month << 5 | moment.day
    return date << 16 | moment.hour << 11 | moment.minute << 5 | moment.second // 2


def local_header(file: File, modified: int) -> bytes:
    large = file.size >= LIMIT_32 or file.packed_size >= LIMIT_32
    extra = struct.pack("<HHQQ", 1, 16, file.size, file.packed_size) if large else b""
    sizes = (LIMIT_32, LIMIT_32) if large else (file.packed_size, file.size)
    times, lengths = (modified & 0xFFFF, modified >> 16), (len(file.name), len(extra))
    head = (b"PK\3\4", 45 if large else 20, 0x800, file.method)
    return struct.pack("<4sHHHHHLLLHH", *head, *times, file.crc32, *sizes, *lengths) + file.name + extra


def central_header(file: File, modified: int, offset: int) -> bytes:
    values = (file.size, file.packed_size, offset)
    wide = [value for value in values if value >= LIMIT_32]
    extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    size, packed_size, place = (min(value, LIMIT_32) for value in values)
    head = (b"PK\1\2", 3 << 8 | 45, 45 if wide else 20, 0x800, file.method, modified & 0xFFFF, modified >> 16)
    tail = (file.crc32, packed_size, size, len(file.name), len(extra), 0, 0, 0, 0o100644 << 16, place)
    return struct.pack("<4sHHHHHHLLLHHHHHLL", *head, *tail) + file.name + extra


def end_records(count: int, size: int, start: int) -> bytes:
    wide = b""
    if count >= 0xFFFF or size >= LIMIT_32 or start >= LIMIT_32:
        wide = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 3 << 8 | 45, 45, 0, 0, count, count, size, start)
        wide += struct.pack("<4sLQL", b"PK\6\7", 0, start + size, 1)
    counts = (min(count, 0xFFFF),) * 2
    return wide + struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, *counts, min(size, LIMIT_32), min(start, LIMIT_32), 0)


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
        value = json.loads(data, object_pairs_hook=each_once)
    except (ValueError, RecursionError):
        value = None
    if (
        not isinstance(value, dict)
        or not wanted <= set(value)
        or (optional is not None and set(value) - wanted - optional)
    ):
        raise Bad("it is not what a log writes")
    return value


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that says something twice: another reader might take what this one does not."""
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError
    return found


CHECKS: dict[str, Callable[[Path, Keys, argparse.Namespace], str]] = {
    "receipt": check_receipt,
    "log": check_log,
    "archive": check_archive,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Checks what Habeas hands out, offline. Exit: 0 good, 1 bad, 3 no key."
    )
    parser.add_argument("what", choices=sorted(CHECKS))
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument(
        "--key", action="append", default=[], help="verifier key (name+hash+base64), or a file that holds it"
    )
    parser.add_argument(
        "--checkpoint", action="append", default=[], metavar="FILE", help="log: an older checkpoint that you kept"
    )
    options = parser.parse_args(arguments)
    try:
        keys = read_keys(options.key)
        found = CHECKS[options.what](options.file, keys, options)
    except (Bad, OSError) as error:
        print(f"bad: {error}", file=sys.stderr)
        return 1
    if not keys:
        print(f"cannot judge without --key KEY. Nothing contradicts itself: {found}", file=sys.stderr)
        return 3
    print(f"good: {found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
