"""Google Cloud Storage. Tested against gcp-storage-emulator, and a strict stand-in (tests/contracts/gcs_standin.py) for
generations, holds and retention policies, which the emulator ignores.

Each overwritten or deleted object may live on as a noncurrent generation, so every generation is deleted by its number.
What is deleted then stays restorable for the bucket's soft-delete time, 7 days unless it was changed, and nobody can
shorten that for objects that are in it already: such copies are reported with the day on which they end. Holds and
retention policies refuse a deletion with 403. Listings carry metadata, so labels cost no requests of their own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy

from apps.locations import answers, holding, objects
from apps.locations.connectors.gcs_account import check_own_account, check_where_it_signs_in
from apps.locations.contract import Entry, Health, Identity, Item, Obstacle, Progress, Remaining, Scope
from apps.locations.errors import LocationError, Refused, Unavailable
from apps.locations.finding import Finding, LabelledFindingForm, Search
from apps.locations.objects import ANY_TYPE, Opened, Stored, rules_in_words
from apps.locations.reasons import Reason
from apps.locations.said import said as _

DELETE_LIMIT = 100  # calls in one batch (Cloud Storage, "Sending batch requests")
READ_SIZE = 8 * 1024 * 1024  # so much of an object is in memory at once
CONNECT_TIMEOUT, READ_TIMEOUT = 5, 30
TRIED_FOR = 20  # seconds in which a call is tried again
DAY = 24 * 3600
PERMISSIONS = ["storage.objects.list", "storage.objects.get", "storage.objects.delete", "storage.buckets.get"]
# The client would ask for the bucket's facts in a thread of its own, for traces that nobody collects.
os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
FIELDS = (
    "items(name,size,updated,generation,metadata,contentType,temporaryHold,eventBasedHold,retentionExpirationTime,"
    "timeDeleted,retention,hardDeleteTime),nextPageToken"
)


class ConfigForm(LabelledFindingForm):
    bucket = forms.CharField(label=gettext_lazy("Bucket"), max_length=222)
    service_account = forms.CharField(
        label=gettext_lazy("Key of the service account"), required=False, widget=forms.PasswordInput, max_length=10_000,
        help_text=gettext_lazy(
            "The text of its JSON file. Kept sealed and never shown again. Without one: the account under "
            "which the workers run, where whoever runs Habeas allows it (LOCATION_MACHINE_ACCOUNT)."
        ),
    )  # fmt: skip
    endpoint_url = forms.URLField(
        label=gettext_lazy("Address"), required=False, assume_scheme="https",
        help_text=gettext_lazy("Empty for Google; otherwise the address of a store that speaks its protocol."),
    )  # fmt: skip

    secrets = optional_secrets = ("service_account",)
    field_order = (
        "bucket", "service_account", "endpoint_url", "templates", "inventory", "inventory_kind", "label_name", "label_kind",
        "label_prefix",
    )  # fmt: skip

    def clean_service_account(self) -> str:
        text = str(self.cleaned_data["service_account"])
        if text:
            try:
                json.loads(text)["client_email"]
            except (ValueError, KeyError, TypeError):
                raise ValidationError(_("This is not the JSON file of a service account.")) from None
        return text


class GcsConnector:
    label = gettext_lazy("Google Cloud Storage")
    ConfigForm = ConfigForm

    def __init__(self, config: dict[str, Any]) -> None:
        self.bucket = str(config["bucket"])
        self.finding = Finding(config)
        self._config = config
        self._opened: Any = None
        self.requests_made = 0  # shown when the place is tried

    @classmethod
    def through(cls, client: Any, bucket: str) -> GcsConnector:
        """Return one that speaks through a client that is open already: that of our own storage (own_storage.py)."""
        made = cls({"bucket": bucket})
        made._opened = client
        return made

    @property
    def client(self) -> Any:
        if self._opened is None:
            import google.auth
            from google.auth.credentials import AnonymousCredentials
            from google.auth.transport.requests import AuthorizedSession, Request
            from google.cloud import storage
            from google.oauth2 import service_account
            from requests import Session

            key, endpoint = self._config.get("service_account"), self._config.get("endpoint_url")
            with foreign_errors():
                if key:
                    check_where_it_signs_in(key, endpoint)
                    credentials: Any = service_account.Credentials.from_service_account_info(
                        json.loads(key), scopes=["https://www.googleapis.com/auth/devstorage.full_control"]
                    )
                elif endpoint:
                    credentials = AnonymousCredentials()
                else:
                    check_own_account(self.bucket)
                    credentials, _project = google.auth.default()
                options = {"api_endpoint": endpoint.rstrip("/")} if endpoint else None
                signing_in = Session()
                session = AuthorizedSession(credentials, auth_request=Request(signing_in))
                for one in (session, signing_in):
                    one.max_redirects = 0  # what is asked goes to nobody else
                    answers.keep_session_within(one)
                session.hooks["response"].append(self._count_request)
                self._opened = storage.Client(
                    project="-", credentials=credentials, client_options=options, _http=session
                )
        return self._opened

    def _count_request(self, _answer: Any, **_: Any) -> None:
        self.requests_made += 1

    @property
    def _how(self) -> dict[str, Any]:
        from google.cloud.storage.retry import DEFAULT_RETRY

        return {"timeout": (CONNECT_TIMEOUT, READ_TIMEOUT), "retry": DEFAULT_RETRY.with_timeout(TRIED_FOR)}

    def identity_kinds(self) -> set[str]:
        return self.finding.kinds()

    def summary(self) -> list[str]:
        said = [*self.finding.words(), _("Reads the current generation of each object.")]
        if self.finding.label:
            said.append(_("Labels are the objects' metadata; listings tell them, 1,000 objects in a request."))
        return [
            *said,
            _("Erases every generation, up to 100 in a request, then looks again."),
            _("Keeps what a hold or a retention policy holds back, and says so."),
            _("Keeps what the bucket's soft delete still has, until the day it ends, and says so."),
        ]

    def check(self) -> Health:
        bucket = self.client.bucket(self.bucket)
        with foreign_errors():
            next(iter(self.client.list_blobs(bucket, max_results=1, versions=True, **self._how)), None)
            held = bucket.test_iam_permissions(PERMISSIONS, **self._how)
            missing = [name for name in PERMISSIONS if name not in held]
            if "storage.buckets.get" not in missing:
                bucket.reload(**self._how)
        problems = [_("Our account lacks permissions: %(names)s.") % {"names": ", ".join(missing)}] if missing else []
        if "storage.buckets.get" in missing:
            return Health(True, _("The bucket answers."), horizon_days=None, problems=tuple(problems))
        soft, kept = _soft_delete_days(bucket), -(-(bucket.retention_period or 0) // DAY)
        if kept:
            problems.append(_("A retention policy keeps each new object for %(days)d days.") % {"days": kept})
        if bucket.default_event_based_hold:
            problems.append(_("Each new object is under a hold until somebody releases it."))
        facts = (
            (_("Generations"), _("kept") if bucket.versioning_enabled else _("not kept")),
            (_("Soft delete"), _("%(days)d days") % {"days": soft} if soft else _("off")),
            (_("Retention policy"), _("%(days)d days") % {"days": kept} if kept else _("none")),
            (_("Lifecycle"), rules_in_words(len(list(bucket.lifecycle_rules)))),
            (_("Transfers to other buckets"), _("no key of ours reads them: ask whoever runs the project")),
            (_("Permissions it needs"), ", ".join(PERMISSIONS)),
        )
        return Health(True, _("The bucket answers."), soft + kept, problems=tuple(problems), facts=facts)

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]:
        """One pass over the listing: it tells holds and retention of each generation."""
        return holding.obstacles(map(held, self._generations(who)))

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        return objects.items(self, who)

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        return objects.entries(self, who, cursor)

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        """Delete every generation by its number. A repeat finds what is left."""
        for batch in objects.in_batches(self._generations(who), DELETE_LIMIT):
            erased = self.delete(batch)
            if erased:
                yield Progress(erased, "", {"versions": erased})

    def delete(self, blobs: list[Any]) -> int:
        """Return how many are gone. What stays is seen, with its reason, at the second look.

        404 is gone as well: each of them was listed just now, and the answer that told of its end may have been lost.
        """
        from google.cloud.storage import Batch

        codes: list[int] = []

        class Heard(Batch):
            def finish(self, raise_exception: bool = False) -> Any:
                answers = super().finish(raise_exception=False)
                codes.extend(answer.status_code for answer in answers)
                return answers

        bucket = self.client.bucket(self.bucket)
        with foreign_errors(), Heard(self.client):
            for blob in blobs:
                bucket.delete_blob(blob.name, generation=blob.generation, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT))
        gone = sum(code < 300 or code == 404 for code in codes)
        if not gone and any(code >= 500 or code in (408, 429) for code in codes):
            raise Unavailable(_("The bucket could not delete some objects just now."))
        if any(code in (401, 403) for code in codes) and not any(held(blob)[0] for blob in blobs):
            raise Refused(
                _("The bucket refuses to delete: the permission storage.objects.delete is missing, or a hold came.")
            )
        return gone

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        """Look for generations, then for what soft delete still has."""
        there = holding.remaining(map(held, self._generations(who)))
        if there.count:
            return there
        soft = [blob.hard_delete_time for blob in self._blobs(who, soft_deleted=True)]
        if soft:
            return Remaining(
                len(soft), Reason.SOFT_DELETE, max((holding.day_after(end) for end in soft if end), default=None)
            )
        return Remaining(0)

    # Below: what is in the bucket. `current`, `look` and `read` are what objects.py reads through.

    def current(self, who: Identity, after: str) -> Iterator[Stored]:
        for search in self._searches(who):
            if after < search.path or after.startswith(search.path):
                start = {"start_offset": after} if after.startswith(search.path) and after else {}
                for page in self._pages(search.path, **start):
                    yield from _current(page.raw_page.get("items", ()), search, after)

    def look(self, key: str) -> Stored | None:
        with foreign_errors():
            blob = self.client.bucket(self.bucket).get_blob(key, **self._how)
        return _stored(blob) if blob is not None else None

    def read(self, stored: Stored, start: int, stop: int) -> Opened | None:
        """That very generation, as it lies there: not decompressed on the way, so that lengths are true."""
        blob = self.client.bucket(self.bucket).blob(stored.key, generation=int(stored.mark))
        first = b""
        if start < stop:
            try:
                first = self._part(blob, start, min(start + READ_SIZE, stop))
            except FileNotFoundError:
                return None
        return Opened(ANY_TYPE, self._chunks(blob, first, start + len(first), stop))

    def _chunks(self, blob: Any, first: bytes, start: int, stop: int) -> Iterator[bytes]:
        if first:
            yield first
        while start < stop:
            try:
                part = self._part(blob, start, min(start + READ_SIZE, stop))
            except FileNotFoundError:
                raise Unavailable(_("An object went away while it was read.")) from None
            start += len(part)
            yield part

    def _part(self, blob: Any, start: int, stop: int) -> bytes:
        from google.api_core.exceptions import NotFound

        with foreign_errors(), answers.at_most(stop - start):
            try:
                part: bytes = blob.download_as_bytes(
                    start=start, end=stop - 1, raw_download=True, checksum=None, **self._how
                )
            except NotFound:
                raise FileNotFoundError from None
        if len(part) != stop - start:
            raise Unavailable(_("An object was not read whole."))
        return part

    def _searches(self, who: Identity) -> list[Search]:
        return self.finding.searches(who, self._read_inventory)

    def _read_inventory(self, key: str) -> Iterator[bytes]:
        stored = self.look(key)
        opened = self.read(stored, 0, stored.size) if stored else None
        if opened is None:
            raise Refused(_("The inventory file is not there: nobody can say what is whose."))
        yield from opened.chunks

    def below(self, path: str, *, start: str = "") -> Iterator[Any]:
        """Yield every generation whose name begins so, from the name `start` on."""
        return self._listed(path, versions=True, **({"start_offset": start} if start else {}))

    def _generations(self, who: Identity) -> Iterator[Any]:
        return self._blobs(who, versions=True)

    def _blobs(self, who: Identity, **which: bool) -> Iterator[Any]:
        for search in self._searches(who):
            yield from self._matching(search, **which)

    def _matching(self, search: Search, **which: Any) -> Iterator[Any]:
        for blob in self._listed(search.path, **which):
            if search.takes(blob.name, lambda: blob.metadata or {}):  # noqa: B023 called at once
                yield blob

    def _listed(self, prefix: str, **which: Any) -> Iterator[Any]:
        return chain.from_iterable(self._pages(prefix, **which))

    def _pages(self, prefix: str, **which: Any) -> Iterator[Any]:
        pages = self.client.list_blobs(self.bucket, prefix=prefix or None, fields=FIELDS, **which, **self._how).pages
        seen = objects.PagesSeen()
        while True:
            with foreign_errors():
                page = next(pages, None)
            if page is None:
                return
            seen.add([(one.get("name"), one.get("generation")) for one in page.raw_page.get("items", ())])
            yield page


def _current(listed: Iterable[dict[str, Any]], search: Search, after: str) -> Iterator[Stored]:
    """Yield the person's objects of a page as the server wrote it: the client's objects take most of the time."""
    for one in listed:
        name, labels = one["name"], one.get("metadata") or {}
        if name > after and search.takes(name, lambda: labels):  # noqa: B023 called at once
            modified = datetime.fromisoformat(one["updated"]) if "updated" in one else None
            yield Stored(name, int(one.get("size") or 0), modified, str(one["generation"]), labels)


def _stored(blob: Any) -> Stored:
    return Stored(blob.name, blob.size or 0, blob.updated, str(blob.generation), dict(blob.metadata or {}))


def held(blob: Any) -> holding.Hold:
    """Say what holds a generation back, and until when: a hold has no end of its own."""
    if blob.temporary_hold or blob.event_based_hold:
        return Reason.LEGAL_HOLD, None
    ends = [blob.retention_expiration_time, getattr(blob.retention, "retain_until_time", None)]
    later = [end for end in ends if end and end > datetime.now(UTC)]
    return (Reason.RETENTION_POLICY, holding.day_after(max(later))) if later else ("", None)


def _soft_delete_days(bucket: Any) -> int:
    return -(-int(bucket.soft_delete_policy.retention_duration_seconds or 0) // DAY)


@contextmanager
def foreign_errors() -> Iterator[None]:
    """Turn the provider's errors into ours, without its words: they can hold keys and names."""
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import (
        DefaultCredentialsError,
        GoogleAuthError,
        MalformedError,
        RefreshError,
        TransportError,
    )
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
    from requests.exceptions import InvalidURL, MissingSchema, RequestException, TooManyRedirects

    try:
        yield
    except (LocationError, FileNotFoundError):
        raise
    except GoogleAPICallError as error:
        code = int(error.code or 500)
        if code in (408, 409, 412, 429) or code >= 500:
            raise Unavailable(_("The bucket cannot answer just now (%(code)s).") % {"code": code}) from None
        raise Refused(
            _("The bucket refuses us (%(code)s): check its name, the key and the permissions.") % {"code": code}
        ) from None
    except TransportError:
        raise Unavailable(_("Google's sign-in does not answer.")) from None
    except (DefaultCredentialsError, MalformedError, RefreshError) as error:
        if getattr(error, "retryable", False):
            raise Unavailable(_("Google's sign-in cannot answer just now.")) from None
        raise Refused(_("The key of the service account is missing, not valid or withdrawn.")) from None
    except (InvalidURL, MissingSchema, TooManyRedirects):
        raise Refused(_("The address of the bucket is not valid, or leads elsewhere.")) from None
    except (RetryError, RequestException, ConnectionError, GoogleAuthError, DataCorruption, InvalidResponse):
        raise Unavailable(_("The bucket does not answer.")) from None
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):  # the SDK stumbles over the answer
        raise Refused(_("The settings of the bucket are not valid, or what answers is none.")) from None
