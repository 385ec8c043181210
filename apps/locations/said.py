"""Sentences of a place that every reader gets in their own language: the English text and what is filled in, kept apart.

Whoever raises an error of a place, or answers a check, marks the sentence by `said`, imported as `_`, which is what the
extraction of texts looks for. It is a `str` in the language that is active just then. `kept` writes sentences down as
English texts with what stands in them (JSON), and `read` says them again, to whoever reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.translation import gettext

LONGEST_VALUE = 200  # some of it comes from outside: a code, a name of a table


class Said(str):
    """A sentence in the active language that knows its English text and what is filled in."""

    text: str
    values: dict[str, str | int]

    def __new__(cls, text: str, values: Mapping[str, Any] | None = None) -> Said:
        short = {name: value if isinstance(value, int) else str(value)[:LONGEST_VALUE] for name, value in (values or {}).items()}  # fmt: skip
        sentence = super().__new__(cls, gettext(text) % short if short else gettext(text))
        sentence.text, sentence.values = text, short
        return sentence

    def __mod__(self, values: Mapping[str, Any]) -> Said:
        return Said(self.text, values)


def said(text: str) -> str:
    """Mark a sentence for translation; `said(text) % {…}` fills in what stands in it."""
    return Said(text)


def kept(sentences: Iterable[str]) -> str:
    """Return sentences as JSON: the English text and what is filled in. One that is no `Said` stays as it is."""
    pairs = [(one.text, one.values) if isinstance(one, Said) else (str(one), {}) for one in sentences]
    return json.dumps([pair for pair in pairs if pair[0]], ensure_ascii=False)


def read(written: str) -> str:
    """Say what `kept` wrote, in the active language. What was written as plain text before is given back."""
    if not written.startswith("["):
        return written
    return " ".join(Said(text, values) for text, values in json.loads(written))
