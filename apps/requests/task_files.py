"""The files of a task that a person does by hand, sealed under the request key: for the person's copy, or as proof."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID, uuid4

from apps.keys import services as keys
from apps.records import objects
from apps.records.importers.values import as_file_name
from apps.requests.documents import Counted, Document
from apps.requests.errors import RecordErased
from apps.requests.models import Task, TaskFile
from apps.sealing import content
from apps.sealing.aead import associated_data

FOLDER = "tasks"


def add_task_file(task: Task, document: Document, chunks: Iterable[bytes], *, is_proof: bool) -> TaskFile:
    """Take a file that counts at once. Outside transactions. Raises TooLarge."""
    row = take_task_file(task, document, chunks, is_proof=is_proof)
    keep_task_files([row])
    row.refresh_from_db()
    return row


def take_task_file(task: Task, document: Document, chunks: Iterable[bytes], *, is_proof: bool) -> TaskFile:
    """Take a file: row, then object. It counts only when `keep_task_files` says so, in the transaction of what it is for.

    Outside transactions. Raises TooLarge.
    """
    key_id, key = _key(task)
    row = TaskFile(id=uuid4(), task=task, is_proof=is_proof, object_name=objects.new_name(FOLDER, task.request_id))
    row.sealed = content.seal_json(
        key, [as_file_name(document.name), document.media_type], context=_context(row, "sealed")
    )
    row.save(force_insert=True)
    counted = Counted(chunks)
    is_taken = False
    try:
        objects.upload(row.object_name, counted, key_id=key_id, key=key, context=_context(row, "object"))
        is_taken = True
    finally:
        if not is_taken and objects.try_delete(row.object_name):
            row.delete()
    row.size = counted.size
    row.save(update_fields=["size"])
    return row


def keep_task_files(rows: Sequence[TaskFile]) -> None:
    TaskFile.objects.filter(pk__in=[row.pk for row in rows]).update(stored=True)


def discard_task_files(rows: Sequence[TaskFile]) -> None:
    """Delete what was taken and is not kept; what cannot be deleted now goes with the task."""
    for row in rows:
        if objects.try_delete(row.object_name):
            row.delete()


def describe_task_file(row: TaskFile) -> Document:
    """Open what a file is called; raises RecordErased after the request's retention."""
    name, media_type = content.unseal_json(_key(row.task)[1], bytes(row.sealed), context=_context(row, "sealed"))
    return Document(name, media_type)


def read_task_file(row: TaskFile) -> Iterator[bytes]:
    key_id, key = _key(row.task)
    return objects.download(row.object_name, key_id=key_id, key=key, context=_context(row, "object"))


def delete_task_files(task: Task) -> None:
    """Delete the objects of a task, then its rows; outside transactions. A repeat goes on where it broke off."""
    for row in list(task.files.all()):
        objects.delete(row.object_name)
        row.delete()


def _key(task: Task) -> tuple[UUID, bytes]:
    key_id = task.request.key_id
    if key_id is None:
        raise RecordErased(task.request.reference)
    return key_id, keys.open_key(key_id)


def _context(row: TaskFile, field: str) -> bytes:
    return associated_data("requests", row.task.request_id, "TaskFile", field, row.pk)
