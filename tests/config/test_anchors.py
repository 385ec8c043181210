"""ANCHORS: each kind is understood, and a wrong one is named by its place, without its secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.anchors import anchors

WRONG = [
    ("ftp://u:hunter2@host", "begins with 'ftp'"),
    ("file://host/path", "a path is wanted"),
    ("file:///", "a path is wanted"),
    ("s3:///prefix?secret_key=hunter2", "a bucket is wanted"),
    ("s3://bucket?days=0&secret_key=hunter2", "a bucket is wanted"),
    ("s3://bucket?days=ten&secret_key=hunter2", "a bucket is wanted"),
    ("s3://bucket?password=hunter2", "a bucket is wanted"),
    ("mailto:auditors", "e-mail address"),
    ("mailto:a@example.org?subject=hunter2", "e-mail address"),
    ("tsa+https://tsa.example.org/tsr", "certificate"),
    ("tsa+https://tsa.example.org/tsr?certificate=/not/there", "certificate"),
    ("https:///path?token=hunter2", "an address is wanted"),
    ("https://host/path?method=DELETE&token=hunter2", "an address is wanted"),
    ("http://example.org/path?token=hunter2", "https:// is wanted"),
    ("https://host:port/path?token=hunter2", "Port"),
]


@pytest.mark.parametrize(("value", "says"), WRONG)
def test_a_wrong_one_is_refused_without_its_secret(value: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME", f"file:///good,{value}")
    with pytest.raises(ImproperlyConfigured, match="NAME, number 2") as refusal:
        anchors("NAME")
    assert says in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_the_same_place_twice_is_one_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME", "file:///good file:///good")
    with pytest.raises(ImproperlyConfigured, match="twice"):
        anchors("NAME")


def test_none_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAME", raising=False)
    assert anchors("NAME") == []


def test_they_may_stand_in_a_file_one_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    (tmp_path / "anchors").write_text(
        "s3://bucket?access_key=a&secret_key=b&region_name=eu-west-1\nmailto:auditors@example.org\n"
        f"tsa+https://tsa.example.org/tsr?certificate={tmp_path}/ca.pem&policy=1\nhttps://host/checkpoint?token=t\n"
    )
    monkeypatch.setenv("NAME_FILE", str(tmp_path / "anchors"))
    found = anchors("NAME")
    assert [(one["KIND"], one["PLACE"]) for one in found] == [
        ("bucket", "bucket/checkpoint"),
        ("letter", "…@example.org"),
        ("timestamp", "tsa.example.org"),
        ("address", "host/checkpoint"),
    ]
    assert found[0]["OPTIONS"] == {
        "bucket": "bucket", "key": "checkpoint", "days": 3650, "region_name": "eu-west-1", "access_key": "a", "secret_key": "b",
    }  # fmt: skip
    assert found[2]["OPTIONS"]["url"] == "https://tsa.example.org/tsr?policy=1"
    assert found[3]["OPTIONS"] == {"url": "https://host/checkpoint", "token": "t"}
