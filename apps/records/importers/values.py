"""Read what may be of any type: every function gives something sensible for every JSON value."""

from __future__ import annotations

import hashlib
import math
import re
from datetime import UTC, datetime
from typing import Any

import orjson

from .limits import MAX_NAME_LENGTH, MAX_ROLE_LENGTH

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_YEAR = 9000  # beyond it time zones overflow
_MILLISECONDS_FROM = 1e11  # as seconds, this is the year 5138
_MICROSECONDS_FROM = 1e14
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+")  # controls, text direction
_ROLES = {"human": "user", "ai": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant"}
_ROLES |= {"chatgpt": "assistant", "claude": "assistant", "prompter": "user", "developer": "system", "function": "tool"}
_ROLES |= dict.fromkeys(("用户", "使用者", "我", "人类", "提问者"), "user")
_ROLES |= dict.fromkeys(("助手", "助理", "机器人", "人工智能", "模型", "ai助手"), "assistant")
_ROLES |= {"系统": "system", "工具": "tool"}
_ROLES |= {"observation": "tool", "function_call": "assistant", "bing": "assistant", "bard": "assistant"}


def as_time(value: Any) -> datetime | None:
    """A moment in UTC from seconds, milli- or microseconds since 1970 or ISO 8601; None for anything else."""
    try:
        if isinstance(value, str):
            return _time_of_text(value.strip())
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return _time_of_number(value)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _time_of_number(value: float) -> datetime | None:
    if value >= _MICROSECONDS_FROM:
        value /= 1_000_000
    elif value >= _MILLISECONDS_FROM:
        value /= 1_000
    moment = datetime.fromtimestamp(value, UTC)
    return moment if moment > _EARLIEST and moment.year < _LATEST_YEAR else None


def _time_of_text(value: str) -> datetime | None:
    if not value or len(value) > 64 or not value.isascii():
        return None
    if value.replace(".", "", 1).isdigit():
        return _time_of_number(float(value)) if len(value) > 8 else None
    moment = datetime.fromisoformat(value.removesuffix(" UTC"))
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment if moment > _EARLIEST and moment.year < _LATEST_YEAR else None


def as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """Text as it is, a number as its digits, nothing for anything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def as_id(value: Any) -> str:
    """An identifier, or "" for what cannot be one."""
    return as_text(value)[: 4 * MAX_NAME_LENGTH]


def as_title(value: Any) -> str:
    """A title on one line."""
    return _UNSEEN.sub(" ", as_text(value)).strip()[:MAX_NAME_LENGTH]


def as_file_name(value: Any, default: str = "file") -> str:
    """A name to show or to offer on download: the last part of a path, nothing unseen in it."""
    name = _UNSEEN.sub("", as_text(value)).replace("\\", "/").rsplit("/", 1)[-1].strip(" .")
    return name[-MAX_NAME_LENGTH:] or default


def as_role(value: Any) -> str:
    """ChatGPT's word for who wrote a message, where the format has another; "unknown" when it says nothing."""
    role = _UNSEEN.sub("", as_text(value)).strip().lower()[:MAX_ROLE_LENGTH]
    return _ROLES.get(role, role) or "unknown"


def content_id(value: Any) -> str:
    """An identifier made from the content itself, for formats that have none: the same content, the same identifier.

    Raises TypeError for a value that nests deeper than orjson writes.
    """
    return "sha256:" + hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
