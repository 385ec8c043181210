"""The last step of an archive: index, disclosure, read-me, manifest and signature, and the layout of the ZIP.

All of it is one batch: what a crash leaves is swept, a repeat begins again, and a repeat after the end does nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from hashlib import sha256
from itertools import chain
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.archives import contents, layout, manifest
from apps.archives.errors import StaleBatch, Unfinished
from apps.archives.index import Summary, disclosure_page, index_pages, parse_contents, readme
from apps.archives.models import Archive, Mark, Member, Piece
from apps.archives.rendering import ConversationInfo
from apps.archives.selectors import read_member
from apps.archives.writer import BatchWriter
from apps.archives.zipformat import STORED
from apps.audit.selectors import archive_key_text
from apps.locations.contract import Entry

_HTML = "text/html; charset=utf-8"


class _OwnEntry(Entry):
    """A file that the archive itself adds; the last two are stored unpacked, so that their every byte is checked."""

    method: int = 8


def finish_archive(
    archive: Archive,
    *,
    step_id: UUID,
    token: UUID,
    disclosure: dict[str, Any],
    missing: list[dict[str, Any]],
    reference: str = "",
) -> set[UUID]:
    """Add what explains and proves the archive, and fix its layout; publishing is a step of its own.

    `disclosure`: see index.disclosure_page; also "reference" (unless given) and "places" ({folder: name of the place}).
    `missing`: [{"place", "reason", "until"}] for each place that is not in it, or not whole: said on the first page, in
    the read-me and in the manifest.

    Returns the steps that are left out because they had begun files and not ended them: their cursors must go back to the
    beginning, so that a second archive holds them whole. Without any place named as missing that is refused (Unfinished).
    Raises StaleBatch when somebody else finished it.
    """
    archive.refresh_from_db()
    if archive.size is not None:
        return set()
    left_out = set(Member.objects.filter(archive=archive, is_closed=False).values_list("step_id", flat=True))
    if left_out and not missing:
        raise Unfinished("a step has not ended its files, and no place is said to be missing")
    missing = [_plain(item) for item in missing]
    summary = Summary(archive, reference or str(disclosure.get("reference", "")), missing, disclosure.get("places", {}))
    with BatchWriter(archive, step_id, token, own_files=True) as writer:
        last_known = _summarise(summary, left_out)
        _explain(writer, summary, disclosure, left_out)
        writer.flush()
        digest = _prove(writer, summary, left_out)
        writer.close()
        _commit(archive, writer, left_out, last_known, digest, len(missing))
    archive.refresh_from_db()
    return left_out


def _summarise(summary: Summary, left_out: set[UUID]) -> int:
    """Count conversations and files; return the id of the last file."""
    last = 0
    for member in _kept(summary.archive, left_out):
        summary.count_file(member)
        last = member.pk
    for info in _conversations(summary.archive, left_out):
        summary.count_conversation(info)
    return last


def _explain(writer: BatchWriter, summary: Summary, disclosure: dict[str, Any], left_out: set[UUID]) -> None:
    for name, page in index_pages(summary, _conversations(summary.archive, left_out)):
        writer.write(_OwnEntry(name, _HTML, (page,), ""))
    writer.write(_OwnEntry("disclosure.html", _HTML, (disclosure_page(summary.archive, disclosure),), ""))
    text = readme(summary, archive_key_text())
    writer.write(_OwnEntry("README.txt", "text/plain; charset=utf-8", (text,), ""))


def _prove(writer: BatchWriter, summary: Summary, left_out: set[UUID]) -> str:
    """Write manifest and signature; return the manifest's SHA-256."""
    archive, digest = summary.archive, sha256()
    files = chain(_with_pieces(archive, _kept(archive, left_out)), _of_batch(writer))
    chunks = manifest.manifest_chunks(archive, files, reference=summary.reference, missing=summary.missing)

    def hashed() -> Iterator[bytes]:
        for chunk in chunks:
            digest.update(chunk)
            yield chunk

    _write_stored(writer, manifest.NAME, "application/json", hashed())
    _write_stored(
        writer, manifest.SIGNATURE_NAME, "text/plain; charset=utf-8", (manifest.sign(archive, digest.hexdigest()),)
    )
    return digest.hexdigest()


def _write_stored(writer: BatchWriter, name: str, media_type: str, chunks: Iterable[bytes]) -> None:
    entry = _OwnEntry(name, media_type, chunks, "")
    entry.method = STORED
    writer.write(entry)


def _of_batch(writer: BatchWriter) -> Iterator[tuple[Member, list[Piece]]]:
    """Yield the files of this batch that are stored already: all but manifest and signature."""
    pieces: dict[str, list[Piece]] = defaultdict(list)
    for member, piece in writer.pieces:
        pieces[member.name].append(piece)
    for member in list(writer.members):
        if member.name in pieces and member.is_closed:
            yield member, pieces[member.name]


def _commit(
    archive: Archive, writer: BatchWriter, left_out: set[UUID], last_known: int, digest: str, missing: int
) -> None:
    """Fix rows and layout in one transaction, so that nothing is visible before; what takes long comes first."""
    marks, count, end = layout.measure(chain(_kept(archive, left_out), writer.members))
    with transaction.atomic():
        finished = Archive.objects.filter(pk=archive.pk, state=Archive.State.BUILDING, size__isnull=True).update(
            size=layout.total_size(count, end),
            central_start=end.offset,
            member_count=count,
            manifest_sha256=digest,
            missing_count=missing,
        )
        if not finished:
            raise StaleBatch("somebody else finished the archive")
        Member.objects.filter(archive=archive, step_id__in=left_out).update(is_listed=False)
        writer.commit()
        own = {member.pk for member in writer.members}
        strangers = Member.objects.filter(archive=archive, is_listed=True, pk__gt=last_known).exclude(pk__in=own)
        if strangers.exists():
            raise StaleBatch("a file was added while the archive was being finished")
        Mark.objects.bulk_create(
            Mark(archive=archive, number=number, member=member, offset=at.offset, central_offset=at.central_offset)
            for number, (member, at) in enumerate(marks)
        )


def _kept(archive: Archive, left_out: set[UUID]) -> Iterator[Member]:
    return (member for member in layout.listed_members(archive) if member.step_id not in left_out)


def _with_pieces(archive: Archive, members: Iterable[Member]) -> Iterator[tuple[Member, list[Piece]]]:
    for batch in layout.batches(members):
        pieces = layout.pieces_of(archive, batch)
        for member in batch:
            yield member, pieces[member.pk]


def _conversations(archive: Archive, left_out: set[UUID]) -> Iterator[ConversationInfo]:
    """Yield what the lists of contents say, in the order in which it was written."""
    lists = Member.objects.filter(archive=archive, media_type=contents.MEDIA_TYPE).order_by("pk")
    for member in lists.exclude(step_id__in=left_out):
        yield from parse_contents(read_member(archive, member))


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    """Return what the manifest says of a missing place: texts only."""
    until = item.get("until")
    if isinstance(until, date | datetime):
        until = until.isoformat()
    return {"place": str(item.get("place", "")), "reason": str(item.get("reason") or ""), "until": str(until or "")}
