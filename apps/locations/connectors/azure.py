"""Azure Blob Storage. Tested against Azurite, which knows snapshots and batches, and a recorded listing for the rest.

A blob with snapshots cannot be deleted alone, deleting one with versions only makes another version of it, and what is
deleted stays restorable while the account's soft delete lasts (1 to 365 days): so snapshots and versions are deleted one
by one, in a batch of up to 256, and the second look asks for what is soft-deleted too, with the days that are left.
Immutability policies and legal holds refuse a deletion with 409. Listings carry tags and metadata.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from apps.locations import answers, holding, objects
from apps.locations.connectors.azure_errors import UnknownParameter, foreign_errors
from apps.locations.contract import Entry, Health, Identity, Item, Obstacle, Progress, Remaining, Scope
from apps.locations.errors import Refused, Unavailable
from apps.locations.finding import Finding, LabelledFindingForm, Search
from apps.locations.objects import ANY_TYPE, Opened, Stored
from apps.locations.reasons import Reason
from apps.locations.said import said as _

PAGE = 1000  # blobs of a listing at once, of 5,000 that Azure would send: the client holds a page as a whole
DELETE_LIMIT = 256  # blobs in one batch (Azure, "Blob Batch")
READ_SIZE = 4 * 1024 * 1024
CONNECT_TIMEOUT, READ_TIMEOUT, RETRIES = 5, 30, 2
PASSES = 3  # a current version becomes an older one when it is deleted, and goes in the next pass
LABELS = ["metadata", "tags"]
EVERYTHING = ["snapshots", "versions", "uncommittedblobs", "immutabilitypolicy", "legalhold", *LABELS]
FEWER = ["snapshots", "uncommittedblobs", *LABELS]  # for a store that knows neither versions nor immutability
NO_TYPE_YET = "hdi_isfolder"  # a folder of an account with a hierarchical namespace


class ConfigForm(LabelledFindingForm):
    account = forms.CharField(label=gettext_lazy("Storage account"), max_length=63)
    account_key = forms.CharField(
        label=gettext_lazy("Account key or SAS token"), max_length=1000, required=False, widget=forms.PasswordInput,
        help_text=gettext_lazy("Kept sealed and never shown again."),
    )  # fmt: skip
    container = forms.CharField(label=gettext_lazy("Container"), max_length=63)
    endpoint_url = forms.URLField(
        label=gettext_lazy("Address"), required=False, assume_scheme="https",
        help_text=gettext_lazy("Empty for Azure; otherwise as in https://account.blob.core.chinacloudapi.cn"),
    )  # fmt: skip

    secrets = ("account_key",)
    field_order = (
        "account", "account_key", "container", "endpoint_url", "templates", "inventory", "inventory_kind", "label_name",
        "label_kind", "label_prefix",
    )  # fmt: skip


class AzureConnector:
    label = gettext_lazy("Azure Blob Storage")
    ConfigForm = ConfigForm

    def __init__(self, config: dict[str, Any]) -> None:
        self.finding = Finding(config)
        self._config = config
        self._opened: Any = None
        self._knows_versions = True
        self.requests_made = 0  # shown when the place is tried

    @classmethod
    def through(cls, service: Any, container: str) -> AzureConnector:
        """Return one that speaks through a client that is open already: that of our own storage (own_storage.py)."""
        made = cls({"container": container})
        made._opened = service
        return made

    @property
    def service(self) -> Any:
        if self._opened is None:
            from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
            from azure.core.pipeline.transport import RequestsTransport
            from azure.storage.blob import BlobServiceClient

            account, key = str(self._config["account"]), str(self._config["account_key"])
            address = self._config.get("endpoint_url") or f"https://{account}.blob.core.windows.net"
            credential = AzureSasCredential(key) if "sig=" in key else AzureNamedKeyCredential(account, key)
            with foreign_errors():
                transport = RequestsTransport(connection_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT)
                transport.open()
                answers.keep_session_within(transport.session)
                self._opened = BlobServiceClient(
                    address, credential=credential, transport=transport, retry_total=RETRIES, max_single_get_size=READ_SIZE, max_chunk_get_size=READ_SIZE,
                    permit_redirects=False,  # a SAS would be sent along to wherever the answer points
                    raw_response_hook=self._count_request,
                )  # fmt: skip
        return self._opened

    def _count_request(self, _answer: Any) -> None:
        self.requests_made += 1

    @property
    def container(self) -> Any:
        return self.service.get_container_client(str(self._config["container"]))

    def identity_kinds(self) -> set[str]:
        return self.finding.kinds()

    def summary(self) -> list[str]:
        said = [*self.finding.words(), _("Reads the current version of each blob.")]
        if self.finding.label:
            said.append(_("Labels are tags or metadata of the blobs; listings tell them, 1,000 blobs in a request."))
        return [
            *said,
            _("Erases every blob, snapshot and version, up to 256 in a request, then looks again."),
            _("Keeps what an immutability policy, a legal hold or a lease holds back, and says so."),
            _("Keeps what soft delete still has, until the day it ends, and says so."),
        ]

    def check(self) -> Health:
        with foreign_errors():
            next(iter(self.container.list_blobs(results_per_page=1)), None)
            properties = self._allowed(self.container.get_container_properties)
            service = self._allowed(self.service.get_service_properties)
        problems = [] if self._may_delete() else [_("Our key may not delete blobs here.")]
        soft = None if service is None else _soft_delete_days(service)
        immutable = bool(properties and (properties.has_immutability_policy or properties.has_legal_hold))
        if immutable:
            problems.append(
                _("The container is under an immutability policy or a legal hold: what is there stays until it ends.")
            )
        facts = (
            (_("Soft delete"), _("we may not read it") if soft is None else _("%(days)d days") % {"days": soft} if soft else _("off")),
            (_("Immutability or legal hold"), _("we may not read it") if properties is None else _("on") if immutable else _("off")),
            (_("Snapshots and versions"), _("looked for at every erasure")),
            (_("Replication and lifecycle"), _("no key of ours reads them: ask whoever runs the account")),
            (_("Permissions it needs"), _("list, read, write and delete, also of versions; to read the settings: the account's key")),
        )  # fmt: skip
        horizon = None if immutable else soft
        return Health(True, _("The container answers."), horizon_days=horizon, problems=tuple(problems), facts=facts)

    def _allowed(self, call: Any) -> Any:
        """Ask for a setting; None where our key may not read it."""
        from azure.core.exceptions import HttpResponseError

        try:
            return call()
        except HttpResponseError as error:
            if error.status_code == 403:
                return None
            raise

    def _may_delete(self) -> bool:
        """Delete a blob that nobody has: allowed, it is not found."""
        from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

        with foreign_errors():
            try:
                self.container.delete_blob("habeas-permission-test/nobody-has-this")
            except ResourceNotFoundError:
                return True
            except HttpResponseError as error:
                if error.status_code == 403:
                    return False
                raise
        return True

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]:
        """One pass over the listing: it tells holds and policies of each blob."""
        return holding.obstacles(map(held, self._all(who)))

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        return objects.items(self, who)

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        return objects.entries(self, who, cursor)

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        """Delete blobs, snapshots and versions, in passes until one finds nothing more that goes."""
        for _pass in range(PASSES):
            erased, is_more = 0, False
            for batch in objects.in_batches(self._all(who), DELETE_LIMIT):
                gone = self.delete(batch)
                is_more = is_more or gone < len(batch) or any(blob.version_id for blob in batch)
                erased += gone
                if gone:
                    yield Progress(gone, "", {"versions": gone})
            if not erased or not is_more:
                return

    def delete(self, blobs: list[Any]) -> int:
        """Return how many are gone. What stays is seen, with its reason, at the next pass or the second look.

        404 is gone as well: each of them was listed just now, and the answer that told of its end may have been lost.
        """
        for blob in blobs:
            check_name(blob.name)
        with foreign_errors():
            codes = [
                answer.status_code
                for answer in self.container.delete_blobs(*map(_id_of, blobs), raise_on_any_failure=False)
            ]
        if len(codes) != len(blobs):
            raise Unavailable(_("The container did not answer for every blob."))
        for position, blob in enumerate(blobs):
            if codes[position] == 404 and not blob.snapshot and not blob.version_id:
                codes[position] = self.delete_uncommitted(blob.name)
        gone = sum(code < 300 or code == 404 for code in codes)
        if not gone and any(code >= 500 or code == 429 for code in codes):
            raise Unavailable(_("The container could not delete some blobs just now."))
        if 403 in codes and not any(held(blob)[0] for blob in blobs):
            raise Refused(_("The container refuses to delete: a permission is missing."))
        return gone

    def delete_uncommitted(self, name: str) -> int:
        """Blocks of an upload that never ended are listed and cannot be deleted: an empty blob takes their place first."""
        from azure.core.exceptions import HttpResponseError

        blob = self.container.get_blob_client(name)
        with foreign_errors():
            try:
                if blob.exists():
                    return 409  # it has come back meanwhile: the next pass
                if not any(blob.get_block_list("uncommitted")[1]):
                    return 404
                blob.commit_block_list([])
                blob.delete_blob()
            except HttpResponseError as error:
                return int(error.status_code or 500)
        return 202

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        """Look for blobs, snapshots and versions, then for what soft delete still has."""
        there = holding.remaining(map(held, self._all(who)))
        if there.count:
            return there
        older = ["versions"] if self._knows_versions else []  # without this a soft-deleted version is not listed
        soft = [blob for blob in self._of(who, ["deleted", "snapshots", *older, *LABELS]) if blob.deleted]
        days = [int(blob.remaining_retention_days) for blob in soft if blob.remaining_retention_days is not None]
        if soft:
            end = datetime.now(UTC).date() + timedelta(days=max(days) + 1) if days else None
            return Remaining(len(soft), Reason.SOFT_DELETE, end)
        return Remaining(0)

    # Below: what is in the container. `current`, `look` and `read` are what objects.py reads through.

    def current(self, who: Identity, after: str) -> Iterator[Stored]:
        for search in self._searches(who):
            for blob in self._matching(search, LABELS):
                if blob.name > after and not is_folder(blob):
                    yield _stored(blob)

    def look(self, key: str) -> Stored | None:
        from azure.core.exceptions import ResourceNotFoundError

        check_name(key)
        with foreign_errors():
            try:
                return _stored(self.container.get_blob_client(key).get_blob_properties())
            except ResourceNotFoundError:
                return None

    def read(self, stored: Stored, start: int, stop: int) -> Opened | None:
        """The same version throughout: a changed blob fails with 412 and is begun again."""
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceNotFoundError

        if start == stop:
            return Opened(ANY_TYPE, [])
        check_name(stored.key)
        with foreign_errors(), answers.at_most(min(stop - start, READ_SIZE)):
            try:
                stream = self.container.get_blob_client(stored.key).download_blob(
                    offset=start, length=stop - start, etag=stored.mark, match_condition=MatchConditions.IfNotModified,
                    decompress=False,  # as it lies there, so that lengths are true
                )  # fmt: skip
            except ResourceNotFoundError:
                return None
        kind = getattr(stream.properties.content_settings, "content_type", None)
        return Opened(str(kind or ANY_TYPE), answers.exactly(_chunks(stream), stop - start))

    def _searches(self, who: Identity) -> list[Search]:
        return self.finding.searches(who, self._read_inventory)

    def _read_inventory(self, key: str) -> Iterator[bytes]:
        stored = self.look(key)
        opened = self.read(stored, 0, stored.size) if stored else None
        if opened is None:
            raise Refused(_("The inventory file is not there: nobody can say what is whose."))
        yield from opened.chunks

    def below(self, path: str) -> Iterator[Any]:
        """Yield every blob, snapshot, version and unfinished upload whose name begins so."""
        return self._listed(path, EVERYTHING)

    def _all(self, who: Identity) -> Iterator[Any]:
        """Yield blobs, snapshots and versions; folders last, for they go when they are empty."""
        folders = []
        for blob in self._of(who, EVERYTHING):
            if is_folder(blob):
                folders.append(blob)
            else:
                yield blob
        yield from reversed(folders)

    def _of(self, who: Identity, include: list[str]) -> Iterator[Any]:
        for search in self._searches(who):
            yield from self._matching(search, include)

    def _matching(self, search: Search, include: list[str]) -> Iterator[Any]:
        for blob in self._listed(search.path, include):
            if search.takes(blob.name, lambda: (blob.metadata or {}) | (blob.tags or {})):  # noqa: B023 called at once
                yield blob

    def _listed(self, prefix: str, include: list[str]) -> Iterator[Any]:
        wanted = FEWER if include is EVERYTHING and not self._knows_versions else include
        pages = self.container.list_blobs(
            name_starts_with=prefix or None, include=wanted, results_per_page=PAGE
        ).by_page()
        seen, first = objects.PagesSeen(), True
        while True:
            try:
                with foreign_errors(unknown=first and wanted is EVERYTHING):
                    page = next(pages, None)
            except UnknownParameter:
                self._knows_versions = False
                yield from self._listed(prefix, include)
                return
            if page is None:
                return
            first, blobs = False, list(page)
            seen.add([(blob.name, blob.snapshot, blob.version_id) for blob in blobs])
            yield from blobs


def _stored(blob: Any) -> Stored:
    labels = (blob.metadata or {}) | (blob.tags or {})
    return Stored(blob.name, blob.size or 0, blob.last_modified, str(blob.etag), labels)


def check_name(name: str) -> None:
    """Refuse a name that the client would shorten on the way, so that another blob were read or deleted."""
    if {".", ".."} & set(name.split("/")):
        raise Refused(
            _("The name of a blob has “.” or “..” between slashes: nobody can ask for it. A person has to look.")
        )


def is_folder(blob: Any) -> bool:
    return (blob.metadata or {}).get(NO_TYPE_YET) == "true"


def is_uncommitted(blob: Any) -> bool:
    """Say whether there are only blocks of an upload that never ended: a listing tells neither size nor type of them."""
    return not blob.size and not blob.snapshot and blob.content_settings.content_type is None and not is_folder(blob)


def _id_of(blob: Any) -> dict[str, Any]:
    if blob.snapshot:
        return {"name": blob.name, "snapshot": blob.snapshot}
    if blob.version_id and not blob.is_current_version:
        return {"name": blob.name, "version_id": blob.version_id}
    return {"name": blob.name, "delete_snapshots": "include"}


def held(blob: Any) -> holding.Hold:
    """Say what holds a blob back, and until when: a hold has no end of its own."""
    if blob.has_legal_hold:
        return Reason.LEGAL_HOLD, None
    end = getattr(blob.immutability_policy, "expiry_time", None)
    if end and end > datetime.now(UTC):
        return Reason.OBJECT_LOCK, holding.day_after(end)
    return "", None


def _soft_delete_days(service: dict[str, Any]) -> int:
    policy = service.get("delete_retention_policy")
    return int(policy.days or 0) if policy is not None and policy.enabled else 0


def _chunks(stream: Any) -> Iterator[bytes]:
    chunks = iter(stream.chunks())
    while True:
        with foreign_errors(), answers.at_most(READ_SIZE):
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk
