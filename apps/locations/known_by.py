"""The values by which a database knows a person, and who cannot be looked for there."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from apps.locations.contract import Identity
from apps.locations.errors import NoIdentity, Refused
from apps.locations.said import said as _


def check_identity(kinds: Iterable[str], who: Identity) -> None:
    """Refuse a person of whom none of these kinds of identity is known, and values that could mean more than one."""
    wanted = sorted(set(kinds))
    known = [kind for kind in wanted if values_of(who, kind)]  # each is looked at, so that an odd value is refused
    if wanted and not known:
        raise NoIdentity(
            _("This place knows people by %(kinds)s, and none is known of this person.") % {"kinds": ", ".join(wanted)}
        )


def values_of(who: Identity, kind: str) -> list[str]:
    values = who.of_kind(kind)
    for value in values:
        if not value.strip() or any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):
            raise Refused(
                _("The %(kind)s of this person cannot be looked for in a database. A person has to look.")
                % {"kind": kind}
            )
    return values
