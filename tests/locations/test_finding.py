"""Paths, inventories and labels become searches that do not overlap and never reach another person."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from apps.locations.contract import Identity
from apps.locations.errors import NoIdentity, Refused
from apps.locations.finding import Finding, FindingForm, LabelledFindingForm, Search, covers, outermost
from apps.locations.paths import check_template

ADA = Identity(uuid.uuid4(), None, None, (("user_id", "4"), ("email", "ada@example.org")))
CSV = b'key,user_id\nfree/a.bin,4\nfree/b.bin,42\n"with,comma\n and break",4\nfree/c.bin, 4\n'
JSON = b'{"key": "free/a.bin", "user_id": 4, "more": true}\n\n{"key": "free/b.bin", "user_id": "42"}\n'


def nothing(path: str) -> list[bytes]:
    raise AssertionError("nobody asked for an inventory")


def paths(config: dict[str, Any], inventory: bytes = b"", step: int = 7) -> list[str]:
    chunks = [inventory[start : start + step] for start in range(0, len(inventory), step)]
    return [search.path for search in Finding(config).searches(ADA, lambda path: chunks)]


def test_paths_lie_in_order_and_none_inside_another() -> None:
    assert outermost(["b", "a/", "a/x", "a/b/", "a", "a0", "a/"]) == ["a", "a/", "a0", "b"]


def test_what_a_path_covers() -> None:
    assert covers("a/", "a/b")
    assert covers("a", "a")
    assert not covers("a", "a/b")
    assert not covers("a/4/", "a/42/x")


@pytest.mark.parametrize("inventory", [CSV, b"\xef\xbb\xbf" + CSV], ids=["csv", "with a mark"])
def test_an_inventory_names_the_keys_of_the_person_alone(inventory: bytes) -> None:
    config = {"inventory": "keys.csv", "inventory_kind": "user_id"}
    assert paths(config, inventory) == ["free/a.bin", "free/c.bin", "with,comma\n and break"]


def test_an_inventory_in_json_lines() -> None:
    assert paths({"inventory": "keys", "inventory_kind": "user_id"}, JSON) == ["free/a.bin"]


@pytest.mark.parametrize(
    "inventory",
    [b"", b"path,user_id\na,4\n", b"key,owner\na,4\n", b'{"key": "a"}\n', b'{"key": "a", "user_id": "4"}\nno json\n',
     b"key,user_id\n\xff,4\n", b"key,user_id\n../etc,4\n", b"key,user_id\n/etc,4\n", b"key,user_id\nfolder/,4\n", b"key,user_id\n,4\n"],
)  # fmt: skip
def test_one_that_cannot_be_understood_is_refused(inventory: bytes) -> None:
    with pytest.raises(Refused):
        paths({"inventory": "keys", "inventory_kind": "user_id"}, inventory)


def test_labels_decide_only_where_no_path_does() -> None:
    config = {
        "templates": ["up/users/{user_id}/", "mail/{email}"], "label_name": "owner", "label_kind": "user_id",
        "label_prefix": "up/",
    }  # fmt: skip
    mail, labelled = Finding(config).searches(ADA, nothing)
    assert mail == Search("mail/ada@example.org")
    assert labelled.takes("up/users/4/x", lambda: pytest.fail("this one is hers by its path"))
    assert labelled.takes("up/free", lambda: {"owner": "4"})
    assert not labelled.takes("up/free", lambda: {"owner": "42"})
    assert not labelled.takes("up/free", dict)


def test_labels_inside_a_path_that_is_hers_anyhow_are_not_asked_for() -> None:
    config = {"templates": ["{user_id}/"], "label_name": "owner", "label_kind": "user_id", "label_prefix": "4/x/"}
    assert Finding(config).searches(ADA, nothing) == [Search("4/")]


def test_the_id_that_habeas_gave_somebody_finds_them_in_an_inventory_and_by_a_label() -> None:
    config = {"inventory": "keys", "inventory_kind": "subject_id", "label_name": "owner", "label_kind": "subject_id"}
    listed = f"key,subject_id\nfree/a.bin,{ADA.subject_id}\nfree/b.bin,4\n".encode()
    [labelled] = Finding(config).searches(ADA, lambda path: [listed])
    assert labelled.whole == ("free/a.bin",)
    assert labelled.takes("free/c.bin", lambda: {"owner": str(ADA.subject_id)})
    assert not labelled.takes("free/c.bin", lambda: {"owner": "4"})


def test_nobody_is_found_by_a_kind_that_is_not_known() -> None:
    config = {"inventory": "keys", "inventory_kind": "phone", "label_name": "owner", "label_kind": "customer_no"}
    with pytest.raises(NoIdentity, match="customer_no, phone"):
        Finding(config).searches(ADA, nothing)


@pytest.mark.parametrize(
    ("data", "field"),
    [({}, "templates"), ({"inventory": "../x", "inventory_kind": "user_id"}, "inventory"),
     ({"inventory": "x", "inventory_kind": "User"}, "inventory_kind"), ({"inventory": "x", "inventory_kind": ""}, "inventory_kind"),
     ({"label_name": "owner"}, "label_kind")],
)  # fmt: skip
def test_the_form_says_what_is_wanting(data: dict[str, str], field: str) -> None:
    assert field in LabelledFindingForm(data).errors


def test_a_path_to_one_file_is_not_said_to_reach_below() -> None:
    both = Finding({"templates": ["users/{user_id}/", "mail/{email}", "avatars/{user_id}.png"]}).words()
    assert both == [
        "Finds what lies below users/{user_id}/.",
        "Finds the file mail/{email}, avatars/{user_id}.png; nothing below it.",
    ]
    assert Finding({"templates": ["users/{user_id}/"]}).words() == both[:1]
    assert Finding({"inventory": "keys.csv", "inventory_kind": "email"}).words() != []


def test_one_way_is_enough() -> None:
    assert FindingForm({"templates": "users/{user_id}/"}).is_valid()
    assert FindingForm({"inventory": "keys.csv", "inventory_kind": "customer_no"}).is_valid()
    assert LabelledFindingForm({"label_name": "owner", "label_kind": "user_id"}).is_valid()


@pytest.mark.parametrize(
    "template", ["{user_id!r}/", "{user_id:x}/", "{user_id:>8}/", "{user_id.name}/", "{0}/", "{}/"]
)
def test_a_placeholder_that_would_never_be_filled_in_is_refused(template: str) -> None:
    with pytest.raises(ValidationError):
        check_template(template)
    check_template("{user_id}/")
