"""A strict stand-in for Lanying IM's server API, after maxim-top/im.gitbook: anything that is not in it is a violation."""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import Any

from tests.contracts.standin import Answer, Asked, StandIn

APP, TOKEN = "habeas-app", "an administrator's token"
BOT = 1000
STARTED = 1_750_000_000_000
CALLS = {
    ("GET", "/user/list"): {"page_num", "page_size"},
    ("GET", "/user/profile"): set(),
    ("POST", "/user/delete"): set(),
    ("GET", "/message/unread"): set(),
    ("GET", "/message/conversation"): {"limit", "msg_id_start", "opposite_id"},
    ("DELETE", "/message/conversation"): {"conversation_id"},
    ("POST", "/message/recall"): set(),
}
ALL_REQUIRED = {("GET", "/user/list"), ("GET", "/message/conversation"), ("DELETE", "/message/conversation")}


class LanyingStandIn(StandIn):
    """`history`: what a user sees of a conversation, oldest first; each side has its own view."""

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[int, dict[str, Any]] = {}
        self.history: dict[tuple[int, int], list[dict[str, Any]]] = {}
        self.stuck: set[int] = set()  # messages that cannot be recalled
        self.forgotten: set[tuple[int, int]] = set()  # conversations that are not recent any more
        self.asked: list[Asked] = []
        self._number = 0
        self._adding = threading.Lock()

    def add_message(self, sender: int, receiver: int, content: str, ext: str = "") -> int:
        with self._adding:  # tests add from several threads, and numbers and views have one order
            return self._add(sender, receiver, content, ext)

    def _add(self, sender: int, receiver: int, content: str, ext: str) -> int:
        self._number += 1
        message = {
            "msg_id": self._number, "from_xid": {"uid": sender, "device_sn": 1}, "to_xid": {"uid": receiver, "device_sn": 0},
            "ctype": "TEXT", "content": content, "config": "", "ext": ext, "attachment": "", "status": "READ",
            "timestamp": STARTED + self._number,
        }  # fmt: skip
        for view in ((sender, receiver), (receiver, sender)):
            self.history.setdefault(view, []).append(message)
        return self._number

    def add_user(self, uid: int, nick_name: str) -> None:
        self.users[uid] = {"user_id": uid, "username": f"u{uid}", "nick_name": nick_name, "mobile": "", "email": ""}

    def serve(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        allowed = CALLS.get((asked.method, asked.path))
        names = set(asked.query)
        if allowed is None or not names <= allowed or ((asked.method, asked.path) in ALL_REQUIRED and names != allowed):
            self.violations.append(f"{asked.method} {asked.target}")
            return _said(400, None, "bad request")
        if (asked.headers.get("app_id"), asked.headers.get("access-token")) != (APP, TOKEN):
            return _said(403, None, "token is wrong")
        uid = int(asked.headers.get("user_id") or 0)
        if asked.path != "/user/list" and not uid:
            self.violations.append(f"{asked.method} {asked.path} without user_id")
        return self._serve(asked, uid)

    def _serve(self, asked: Asked, uid: int) -> Answer:
        if asked.path == "/user/list":
            number, size = int(asked.query["page_num"]), int(asked.query["page_size"])
            page = list(self.users)[(number - 1) * size : number * size]
            return _said(200, [{"user_id": one, "username": f"u{one}", "status": 0} for one in page])
        if asked.path == "/user/profile":
            return _said(200, self.users[uid]) if uid in self.users else _said(404, None, "no such user")
        if asked.path == "/user/delete":
            return _said(200, self.users.pop(uid, None) is not None)
        if asked.path == "/message/unread":
            recent = [
                view for view, held in self.history.items() if view[0] == uid and held and view not in self.forgotten
            ]
            return _said(200, [{"conversation_id": {"uid": other}, "num": 0} for _uid, other in recent])
        if asked.path == "/message/recall":
            return self._recall(uid, asked.json())
        if asked.method == "DELETE":
            self.history.pop((uid, int(asked.query["conversation_id"])), None)
            return _said(200, True)
        return self._page(uid, asked)

    def _page(self, uid: int, asked: Asked) -> Answer:
        held = self.history.get((uid, int(asked.query["opposite_id"])), [])
        start, limit = int(asked.query["msg_id_start"]), int(asked.query["limit"])
        newest_first = [message for message in reversed(held) if not start or message["msg_id"] <= start]
        page, rest = newest_first[:limit], newest_first[limit:]
        return _said(200, {"messages": page, "is_last": not rest, "next_msg_id": rest[0]["msg_id"] if rest else 0})

    def _recall(self, uid: int, body: dict[str, Any]) -> Answer:
        if set(body) != {"conversation_id", "msg_id"} or not all(isinstance(value, int) for value in body.values()):
            self.violations.append(f"recall {sorted(body)}")
        message = _found(self.history.get((uid, body["conversation_id"]), []), body["msg_id"])
        if message is None or message["from_xid"]["uid"] != uid or body["msg_id"] in self.stuck:
            return _said(400, None, "cannot be recalled")
        for view in self.history.values():
            if _found(view, body["msg_id"]) is not None:
                view.remove(message)
        return _said(200, True)


def _found(view: list[dict[str, Any]], number: int) -> dict[str, Any] | None:
    """Return a message of a view: they stand there in the order of their numbers."""
    place = bisect_left(view, number, key=lambda one: int(one["msg_id"]))
    return view[place] if place < len(view) and view[place]["msg_id"] == number else None


def _said(code: int, data: Any, message: str | None = None) -> Answer:
    return Answer(200, {"code": code, "data": data, "message": message})
