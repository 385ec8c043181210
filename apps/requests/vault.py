"""What a request holds that is personal: sealed under the request key, and opened through this one door.

The request key outlives the subject key, so that what the person is told after an erasure can still be read, and dies
when the request's retention is over (DESIGN §2).
"""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed
from apps.locations.contract import Scope
from apps.requests.errors import RecordErased
from apps.requests.models import Intake, Message, PrivacyRequest, Receipt, Step, Task
from apps.sealing import aead, content


class Vault:
    """The opened key of one request. Made for one unit of work and dropped with it (≤ settings.STEP_BATCH_SECONDS)."""

    def __init__(self, key_id: UUID, key: bytes) -> None:
        self._box = aead.Box(key)
        self._key_id = key_id

    def seal(self, value: Any, place: str, row: UUID | str | int) -> bytes:
        return content.seal_json(self._box, value, context=self._context(place, row))

    def unseal(self, sealed: bytes | memoryview, place: str, row: UUID | str | int) -> Any:
        return content.unseal_json(self._box, bytes(sealed), context=self._context(place, row))

    def _context(self, place: str, row: UUID | str | int) -> bytes:
        return aead.associated_data("requests", self._key_id, place, row)


def open_vault(request: PrivacyRequest | Intake) -> Vault:
    """Open the request's key; raises RecordErased when its retention is over."""
    if request.key_id is None:
        raise RecordErased(str(request.reference))
    try:
        return Vault(request.key_id, keys.open_key(request.key_id))
    except KeyDestroyed:
        raise RecordErased(str(request.reference)) from None


def details_of(request: PrivacyRequest, vault: Vault | None = None) -> dict[str, Any]:
    """Return what the request says of the person: email, name, note, scope; after `prepare` identities and more."""
    if request.sealed is None:
        raise RecordErased(request.reference)
    details: dict[str, Any] = (vault or open_vault(request)).unseal(request.sealed, "PrivacyRequest.sealed", request.pk)
    return details


def seal_details(request: PrivacyRequest, details: dict[str, Any], vault: Vault) -> bytes:
    return vault.seal(details, "PrivacyRequest.sealed", request.pk)


def intake_details(intake: Intake, vault: Vault) -> dict[str, Any]:
    details: dict[str, Any] = vault.unseal(intake.sealed, "Intake.sealed", intake.pk)
    return details


def seal_intake(intake: Intake, details: dict[str, Any], vault: Vault) -> bytes:
    return vault.seal(details, "Intake.sealed", intake.pk)


def seal_message(message: Message, text: str, vault: Vault) -> bytes:
    return vault.seal(text, "Message.sealed", message.pk)


def text_of(message: Message, vault: Vault) -> str:
    return str(vault.unseal(message.sealed, "Message.sealed", message.pk))


def seal_task(task: Task, words: dict[str, Any], vault: Vault) -> bytes:
    return vault.seal(words, "Task.sealed", task.pk)


def task_words(task: Task, vault: Vault) -> dict[str, Any]:
    """Return who does a task, and what was noted at its end: person, note."""
    words: dict[str, Any] = vault.unseal(task.sealed, "Task.sealed", task.pk)
    return words


def seal_cursor(step: Step, cursor: str, vault: Vault) -> bytes:
    return vault.seal(cursor, "Step.sealed_cursor", step.pk)


def cursor_of(step: Step, vault: Vault) -> str:
    """Return where the step goes on; "" at its beginning."""
    return "" if step.sealed_cursor is None else str(vault.unseal(step.sealed_cursor, "Step.sealed_cursor", step.pk))


def seal_body(request: PrivacyRequest, number: int, body: bytes, vault: Vault) -> bytes:
    return vault.seal(body.decode(), f"Receipt.sealed_body {number}", request.pk)


def body_of(receipt: Receipt, vault: Vault | None = None) -> bytes:
    """Return the receipt's body, exactly as it was hashed into the log."""
    opened = vault or open_vault(receipt.request)
    text: str = opened.unseal(receipt.sealed_body, f"Receipt.sealed_body {receipt.number}", receipt.request_id)
    return text.encode()


def scope_values(scope: Scope) -> dict[str, Any]:
    return {
        "since": scope.since.isoformat() if scope.since else None,
        "until": scope.until.isoformat() if scope.until else None,
        "formats": list(scope.formats),
        "language": scope.language,
    }


def scope_of(details: dict[str, Any]) -> Scope:
    values = details["scope"]
    return Scope(
        since=date.fromisoformat(values["since"]) if values["since"] else None,
        until=date.fromisoformat(values["until"]) if values["until"] else None,
        formats=tuple(values["formats"]),
        language=values["language"],
    )
