"""Path templates: how a place of files or objects knows a person, as in `users/{user_id}/`.

A template ends in "/" (everything below) or names one file. The placeholder is a kind of identity; a value that could
lead elsewhere (with "/", "..", control characters) is refused, not cleaned.
"""

from __future__ import annotations

import re
import string
import unicodedata

from django.core.exceptions import ValidationError

from apps.locations.contract import Identity
from apps.locations.errors import NoIdentity, Refused
from apps.locations.said import said as _

KIND = r"[a-z][a-z0-9_]{0,23}"  # a kind of identity: email, user_id, phone, or one of the operator's own
ENDING = re.compile(r"[a-z0-9]{1,5}")
PLACEHOLDER = re.compile(r"\{(" + KIND + r")\}")


def check_template(template: str) -> None:
    """Refuse a template that could not be told apart between people; raises ValidationError in the admin's words."""
    if not template or template.startswith("/") or "\\" in template or ".." in template.split("/"):
        raise ValidationError(_("Write a path below the root, as in users/{user_id}/"))
    try:
        parsed = [one for one in string.Formatter().parse(template) if one[1] is not None]
    except ValueError:
        raise ValidationError(_("A brace is not closed, or stands alone.")) from None
    if not parsed or any(
        spec or conversion or not re.fullmatch(KIND, str(field)) for _text, field, spec, conversion in parsed
    ):
        raise ValidationError(_("Say where the person stands in the path, as in users/{user_id}/ or mail/{email}.json"))
    for part in template.split("/"):
        if len(PLACEHOLDER.findall(part)) > 1:
            raise ValidationError(
                _("Two placeholders in one part of the path could mean two people: put a / between them.")
            )


def kinds_in(templates: list[str]) -> set[str]:
    """Return the kinds of identity that the templates ask for."""
    return {kind for template in templates for kind in PLACEHOLDER.findall(template)}


def finds_below(templates: list[str]) -> list[str]:
    """Say where a place looks for a person. A path without "/" at its end leads to that very file and no further."""
    below = _(", ").join(template for template in templates if template.endswith("/"))
    single = _(", ").join(template for template in templates if not template.endswith("/"))
    said = [_("Finds what lies below %(paths)s.") % {"paths": below}] if below else []
    return [*said, _("Finds the file %(paths)s; nothing below it.") % {"paths": single}] if single else said


def resolve(templates: list[str], who: Identity) -> list[str]:
    """Return the paths of a person, each once; raises NoIdentity when the person has none that is asked for."""
    paths: dict[str, None] = {}
    for template in templates:
        for path in _fill(template, who):
            paths[path] = None
    if not paths:
        kinds = ", ".join(sorted(kinds_in(templates)))
        raise NoIdentity(
            _("This place knows people by %(kinds)s, and none is known of this person.") % {"kinds": kinds}
        )
    return list(paths)


def _fill(template: str, who: Identity) -> list[str]:
    filled = [template]
    for kind in dict.fromkeys(PLACEHOLDER.findall(template)):
        values = who.of_kind(kind)
        for value in values:
            _check_value(value, kind)
        filled = [path.replace("{" + kind + "}", value) for path in filled for value in values]
    return filled


def _check_value(value: str, kind: str) -> None:
    unsafe = value in {"", ".", ".."} or any(
        character in "/\\{}" or unicodedata.category(character) in {"Cc", "Cf", "Cs"} for character in value
    )
    if unsafe:
        raise Refused(_("The %(kind)s of this person cannot stand in a path. A person has to look.") % {"kind": kind})


def generated_name(number: int, original: str) -> str:
    """Return an archive name that says nothing: a number and, if it is harmless, the original's ending."""
    _stem, dot, ending = original.rpartition("/")[2].rpartition(".")
    ending = ending.lower()
    return f"{number:06d}.{ending}" if dot and ENDING.fullmatch(ending) else f"{number:06d}"
