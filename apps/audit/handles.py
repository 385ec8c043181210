"""Handles: what the log calls a request, a person or an officer. Random, so that they say nothing by themselves."""

from __future__ import annotations

import base64
import re
import secrets

HANDLE_LENGTH = 26  # 130 bits in base32
_HANDLE = re.compile(r"[a-z2-7]{26}")


def new_handle() -> str:
    """Return 26 random characters of base32, lower-case."""
    return base64.b32encode(secrets.token_bytes(20)).decode().lower()[:HANDLE_LENGTH]


def is_handle(value: object) -> bool:
    return isinstance(value, str) and _HANDLE.fullmatch(value) is not None


def short(handle: str) -> str:
    """Return the handle as pages show it: its first and last four characters."""
    return f"{handle[:4]}…{handle[-4:]}" if handle else ""
