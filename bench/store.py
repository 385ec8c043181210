"""Storing messages encrypted, against a plain `bulk_create` of the same rows in clear, in one run.

    python bench/store.py [MESSAGES] [--database sqlite:///… | postgresql://…]

The aim is at most twice the time (docs: "What must be fast"). Texts vary, English and Chinese, about 1 KB each.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PER_CONVERSATION = 50
ENGLISH = (
    "the lease ends in march and the landlord keeps the deposit because of the wall which was painted before we moved "
    "in so ask him for an itemised list with receipts and set a date until which he has to answer your letter politely"
)
CHINESE = (
    "房东说押金不退因为墙上有一个钉子洞但是搬进来的时候就已经这样了请帮我写一封信语气客气一些附上照片和合同第九条的内容"
)


def set_up(database: str) -> None:
    """Make an installation of its own in a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="habeas-bench-"))
    os.environ["DATABASE_URL"] = database or f"sqlite:///{folder / 'records.sqlite3'}"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    sys.path.insert(0, str(ROOT))
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    call_command("migrate", database="keys", verbosity=0)


def texts(count: int, seed: int) -> Iterator[str]:
    """Yield texts of about 1 KB; no two are alike."""
    source, vocabulary = random.Random(seed), ENGLISH.split()
    for number in range(count):
        if number % 4 == 3:
            yield "".join(source.choice(CHINESE) for _ in range(340))
        else:
            words = [source.choice(vocabulary) for _ in range(190)]
            yield " ".join([f"{source.random():.6f}", *words])


def conversations(count: int, seed: int = 1) -> list[Any]:
    """Return conversations as a reader would hand them over."""
    from apps.records.importers.types import Node, ParsedConversation

    made = []
    source = iter(texts(count, seed))
    start = datetime(2025, 1, 1, tzinfo=UTC)
    for first in range(0, count, PER_CONVERSATION):
        nodes: list[Node] = []
        for number in range(min(PER_CONVERSATION, count - first)):
            name, parent = f"{first + number:036d}", nodes[-1].id if nodes else None
            when = start + timedelta(minutes=first + number)
            role = "assistant" if number % 2 else "user"
            message: dict[str, Any] = {
                "id": name,
                "author": {"role": role, "name": None, "metadata": {}},
                "create_time": when.timestamp(),
                "content": {"content_type": "text", "parts": [next(source)]},
                "status": "finished_successfully",
                "metadata": {"model_slug": "lark-3"} if number % 2 else {},
            }
            data: dict[str, Any] = {"id": name, "message": message, "parent": parent, "children": []}
            if nodes:
                nodes[-1].data["children"] = [name]
            nodes.append(Node(name, parent, role, when, data))
        header = {"conversation_id": f"c{seed}-{first}", "title": f"Conversation {first}", "current_node": nodes[-1].id}
        made.append(
            ParsedConversation(
                header["conversation_id"], header["title"], nodes[0].created_at, nodes[-1].created_at, header, nodes
            )
        )
    return made


def store_plain(parsed: list[Any]) -> float:
    """Write the same rows in clear, as one would in Django: JSON text, bulk_create, 1,000 rows a transaction."""
    import orjson
    from django.utils import timezone

    from apps.records.models import Conversation, Message
    from apps.records.subjects import create_subject

    subject = create_subject()
    began = time.perf_counter()
    rows: list[Message] = []
    heads: list[Conversation] = []
    for number, one in enumerate(parsed):
        head = Conversation(
            subject=subject,
            key_id=subject.key_id,
            source="chatgpt",
            external_index=number.to_bytes(32, "big"),
            sealed=orjson.dumps(one.header),
            started_at=one.started_at,
            updated_at=one.updated_at or timezone.now(),
            message_count=len(one.nodes),
            node_count=len(one.nodes),
        )
        heads.append(head)
        rows += [
            Message(
                conversation=head,
                position=position,
                parent=position - 1 if position else None,
                sealed=orjson.dumps(node.data),
            )
            for position, node in enumerate(one.nodes)
        ]
        if len(rows) >= 1_000:
            Conversation.objects.bulk_create(heads)
            Message.objects.bulk_create(rows, batch_size=1_000)
            rows, heads = [], []
    if heads:
        Conversation.objects.bulk_create(heads)
        Message.objects.bulk_create(rows, batch_size=1_000)
    return time.perf_counter() - began


def store_sealed(parsed: list[Any]) -> float:
    from apps.audit.actors import Actor
    from apps.records.services import store_conversations
    from apps.records.subjects import create_subject

    subject = create_subject()
    began = time.perf_counter()
    report = store_conversations(subject, parsed, actor=Actor.system(), source="chatgpt")
    taken = time.perf_counter() - began
    assert report.messages == sum(len(one.nodes) for one in parsed)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("messages", type=int, nargs="?", default=100_000)
    parser.add_argument("--database", default="", help="of the records; its own temporary SQLite file by default")
    options = parser.parse_args()
    set_up(options.database)
    from django.db import connection

    parsed = conversations(options.messages)
    store_plain(parsed[:20])
    store_sealed(conversations(1_000, seed=2))  # warm
    plain, sealed = store_plain(parsed), store_sealed(parsed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"store {options.messages:,} messages on {connection.vendor}, in {len(parsed):,} conversations")
    print(f"  plain bulk_create, in clear   {plain:6.2f} s   {options.messages / plain:9,.0f} messages/s")
    print(f"  store_conversations, sealed   {sealed:6.2f} s   {options.messages / sealed:9,.0f} messages/s")
    print(f"  ratio {sealed / plain:.2f} (aim: 2.00 at most) · peak memory {peak:.0f} MiB, the texts included")


if __name__ == "__main__":
    main()
