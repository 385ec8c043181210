"""Read a ZIP: an export with its files, one of Habeas' own archives, or texts and pictures that somebody packed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.utils.translation import gettext as _

from .assets import NAMES_FILE, Assets, is_asset
from .documents import Document, json_document
from .encodings import encoding_of
from .errors import UnreadableFile
from .formats import habeas, images
from .media import OTHER, SIGNATURE_BYTES, media_type_of
from .recognise import JSON_FORMATS, Format
from .survey import Contents, Survey
from .types import ParsedConversation, Skipped
from .zips import LOCAL_HEADER, Entry

Outcome = ParsedConversation | Skipped

# What exports hold beside conversations: account, settings, votes, lists of what is elsewhere. Not reported as skipped.
_BESIDE = {
    NAMES_FILE,
    "ads.json",
    "chat.html",
    "export_manifest.json",
    "library_files.json",
    "manifest.json",
    "message_feedback.json",
    "model_comparisons.json",
    "shared_conversations.json",
    "shopping.json",
    "sora.json",
    "user.json",
    "user_settings.json",
    "users.json",
}
_SYSTEM_FILES = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")
_MEDIA = ("image/", "audio/", "video/", "application/pdf")


class Bundle:
    """The files of a ZIP, sorted by what they are."""

    def __init__(self, entries: Sequence[Entry], formats: Sequence[Format] = JSON_FORMATS) -> None:
        self.entries = [entry for entry in entries if not _is_system_file(entry.name) and entry.size]
        manifest = habeas.manifest_of(self.entries)
        self.is_own_archive = manifest is not None
        if manifest is not None:
            habeas.check_integrity(manifest, self.entries)
        self._take(formats, is_export=True)
        if not self.survey.total:
            self._take(formats, is_export=False)

    def _take(self, formats: Sequence[Format], *, is_export: bool) -> None:
        """Sort and survey. In an export, names say which files are uploads, even if they look like conversations."""
        self.damaged: list[Skipped] = []
        self.texts: list[tuple[Entry, str]] = []
        self.media: list[Entry] = []
        self.others: list[Entry] = []
        documents: list[tuple[Entry, Document]] = []
        for entry in self.entries:
            self._sort(entry, documents, is_upload=is_export and is_asset(entry))
        self.survey = Survey((document for _entry, document in documents), formats)
        for (entry, _document), contents in zip(documents, self.survey.contents, strict=True):
            if not contents.recognised:
                contents.found = [] if self._is_beside(entry, contents) else [_no_conversations(entry, contents)]

    def outcomes(self) -> Iterator[Outcome]:
        """Conversations with their files, then the files that no conversation mentions, then what was not read."""
        assets = Assets(self.entries)
        for outcome in self.survey.outcomes():
            if isinstance(outcome, ParsedConversation):
                assets.attach(outcome)
            yield outcome
        yield from self.damaged
        if self.survey.total and not self.is_own_archive:  # there every file is listed with its conversation
            loose = [entry for entry in self.media if entry.number not in assets.mentioned]
            yield from images.read_entries(loose, assets, title=_("Files that no conversation mentions"))
            yield from self._not_read(self.others + [entry for entry, _encoding in self.texts])

    def pictures(self, title: str) -> Iterator[Outcome]:
        """The pictures and other media of a ZIP without conversations, and what else was in it."""
        yield from images.read_entries(self.media, Assets(self.entries), title=title)
        yield from self._not_read(self.others)

    def _sort(self, entry: Entry, documents: list[tuple[Entry, Document]], *, is_upload: bool) -> None:
        try:
            media_type = media_type_of(entry.head(SIGNATURE_BYTES))
            encoding = "" if media_type != OTHER or is_upload else encoding_of(entry)
            document = json_document(entry, encoding) if encoding else None
        except UnreadableFile as error:
            self.damaged.append(Skipped(entry.name, error.why))
            return
        if document and (not self.is_own_archive or entry.name.endswith("conversations.json")):
            documents.append((entry, document))
        elif encoding:
            self.texts.append((entry, encoding))
        elif media_type.startswith(_MEDIA) or is_upload:
            self.media.append(entry)
        else:
            self.others.append(entry)

    def _is_beside(self, entry: Entry, contents: Contents) -> bool:
        is_known = _base(entry.name) in _BESIDE or not contents.found or self.is_own_archive
        return is_known and self.survey.total > 0

    def _not_read(self, entries: Sequence[Entry]) -> Iterator[Skipped]:
        for entry in entries:
            if _base(entry.name) in _BESIDE:
                continue
            is_zip = entry.head(4) == LOCAL_HEADER
            why = _("A ZIP file inside the ZIP file is not opened. Upload it on its own.") if is_zip else ""
            yield Skipped(entry.name, why or _("No conversation was found in it."))


def _no_conversations(entry: Entry, contents: Contents) -> Skipped:
    reasons = [found.why for found in contents.found if isinstance(found, Skipped)]
    return Skipped(entry.name, reasons[0] if len(reasons) == 1 else _("No conversation was found in it."))


def _is_system_file(name: str) -> bool:
    return name.startswith(_SYSTEM_FILES[0]) or _base(name) in _SYSTEM_FILES or _base(name).startswith("._")


def _base(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1]
