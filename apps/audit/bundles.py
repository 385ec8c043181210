"""The auditors' bundle: one ZIP with everything that it takes to check the log elsewhere, offline, without trusting us.

It is streamed: memory stays the same however long the log is. Its root is a log of its own in the layout of C2SP
tlog-tiles, so `habeas_verify.py log` takes the ZIP as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from django.conf import settings
from django.utils import timezone
from stream_zip import ZIP_64, Method, stream_zip

from apps.audit import exports, publishing, selectors
from apps.audit.anchors import placed
from apps.audit.continuing import earlier_log
from apps.audit.details import moment_text
from apps.audit.entries import canonical_json
from apps.audit.models import Anchoring, Checkpoint

FILE_NAME = "audit-bundle.zip"
VERIFIER = "habeas_verify.py"
MODE = 0o100644
BATCH = 200  # anchorings a query

File = tuple[str, datetime, int, Method, Iterable[bytes]]

README = """\
THE AUDIT LOG OF {organisation}: {size} entries, signed {signed_at}

This file holds everything that it takes to check the log on a machine of your own, without network. You need to trust
neither the people who run the site nor the site itself. You need Python 3.11 or newer.

 1. Read habeas_verify.py, or take your own copy of it from somebody you trust: whoever can change this file could change
    that one too. It needs one package: python -m pip install cryptography
 2. Have the log's key from somewhere else than this file: from a checkpoint's letter, from somebody who wrote it down, or
    from {address}/audit/log/. keys.txt shows what this file says it is. If the key was changed, there are several: the
    verifier takes a file with one on each line.
 3. Run    python habeas_verify.py log audit-bundle.zip --key KEY
    It says "good" (exit code 0) or why not (1). It computes every hash again from the raw entries, compares every tile,
    and the root with the signed one, and every checkpoint below anchors/ with the log as it was then.
 4. Compare with a checkpoint that YOU kept: add --checkpoint FILE. It is the only way to find a log that was rewritten or
    rolled back as a whole by somebody who has the signing key. Keep the file "checkpoint" of this bundle for next time.

What is in here
    checkpoint            the newest statement of size and root, signed (c2sp.org/tlog-checkpoint)
    tile/                 hashes, and below tile/entries/ the raw entries (c2sp.org/tlog-tiles): other tools read them too
    entries.jsonl         the same entries, one a line, to read
    anchors/anchors.jsonl where checkpoints were left, and when
    anchors/…             what a time-stamp authority gave as proof. To check one, with the authority's own certificate:
                          openssl ts -verify -in 42.tsr -data 42.checkpoint -CAfile CERTIFICATE.pem
    keys.txt              the public keys, as the site says them
    habeas_verify.py      the verifier

An entry names nobody: people, requests and officers are random handles. {organisation}'s page for auditors says each event
in words; apps/audit/events.py of the source lists all of them, with what the details of each may hold.
"""


def bundle(checkpoint: Checkpoint) -> Iterator[bytes]:
    """Yield the ZIP of the log that the checkpoint signs."""
    chunks: Iterator[bytes] = iter(stream_zip(_files(checkpoint)))
    return chunks


def _files(checkpoint: Checkpoint) -> Iterator[File]:
    yield _file("README.txt", [_readme(checkpoint).encode()])
    yield _file("keys.txt", [_keys().encode()])
    yield _file(VERIFIER, [(Path(settings.BASE_DIR) / "verify" / VERIFIER).read_bytes()])
    yield _file(publishing.CHECKPOINT, [checkpoint.note.encode()])
    for name, data in publishing.files_of(checkpoint.size):
        yield _file(name, [data])
    yield _file("entries.jsonl", exports.whole_log(checkpoint))
    yield from _proofs(checkpoint)
    yield _file("anchors/anchors.jsonl", _anchorings(checkpoint))


def _file(name: str, chunks: Iterable[bytes]) -> File:
    return name, timezone.now(), MODE, ZIP_64, chunks


def _readme(checkpoint: Checkpoint) -> str:
    values = {"organisation": settings.ORGANISATION_NAME, "address": settings.SITE_URL}
    return README.format(**values, size=checkpoint.size, signed_at=moment_text(checkpoint.signed_at))


def _keys() -> str:
    log = "\n".join(str(key) for key in selectors.keys_of_every_log())
    archives = "\n".join(str(key) for key in selectors.archive_keys())
    return f"The log and receipts, the newest key first:\n{log}\n\nArchives:\n{archives}\n"


def _proofs(checkpoint: Checkpoint) -> Iterator[File]:
    """Yield what time-stamp authorities signed, each beside the checkpoint that it signed."""
    extensions = {one.name: one.proof_extension for one in placed()}
    seen: set[str] = set()
    for anchoring in _all(checkpoint):
        name = f"anchors/{folder_of(anchoring.anchor)}/{anchoring.size}"
        if anchoring.proof and name not in seen:
            seen.add(name)
            yield _file(f"{name}.checkpoint", [Checkpoint.objects.get(size=anchoring.size).note.encode()])
            yield _file(f"{name}.{extensions.get(anchoring.anchor) or 'proof'}", [bytes(anchoring.proof)])


def _anchorings(checkpoint: Checkpoint) -> Iterator[bytes]:
    for one in _all(checkpoint):
        folder = folder_of(one.anchor) if one.proof else None
        values = {"anchor": one.anchor, "size": one.size, "at": moment_text(one.anchored_at), "folder": folder}
        yield canonical_json(values) + b"\n"


def _all(checkpoint: Checkpoint) -> Iterator[Anchoring]:
    """Yield what was left at anchors of this log; what was left of an earlier one lies with that one's files."""
    found = Anchoring.objects.filter(size__lte=checkpoint.size)
    earlier = earlier_log()
    if earlier is not None:
        found = found.filter(anchored_at__gte=earlier["at"])
    last = 0
    while batch := list(found.filter(pk__gt=last).order_by("pk")[:BATCH]):
        yield from batch
        last = batch[-1].pk


def folder_of(anchor: str) -> str:
    """Return a folder's name for an anchor: its kind and a few characters that tell it from others."""
    return f"{anchor.partition(' ')[0]}-{sha256(anchor.encode()).hexdigest()[:8]}"
