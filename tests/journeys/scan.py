"""Looks for words everywhere: in raw bytes, through SQL, and in everything that any living key opens.

Run in a process of its own with the site's environment: `python -m tests.journeys.scan FOLDER WORD …` prints, for each
word, the places where it was found: "raw:PATH", "sql:TABLE.COLUMN", "opened:WHAT", "bucket:KEY".
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django

Found = Iterator[tuple[str, bytes]]


def raw_files(folder: Path) -> Found:
    """Every file below the folder as it lies on disk: databases with their journals, storage, broker, logs, outbox."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield f"raw:{path.relative_to(folder)}", str(path.name).encode() + b"\n" + path.read_bytes()


def sql_columns() -> Found:
    """Every column of every table, as the database gives it."""
    from django.apps import apps
    from django.db import connections, router

    for model in apps.get_models(include_auto_created=True):
        table, columns = model._meta.db_table, [field.column for field in model._meta.local_fields if field.column]
        with connections[router.db_for_read(model)].cursor() as cursor:
            cursor.execute(f'SELECT {", ".join(chr(34) + name + chr(34) for name in columns)} FROM "{table}"')
            values: dict[str, list[bytes]] = {column: [] for column in columns}
            for row in cursor.fetchall():
                for column, value in zip(columns, row, strict=True):
                    is_binary = isinstance(value, bytes | memoryview)
                    values[column].append(bytes(value) if is_binary else str(value).encode("utf-8", "surrogatepass"))
        for column, found in values.items():
            yield f"sql:{table}.{column}", b"\n".join(found)


def bucket_objects() -> Found:
    """Every version of every object, where the site keeps its files in a bucket."""
    from django.core.files.storage import default_storage

    bucket = getattr(default_storage, "bucket", None)
    if bucket is not None:
        for version in bucket.object_versions.all():
            body = version.get()["Body"].read() if version.size is not None else b""
            yield f"bucket:{version.object_key}", version.object_key.encode() + b"\n" + body


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")


def opened_records() -> Found:
    from apps.keys.errors import KeysError
    from apps.records import selectors
    from apps.records.models import Attachment, Conversation, Identity, Subject
    from apps.records.subjects import identity_of

    for subject in Subject.objects.all():
        try:
            yield "opened:identity", _json(identity_of(subject).values)
        except KeysError:
            continue  # the tombstone: nothing of this person opens
        for row in Conversation.objects.filter(subject=subject):
            reading = selectors.read_conversation(subject, row.pk)
            yield "opened:title", _json(repr(reading.summary))
            for turn in reading.turns:
                yield "opened:message", _json(repr(turn))
        for file in Attachment.objects.filter(conversation__subject=subject, stored=True):
            opened = selectors.open_attachment(subject, file.pk)
            yield "opened:file name", _json(repr(opened.info))
            yield "opened:attachment", b"".join(opened.chunks)
        for view in selectors.imports_of(subject):
            yield "opened:import", _json(repr(selectors.import_of(subject, view.id)))
    yield "opened:identities", str(Identity.objects.count()).encode()


def opened_requests() -> Found:
    from apps.keys.errors import KeysError
    from apps.requests import vault
    from apps.requests.errors import RecordErased
    from apps.requests.models import Evidence, Intake, Message, PrivacyRequest, Receipt, Step
    from apps.requests.services.evidence import describe_evidence, read_evidence

    for request in PrivacyRequest.objects.all():
        try:
            opened = vault.open_vault(request)
        except RecordErased:
            continue
        if request.sealed is not None:
            yield f"opened:request {request.reference}", _json(vault.details_of(request, opened))
        for message in Message.objects.filter(request=request):
            yield f"opened:request message {request.reference}", vault.text_of(message, opened).encode()
        for receipt in Receipt.objects.filter(request=request):
            yield f"opened:receipt {request.reference}", vault.body_of(receipt, opened)
        for step in Step.objects.filter(request=request):
            yield f"opened:cursor {request.reference}", vault.cursor_of(step, opened).encode()
    for intake in Intake.objects.all():
        try:
            yield "opened:intake", _json(vault.intake_details(intake, vault.open_vault(intake)))
        except RecordErased:
            continue
    for row in Evidence.objects.filter(stored=True):
        try:
            yield "opened:evidence name", _json(repr(describe_evidence(row)))
            yield "opened:evidence", b"".join(read_evidence(row))
        except KeysError:
            continue


def opened_archives() -> Found:
    from apps.archives.errors import ArchiveError
    from apps.archives.models import Archive
    from apps.archives.selectors import read_range
    from apps.keys.errors import KeysError

    for archive in Archive.objects.filter(state=Archive.State.READY):
        try:
            whole = b"".join(read_range(archive, 0, archive.size or 0))
        except (KeysError, ArchiveError):
            continue
        with zipfile.ZipFile(io.BytesIO(whole)) as opened:
            for name in opened.namelist():
                yield f"opened:archive {name}", opened.read(name)


def opened_letters() -> Found:
    from apps.keys.errors import KeysError
    from apps.mail.models import Letter
    from apps.mail.services import _open

    for letter in Letter.objects.filter(sealed__isnull=False):
        try:
            yield "opened:letter", _json(_open(letter))
        except KeysError:
            continue


def scan(folder: Path, words: list[str]) -> dict[str, list[str]]:
    """Return where each word was found."""
    places: dict[str, set[str]] = {word: set() for word in words}
    needles = {word: word.encode() for word in words}
    sources = (raw_files(folder), sql_columns(), bucket_objects(), opened_records(), opened_requests(),
               opened_archives(), opened_letters())  # fmt: skip
    for source in sources:
        for where, data in source:
            for word, needle in needles.items():
                if needle in data:
                    places[word].add(where)
    return {word: sorted(found) for word, found in places.items()}


def rows_of(person: str) -> dict[str, int]:
    """Count what stands in the database about a subject and an account (ids as text)."""
    from allauth.account.models import EmailAddress
    from allauth.mfa.models import Authenticator
    from allauth.usersessions.models import UserSession

    from apps.accounts.models import User
    from apps.archives.models import Archive
    from apps.keys.models import Key
    from apps.mail.models import Letter
    from apps.records import models as records

    subject, account = person.split("/")
    conversations = records.Conversation.objects.filter(subject_id=subject)
    owners: list[Any] = [subject, *conversations.values_list("pk", flat=True)]
    return {
        "subjects": records.Subject.objects.filter(pk=subject).count(),
        "identities": records.Identity.objects.filter(subject_id=subject).count(),
        "conversations": conversations.count(),
        "messages": records.Message.objects.filter(conversation__subject_id=subject).count(),
        "attachments": records.Attachment.objects.filter(conversation__subject_id=subject).count(),
        "imports": records.Import.objects.filter(subject_id=subject).count(),
        "archives": Archive.objects.filter(subject_id=subject).count(),
        "keys": Key.objects.filter(owner__in=owners).count(),
        "users": User.objects.filter(pk=account).count(),
        "addresses": EmailAddress.objects.filter(user_id=account).count(),
        "second factors": Authenticator.objects.filter(user_id=account).count(),
        "sessions": UserSession.objects.filter(user_id=account).count(),
        "letters": Letter.objects.filter(owner__in=[subject, account]).count(),
    }


def fingerprint(person: str) -> dict[str, str]:
    """Hash every row, key and file of a subject and an account (what signing in and looking changes left out)."""
    from django.core.files.storage import default_storage
    from django.db.models import QuerySet

    from apps.accounts.models import User
    from apps.keys.models import Key
    from apps.records import models as records

    subject, account = person.split("/")
    conversations = records.Conversation.objects.filter(subject_id=subject)
    attachments = records.Attachment.objects.filter(conversation__subject_id=subject)
    found: dict[str, QuerySet[Any]] = {
        "subject": records.Subject.objects.filter(pk=subject),
        "identities": records.Identity.objects.filter(subject_id=subject).order_by("pk"),
        "conversations": conversations.order_by("pk"),
        "messages": records.Message.objects.filter(conversation__subject_id=subject).order_by(
            "conversation_id", "position"
        ),
        "attachments": attachments.order_by("pk"),
        "keys": Key.objects.filter(owner__in=[subject, *conversations.values_list("pk", flat=True)]).order_by("pk"),
        "account": User.objects.filter(pk=account),
    }
    hashes = {
        name: hashlib.sha256(repr([_bytes(row) for row in rows.values_list()]).encode()) for name, rows in found.items()
    }
    hashes["files"] = hashlib.sha256()
    for name in attachments.order_by("object_name").values_list("object_name", flat=True):
        with default_storage.open(name) as file:
            hashes["files"].update(file.read())
    return {name: digest.hexdigest() for name, digest in hashes.items()}


def _bytes(row: tuple[Any, ...]) -> list[Any]:
    return [bytes(value) if isinstance(value, memoryview) else value for value in row]


def people() -> dict[str, str]:
    """Return "subject/account" by address."""
    from apps.records.models import Subject

    return {s.account.email: f"{s.pk}/{s.account_id}" for s in Subject.objects.select_related("account") if s.account}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    what, *arguments = sys.argv[1:]
    answers = {
        "words": lambda: scan(Path(arguments[0]), arguments[1:]),
        "rows": lambda: rows_of(arguments[0]),
        "fingerprint": lambda: fingerprint(arguments[0]),
        "people": people,
    }
    print(json.dumps(answers[what]()))


if __name__ == "__main__":
    main()
