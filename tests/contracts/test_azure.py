"""What only Azure can do to us: snapshots, versions, soft delete, immutability, leases, blocks that nobody committed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from apps.locations.connectors.azure import AzureConnector
from apps.locations.contract import Identity, Scope
from apps.locations.errors import Refused
from apps.locations.objects import Stored
from apps.locations.reasons import Reason
from tests.azurite import Azurite
from tests.contracts.kinds_clouds import Azure
from tests.contracts.outside import exported

SCOPE = Scope()


@pytest.fixture
def container(azurite: Azurite) -> Azure:
    return Azure(azurite)


def erase(connector: Any, who: Identity) -> int:
    return sum(progress.erased for progress in connector.erase(who, SCOPE, ""))


@pytest.mark.services
def test_snapshots_and_uncommitted_blocks_go_too(container: Azure, ada: Identity) -> None:
    container.put("4", "a.txt", b"first")
    container.client.get_blob_client("users/4/a.txt").create_snapshot()
    container.put("4", "a.txt", b"second")
    container.client.get_blob_client("users/4/never-ended").stage_block("MDAx", b"part")
    container.put("42", "a.txt", b"Ben's")
    assert [item.name for item in container.connector.find(ada, SCOPE)] == ["users/4/a.txt"]
    assert container.connector.remaining(ada, SCOPE).count == 3
    erase(container.connector, ada)
    assert container.connector.remaining(ada, SCOPE).count == 0
    assert list(container.everything()) == ["users/42/a.txt#"]


@pytest.mark.parametrize("name", ["users/4/../42/secret", "..", "users/4/."])
def test_a_name_that_leads_to_another_blob_is_asked_for_by_nobody(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = connector_of(Listing(blob(name)), monkeypatch)
    stored = Stored(name, 1, datetime.now(UTC), "e")
    for act in (lambda: place.look(name), lambda: place.read(stored, 0, 1), lambda: place.delete([blob(name)])):
        with pytest.raises(Refused):
            act()


@pytest.mark.services
def test_more_than_a_batch_takes_few_requests(container: Azure, ada: Identity) -> None:
    container.put_many("4", 300)
    assert [progress.erased for progress in container.connector.erase(ada, SCOPE, "")] == [256, 44]
    assert container.connector.requests_made == 4, "a listing that it does not know, one that it does, two batches"


@pytest.mark.services
def test_what_is_gone_when_it_is_asked_for_again_is_counted(container: Azure) -> None:
    """The answer to a batch came after its time limit; the client asks again, and everything answers 404."""
    container.put_many("4", 3)
    listed = list(container.connector.below("users/4/"))
    assert container.connector.delete(listed) == 3
    assert container.connector.delete(listed) == 3


@pytest.mark.services
@pytest.mark.parametrize("labels", ["metadata", "tags"])
def test_metadata_and_tags_find_blobs(container: Azure, ada: Identity, labels: str) -> None:
    for name, owner in (("up/hers", "4"), ("up/his", "42"), ("up/nobodys", ""), ("elsewhere", "4")):
        said: dict[str, Any] = {labels: {"owner": owner}} if owner else {}
        container.client.upload_blob(name, name.encode(), **said)
    label = {"templates": [], "label_name": "owner", "label_kind": "user_id", "label_prefix": "up/"}
    connector = AzureConnector(container.config | label)
    assert [item.name for item in connector.find(ada, SCOPE)] == ["up/hers"]
    assert exported(connector, ada)["index.jsonl"].count(b"up/hers") == 1
    assert connector.remaining(ada, SCOPE).count == 1
    assert erase(connector, ada) == 1
    assert connector.remaining(ada, SCOPE).count == 0
    assert sorted(container.everything()) == ["elsewhere#", "up/his#", "up/nobodys#"]


def test_the_check_says_soft_delete_and_immutability_and_what_it_may_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def checked(
        days: int | None, *, policy: bool = False, hold: bool = False
    ) -> tuple[int | None, int, dict[str, str]]:
        listing = Listing(soft_delete_days=days or 0)
        listing.properties = SimpleNamespace(has_immutability_policy=policy, has_legal_hold=hold)
        soft = {"delete_retention_policy": SimpleNamespace(enabled=bool(days), days=days)}
        service = SimpleNamespace(get_service_properties=lambda: soft if days is not None else forbidden())
        monkeypatch.setattr(AzureConnector, "service", service)
        health = connector_of(listing, monkeypatch).check()
        return health.horizon_days, len(health.problems), {str(name): str(said) for name, said in health.facts}

    days, problems, facts = checked(14)
    assert (days, problems, facts["Soft delete"], facts["Immutability or legal hold"]) == (14, 0, "14 days", "off")
    assert facts["Replication and lifecycle"] == "no key of ours reads them: ask whoever runs the account"
    assert checked(0)[0] == 0
    assert checked(0)[2]["Soft delete"] == "off"
    for how in ({"policy": True}, {"hold": True}):
        days, problems, facts = checked(14, **how)
        assert (days, problems, facts["Immutability or legal hold"]) == (None, 1, "on")
    days, problems, facts = checked(None)
    assert (days, problems, facts["Soft delete"]) == (None, 0, "we may not read it")


@pytest.mark.services
def test_the_check_answers_and_a_container_that_is_not_there_is_refused(container: Azure) -> None:
    health = container.connector.check()
    assert (health.is_reachable, health.problems, health.horizon_days) == (True, (), 0)
    with pytest.raises(Refused):
        AzureConnector(container.config | {"container": "nothing-here"}).check()


# Azurite knows neither versions nor soft delete nor immutability: for these the service's listing is stood in for.


def blob(name: str, **values: Any) -> SimpleNamespace:
    base: dict[str, Any] = {
        "name": name, "size": 1, "etag": "e", "last_modified": datetime.now(UTC), "snapshot": None, "version_id": None,
        "is_current_version": None, "deleted": None, "remaining_retention_days": None, "metadata": {}, "tags": {},
        "has_legal_hold": None, "immutability_policy": SimpleNamespace(expiry_time=None),
    }  # fmt: skip
    return SimpleNamespace(**(base | values))


def forbidden() -> Any:
    raise HttpResponseError(response=SimpleNamespace(status_code=403, reason="Forbidden", headers={}))


class Listed(list[SimpleNamespace]):
    """What a container lists, on one page."""

    def by_page(self) -> Iterator[Iterator[SimpleNamespace]]:
        yield iter(self)


class Listing:
    """A container with versions and soft delete: deleting a current version leaves it as an older one."""

    def __init__(self, *blobs: SimpleNamespace, soft_delete_days: int = 0) -> None:
        self.blobs, self.days = list(blobs), soft_delete_days
        self.properties: Any = None

    def get_container_properties(self) -> Any:
        return self.properties

    def delete_blob(self, name: str) -> None:
        raise ResourceNotFoundError

    def list_blobs(self, name_starts_with: str = "", include: Any = (), **_: Any) -> Listed:
        return Listed(
            one
            for one in self.blobs
            if one.name.startswith(name_starts_with)
            and ("deleted" in include or not one.deleted)
            and ("versions" in include or one.is_current_version or not one.version_id)
        )

    def delete_blobs(self, *wanted: dict[str, Any], raise_on_any_failure: bool) -> Iterator[SimpleNamespace]:
        assert len(wanted) <= 256
        for one in wanted:
            yield SimpleNamespace(status_code=self._delete(one))

    def _delete(self, wanted: dict[str, Any]) -> int:
        version = wanted.get("version_id")
        found = next(
            one
            for one in self.blobs
            if one.name == wanted["name"] and (one.version_id == version if version else one.is_current_version)
        )
        if found.has_legal_hold or (found.immutability_policy.expiry_time or datetime.now(UTC)) > datetime.now(UTC):
            return 409
        if found.is_current_version:
            found.is_current_version = None
        elif self.days:
            found.deleted, found.remaining_retention_days = True, self.days
        else:
            self.blobs.remove(found)
        return 202


def connector_of(listing: Listing, monkeypatch: pytest.MonkeyPatch) -> AzureConnector:
    monkeypatch.setattr(AzureConnector, "container", listing)
    return AzureConnector({"account": "a", "account_key": "k", "container": "c", "templates": ["users/{user_id}/"]})


def test_versions_go_in_a_second_pass(ada: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = Listing(
        blob("users/4/a", version_id="1"), blob("users/4/a", version_id="2", is_current_version=True),
        blob("users/42/a", version_id="3", is_current_version=True),
    )  # fmt: skip
    connector = connector_of(listing, monkeypatch)
    assert connector.remaining(ada, SCOPE).count == 2
    erase(connector, ada)
    assert [one.name for one in listing.blobs] == ["users/42/a"]
    assert erase(connector, ada) == 0


def test_soft_deleted_blobs_are_said_with_the_day_they_end(ada: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = Listing(blob("users/4/a", version_id="1", is_current_version=True), soft_delete_days=14)
    connector = connector_of(listing, monkeypatch)
    erase(connector, ada)
    left = connector.remaining(ada, SCOPE)
    end = datetime.now(UTC).date() + timedelta(days=15)
    assert (left.count, left.reason, left.until) == (1, Reason.SOFT_DELETE, end)


def test_immutability_and_legal_holds_are_obstacles(ada: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    later = datetime.now(UTC) + timedelta(days=20)
    policy = SimpleNamespace(expiry_time=later)
    listing = Listing(
        blob("users/4/held", version_id="1", has_legal_hold=True), blob("users/4/kept", version_id="2", immutability_policy=policy),
        blob("users/4/free", version_id="3"),
    )  # fmt: skip
    connector = connector_of(listing, monkeypatch)
    assert {found.reason: found.until for found in connector.preflight(ada, SCOPE)} == {
        Reason.LEGAL_HOLD: None, Reason.OBJECT_LOCK: later.date() + timedelta(days=1),
    }  # fmt: skip
    assert erase(connector, ada) == 1
    left = connector.remaining(ada, SCOPE)
    assert (left.count, left.reason) == (2, Reason.LEGAL_HOLD)
