"""One measurement in a process of its own, so that its peak memory is its own: `python -m bench.measure WHAT …`."""

from __future__ import annotations

import html
import json
import os
import resource
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def store(count: str) -> dict[str, Any]:
    """Store the messages of a person; not timed here (bench/store.py does)."""
    from apps.audit.actors import Actor
    from apps.records.services import store_conversations
    from apps.records.subjects import create_subject
    from bench.store import conversations

    subject = create_subject(emails=[f"bench-{count}@example.org"])
    report = store_conversations(subject, conversations(int(count)), actor=Actor.command_line(), source="chatgpt")
    return {"subject": str(subject.pk), "messages": report.messages}


def request(subject_id: str, kind: str) -> dict[str, Any]:
    """Approved → completed, with the engine in this process as a worker runs it."""
    from apps.audit.actors import Actor
    from apps.records.models import Subject
    from apps.requests import engine, services
    from apps.requests.models import ENDED, Step

    actor = Actor.command_line()
    subject = Subject.objects.get(pk=subject_id)
    opened = services.open_request(
        subject, kind=kind, regime="gdpr", actor=actor, identity_level="reasonably_high", waives_archive_first=True
    )
    before = peak()
    began = time.perf_counter()
    services.approve_request(opened.request, rule="command_line", actor=actor)
    while opened.request.status not in ENDED:
        engine.drain()
        opened.request.refresh_from_db()
        if time.perf_counter() - began > 900:
            raise SystemExit(f"still {opened.request.status}")
    taken = time.perf_counter() - began
    answer = {"seconds": taken, "peak_mib": peak(), "before_mib": before, "status": opened.request.status}
    destroy = opened.request.steps.filter(phase=Step.Phase.DESTROY).first()
    if destroy is not None and destroy.started_at and destroy.ended_at:
        answer["destroy_ms"] = (destroy.ended_at - destroy.started_at).total_seconds() * 1000
    return answer


def access_by_hand(subject_id: str) -> dict[str, Any]:
    """The floor of an access: read every row, open it, write conversations.json and a page a conversation into a ZIP."""
    import orjson

    from apps.keys.services import open_keys
    from apps.records import contexts
    from apps.records.models import Conversation, Message
    from apps.sealing import content
    from apps.sealing.aead import Box

    began = time.perf_counter()
    with (
        tempfile.NamedTemporaryFile(delete=False) as json_file,
        zipfile.ZipFile(json_file.name + ".zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        json_file.write(b"[")
        for number, row in enumerate(Conversation.objects.filter(subject_id=subject_id).order_by("started_at", "pk")):
            box = Box(open_keys([row.key_id])[row.key_id])
            head = content.unseal_json(box, row.sealed, context=contexts.conversation(row.key_id, row.pk))
            prefix = contexts.messages(row.key_id, row.pk)
            mapping, page = {}, [f"<!doctype html><h1>{html.escape(str(head.get('title')))}</h1>"]
            rows = Message.objects.filter(conversation_id=row.pk).order_by("position").values_list("position", "sealed")
            for position, sealed in rows.iterator(chunk_size=1000):
                node = content.unseal_json(box, sealed, context=contexts.message(prefix, position))[4]
                mapping[node["id"]] = node
                parts = (node.get("message") or {}).get("content", {}).get("parts", [])
                role = (node.get("message") or {}).get("author", {}).get("role", "")
                page.append(f"<article><b>{role}</b><p>{html.escape(' '.join(map(str, parts)))}</p></article>")
            archive.writestr(f"conversations/{number:06d}.html", "\n".join(page))
            json_file.write((b"," if number else b"") + orjson.dumps({**head, "mapping": mapping}))
        json_file.write(b"]")
        json_file.flush()
        archive.write(json_file.name, "conversations.json")
    taken = time.perf_counter() - began
    Path(json_file.name).unlink()
    size = Path(json_file.name + ".zip").stat().st_size
    Path(json_file.name + ".zip").unlink()
    return {"seconds": taken, "peak_mib": peak(), "mib": size / 2**20}


def delete_by_hand(subject_id: str) -> dict[str, Any]:
    """The floor of an erasure: one DELETE of the same rows, in a copy of the table with the same index."""
    from django.db import connection, transaction

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_copy AS SELECT * FROM records_message")
        cursor.execute("CREATE UNIQUE INDEX bench_copy_pk ON bench_copy (conversation_id, position)")
        began = time.perf_counter()
        with transaction.atomic():
            cursor.execute("DELETE FROM bench_copy")
        taken = time.perf_counter() - began
        cursor.execute("DROP TABLE bench_copy")
    return {"seconds": taken}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


MEASURES: dict[str, Callable[..., dict[str, Any]]] = {
    "store": store,
    "request": request,
    "access_by_hand": access_by_hand,
    "delete_by_hand": delete_by_hand,
}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    print(json.dumps(MEASURES[sys.argv[1]](*sys.argv[2:])))


if __name__ == "__main__":
    main()
