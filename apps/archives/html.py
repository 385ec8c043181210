"""The frame of every HTML file of an archive: it opens from disk, runs nothing and loads nothing.

The one style is inline; the policy in <meta> allows it by its SHA-256 and nothing else (CSP Level 3, hash-source).
"""

from __future__ import annotations

import base64
import hashlib
import html
from functools import lru_cache
from pathlib import Path

from django.conf import settings

_UNSEEN = {0: "\ufffd"}  # NUL may not stand in HTML


def escape(value: str) -> str:
    """Make any text harmless between tags and in quoted attributes."""
    return html.escape(value.translate(_UNSEEN) if "\0" in value else value)


def encode(value: str) -> bytes:
    """Return UTF-8; lone surrogates, which UTF-8 cannot hold, become question marks."""
    return value.encode("utf-8", "replace")


@lru_cache(maxsize=1)
def style() -> str:
    path = Path(settings.BASE_DIR) / "templates" / "archives" / "style.css"
    return path.read_text(encoding="utf-8").strip()


@lru_cache(maxsize=1)
def policy() -> str:
    """Return the Content-Security-Policy of the pages, with the hash of their style as it is now."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def head(title: str, language: str) -> str:
    """Return everything up to and with <body>; `title` is plain text."""
    tag = "zh-Hans" if language.lower().startswith("zh") else escape(language)
    return (
        f'<!doctype html>\n<html lang="{tag}" dir="ltr">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy()}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{style()}</style>\n</head>\n<body>\n"
    )


FOOT = "</body>\n</html>\n"
