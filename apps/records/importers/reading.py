"""Read a file of conversations, whatever it is. What kind it is, its content decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from django.utils.translation import gettext as _

from .documents import json_document
from .encodings import encoding_of
from .errors import UnreadableFile
from .sources import Source, file_source
from .survey import Survey
from .types import ParsedConversation, Skipped
from .zips import END_RECORD, LOCAL_HEADER, open_zip

FORMATS = ("auto", "chatgpt")


class Reading:
    """A file that can be read: `format`, `total` conversations, and, when iterated, each of them or why not.

    Iterating again reads the file again.
    """

    def __init__(self, format: str, total: int, outcomes: Callable[[], Iterator[ParsedConversation | Skipped]]) -> None:
        self.format = format
        self.total = total
        self._outcomes = outcomes

    def __iter__(self) -> Iterator[ParsedConversation | Skipped]:
        return self._outcomes()


def read(path: Path, *, format: str = "auto", name: str = "") -> Reading:
    """Find out what the file at `path` is; raises UnreadableFile, in words for the person, if nothing can be read.

    `name` is what the person calls the file, for messages only. The file must stay in place until the reading and the
    attachments it gave are done with.
    """
    source = file_source(path, name)
    head = source.head(8)
    if head.startswith((LOCAL_HEADER, END_RECORD)):
        return _read_json(open_zip(path))
    return _read_json([source])


def _read_json(sources: Sequence[Source]) -> Reading:
    found = [json_document(source, encoding_of(source)) for source in sources]
    survey = Survey(document for document in found if document)
    if not survey.has_any():
        raise UnreadableFile(_("No conversations were found in it."))
    return Reading(survey.format_name, survey.total, survey.outcomes)
