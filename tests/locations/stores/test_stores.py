"""What every store must do, on a disk and over SFTP, in buckets of three kinds, in three databases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from apps.locations.connectors.azure import AzureConnector
from apps.locations.errors import Blocked, Refused, Unavailable
from apps.locations.reasons import Reason
from apps.locations.stores import Missing, parts, try_out
from apps.locations.stores.gcs import UPLOAD_SIZE
from tests import mongodb
from tests.contracts.gcs_standin import GcsStandIn
from tests.contracts.kinds_clouds import Gcs, patient_no_longer
from tests.locations.stores.conftest import Place

NAMES = [f"{owner}/{number:02}.sealed" for owner in ("ada", "ben") for number in range(3)]


def read(place: Place, name: str, **options: Any) -> bytes:
    return b"".join(place.store(**options).get(name))


def names(place: Place, prefix: str = "") -> list[str]:
    return sorted(found.name for found in place.store().find(prefix))


def test_what_is_put_is_there_for_another_process_and_is_replaced_whole(any_place: Place) -> None:
    large = os.urandom(5 * 1024 * 1024 + 17)
    any_place.store().put("ada/large", (large[at : at + 100_000] for at in range(0, len(large), 100_000)))
    any_place.store().put("ada/small", [])
    assert read(any_place, "ada/large") == large
    assert read(any_place, "ada/small") == b""
    any_place.store().put("ada/large", [b"shorter"])
    assert read(any_place, "ada/large") == b"shorter"
    assert names(any_place) == ["ada/large", "ada/small"]


def test_a_value_larger_than_mongodb_sorts_without_an_index_is_read_whole(
    mongo_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_SIZE", 50)
    monkeypatch.setattr(mongodb, "SORTED_WITHOUT_INDEX", 500)
    value = os.urandom(50 * 12 + 7)  # more than ten parts: in the order of text 10 comes before 2
    mongo_place.store().put("ada/large", [value])
    mongo_place.store().put("ada/large.txt", [b"beside it"])
    assert read(mongo_place, "ada/large") == value
    assert [found.name for found in mongo_place.store().find("ada/")] == ["ada/large", "ada/large.txt"]
    mongo_place.store().delete(["ada/large"])
    assert names(mongo_place) == ["ada/large.txt"]


def test_nothing_is_found_where_nothing_was_put(any_place: Place) -> None:
    with pytest.raises(Missing):
        read(any_place, "ada/nothing")
    assert names(any_place) == []
    any_place.store().delete(["ada/nothing"])


def test_deleting_takes_what_was_named_with_every_version_and_nothing_else(any_place: Place) -> None:
    for _twice in range(2):
        for name in NAMES:
            any_place.store().put(name, [name.encode()])
    any_place.store().put(f"{NAMES[0]}-longer", [b"x"])
    assert names(any_place, "ada/") == [*NAMES[:3], f"{NAMES[0]}-longer"] or len(names(any_place, "ada/")) == 4
    any_place.store().delete(NAMES[:3])
    assert names(any_place) == sorted([f"{NAMES[0]}-longer", *NAMES[3:]])
    assert read(any_place, NAMES[3]) == NAMES[3].encode()
    any_place.store().delete(NAMES[:3])


def test_a_listing_goes_on_behind_a_name_that_may_be_gone_by_then(any_place: Place) -> None:
    for _twice in range(2):
        for name in NAMES:
            any_place.store().put(name, [name.encode()])
    assert [found.name for found in any_place.store().find()] == NAMES
    assert [found.name for found in any_place.store().find("", NAMES[2])] == NAMES[3:]
    assert [found.name for found in any_place.store().find("ada/", NAMES[0])] == NAMES[1:3]
    any_place.store().delete([NAMES[1]])
    assert [found.name for found in any_place.store().find("ada/", NAMES[1])] == [NAMES[2]]
    assert list(any_place.store().find("ben/", NAMES[-1])) == []


def test_what_breaks_off_while_it_is_written_leaves_nothing(any_place: Place) -> None:
    any_place.store().put("ada/kept", [b"before"])

    def broken() -> Iterator[bytes]:
        yield os.urandom(3 * 1024 * 1024)
        raise KeyError("the source is gone")

    for name in ("ada/kept", "ada/new"):
        with pytest.raises(KeyError):
            any_place.store().put(name, broken())
    assert names(any_place) == ["ada/kept"]
    assert read(any_place, "ada/kept") == b"before"


def test_two_targets_in_one_place_do_not_see_each_other(any_place: Place) -> None:
    any_place.store("first").put("a", [b"1"])
    any_place.store("second").put("a", [b"2"])
    any_place.store("first").delete(["a"])
    assert read(any_place, "a", target="second") == b"2"
    assert list(any_place.store("first").find()) == []


def test_a_trial_leaves_nothing_behind(any_place: Place) -> None:
    try_out(any_place.store())
    assert names(any_place) == []


@pytest.mark.parametrize("kind", ["sqlite_place", pytest.param("mariadb_place", marks=pytest.mark.services)])
def test_text_is_text_in_a_table_whatever_is_in_it(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_SIZE", 10)
    place: Place = request.getfixturevalue(kind)
    text = "日本語 and 😀 emoji in parts\n" * 3
    place.store(is_text=True).put("ada/1.txt", [text.encode()])
    assert read(place, "ada/1.txt", is_text=True).decode() == text


def test_a_table_that_is_not_ours_is_not_written_to(sqlite_place: Place) -> None:
    with sqlite_place.store("x").engine.begin() as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql("CREATE TABLE customers (id INTEGER)")
    with pytest.raises(Refused):
        sqlite_place.store("customers").put("ada/1", [b"x"])


def test_a_folder_that_is_not_mounted_does_not_look_empty(files_place: Place) -> None:
    files_place.store().put("ada/1", [b"x"])
    root = Path(files_place.config["root"])
    root.rename(root.with_name("away"))
    for act in (lambda: list(files_place.store().find()), lambda: files_place.store().delete(["ada/1"])):
        with pytest.raises(Unavailable):
            act()
    with pytest.raises(Unavailable):
        files_place.store().put("ada/2", [b"x"])
    assert not root.exists()


def test_names_that_lead_out_of_the_folder_are_refused(files_place: Place) -> None:
    for name in ("../x", "/etc/passwd", "a/../../x"):
        with pytest.raises(Refused):
            files_place.store().put(name, [b"x"])


def test_a_server_that_does_not_answer_is_unavailable(s3_place: Place) -> None:
    place = Place("s3", s3_place.config | {"endpoint_url": "http://127.0.0.1:9"})
    with pytest.raises(Unavailable):
        place.store().put("ada/1", [b"x"])
    with pytest.raises(Unavailable):
        list(place.store().find())


def test_a_delete_marker_alone_does_not_look_like_gone(s3_place: Place, moto: str) -> None:
    s3_place.store().put("ada/1", [b"x"])
    access = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=moto, **access)
    client.delete_object(Bucket=s3_place.config["bucket"], Key="habeas_copies/ada/1")
    [found] = s3_place.store().find()
    assert (found.name, found.is_current) == ("ada/1", False)
    s3_place.store().delete(["ada/1"])
    assert list(s3_place.store().find()) == []


@pytest.mark.slow
def test_every_generation_of_a_name_goes_and_what_a_hold_keeps_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    patient_no_longer(monkeypatch)
    server = GcsStandIn()
    try:
        place = Place("gcs", Gcs(server).config)
        large = os.urandom(UPLOAD_SIZE + 17)
        for content in ([b"first"], [large[:100], large[100:]]):
            place.store().put("ada/1", content)
        place.store().put("ben/1", [b"x"])
        assert read(place, "ada/1") == large
        assert [(found.name, found.is_current) for found in place.store().find("ada/")] == [("ada/1", True)]
        assert len(server.kept) == 3
        server.kept[0].hold = True
        with pytest.raises(Blocked) as error:
            place.store().delete(["ada/1"])
        assert error.value.reason == Reason.LEGAL_HOLD
        assert [(found.name, found.is_current) for found in place.store().find("ada/")] == [("ada/1", False)]
        server.kept[0].hold = False
        place.store().delete(["ada/1"])
        assert names(place) == ["ben/1"]
        assert server.violations == []
    finally:
        server.stop()


@pytest.mark.services
def test_a_snapshot_of_a_copy_goes_with_it(azure_place: Place) -> None:
    azure_place.store().put("ada/1", [b"x"])
    blob = AzureConnector(azure_place.config).container.get_blob_client("habeas_copies/ada/1")
    blob.create_snapshot()
    assert names(azure_place) == ["ada/1"]
    azure_place.store().delete(["ada/1"])
    assert names(azure_place) == []
    assert not blob.exists()


def test_a_link_in_a_folder_of_copies_leads_no_erasure_to_other_files(files_place: Place, tmp_path: Path) -> None:
    files_place.store().put("ada/1", [b"x"])
    root, ours = Path(files_place.config["root"]), tmp_path / "keys"
    ours.mkdir()
    (ours / "1").write_bytes(b"k")
    for link in (root / "habeas_copies" / "ben", root / "linked"):
        link.symlink_to(ours)
    for act in (
        lambda store: list(store.find("ben/")),
        lambda store: b"".join(store.get("ben/1")),
        lambda store: store.put("ben/2", [b"x"]),
        lambda store: store.delete(["ben/1"]),
    ):
        with pytest.raises(Refused):
            act(files_place.store())
    with pytest.raises(Refused):
        list(files_place.store("linked").find())
    assert (names(files_place), [file.name for file in ours.iterdir()]) == (["ada/1"], ["1"])
    os.mkfifo(root / "habeas_copies" / "ada" / "2")
    assert read(files_place, "ada/2") == b""  # nobody waits for whoever would write into it


@pytest.mark.services
def test_a_link_on_the_way_of_a_copy_is_not_followed(sftp_place: Place, tmp_path: Path) -> None:
    sftp_place.store().put("ada/1", [b"x"])
    root = Path(sftp_place.config["root"])
    (root / "habeas_copies" / "ben").symlink_to(tmp_path)
    for act in (lambda store: store.put("ben/1", [b"x"]), lambda store: store.delete(["ben/1"])):
        with pytest.raises(Refused):
            act(sftp_place.store())
    assert (names(sftp_place), list(tmp_path.iterdir())) == (["ada/1"], [])
    assert (root / "habeas_copies" / "ada" / "1").stat().st_mode & 0o077 == 0
    root.rename(root.with_name(f"{root.name}-away"))
    with pytest.raises(Unavailable):
        list(sftp_place.store().find())
