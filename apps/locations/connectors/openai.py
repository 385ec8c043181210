"""OpenAI, and servers that are compatible with it.

Stored chat completions are found by their metadata, ChatKit threads by their user; everything else has no list that could
be searched, so it is found by the ids that were recorded for the person (identities of the kinds `openai_response`,
`openai_conversation` …). 404 in answer to a deletion means that it is gone already. What the provider keeps to detect
abuse, up to 30 days, no call deletes: it is the horizon ("Your data", developers.openai.com).
Tested against a stand-in whose every request and answer is checked by OpenAI's own API description.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson
from django import forms
from django.utils.translation import gettext_lazy

from apps.locations.answers import exactly
from apps.locations.connectors.openai_correcting import concerned, corrected
from apps.locations.connectors.openai_errors import foreign_errors
from apps.locations.connectors.openai_objects import (
    CHATKIT_THREAD,
    COMPLETION,
    FILE,
    KINDS,
    PAGE,
    Kind,
    metadata_of,
    page_of,
    plain,
)
from apps.locations.contract import Change, Entry, Health, Identity, Item, Obstacle, Progress, Remaining, Scope
from apps.locations.deadlines import NOT_PACKED, Deadlines
from apps.locations.errors import Refused
from apps.locations.objects import PagesSeen
from apps.locations.paths import KIND, generated_name
from apps.locations.reasons import Reason
from apps.locations.said import said as _

ABUSE_LOG_DAYS = 30
TIMEOUT_SECONDS = 30.0
RETRIES = 0  # the client would sleep inside a batch for as long as the provider says; the step waits outside of one
SIDE_BY_SIDE = 8  # calls about recorded ids: there is no call for many
INDEX_NAME, INDEX_TYPE = "index.jsonl", "application/x-ndjson"
END = -1
Concerned = TypeVar("Concerned")
Result = TypeVar("Result")
PROBED = ("completion", "response", "conversation", "file", "vector store")


class ConfigForm(forms.Form):
    api_key = forms.CharField(
        label=gettext_lazy("API key"), max_length=300, required=False, widget=forms.PasswordInput,
        help_text=gettext_lazy("Of the project that holds the data. Kept sealed and never shown again."),
    )  # fmt: skip
    base_url = forms.URLField(
        label=gettext_lazy("Address"), required=False, assume_scheme="https",
        help_text=gettext_lazy("Empty for OpenAI; otherwise that of a compatible server, as in https://ai.example.org/v1"),
    )  # fmt: skip
    organization = forms.CharField(label=gettext_lazy("Organisation id"), required=False, max_length=100)
    project = forms.CharField(label=gettext_lazy("Project id"), required=False, max_length=100)
    metadata_key = forms.CharField(
        label=gettext_lazy("Metadata key of stored chat completions"), required=False, max_length=64,
        help_text=gettext_lazy("Under which your program writes whose completion it is, as in user_id. Empty: they are not searched."),
    )  # fmt: skip
    has_chatkit = forms.BooleanField(label=gettext_lazy("Look for ChatKit threads by their user"), required=False)
    identity = forms.RegexField(
        rf"\A{KIND}\Z", label=gettext_lazy("Kind of identity that stands there"), initial="user_id",
        help_text=gettext_lazy("In the metadata and as ChatKit's user, as in user_id or email."),
    )  # fmt: skip
    all_ids_recorded = forms.BooleanField(
        label=gettext_lazy("All other ids are recorded here"), required=False,
        help_text=gettext_lazy("Then a person without recorded ids has nothing there. Otherwise their requests wait for a person to look."),
    )  # fmt: skip
    zero_retention = forms.BooleanField(
        label=gettext_lazy("The provider has agreed to keep no logs (zero data retention)"), required=False,
        help_text=gettext_lazy("Otherwise it keeps up to 30 days of logs, which nobody can delete."),
    )  # fmt: skip

    secrets = ("api_key",)


@dataclass(frozen=True)
class Source:
    """Where objects of one kind are found: in a list, by the person's value there, or by recorded ids."""

    kind: Kind
    value: str = ""
    ids: tuple[str, ...] = ()


class OpenAIConnector:
    what_lasts = gettext_lazy("The provider's own logs, which nobody can delete")
    label = gettext_lazy("OpenAI")
    ConfigForm = ConfigForm

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._opened: Any = None

    @property
    def client(self) -> Any:
        if self._opened is None:
            import httpx2
            import openai

            hooks: Any = Deadlines(httpx2.SyncByteStream, _is_content).hooks()
            with foreign_errors():
                self._opened = openai.OpenAI(
                    api_key=self._config["api_key"],
                    base_url=self._config.get("base_url") or None,
                    organization=self._config.get("organization") or None,
                    project=self._config.get("project") or None,
                    timeout=TIMEOUT_SECONDS,
                    max_retries=RETRIES,
                    http_client=openai.DefaultHttpxClient(
                        headers=NOT_PACKED, follow_redirects=False, event_hooks=hooks
                    ),
                )
        return self._opened

    def identity_kinds(self) -> set[str]:
        return {self._config.get("identity") or "user_id", *(kind.identity for kind in KINDS)}

    def summary(self) -> list[str]:
        where = {"key": self._config.get("metadata_key"), "identity": self._config.get("identity") or "user_id"}
        lines = []
        if self._config.get("metadata_key"):
            lines.append(
                _("Finds stored chat completions whose metadata say %(key)s = the person's %(identity)s.") % where
            )
        if self._config.get("has_chatkit"):
            lines.append(_("Finds ChatKit threads whose user is the person's %(identity)s.") % where)
        return [
            *lines,
            _("Finds everything else by ids recorded for the person: the provider has no list of it."),
            _("Corrects the metadata of objects; what was said, and responses, only a person can."),
            _("Reads each object with all its messages, and the content of files where the provider gives it out."),
            _(
                "Erases each object by its id, a conversation's items and a vector store's files first, then looks again."
            ),
            _("Keeps nothing, as the provider has agreed to keep no logs.")
            if self._config.get("zero_retention")
            else _("Keeps the provider's own logs for up to 30 days: nobody can delete them."),
        ]

    def check(self) -> Health:
        """Ask for objects that do not exist: "not found" shows that the key may ask."""
        problems = []
        for kind in [kind for kind in KINDS if kind.name in PROBED]:
            try:
                self._retrieve(kind, f"{kind.identity.removeprefix('openai_')}_0000000000000000")
            except Refused:
                problems.append(_("The key may not ask for objects of the kind “%(kind)s”.") % {"kind": kind.name})
        if len(problems) == len(PROBED):
            raise Refused(_("The provider refuses us: check the key, the address and the permissions."))
        if self._config.get("metadata_key"):
            with foreign_errors():
                self.client.chat.completions.list(limit=1, metadata={self._config["metadata_key"]: "0"})
        if self._config.get("zero_retention"):
            return Health(True, _("The provider answers, and keeps no logs."), 0, tuple(problems))
        message = _("The provider answers. It keeps logs against abuse for up to 30 days, which nobody can delete.")
        return Health(True, message, ABUSE_LOG_DAYS, tuple(problems))

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]:
        """Ask for a first object, so that a key that is not taken shows before anything is touched."""
        for source in self._sources(who)[:1]:
            next(self._held(source), None)
        return []

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        for source in self._sources(who):
            for found in self._held(source):
                yield Item(found["id"], source.kind.name, found.get("bytes"), _when(found))

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        """Yield the content of each file, and a line of index.jsonl for each object and for what belongs to it.

        A cursor: how many so far, in which source, behind which id; and the file whose line is not yet written.
        """
        number, at, after, unfinished = json.loads(cursor) if cursor else (0, 0, "", "")
        if at == END:
            return
        sources = self._sources(who)
        if unfinished:
            yield self._line_of_file(unfinished[0], unfinished[1], number, at)
            after = unfinished[0]
        for index, source in list(enumerate(sources))[at:]:
            for found in self._held(source, after if index == at else ""):
                number += 1
                object_id = found["id"]
                line = {"kind": source.kind.name, "name": object_id, "object": found}
                content = self._content(object_id) if source.kind is FILE else None
                if content is not None:
                    chunks = exactly(content, found["bytes"]) if isinstance(found.get("bytes"), int) else content
                    line["file"] = generated_name(number, str(found.get("filename") or ""))
                    content_done = json.dumps([number, index, "", [object_id, line["file"]]])
                    yield Entry(line["file"], "application/octet-stream", chunks, content_done, count=0)
                elif source.kind is FILE:
                    line["content"] = "The provider does not give out the content of files of this purpose."
                done = json.dumps([number, index, object_id, ""])
                yield Entry(INDEX_NAME, INDEX_TYPE, self._lines(line, source.kind, object_id), done, part="piece")
        if number:
            yield Entry(INDEX_NAME, INDEX_TYPE, [], json.dumps([number, END, "", ""]), part="last", count=0)

    def _line_of_file(self, file_id: str, name: str, number: int, index: int) -> Entry:
        """Write the line of a file whose content is in the archive already."""
        found = self._retrieve(FILE, file_id)
        line: dict[str, Any] = {"kind": FILE.name, "name": file_id, "file": name}
        line |= {"object": found} if found is not None else {"gone": True}
        text = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        return Entry(INDEX_NAME, INDEX_TYPE, [text], json.dumps([number, index, file_id, ""]), part="piece")

    def _lines(self, line: dict[str, Any], kind: Kind, object_id: str) -> Iterator[bytes]:
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        with foreign_errors(missing_is_fine=True):  # gone while it is read: what was read stands there
            for below in kind.below(self.client, object_id):
                yield orjson.dumps(below, option=orjson.OPT_APPEND_NEWLINE)

    def _content(self, file_id: str) -> Iterator[bytes] | None:
        """Open a file's content; None where it is not given out (purpose "assistants"), or gone."""
        from openai import BadRequestError, NotFoundError, PermissionDeniedError

        opening = self.client.files.with_streaming_response.content(file_id)
        with foreign_errors():
            try:
                opened = opening.__enter__()
            except (BadRequestError, PermissionDeniedError, NotFoundError):
                return None
        return _chunks(opening, opened)

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        at, after = json.loads(cursor) if cursor else (0, "")
        for index, source in list(enumerate(self._sources(who)))[at:]:
            if source.value:
                yield from self._erase_listed(source, json.dumps([index, ""]))
            else:
                yield from self._erase_recorded(source, index, after if index == at else "")

    def _erase_listed(self, source: Source, cursor: str) -> Iterator[Progress]:
        """Delete a page and list again from the front: what is deleted is no place to go on from."""
        seen: set[str] = set()
        while True:
            page = [found["id"] for found in self._page(source)]
            if not page or seen.issuperset(page):
                return  # what is still listed after its deletion is judged at the second look
            erased = sum(self._side_by_side(lambda object_id: self._erase_one(source.kind, object_id), page))
            yield Progress(erased, cursor, {source.kind.plural: erased} if erased else {})
            seen = set(page)

    def _erase_recorded(self, source: Source, index: int, after: str) -> Iterator[Progress]:
        left = [object_id for object_id in source.ids if object_id > after]
        for start in range(0, len(left), PAGE):
            batch = left[start : start + PAGE]
            erased = sum(self._side_by_side(lambda object_id: self._erase_one(source.kind, object_id), batch))
            yield Progress(erased, json.dumps([index, batch[-1]]), {source.kind.plural: erased} if erased else {})

    def _erase_one(self, kind: Kind, object_id: str) -> int:
        """Return how many objects went, those that belong to it included; 0 for one that is gone already."""
        erased = 0
        with foreign_errors(missing_is_fine=True):
            for one in kind.erase(self.client, object_id):
                erased += one
        return erased

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        count = sum(1 for source in self._sources(who) for _found in self._held(source))
        return Remaining(count, Reason.CANNOT_DELETE if count else "")

    def rectify(self, who: Identity, changes: Sequence[Change]) -> int:
        """Correct metadata: `field` is a key of it. What was said, and the metadata of a response, no call changes."""
        found = concerned(self._each(who), changes)
        return sum(self._side_by_side(lambda one: self._correct(*one, changes), found))

    def fields_held(self, who: Identity, fields: Iterable[str]) -> set[str]:
        return {key for _kind, found in self._each(who) for key in metadata_of(found)}.intersection(fields)

    def _correct(self, kind: Kind, object_id: str, changes: Sequence[Change]) -> int:
        found = self._retrieve(kind, object_id)  # once more, so that nothing is written over that came meanwhile
        metadata = metadata_of(found) if found is not None else {}
        wanted = corrected(metadata, changes) if found is not None else None
        if wanted is None or kind.update is None or wanted == metadata:
            return 0
        with foreign_errors(missing_is_fine=True):
            written = kind.update(self.client, object_id, wanted)
            if dict(written.metadata or {}) != wanted:
                raise Refused(_("The provider did not take the metadata as they were written. A person has to look."))
            return 1
        return 0

    # Below: what is there.

    def _sources(self, who: Identity) -> list[Source]:
        values = sorted(set(who.of_kind(self._config.get("identity") or "user_id")))
        listed = []
        if self._config.get("metadata_key"):
            listed += [Source(COMPLETION, value=value) for value in values]
        if self._config.get("has_chatkit"):
            listed += [Source(CHATKIT_THREAD, value=value) for value in values]
        recorded = [Source(kind, ids=tuple(sorted(set(who.of_kind(kind.identity))))) for kind in KINDS]
        sources = listed + [source for source in recorded if source.ids]
        if not sources and not self._config.get("all_ids_recorded"):
            raise Refused(
                _("This place knows people by recorded ids or by metadata, and nothing is known of this person.")
            )
        return sources

    def _each(self, who: Identity) -> Iterator[tuple[Kind, dict[str, Any]]]:
        return ((source.kind, found) for source in self._sources(who) for found in self._held(source))

    def _held(self, source: Source, after: str = "") -> Iterator[dict[str, Any]]:
        """Yield the objects of a source that are there, behind an id."""
        if source.value:
            seen = PagesSeen()
            while page := self._page(source, after):
                seen.add([one["id"] for one in page])
                yield from page
                after = page[-1]["id"]
            return
        left = [object_id for object_id in source.ids if object_id > after]
        for start in range(0, len(left), PAGE):
            batch = left[start : start + PAGE]
            for found in self._side_by_side(lambda object_id: self._retrieve(source.kind, object_id), batch):
                if found is not None:
                    yield found

    def _page(self, source: Source, after: str = "") -> list[dict[str, Any]]:
        """List a page. A server that ignores the filter would give out everybody's, so each one is compared."""
        where: dict[str, Any] = {"limit": PAGE, "order": "asc"} | ({"after": after} if after else {})
        key = str(self._config.get("metadata_key") or "")
        with foreign_errors():
            if source.kind is COMPLETION:
                listing = self.client.chat.completions.with_raw_response.list
                page, _is_more = page_of(listing(metadata={key: source.value}, **where))
                is_own = all(metadata_of(found).get(key) == source.value for found in page)
            else:
                listing = self.client.beta.chatkit.threads.with_raw_response.list
                page, _is_more = page_of(listing(user=source.value, **where))
                is_own = all(found.get("user") == source.value for found in page)
        if not is_own:
            raise Refused(_("The server does not search as asked: it lists other people's objects as well."))
        return page

    def _retrieve(self, kind: Kind, object_id: str) -> dict[str, Any] | None:
        with foreign_errors(missing_is_fine=True):
            return plain(kind.retrieve(self.client, object_id))
        return None

    def _side_by_side(self, work: Callable[[Concerned], Result], ids: Sequence[Concerned]) -> Iterator[Result]:
        if len(ids) == 1:
            yield work(ids[0])
            return
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            yield from list(pool.map(work, ids))


def _is_content(request: Any) -> bool:
    """Say whether a request asks for the content of a file, which may be large, and is read in chunks."""
    return str(request.url.path).endswith("/content")


def _chunks(opening: Any, opened: Any) -> Iterator[bytes]:
    try:
        with foreign_errors():
            yield from opened.iter_bytes(256 * 1024)
    finally:
        opening.__exit__(None, None, None)


def _when(found: dict[str, Any]) -> datetime | None:
    created = found.get("created_at") or found.get("created")
    return datetime.fromtimestamp(created, UTC) if isinstance(created, int) else None
