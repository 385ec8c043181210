"""The place "account": sign-in, letters and the requests themselves.

Access shows all of it. Erasure takes the sign-in with everything around it, the letters and their files, and minimises
earlier requests: nothing finds the person through them any more, and what they hold stays readable only under their own
keys, which die with their retention (11 CCR 7101 wants a record of requests for 24 months).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson

from apps.accounts.models import User
from apps.accounts.services import account_inventory, erase_account, remaining_account_rows
from apps.audit.selectors import looks_at
from apps.locations import own_storage
from apps.locations.contract import Entry, Health, Identity, Item, Obstacle, Progress, Remaining, Scope
from apps.locations.reasons import Reason
from apps.locations.said import said as _
from apps.mail.models import Letter
from apps.mail.services import erase_letters
from apps.records.models import Subject
from apps.requests.errors import RecordErased
from apps.requests.models import Evidence, PrivacyRequest
from apps.requests.services.evidence import destroy_documents
from apps.requests.vault import details_of, open_vault, text_of

DONE = "done"


class AccountConnector:
    """Of our own: it needs no configuration."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config

    def check(self) -> Health:
        """The documents of requests lie in the storage."""
        return own_storage.health(_("The site's own database answers."))

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]:
        return []

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        if _account(who):
            yield Item(name=str(who.account_id), kind="account")
        for request in requests_of(who).exclude(pk=who.request_id):
            yield Item(name=str(request.pk), kind="request", modified=request.received_at)
        for letter in Letter.objects.filter(owner__in=_owners(who)).only("pk", "created_at").order_by("pk"):
            yield Item(name=str(letter.pk), kind="letter", modified=letter.created_at)

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        """Yield account.json, letters.json, looks.json, requests.json (dates, roles and purposes: C-579/21)."""
        files = {"account": _account_file, "letters": _letters_file, "looks": _looks_file, "requests": _requests_file}
        for name, rows_of in files.items():
            if name <= cursor:  # the names are in the order of the alphabet, and so is the cursor
                continue
            rows = rows_of(who)
            content = orjson.dumps(rows, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE, default=str)
            yield Entry(f"{name}.json", "application/json", (content,), name, count=len(rows))

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        """Take sign-in, letters, documents and links to the person, in one go; a repeat erases what is left."""
        documents = Evidence.objects.filter(request__in=requests_of(who)).select_related("request")
        counts = {"documents": destroy_documents(documents), "letters": erase_letters(_owners(who))}
        if who.account_id is not None:
            for name, count in erase_account(who.account_id).items():
                counts[name] = counts.get(name, 0) + count
        counts["requests minimised"] = requests_of(who).update(subject_id=None, email_index=None)
        erased = sum(counts.values())
        yield Progress(erased=erased, cursor=DONE, counts={name: count for name, count in counts.items() if count})

    def restrict(self, who: Identity, on: bool) -> int:
        """Nothing to mark: it serves their sign-in and their requests, and nothing else (GDPR Article 18(2))."""
        return 0

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        rows = remaining_account_rows(who.account_id) if who.account_id else 0
        count = rows + requests_of(who).count()
        return Remaining(count=count, reason=Reason.STILL_THERE.value if count else "")


def requests_of(who: Identity) -> Any:
    return PrivacyRequest.objects.filter(subject_id=who.subject_id)


def _account(who: Identity) -> User | None:
    return User.objects.filter(pk=who.account_id).first() if who.account_id else None


def _owners(who: Identity) -> list[UUID]:
    """Return whom the letters belong to: the account, the person, each of their requests."""
    owners = [who.subject_id, *requests_of(who).values_list("pk", flat=True)]
    return [*owners, *(owner for owner in (who.account_id, who.request_id) if owner)]


def _handles(who: Identity) -> list[str]:
    """Return what the log calls the person and their requests."""
    own = Subject.objects.filter(pk=who.subject_id).values_list("handle", flat=True)
    return [*own, *requests_of(who).values_list("handle", flat=True)]


def _account_file(who: Identity) -> list[dict[str, Any]]:
    account = _account(who)
    return [account_inventory(account.pk)] if account else []


def _requests_file(who: Identity) -> list[dict[str, Any]]:
    return [_described(request) for request in requests_of(who).order_by("received_at")]


def _letters_file(who: Identity) -> list[dict[str, Any]]:
    letters = Letter.objects.filter(owner__in=_owners(who)).order_by("created_at")
    return [{"letter": letter.template, "written": letter.created_at, "sent": letter.sent_at} for letter in letters]


def _looks_file(who: Identity) -> list[dict[str, Any]]:
    looks = looks_at(*_handles(who))
    return [{"when": look.at, "what": look.event, "role": look.role, "purpose": look.purpose} for look in looks]


def _described(request: PrivacyRequest) -> dict[str, Any]:
    described: dict[str, Any] = {
        "reference": request.reference,
        "kind": request.kind,
        "law": request.regime,
        "status": request.status,
        "received": request.received_at,
        "due": request.due_on,
        "ended": request.ended_at,
    }
    try:
        vault = open_vault(request)
    except RecordErased:
        return described
    details = details_of(request, vault)
    messages = [
        {"from": "you" if message.is_from_person else "us", "sent": message.sent_at, "text": text_of(message, vault)}
        for message in request.messages.order_by("sent_at")
    ]
    return described | {
        "note": details.get("note", ""),
        "scope": details.get("scope"),
        "asked": details.get("asked", {}),
        "messages": messages,
    }
