"""Read a file of conversations, whatever it is. What kind it is, its content decides, never its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from itertools import chain, islice
from pathlib import Path

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from .bundles import Bundle, Outcome
from .documents import json_document
from .encodings import encoding_of
from .errors import UnreadableFile
from .formats import habeas, images, plain_text, tables
from .limits import MAX_IMAGE_BYTES, MAX_PASTE_CHARACTERS, MIB
from .media import SIGNATURE_BYTES, is_picture, media_type_of
from .parsing import clean_text
from .recognise import JSON_FORMATS, Format
from .sources import Source, file_source
from .survey import Survey
from .texts import text_lines
from .types import ParsedConversation, Skipped
from .values import as_title
from .zips import END_RECORD, LOCAL_HEADER, open_zip

FORMATS = (
    "auto",
    *(candidate.NAME for candidate in JSON_FORMATS),
    plain_text.NAME,
    tables.NAME,
    images.NAME,
    habeas.NAME,
)
_TEXT_FORMATS = (plain_text.NAME, tables.NAME)
_WEB_PAGE = (b"<!doctype html", b"<html", b"<?xml", b"<head")
_ZIP_KINDS = (LOCAL_HEADER, END_RECORD)
_KNOWN_BINARIES = {
    b"\x1f\x8b": gettext_noop("a gzip file"),
    b"7z\xbc\xaf": gettext_noop("a 7-Zip file"),
    b"Rar!": gettext_noop("a RAR file"),
    b"%PDF": gettext_noop("a PDF file"),
    b"SQLi": gettext_noop("a database"),
}


class Reading:
    """A file that can be read: `format`, about how many conversations (`total`, None if not known), and, when iterated,
    each conversation, or what was not read and why. Iterating again reads the file again.
    """

    def __init__(self, format: str, total: int | None, outcomes: Callable[[], Iterator[Outcome]]) -> None:
        self.format = format
        self.total = total
        self._outcomes = outcomes

    def __iter__(self) -> Iterator[Outcome]:
        return self._outcomes()


def read(path: Path, *, format: str = "auto", name: str = "") -> Reading:
    """Find out what the file at `path` is; raises UnreadableFile, in words for the person, if nothing can be read.

    `name` is what the person calls the file, for titles and messages only. The file must stay in place until the
    reading and the attachments it gave are done with.
    """
    if format not in FORMATS:
        raise UnreadableFile(_("The format “%(name)s” is not known.") % {"name": format[:40]})
    source = file_source(path, name)
    head = source.head(SIGNATURE_BYTES)
    if head.startswith(_ZIP_KINDS):
        reading = _read_zip(source, path, format)
    elif is_picture(media_type := media_type_of(head)):
        reading = _read_picture(source, media_type)
    else:
        reading = _read_text(source, format)
    if format not in ("auto", reading.format):
        raise _not_the_format(format)
    return reading


def read_text(text: str, *, format: str = "auto") -> Reading:
    """Read what was pasted into a box: any of the formats, or plain text."""
    if len(text) > MAX_PASTE_CHARACTERS:
        raise UnreadableFile(_("This is too long to be pasted. Save it as a file and upload that."))
    data = clean_text(text).encode()
    if not data.strip():
        raise UnreadableFile(_("There is no text in it."))
    return _read_text(Source(_("pasted text"), len(data), lambda: BytesIO(data)), format, title="")


def _read_zip(source: Source, path: Path, format: str) -> Reading:
    bundle = Bundle(open_zip(path), _formats(format))
    name = habeas.NAME if bundle.is_own_archive else bundle.survey.format_name
    if bundle.survey.total and bundle.survey.has_any():
        return Reading(name, bundle.survey.total, bundle.outcomes)
    if bundle.is_own_archive:
        raise UnreadableFile(_("This archive of ours holds no conversations."))
    title = _title(source)
    texts = [_read_text_entry(entry, encoding, format) for entry, encoding in bundle.texts]
    if any(texts):
        readings = [reading for reading in texts if reading]
        return Reading(readings[0].format, None, lambda: chain(*readings, bundle.damaged, bundle.pictures(title)))
    if bundle.media:
        return Reading(images.NAME, None, lambda: chain(bundle.pictures(title), bundle.damaged))
    raise _nothing_found([*bundle.survey.outcomes(), *bundle.damaged, *bundle.pictures(title)])


def _read_text_entry(source: Source, encoding: str, format: str) -> Reading | None:
    try:
        return _read_lines(source, encoding, format, _title(source))
    except UnreadableFile:
        return None


def _read_picture(source: Source, media_type: str) -> Reading:
    if source.size > MAX_IMAGE_BYTES:
        raise UnreadableFile(_("The picture is larger than %(limit)s MiB.") % {"limit": MAX_IMAGE_BYTES // MIB})
    return Reading(images.NAME, 1, lambda: iter([images.read_picture(source, media_type)]))


def _read_text(source: Source, format: str, title: str | None = None) -> Reading:
    is_binary = source.head(4).startswith(tuple(_KNOWN_BINARIES))
    encoding = "" if is_binary else encoding_of(source)
    if not encoding:
        raise UnreadableFile(_not_text(source))
    if format not in _TEXT_FORMATS and (document := json_document(source, encoding)):
        survey = Survey([document], _formats(format))
        if survey.has_any():
            return Reading(survey.format_name, survey.total, survey.outcomes)
        raise _nothing_found(survey.outcomes())
    return _read_lines(source, encoding, format, _title(source) if title is None else title)


def _read_lines(source: Source, encoding: str, format: str, title: str) -> Reading:
    """A table or plain text."""

    def lines() -> Iterator[str]:
        return text_lines(source, encoding)

    start = "\n".join(islice(lines(), 20)).lstrip()[:200].lower().encode()
    if start.startswith(_WEB_PAGE):
        raise UnreadableFile(
            _("This is a web page. Upload the ZIP file of the export, or the conversations.json inside it.")
        )
    table = tables.table_of(lines()) if format in ("auto", tables.NAME) else None
    if table:
        size = source.size
        reading = Reading(tables.NAME, None, lambda: tables.read_rows(lines(), table, title=title, size=size))
    else:
        reading = Reading(plain_text.NAME, None, lambda: iter(plain_text.read_lines(lines, title=title)))
    if any(isinstance(outcome, ParsedConversation) for outcome in reading):
        return reading
    raise UnreadableFile(_("There is no text in it."))


def _formats(format: str) -> Sequence[Format]:
    """The JSON formats to look for."""
    if format == habeas.NAME:
        return JSON_FORMATS[:1]
    return [candidate for candidate in JSON_FORMATS if format in ("auto", candidate.NAME)]


def _title(source: Source) -> str:
    return as_title(Path(source.name.replace("\\", "/").replace("\0", "")).stem)


def _not_text(source: Source) -> str:
    head = source.head(4)
    kind = next((name for start, name in _KNOWN_BINARIES.items() if head.startswith(start)), "")
    if kind:
        return _("This is %(kind)s. Upload a ZIP, JSON, CSV or text file, or a picture.") % {"kind": _(kind)}
    return _("This is neither text nor a ZIP file nor a picture. Upload the file that the export gave you.")


def _not_the_format(format: str) -> UnreadableFile:
    return UnreadableFile(_("The file is not in the format “%(name)s”. Try “auto”.") % {"name": format})


def _nothing_found(outcomes: Iterable[Outcome]) -> UnreadableFile:
    """Say that nothing could be read, and the first reasons."""
    skipped = [outcome for outcome in islice(outcomes, 100) if isinstance(outcome, Skipped)]
    reasons = " ".join(f"{skip.what}: {skip.why}" for skip in skipped[:3])
    return UnreadableFile((_("No conversation could be read from this file.") + f" {reasons}").strip())
