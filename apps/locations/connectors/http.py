"""Any other system, behind a small signed JSON contract: docs/http-contract.md, with an example server.

Each call is a POST of JSON, signed with HMAC-SHA-256 or Ed25519 over method, host, path, time, nonce and body, so that
nobody else can ask that system for a person's data or have it erased, and no call can be sent twice. Only the kinds of
identity that the operator names leave this house. Answers are read to a limit; files are streamed.
Tested against the example server and strict variants of it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, TypeGuard
from urllib.parse import urlsplit

import httpx
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy

from apps.locations.contract import Change, Entry, Health, Identity, Item, Obstacle, Progress, Remaining, Scope
from apps.locations.errors import Blocked, NoIdentity, Refused, Unavailable
from apps.locations.outside import asking, open_client, read
from apps.locations.paths import KIND, generated_name
from apps.locations.reasons import Reason
from apps.locations.said import said as _

VERSION = 1
HMAC, ED25519 = "hmac-sha256", "ed25519"
SHORTEST_SECRET = 32  # characters of an HMAC secret
TIMEOUT_SECONDS = 30.0
MOST_COUNTED = 2**31 - 1
MOST_BYTES = 2**50
LARGEST_PAGE = 8 * 1024 * 1024
INDEX_NAME, INDEX_TYPE = "index.jsonl", "application/x-ndjson"
ANSWERS_WITH_WORDS = frozenset({409, 422})  # blocked; the person is not known there
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class ConfigForm(forms.Form):
    address = forms.URLField(
        label=gettext_lazy("Address"), assume_scheme="https",
        help_text=gettext_lazy("Below which the system answers, as in https://crm.example.org/habeas. Redirects are not followed."),
    )  # fmt: skip
    key_name = forms.RegexField(
        r"^[A-Za-z0-9._-]{1,60}$", label=gettext_lazy("Name of the key"), initial="habeas",
        help_text=gettext_lazy("Sent with each call, so that the other side knows by which key to check it."),
    )  # fmt: skip
    algorithm = forms.ChoiceField(
        label=gettext_lazy("Signature"), choices=[(HMAC, "HMAC-SHA-256"), (ED25519, "Ed25519")], initial=HMAC
    )
    secret = forms.CharField(
        label=gettext_lazy("Secret"), max_length=500, required=False, widget=forms.PasswordInput,
        help_text=gettext_lazy("HMAC: 32 characters or more. Ed25519: the 32 bytes of the private key, in Base64. Kept sealed and never shown again."),
    )  # fmt: skip
    identities = forms.CharField(
        label=gettext_lazy("Kinds of identity that are sent"), initial="user_id", max_length=200,
        help_text=gettext_lazy("With commas between, as in user_id, email. Nothing else of a person is sent."),
    )  # fmt: skip
    certificates = forms.CharField(
        label=gettext_lazy("Certificate authority"), required=False, widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("In PEM, where the server's certificate is from one of your own. Empty: those of the system."),
    )  # fmt: skip

    secrets = ("secret",)

    def clean_address(self) -> str:
        address = str(self.cleaned_data["address"]).rstrip("/")
        if not _is_safe(address):
            raise ValidationError(
                _("Write an address that begins with https. Without TLS only this machine itself can be asked.")
            )
        return address

    def clean_identities(self) -> list[str]:
        kinds = [kind.strip() for kind in str(self.cleaned_data["identities"]).split(",") if kind.strip()]
        if not kinds or not all(re.fullmatch(KIND, kind) for kind in kinds):
            raise ValidationError(_("Write kinds of identity with commas between, as in user_id, email."))
        return kinds


class HTTPConnector:
    label = gettext_lazy("Another system, over HTTP")
    ConfigForm = ConfigForm

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        kinds = config.get("identities") or []
        self._kinds: list[str] = kinds if isinstance(kinds, list) else [kind.strip() for kind in str(kinds).split(",")]
        self._opened: httpx.Client | None = None

    @property
    def client(self) -> httpx.Client:
        if self._opened is None:
            if not _is_safe(self._config["address"]):
                raise Refused(_("Without TLS only this machine itself can be asked."))
            certificates = str(self._config.get("certificates") or "")
            self._opened = open_client(self._config["address"], timeout=TIMEOUT_SECONDS, certificates=certificates)
        return self._opened

    def identity_kinds(self) -> set[str]:
        return set(self._kinds)

    def summary(self) -> list[str]:
        return [
            _("Sends the person's %(kinds)s, and nothing else of the person, in signed calls.")
            % {"kinds": ", ".join(self._kinds)},
            _("Finds, reads and erases what the other system says that it holds of them."),
            _("Looks again by asking the system what is left: it answers for itself."),
        ]

    def check(self) -> Health:
        answer = self._ask("check", {})
        days = answer.get("horizon_days", 0)
        facts = [(_("Can also"), ", ".join(sorted(_texts(answer.get("can"))) or [_("nothing else")]))]
        if self._config["algorithm"] == ED25519:
            facts.append((_("Public key"), base64.b64encode(self._public_key()).decode()))
        return Health(
            True, _("The system answers."), days if isinstance(days, int) and days >= 0 else None, facts=tuple(facts)
        )

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]:
        left = self._remaining(self._ask("preflight", self._about(who, scope)))
        return [Obstacle(left.reason, left.count, left.until)] if left.count and left.reason else []

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        for page, _cursor in self._pages("find", who, scope):
            for item in page:
                yield Item(item["id"], str(item.get("kind") or "item")[:40], _size(item), _when(item))

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        """Yield each file, and a line of index.jsonl for each item.

        A cursor: items so far, cursor of the page (False: all is done), last item of it that is done, [item, name] of a
        file whose line is not yet written.
        """
        number, at, after, unfinished = json.loads(cursor) if cursor else (0, "", "", None)
        if at is False:
            return
        for page, page_cursor in self._pages("export", who, scope, at):
            ids = [item["id"] for item in page]
            begin = ids.index(after) + 1 if page_cursor == at and after in ids else 0
            if unfinished:
                held = page[ids.index(unfinished[0])] if unfinished[0] in ids else {"id": unfinished[0]}
                yield _line(held, unfinished[1], [number, page_cursor, unfinished[0], None])
                begin = ids.index(unfinished[0]) + 1 if unfinished[0] in ids else begin
                unfinished = None
            for item in page[begin:]:
                number += 1
                name = None
                file = item.get("file")
                if isinstance(file, dict):
                    name = generated_name(number, str(file.get("name") or ""))
                    chunks = self._file(who, scope, item["id"], _size(file) or 0)
                    content_done = json.dumps([number, page_cursor, after, [item["id"], name]])
                    yield Entry(name, _media_type(file), chunks, content_done, count=0)
                yield _line(item, name, [number, page_cursor, item["id"], None])
                after = item["id"]
        if number:
            yield Entry(INDEX_NAME, INDEX_TYPE, [], json.dumps([number, False, "", None]), part="last", count=0)

    def _file(self, who: Identity, scope: Scope, item_id: str, size: int) -> Iterator[bytes]:
        """Stream one file; it has the size that was announced, or it is begun again."""
        got = 0
        with asking(self.client, self._signed("file", self._about(who, scope) | {"id": item_id})) as response:
            for chunk in response.iter_bytes(256 * 1024):
                got += len(chunk)
                if got > size:
                    break
                yield chunk
        if got != size:
            raise Unavailable(_("A file has another size than was announced."))

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        at = json.loads(cursor) if cursor else ""
        while at is not None:
            answer = self._ask("erase", self._about(who, scope) | {"cursor": at})
            erased, following = answer.get("erased"), answer.get("cursor")
            if not _is_count(erased) or (following == at and not erased):
                raise Refused(_("The system's answer is not what the contract asks for (erase)."))
            counts = answer.get("counts")
            known = (
                {str(kind)[:40]: count for kind, count in counts.items() if _is_count(count)}
                if isinstance(counts, dict)
                else {}
            )
            at = following
            yield Progress(erased, json.dumps(at), known or ({"items": erased} if erased else {}))

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        return self._remaining(self._ask("remaining", self._about(who, scope)))

    def rectify(self, who: Identity, changes: Sequence[Change]) -> int:
        listed = [{"field": one.field, "value": one.value, "before": one.before} for one in changes]
        return _changed(self._ask("rectify", self._about(who, Scope()) | {"changes": listed}))

    def restrict(self, who: Identity, on: bool) -> int:
        return _changed(self._ask("restrict", self._about(who, Scope()) | {"on": on}))

    def _remaining(self, answer: dict[str, Any]) -> Remaining:
        count, reason = answer.get("count"), answer.get("reason") or ""
        if not _is_count(count) or (reason and reason not in Reason.values):
            raise Refused(_("The system's answer is not what the contract asks for (remaining)."))
        return Remaining(count, reason or (Reason.CANNOT_DELETE if count else ""), _day(answer.get("until")))

    # Below: the calls.

    def _about(self, who: Identity, scope: Scope) -> dict[str, Any]:
        known = [[kind, value] for kind in self._kinds for value in who.of_kind(kind)]
        if not known:
            raise NoIdentity(
                _("This place knows people by %(kinds)s, and none is known of this person.")
                % {"kinds": ", ".join(self._kinds)}
            )
        dates = {
            name: value.isoformat() if value else None
            for name, value in (("since", scope.since), ("until", scope.until))
        }
        return {"identities": known, "scope": dates}

    def _pages(
        self, call: str, who: Identity, scope: Scope, at: str = ""
    ) -> Iterator[tuple[list[dict[str, Any]], str]]:
        while True:
            answer = self._ask(call, self._about(who, scope) | {"cursor": at})
            page, following = answer.get("items"), answer.get("cursor")
            if not isinstance(page, list) or not all(
                isinstance(item, dict) and isinstance(item.get("id"), str) for item in page
            ):
                raise Refused(_("The system's answer is not what the contract asks for (%(call)s).") % {"call": call})
            yield page, at
            if following is None:
                return
            if not isinstance(following, str) or following == at:
                raise Refused(_("The system's answer is not what the contract asks for (%(call)s).") % {"call": call})
            at = following

    def _ask(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        with asking(self.client, self._signed(call, body), fine=ANSWERS_WITH_WORDS) as response:
            content, status = read(response, most=LARGEST_PAGE), response.status_code
        try:
            answer = orjson.loads(content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Refused(_("The server does not speak the contract: check the address."))
        if status == 409:
            reason = answer.get("reason")
            raise Blocked(reason if reason in Reason.values else Reason.RETENTION_POLICY, _day(answer.get("until")))
        if status == 422:
            raise NoIdentity(_("The system does not know people by what is known of this person."))
        return answer

    def _signed(self, call: str, body: dict[str, Any]) -> httpx.Request:
        content = orjson.dumps({"version": VERSION} | body)
        request = self.client.build_request("POST", f"/{call}", content=content)
        stamp, nonce = str(int(time.time())), secrets.token_hex(16)
        text = signed_text("POST", request.headers["host"], request.url.raw_path.decode(), stamp, nonce, content)
        algorithm = self._config["algorithm"]
        request.headers["Content-Type"] = "application/json"
        request.headers["Habeas-Key"] = str(self._config["key_name"])
        request.headers["Habeas-Timestamp"], request.headers["Habeas-Nonce"] = stamp, nonce
        request.headers["Habeas-Signature"] = f"{algorithm}={self._sign(text)}"
        return request

    def _sign(self, text: bytes) -> str:
        if self._config["algorithm"] == ED25519:
            return base64.b64encode(self._private_key().sign(text)).decode()
        secret = str(self._config["secret"])
        if len(secret) < SHORTEST_SECRET:
            raise Refused(_("The secret of the place is too short: 32 characters or more."))
        return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()

    def _private_key(self) -> Ed25519PrivateKey:
        try:
            return Ed25519PrivateKey.from_private_bytes(base64.b64decode(self._config["secret"], validate=True))
        except ValueError:
            raise Refused(_("The secret of the place is not an Ed25519 key: 32 bytes in Base64.")) from None

    def _public_key(self) -> bytes:
        return self._private_key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def signed_text(method: str, host: str, path: str, stamp: str, nonce: str, body: bytes) -> bytes:
    """Return what a signature is made over; its parts hold no line breaks, so no two calls have the same text."""
    return "\n".join(["habeas-http-v1", method, host, path, stamp, nonce, hashlib.sha256(body).hexdigest()]).encode()


def _is_safe(address: str) -> bool:
    """Say whether nobody between can read along: TLS, or this very machine."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return True
    return parts.scheme == "http" and (host in LOOPBACK or _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _line(item: dict[str, Any], file: str | None, cursor: list[Any]) -> Entry:
    line = {"kind": item.get("kind"), "name": item["id"], "data": item.get("data")}
    if file is not None:
        about = item.get("file")
        line |= {"file": file, "file_name": about.get("name") if isinstance(about, dict) else None}
    content = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
    return Entry(INDEX_NAME, INDEX_TYPE, [content], json.dumps(cursor), part="piece")


def _is_count(value: Any, *, most: int = MOST_COUNTED) -> TypeGuard[int]:
    """Say whether it is a number that something can have, and that our database can keep."""
    return type(value) is int and 0 <= value <= most


def _changed(answer: dict[str, Any]) -> int:
    changed = answer.get("changed")
    if not _is_count(changed):
        raise Refused(_("The system's answer is not what the contract asks for (changed)."))
    return changed


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _size(item: dict[str, Any]) -> int | None:
    size = item.get("size")
    return size if _is_count(size, most=MOST_BYTES) else None


def _media_type(file: dict[str, Any]) -> str:
    kind = str(file.get("media_type") or "")
    return kind[:100] if kind.isascii() and "/" in kind else "application/octet-stream"


def _when(item: dict[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(str(item.get("modified")))
    except ValueError:
        return None


def _day(value: Any) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
