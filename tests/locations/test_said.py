"""What a place says is kept with its English text, so that everybody reads it in their own language."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.utils import translation

from apps.locations import errors, mongo, sql
from apps.locations.errors import Blocked, LocationError
from apps.locations.said import LONGEST_VALUE, kept, read
from apps.locations.said import said as _
from apps.locations.stores import Missing

LOCKED = "Object Lock keeps each new object for %(days)d days."


def _families(base: type[LocationError]) -> Iterator[str]:
    yield base.__name__
    for child in base.__subclasses__():
        yield from _families(child)


REASONS = {*_families(LocationError), "Health"} - {"Blocked"}  # that one has a word of the closed list


def unmarked(source: str, names: set[str] = REASONS) -> list[int]:
    """The lines where an error of a place, or the answer of a check, holds a text that is written there and not marked."""
    found = []
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        said = call.args[1:2] if name == "Health" else call.args[:1]
        said += [word.value for word in call.keywords if word.arg == "message"]
        if name in names and any(_is_written_plainly(one) for one in said):
            found.append(call.lineno)
    return found


def _is_written_plainly(value: ast.expr) -> bool:
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mod):
        return _is_written_plainly(value.left)
    return isinstance(value, ast.Constant | ast.JoinedStr | ast.BinOp)


def test_every_reason_of_a_place_is_marked_for_translation() -> None:
    assert {"Refused", "Unavailable", "NoIdentity", Missing.__name__, sql.Deadlock.__name__} <= REASONS
    assert mongo.KindForbids.__name__ in REASONS
    for plain in ('Refused("No.")', 'errors.Refused(f"No {code}.")', 'Refused("No %s." % code)', 'Refused("No " + code)',
                  'Health(True, "Yes.")', 'Health(is_reachable=True, message="Yes.")'):  # fmt: skip
        assert unmarked(plain) == [1], plain
    for marked in (
        'Refused(_("No."))',
        'Refused(_("No %(code)s.") % {"code": code})',
        "Refused(refusal)",
        "Blocked('x')",
    ):
        assert unmarked(marked) == [], marked
    for folder, names in (("apps/locations", REASONS), ("apps", {"Health"})):
        sources = {path: path.read_text(encoding="utf-8") for path in (settings.BASE_DIR / folder).rglob("*.py")}
        assert [(str(path), lines) for path, text in sources.items() if (lines := unmarked(text, names))] == []


def test_a_sentence_that_was_said_in_one_language_is_read_in_another() -> None:
    with translation.override("en"):
        health = kept([_("The folder can be read."), _(LOCKED) % {"days": 30}])
    with translation.override("zh-hans"):
        assert read(health) == "文件夹可以读取。 对象锁会把每个新对象保留 30 天。"
        again = kept([_("The folder can be read."), _(LOCKED) % {"days": 30}])
    assert again == health
    with translation.override("en"):
        assert read(again) == "The folder can be read. Object Lock keeps each new object for 30 days."


def test_what_is_not_marked_and_what_was_written_as_text_before_is_read_as_it_stands() -> None:
    with translation.override("zh-hans"):
        assert read("The bucket answers.") == "The bucket answers."
        assert read(kept(["Not marked: 100 %.", ""])) == "Not marked: 100 %."
        assert read("") == ""


def test_what_comes_from_outside_takes_no_more_room_than_a_code_does() -> None:
    assert len(_("MongoDB refuses what we ask (%(code)s).") % {"code": "x" * 10_000}) < LONGEST_VALUE + 60


@pytest.mark.parametrize(("reason", "words"), [("object_lock", "Locked by the storage until a date"), ("odd", "odd")])
def test_what_blocks_is_said_in_words_where_the_list_has_them(reason: str, words: str) -> None:
    error = Blocked(reason)
    assert (error.said, str(error)) == (words, reason)
    with translation.override("zh-hans"):
        written = kept([error.said])
        assert read(written) == error.said
    assert read(written) == words
    assert errors.HorizonTooLong().said == ""
