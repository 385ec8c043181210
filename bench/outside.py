"""Finding, reading and erasing 10,000 items behind somebody's API, against a loop by hand with the provider's own client.

python -m bench.outside [ITEMS]     (stand-ins on loopback in this process: they cost both sides the same)
"""

from __future__ import annotations

import logging
import resource
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

BY_HAND = 500  # items of the loop by hand; its cost grows in step


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    done = work()
    return time.perf_counter() - began, done


def row(kind: str, work: str, count: int, taken: float, by_hand: float) -> None:
    print(
        f"  {kind:<8} {work:<6} {count:>7,} items {taken:8.2f} s   by hand {by_hand:8.2f} s   {taken / by_hand:5.2f} x (aim 1.5)"
    )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    import django
    from django.conf import settings

    settings.configure(USE_I18N=False)
    django.setup()
    logging.disable(logging.INFO)
    print(f"Places outside: {count:,} items of one person")
    bench_openai(count)
    bench_http(count)
    bench_lanying(count)
    bench_mongodb(count)
    print(
        f"  memory of this process, servers included: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB"
    )


def all_of(connector: Any, who: Any) -> dict[str, Callable[[], Any]]:
    from apps.locations.contract import Scope

    return {
        "find": lambda: sum(1 for _item in connector.find(who, Scope())),
        "read": lambda: sum(len(chunk) for entry in connector.export(who, Scope(), "") for chunk in entry.chunks),
        "erase": lambda: sum(progress.erased for progress in connector.erase(who, Scope(), "")),
    }


def bench_openai(count: int) -> None:
    from apps.locations.connectors.openai import OpenAIConnector
    from apps.locations.contract import Identity
    from tests.contracts.openai_standin import KEY, OpenAIStandIn

    server = OpenAIStandIn()
    server.validates = False
    config = {"api_key": KEY, "base_url": server.address, "metadata_key": "user_id", "identity": "user_id"}
    connector, who = OpenAIConnector(config), Identity(uuid.uuid4(), None, None, (("user_id", "4"),))
    client = connector.client
    for number in range(BY_HAND):
        server.add_completion(f"hand-{number}", {"user_id": "hand"}, "x" * 1000)
    mine = {"user_id": "hand"}
    ids = [found.id for found in client.chat.completions.list(metadata=mine, limit=100)]
    hand = {
        "read": timed(lambda: [list(client.chat.completions.messages.list(one, limit=100)) for one in ids])[0],
        "erase": timed(lambda: [client.chat.completions.delete(one) for one in ids])[0],
    }
    for number in range(count):
        server.add_completion(number, {"user_id": "4"}, "x" * 1000)
    listing = timed(lambda: list(client.chat.completions.list(metadata={"user_id": "4"}, limit=100)))[0]
    by_hand = {
        "find": listing,
        "read": listing + hand["read"] * count / BY_HAND,
        "erase": hand["erase"] * count / BY_HAND,
    }
    for name, work in all_of(connector, who).items():
        row("OpenAI", name, count, timed(work)[0], by_hand[name])
    server.stop()


def bench_http(count: int) -> None:
    from apps.locations.connectors.http import HTTPConnector
    from apps.locations.contract import Identity, Scope
    from tests.contracts.http_example import ExampleServer

    with tempfile.TemporaryDirectory() as folder:
        server = ExampleServer(Path(folder))
        connector = HTTPConnector(server.config)
        ada, hand_person = (Identity(uuid.uuid4(), None, None, (("user_id", one),)) for one in ("4", "hand"))
        server.put_many("hand", [(f"{number}.txt", b"x" * 1000) for number in range(BY_HAND)])

        def pages(call: str) -> list[Any]:
            """Follow the cursors with the same signed calls, and nothing around them."""
            found: list[Any] = []
            cursor = ""
            while cursor is not None:
                body = connector._about(hand_person, Scope()) | {"cursor": cursor}
                answer = connector.client.send(connector._signed(call, body)).json()
                found, cursor = found + answer.get("items", []), answer["cursor"]
            return found

        def files() -> None:
            for item in pages("export"):
                body = connector._about(hand_person, Scope()) | {"id": item["id"]}
                connector.client.send(connector._signed("file", body)).read()

        hand = {
            "find": timed(lambda: pages("find"))[0],
            "read": timed(files)[0],
            "erase": timed(lambda: pages("erase"))[0],
        }
        server.put_many("4", [(f"{number}.txt", b"x" * 1000) for number in range(count)])
        for name, work in all_of(connector, ada).items():
            row("HTTP", name, count, timed(work)[0], hand[name] * count / BY_HAND)
        server.stop()


def bench_lanying(count: int) -> None:
    from apps.locations.connectors.lanying import LanyingConnector
    from apps.locations.contract import Identity
    from tests.contracts.lanying_standin import APP, BOT, TOKEN, LanyingStandIn

    server = LanyingStandIn()
    config = {"api_endpoint": server.address, "app_id": APP, "access_token": TOKEN, "identity": "user_id"}
    connector, who = LanyingConnector(config), Identity(uuid.uuid4(), None, None, (("user_id", "4"),))
    client, headers = connector.client, {"user_id": "5"}

    def history() -> list[Any]:
        found: list[Any] = []
        start = 0
        while True:
            asked = {"opposite_id": BOT, "msg_id_start": start, "limit": 100}
            page = client.get("/message/conversation", params=asked, headers=headers).json()["data"]
            found, start = found + page["messages"], page["next_msg_id"]
            if not start:
                return found

    def erase() -> None:
        for message in history():
            body = {"conversation_id": BOT, "msg_id": message["msg_id"]}
            client.post("/message/recall", json=body, headers=headers)
        client.delete("/message/conversation", params={"conversation_id": BOT}, headers=headers)
        client.post("/user/delete", json={}, headers=headers)

    for uid in (5, 4):
        server.add_user(uid, "somebody")
        for _number in range(count):
            server.add_message(uid, BOT, "x" * 1000)
    by_hand = {"find": timed(history)[0], "read": timed(history)[0], "erase": timed(erase)[0]}
    for name, work in all_of(connector, who).items():
        row("Lanying", name, count, timed(work)[0], by_hand[name])
    server.stop()


def bench_mongodb(count: int) -> None:
    from bson import json_util

    from apps.locations.connectors.mongodb.connector import MongoConnector
    from apps.locations.contract import Identity
    from apps.locations.mongo import client_of
    from tests.mongodb import MongoDB, Running

    data = MongoDB()
    with Running(data) as server:
        rule = {"collection": "notes", "field": "user_id", "kind": "user_id"}
        config = {
            "hosts": server.address,
            "database": "shop",
            "user": data.user,
            "password": data.password,
            "tls": "off",
        }
        connector = MongoConnector(config | {"collections": [rule]})
        stored = data.collection("shop", "notes")
        with client_of(config) as client:
            notes, mine = client["shop"]["notes"], {"user_id": 5}

            def erase() -> None:
                while ids := [one["_id"] for one in notes.find(mine, {"_id": 1}).limit(1000)]:
                    notes.delete_many({"_id": {"$in": ids}})

            for uid in (5, 4):
                stored.extend({"_id": f"{uid}/{n:06}", "user_id": uid, "text": "x" * 1000} for n in range(count))
            by_hand = {
                "find": timed(lambda: sum(1 for _one in notes.find(mine, {"_id": 1})))[0],
                "read": timed(lambda: sum(len(json_util.dumps(one)) for one in notes.find(mine).sort("_id")))[0],
                "erase": timed(erase)[0],
            }
        who = Identity(uuid.uuid4(), None, None, (("user_id", "4"),))
        for name, work in all_of(connector, who).items():
            row("MongoDB", name, count, timed(work)[0], by_hand[name])


if __name__ == "__main__":
    main()
