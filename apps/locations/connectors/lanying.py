"""Lanying IM (蓝莺IM) by MaximTop: a person's conversations, as its server API shows them to that user.

Facts: docs.lanyingim.com, server API (maxim-top/im.gitbook). An administrator's token acts for the user whom the header
`user_id` names. `/message/unread` lists recent conversations, not all; others are known by ids recorded for the person
(identities of the kind `lanying_conversation`). Deleting a conversation is documented for the user's own side only, so
each message that the person sent is recalled first; a message that cannot be recalled keeps its conversation, so that
the second look sees it. Then the user is deleted. There is no receipt: the second look reads again. Answers are
{"code", "data", "message"}; only code 200 is success, whatever the HTTP status. No code is documented for "no such user":
any that is neither refusal nor trouble is taken for it.
Tested against a strict stand-in made after that reference; the service itself was not at hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
from django import forms
from django.utils.translation import gettext_lazy

from apps.locations.contract import Entry, Health, Identity, Item, Obstacle, Progress, Remaining, Scope
from apps.locations.errors import NoIdentity, Refused, Unavailable
from apps.locations.outside import asking, open_client, read
from apps.locations.paths import KIND
from apps.locations.reasons import Reason
from apps.locations.said import said as _

PAGE = 100  # messages asked for at once
RECALLED_PER_PROGRESS = 50
TIMEOUT_SECONDS = 30.0
SUCCESS = 200
REFUSED_CODES = frozenset({401, 403})
INDEX_NAME, INDEX_TYPE = "index.jsonl", "application/x-ndjson"
END = -1
PROFILE_DONE = "-"  # sorts before every id of a conversation
CONVERSATION = "lanying_conversation"  # the kind of identity under which ids of conversations are recorded


class ConfigForm(forms.Form):
    api_endpoint = forms.URLField(
        label=gettext_lazy("Address"), assume_scheme="https",
        help_text=gettext_lazy("The api_endpoint that the Lanying console shows, as in https://s-1-3-api.maximtop.cn"),
    )  # fmt: skip
    app_id = forms.CharField(label=gettext_lazy("App id"), max_length=100)
    access_token = forms.CharField(
        label=gettext_lazy("Administrator's token"), max_length=500, required=False, widget=forms.PasswordInput,
        help_text=gettext_lazy("Kept sealed and never shown again."),
    )  # fmt: skip
    identity = forms.RegexField(
        rf"\A{KIND}\Z", label=gettext_lazy("Kind of identity that holds the Lanying user id"), initial="lanying_user",
        help_text=gettext_lazy("As in lanying_user or user_id. Lanying's user ids are numbers."),
    )  # fmt: skip
    horizon_days = forms.IntegerField(
        label=gettext_lazy("Days until deleted messages are really gone"), required=False, min_value=0, max_value=3660,
        help_text=gettext_lazy("As your contract with the provider says. Empty: unknown; its articles speak of more than 180 days."),
    )  # fmt: skip

    secrets = ("access_token",)


class LanyingConnector:
    label = gettext_lazy("Lanying IM (蓝莺IM)")
    ConfigForm = ConfigForm

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._identity = str(config.get("identity") or "lanying_user")
        self._opened: httpx.Client | None = None

    @property
    def client(self) -> httpx.Client:
        if self._opened is None:
            headers = {"app_id": self._config["app_id"], "access-token": self._config["access_token"]}
            self._opened = open_client(self._config["api_endpoint"], timeout=TIMEOUT_SECONDS, headers=headers)
        return self._opened

    def identity_kinds(self) -> set[str]:
        return {self._identity, CONVERSATION}

    def summary(self) -> list[str]:
        return [
            _(
                "Finds the recent conversations of the user whose id is the person's %(kind)s, and those recorded for them."
            )
            % {"kind": self._identity},
            _("Reads the user's profile and every message of these conversations; files are named with their address."),
            _("Erases by recalling each message that the person sent, deleting the conversations and then the user."),
            _(
                "Keeps messages that cannot be recalled, and what other users' devices have stored: the provider gives no receipt."
            ),
        ]

    def check(self) -> Health:
        if self._call("GET", "/user/list", page_num=1, page_size=1) is None:
            raise Refused(_("The provider does not know this app."))
        days = self._config.get("horizon_days")
        message = _("The provider answers. It gives no receipt for a deletion, so what is there is read again.")
        return Health(True, message, days)

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]:
        for uid in self._uids(who)[:1]:
            self._call("GET", "/user/profile", uid)
        return []

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        for uid in self._uids(who):
            if self._call("GET", "/user/profile", uid) is not None:
                yield Item(uid, "profile")
            for conversation in self._conversations(who, uid):
                for page, _next in self.history(uid, conversation):
                    for message in page:
                        yield Item(str(message["msg_id"]), "message", modified=when(message))

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        """Yield a line of index.jsonl for each profile and message. A cursor: lines, user, conversation, message."""
        number, at, after, start = json.loads(cursor) if cursor else (0, 0, "", 0)
        if at == END:
            return
        for index, uid in list(enumerate(self._uids(who)))[at:]:
            is_resumed = bool(after) and index == at
            profile = None if is_resumed else self._call("GET", "/user/profile", uid)
            if profile is not None:
                number += 1
                yield _piece([{"kind": "profile", "name": uid, "profile": profile}], [number, index, PROFILE_DONE, 0])
            for conversation in self._conversations(who, uid):
                if is_resumed and conversation < after:
                    continue
                begin = start if is_resumed and conversation == after else 0
                if begin == END:
                    continue
                for page, following in self.history(uid, conversation, begin):
                    if not page:
                        continue
                    number += len(page)
                    lines = [{"kind": "message", "conversation": conversation, "message": message} for message in page]
                    yield _piece(lines, [number, index, conversation, following or END])
        if number:
            yield Entry(INDEX_NAME, INDEX_TYPE, [], json.dumps([number, END, "", 0]), part="last", count=0)

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        """Recall, delete, and read again at once. A repeat finds what is left, so no cursor is needed."""
        for uid in self._uids(who):
            is_whole = True
            for conversation in self._conversations(who, uid):
                recalled = 0
                for done in self._recall(uid, conversation):
                    recalled += done
                    if recalled >= RECALLED_PER_PROGRESS:
                        yield Progress(recalled, "", {"messages": recalled})
                        recalled = 0
                if recalled:
                    yield Progress(recalled, "", {"messages": recalled})
                if self._has_own(uid, conversation):
                    is_whole = False
                    continue
                if any(page for page, _next in self.history(uid, conversation)):
                    self._call("DELETE", "/message/conversation", uid, conversation_id=conversation)
                    yield Progress(1, "", {"conversations": 1})
            if is_whole and self._call("GET", "/user/profile", uid) is not None:
                self._call("POST", "/user/delete", uid, body={})
                yield Progress(1, "", {"users": 1})

    def _recall(self, uid: str, conversation: str) -> Iterator[int]:
        """Recall each message that the person sent; yields 1 for each that went. Pages are read before they change."""
        for page, _next in self.history(uid, conversation):
            for message in page:
                if _is_from(message, uid):
                    which = {"conversation_id": int(conversation), "msg_id": message["msg_id"]}
                    yield 1 if self._call("POST", "/message/recall", uid, body=which) else 0

    def _has_own(self, uid: str, conversation: str) -> bool:
        return any(_is_from(message, uid) for page, _next in self.history(uid, conversation) for message in page)

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        count = sum(1 for _item in self.find(who, scope))
        return Remaining(count, Reason.CANNOT_DELETE if count else "")

    # Below: what is there.

    def _uids(self, who: Identity) -> list[str]:
        uids = sorted(set(who.of_kind(self._identity)))
        if not uids:
            raise NoIdentity(
                _("This place knows people by %(kinds)s, and none is known of this person.") % {"kinds": self._identity}
            )
        if not all(uid.isascii() and uid.isdigit() for uid in uids):
            raise Refused(_("Lanying's user ids are numbers, and the one known of this person is not."))
        return uids

    def _conversations(self, who: Identity, uid: str) -> list[str]:
        """Return the recent conversations of a user and those recorded for the person, as sorted ids."""
        recent = self._call("GET", "/message/unread", uid) or []
        ids = {
            str(one["conversation_id"]["uid"]) for one in _dicts(recent) if isinstance(one.get("conversation_id"), dict)
        }
        return sorted(ids | {value for value in who.of_kind(CONVERSATION) if value.isdigit()})

    def users(self) -> Iterator[int]:
        """Yield the ids of the app's users; a page that brings nobody new is the last one."""
        seen: set[int] = set()
        number = 1
        while True:
            page = _dicts(self._call("GET", "/user/list", page_num=number, page_size=PAGE))
            fresh = {int(one["user_id"]) for one in page if str(one.get("user_id")).isdecimal()} - seen
            if not fresh:
                return
            yield from sorted(fresh)
            seen |= fresh
            number += 1

    def history(self, uid: str, conversation: str, start: int = 0) -> Iterator[tuple[list[dict[str, Any]], int]]:
        """Yield (messages, where the next page begins or 0), newest first: pages go backward."""
        while True:
            asked = {"opposite_id": conversation, "msg_id_start": start, "limit": PAGE}
            data = self._call("GET", "/message/conversation", uid, **asked)
            if not isinstance(data, dict):
                return
            page = _dicts(data.get("messages"))
            following = 0 if data.get("is_last") or not page else int(data.get("next_msg_id") or 0)
            yield page, following
            if not following or following == start:
                return
            start = following

    def _call(self, method: str, path: str, uid: str = "", *, body: Any = None, **query: Any) -> Any:
        """Return what `data` says, or None where there is no such thing. What is false there is None as well."""
        headers = {"user_id": uid} if uid else {}
        request = self.client.build_request(method, path, params=query, headers=headers, json=body)
        with asking(self.client, request) as response:
            content = read(response)
        try:
            answer = orjson.loads(content)
            code = int(answer["code"])
        except (ValueError, TypeError, KeyError):
            raise Refused(_("The server does not speak Lanying's protocol: check the address.")) from None
        if code == SUCCESS:
            return answer.get("data") or None if method != "GET" else answer.get("data")
        if code in REFUSED_CODES:
            raise Refused(_("The provider refuses us (%(code)s): check the app id and the token.") % {"code": code})
        if code == 429 or 500 <= code < 600:
            raise Unavailable(_("The provider cannot answer just now (%(code)s).") % {"code": code})
        return None


def _piece(lines: list[dict[str, Any]], cursor: list[Any]) -> Entry:
    content = b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
    return Entry(INDEX_NAME, INDEX_TYPE, [content], json.dumps(cursor), part="piece", count=len(lines))


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def sender_of(message: dict[str, Any]) -> str:
    sender = message.get("from_xid")
    return str(sender.get("uid")) if isinstance(sender, dict) else ""


def _is_from(message: dict[str, Any], uid: str) -> bool:
    return sender_of(message) == uid


def when(message: dict[str, Any]) -> datetime | None:
    stamp = message.get("timestamp")
    return datetime.fromtimestamp(stamp / 1000, UTC) if isinstance(stamp, int) else None
