"""A source says when requests would not find what it reads: the rules of the place are written apart from the mapping."""

from __future__ import annotations

from typing import Any

import pytest

from apps.records.sources.reaching import WAYS


def tables(*names: str) -> dict[str, Any]:
    return {"tables": [{"table": name} for name in names]}


def paths(*templates: str, **more: str) -> dict[str, Any]:
    return {"templates": list(templates)} | more


def read(path: str, folder: str = "") -> dict[str, Any]:
    return {"folder": folder, "path": path}


@pytest.mark.parametrize(
    ("kind", "config", "mapping"),
    [
        ("sql", tables("customers", "chats"), {"table": "chats"}),
        ("sql", tables("public.chats"), {"table": "chats"}),
        ("sql", tables('"odd schema".chats'), {"table": '"odd schema".chats'}),
        ("mongodb", {"collections": [{"collection": "chats"}]}, {"table": "chats"}),
        ("files", paths("chats/{email}/"), read("{email}/", "chats")),
        ("s3", paths("users/{user_id}/", "chats/{email}/"), read("chats/{email}/logs/")),
        ("azure", paths("mail/{email}.json"), read("mail/{email}.json")),
        ("gcs", paths(inventory="keys.csv"), read("{email}/")),  # only the place itself could tell
        ("s3", paths(label_name="owner"), read("{email}/")),
        ("openai", {}, {"metadata_key": "user_id"}),  # what was imported carries its ids
    ],
)
def test_what_requests_find_is_not_warned_of(kind: str, config: dict[str, Any], mapping: dict[str, Any]) -> None:
    assert kind not in WAYS or WAYS[kind](config, mapping) == ""


@pytest.mark.parametrize(
    ("kind", "config", "mapping"),
    [
        ("sql", tables("customers"), {"table": "chats"}),
        ("sql", tables(), {"table": "chats"}),  # a place for copies alone
        ("sql", tables("archive.chats"), {"table": "shop.chats"}),
        ("mongodb", {"collections": [{"collection": "chats", "is_bucket": True}]}, {"table": "chats"}),
        ("files", paths("chats/{email}/"), read("{email}/")),
        ("files", paths("chats/{email}/profile.json"), read("{email}/", "chats")),
        ("sftp", paths("{user_id}/"), read("{email}/")),
    ],
)
def test_what_requests_do_not_find_is_warned_of_with_what_they_do_find(
    kind: str, config: dict[str, Any], mapping: dict[str, Any]
) -> None:
    said = WAYS[kind](config, mapping)
    assert "an erasure would leave it where it is" in said
    assert str(mapping.get("table") or mapping["path"]) in said
