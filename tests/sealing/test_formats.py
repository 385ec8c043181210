"""What was sealed once opens for ever: cases as files, each with its outcome."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.sealing import aead, content, streams
from apps.sealing.errors import DecryptionError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/sealing/formats.json").read_text())
FORMS: dict[str, Callable[[bytes, bytes, bytes], Any]] = {
    "value": lambda key, sealed, context: aead.unseal(key, sealed, context=context).hex(),
    "key": lambda key, sealed, context: aead.unwrap_key(key, sealed, context=context).hex(),
    "stream": lambda key, sealed, context: b"".join(streams.unseal_stream(key, [sealed], context=context)).hex(),
    "json": lambda key, sealed, context: content.unseal_json(key, sealed, context=context),
}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_case_has_its_outcome(vector):
    opener = FORMS[vector["form"]]
    key, sealed, context = (bytes.fromhex(vector[name]) for name in ("key", "sealed", "context"))
    if vector["outcome"] == "opens":
        assert opener(key, sealed, context) == vector["plain"]
    else:
        with pytest.raises(DecryptionError):
            opener(key, sealed, context)


def test_every_form_has_a_case_of_each_outcome():
    assert {(vector["form"], vector["outcome"]) for vector in VECTORS} == {
        (form, outcome) for form in FORMS for outcome in ("opens", "refused")
    }
