"""ANCHORS: where checkpoints of the log are left, as addresses in the manner of STORAGE_URL, parted by commas or lines.

    s3://bucket/prefix?endpoint_url=…&region_name=…&access_key=…&secret_key=…&days=3650     object-locked
    mailto:auditors@example.org
    tsa+https://tsa.example.org/tsr?certificate=/path/of/ca.pem                              RFC 3161
    https://public.example.org/checkpoint?token=…&method=PUT                                 a public address
    file:///path                                                                             a folder

A wrong one is named by its place in the list: it may hold a password.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from django.core.exceptions import ImproperlyConfigured

from config import env

LOCKED_DAYS = 3650


def anchors(name: str) -> list[dict[str, Any]]:
    """Return the entries of settings.ANCHORS; two of the same kind and place are refused."""
    found: list[dict[str, Any]] = []
    for number, value in enumerate(re.split(r"[,\s]+", env.text(name, "").strip(", \n")), 1):
        if value:
            found.append(_anchor(f"{name}, number {number}", value))
    names = [(entry["KIND"], entry["PLACE"]) for entry in found]
    if len(set(names)) != len(names):
        raise ImproperlyConfigured(f"{name}: the same place is named twice")
    return found


def _anchor(name: str, value: str) -> dict[str, Any]:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None
    if parts.scheme not in _KINDS:
        known = "s3://, mailto:, tsa+https://, https:// or file:///"
        raise ImproperlyConfigured(f"{name}: begins with {parts.scheme!r}; {known} is wanted")
    try:
        return _KINDS[parts.scheme](parts, dict(parse_qsl(parts.query)))
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None


def _entry(kind: str, place: str, backend: str, proof: str = "", **options: Any) -> dict[str, Any]:
    backend = f"apps.audit.anchors.{backend}"
    return {"KIND": kind, "PLACE": place, "BACKEND": backend, "PROOF": proof, "OPTIONS": options}


def _folder(parts: SplitResult, options: dict[str, str]) -> dict[str, Any]:
    path = unquote(parts.path)
    if parts.netloc or not path.strip("/") or options:
        raise ValueError("a path is wanted, as in file:///mnt/auditors")
    return _entry("folder", path, "folder.FolderAnchor", path=path)


def _bucket(parts: SplitResult, options: dict[str, str]) -> dict[str, Any]:
    days = options.pop("days", str(LOCKED_DAYS))
    unknown = set(options) - {"endpoint_url", "region_name", "access_key", "secret_key"}
    if not parts.netloc or unknown or not days.isdecimal() or int(days) < 1:
        raise ValueError(
            "a bucket is wanted, as in s3://bucket/prefix?endpoint_url=…&access_key=…&secret_key=…&days=3650"
        )
    key = "/".join(filter(None, [unquote(parts.path).strip("/"), "checkpoint"]))
    place = f"{parts.netloc}/{key}"
    return _entry("bucket", place, "bucket.BucketAnchor", bucket=parts.netloc, key=key, days=int(days), **options)


def _letter(parts: SplitResult, options: dict[str, str]) -> dict[str, Any]:
    address = unquote(parts.path)
    if "@" not in address.strip("@") or options:
        raise ValueError("an e-mail address is wanted, as in mailto:auditors@example.org")
    return _entry("letter", f"…@{address.rpartition('@')[2]}", "letter.LetterAnchor", to=[address])


def _timestamp(parts: SplitResult, options: dict[str, str]) -> dict[str, Any]:
    certificate = options.pop("certificate", "")
    if not parts.hostname or not Path(certificate).is_file():
        raise ValueError(
            "an authority and the file of its certificate are wanted: tsa+https://host/path?certificate=/file"
        )
    url = parts._replace(scheme=parts.scheme.removeprefix("tsa+"), query=urlencode(options)).geturl()
    return _entry("timestamp", parts.hostname, "timestamp.TimestampAnchor", "tsr", url=url, certificate=certificate)


def _address(parts: SplitResult, options: dict[str, str]) -> dict[str, Any]:
    given = {name: options.pop(name) for name in ("token", "method") if name in options}
    if not parts.hostname or given.get("method", "PUT") not in {"PUT", "POST"}:
        raise ValueError("an address is wanted, as in https://host/path?token=…&method=PUT")
    if parts.scheme == "http" and parts.hostname not in env.LOOPBACK:
        raise ValueError("a token does not go over http://, and what comes back could be anybody's: https:// is wanted")
    place = f"{parts.hostname}{parts.path}"
    return _entry(
        "address", place, "address.AddressAnchor", url=parts._replace(query=urlencode(options)).geturl(), **given
    )


_KINDS: dict[str, Callable[[SplitResult, dict[str, str]], dict[str, Any]]] = {
    "file": _folder,
    "s3": _bucket,
    "mailto": _letter,
    "tsa+https": _timestamp,
    "tsa+http": _timestamp,
    "https": _address,
    "http": _address,
}
