"""Turn bytes into values that can be stored again: valid Unicode, finite numbers, bounded size."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson
from django.utils.translation import gettext as _

from .errors import BadConversation
from .limits import MAX_VALUES

_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_INTEGER = 2**63 - 1


def parse_json(raw: bytes) -> Any:
    """Parse one JSON value; raises BadConversation.

    What JSON forbids but programs write is accepted where nothing is lost by it: NaN and infinities and numbers beyond
    64 bits are kept as text, a lone surrogate or a byte that is no UTF-8 becomes U+FFFD.
    """
    if raw.count(b",") > MAX_VALUES:
        raise BadConversation(_("It has more than %(limit)s values.") % {"limit": f"{MAX_VALUES:,}"})
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _parse_leniently(raw)
    return _parse_leniently(raw) if _has_repeated_nodes(value, raw) else value


def parse_if_whole(raw: bytes) -> dict[str, Any] | None:
    """The object that these bytes are; None if they are anything else, or need a closer look."""
    if raw.count(b",") > MAX_VALUES:
        return None
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) and not _has_repeated_nodes(value, raw) else None


def _has_repeated_nodes(value: Any, raw: bytes) -> bool:
    """Whether two nodes of a ChatGPT export have one key: JSON parsers keep the last and lose the other.

    Each node has `children` once; text in a string cannot look the same, its quotation marks are escaped.
    """
    mapping = value.get("mapping") if isinstance(value, dict) else None
    if not isinstance(mapping, dict):
        return False
    return raw.count(b'"children":') + raw.count(b'"children" :') > len(mapping)


def _parse_leniently(raw: bytes) -> Any:
    """The slow way: what JSON forbids, and objects with a key twice."""
    text = raw.decode("utf-8", "replace")
    try:
        return without_surrogates(
            json.loads(
                text,
                strict=False,
                parse_constant=str,
                parse_int=_integer,
                parse_float=_decimal,
                object_pairs_hook=_with_every_value,
            )
        )
    except ValueError as error:
        place = getattr(error, "pos", 0)
        raise BadConversation(_("It is not valid JSON (near character %(place)s).") % {"place": place}) from None
    except RecursionError:
        raise BadConversation(too_deep()) from None


def too_deep() -> str:
    return _("It is nested too deeply.")


def _with_every_value(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose repeated keys are numbered, so that none hides another. In linear time: a key may come often."""
    found: dict[str, Any] = {}
    numbers: dict[str, int] = {}  # how often each repeated key has come
    for key, value in pairs:
        name, number = key, numbers.get(key, 1)
        while name in found and found[name] != value:
            number += 1
            name = f"{key}~{number}"
        found[name] = value
        if number > 1:
            numbers[key] = number
    return found


def without_surrogates(value: Any) -> Any:
    """The same value with each lone surrogate replaced by U+FFFD."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(str(key)): without_surrogates(item) for key, item in value.items()}
    return value


def clean_text(text: str) -> str:
    """Text that can be written as UTF-8."""
    return _SURROGATE.sub("\ufffd", text) if not text.isascii() and _SURROGATE.search(text) else text


def _integer(digits: str) -> int | str:
    if len(digits) > 20 or abs(int(digits)) > _MAX_INTEGER:
        return digits
    return int(digits)


def _decimal(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits
