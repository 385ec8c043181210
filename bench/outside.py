"""Find, read and erase the items of one person behind somebody's API, against a loop by hand with the provider's client.

python -m bench.outside [ITEMS] [KIND …]     (stand-ins on loopback, in a process of their own)
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import orjson

from bench.acts import SIZE, USER, Kind, main

TEXT = "x" * SIZE


class OpenAIByHand:
    """openai: lists by metadata, 100 a page; of each completion its messages, all as JSON; a page deleted one by one, anew."""

    def __init__(self, config: dict[str, Any]) -> None:
        import openai

        self.completions = openai.OpenAI(api_key=config["api_key"], base_url=config["base_url"]).chat.completions

    def _listed(self) -> Any:
        return self.completions.list(metadata={"user_id": USER}, limit=100, order="asc")

    def find(self) -> int:
        return sum(1 for _one in self._listed())

    def read(self) -> int:
        count = 0
        for one in self._listed():
            lines = [one.to_json(), *(said.to_json() for said in self.completions.messages.list(one.id, limit=100))]
            count += len(lines) > 1
        return count

    def erase(self) -> int:
        erased = 0
        while page := self._listed().data:
            erased += sum(self.completions.delete(one.id).deleted for one in page)
        return erased


def openai(stack: ExitStack) -> Kind:
    from tests.contracts.openai_standin import KEY, OpenAIStandIn

    server = OpenAIStandIn()
    stack.callback(server.stop)
    server.validates = False

    def fill(count: int) -> None:
        server.calls.clear()
        for number in range(count):
            server.add_completion(f"{number:06}", {"user_id": USER}, TEXT)

    config = {"api_key": KEY, "base_url": server.address, "metadata_key": "user_id", "identity": "user_id"}
    connector = "apps.locations.connectors.openai.OpenAIConnector"
    return Kind("OpenAI stand-in", connector, OpenAIByHand, config, fill, tries=3)


class HttpByHand:
    """httpx: the same signed calls, following the cursors; there is no client of a provider."""

    def __init__(self, config: dict[str, Any]) -> None:
        from apps.locations.connectors.http import HTTPConnector

        self.sign = HTTPConnector(config)._signed
        self.client = httpx.Client()
        self.about = {"identities": [["user_id", USER]], "scope": {"since": None, "until": None}}

    def _send(self, call: str, **more: Any) -> bytes:
        return self.client.send(self.sign(call, self.about | more)).read()

    def _answers(self, call: str) -> Iterator[dict[str, Any]]:
        cursor = ""
        while cursor is not None:
            answer = orjson.loads(self._send(call, cursor=cursor))
            yield answer
            cursor = answer["cursor"]

    def find(self) -> int:
        return sum(len(answer["items"]) for answer in self._answers("find"))

    def read(self) -> int:
        items = (item for answer in self._answers("export") for item in answer["items"])
        return sum(len(self._send("file", id=item["id"])) == item["file"]["size"] for item in items)

    def erase(self) -> int:
        return sum(answer["erased"] for answer in self._answers("erase"))


def http(stack: ExitStack) -> Kind:
    from tests.contracts.http_example import ExampleServer

    server = ExampleServer(Path(stack.enter_context(tempfile.TemporaryDirectory())))
    stack.callback(server.stop)

    def fill(count: int) -> None:
        server.put_many(USER, [(f"{number}.txt", TEXT.encode()) for number in range(count)])

    connector = "apps.locations.connectors.http.HTTPConnector"
    return Kind("HTTP example", connector, HttpByHand, server.config, fill, tries=3)


class LanyingByHand:
    """httpx: profile and history, 100 a page; each message of the person recalled, then the conversation and the user deleted."""

    def __init__(self, config: dict[str, Any]) -> None:
        headers = {"app_id": config["app_id"], "access-token": config["access_token"], "user_id": USER}
        self.client = httpx.Client(base_url=config["api_endpoint"], headers=headers)

    def _ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        answer = self.client.request(method, path, params=query, json=body).json()
        return answer["data"] if answer["code"] == 200 else None

    def _history(self, conversation: str) -> Iterator[dict[str, Any]]:
        start = 0
        while True:
            asked = {"opposite_id": conversation, "msg_id_start": start, "limit": 100}
            page = self._ask("GET", "/message/conversation", **asked)
            yield from page["messages"]
            start = page["next_msg_id"]
            if not start:
                return

    def _conversations(self) -> list[str]:
        return [str(one["conversation_id"]["uid"]) for one in self._ask("GET", "/message/unread")]

    def find(self) -> int:
        messages = (message for one in self._conversations() for message in self._history(one))
        return (self._ask("GET", "/user/profile") is not None) + sum(1 for message in messages if message["msg_id"])

    def read(self) -> int:
        held = [{"kind": "profile", "profile": self._ask("GET", "/user/profile")}]
        count = len(held)
        for conversation in self._conversations():
            for message in self._history(conversation):
                line = {"kind": "message", "conversation": conversation, "message": message}
                count += len(orjson.dumps(line)) > 0
        return count

    def erase(self) -> int:
        erased = 0
        for conversation in self._conversations():
            for message in self._history(conversation):
                which = {"conversation_id": int(conversation), "msg_id": message["msg_id"]}
                erased += self._ask("POST", "/message/recall", which) is True
            self._ask("DELETE", "/message/conversation", conversation_id=conversation)
        return erased + (self._ask("POST", "/user/delete", {}) is True)


def lanying(stack: ExitStack) -> Kind:
    from tests.contracts.lanying_standin import APP, BOT, TOKEN, LanyingStandIn

    server = LanyingStandIn()
    stack.callback(server.stop)

    def fill(count: int) -> None:
        for kept in (server.calls, server.asked, server.history):
            kept.clear()
        server.add_user(int(USER), "somebody")
        for _number in range(count):
            server.add_message(int(USER), BOT, TEXT)

    config = {"api_endpoint": server.address, "app_id": APP, "access_token": TOKEN, "identity": "user_id"}
    connector = "apps.locations.connectors.lanying.LanyingConnector"
    return Kind("Lanying stand-in", connector, LanyingByHand, config, fill, tries=3)


if __name__ == "__main__":
    main(str(__doc__), {"openai": openai, "http": http, "lanying": lanying})
