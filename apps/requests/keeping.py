"""What a place keeps by its settings, and why in the operator's words: for the receipt and the letter, never for the log.

It is noted with the step, sealed under the request key: what was overwritten as the batches say it, since nobody may find
those rows again; what stays whole as the last second look has counted it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from django.utils.translation import gettext as _

from apps.locations.contract import Kept
from apps.requests.counting import count_words
from apps.requests.models import Step
from apps.requests.vault import Vault

Key = tuple[str, tuple[str, ...]]


def kept_of(step: Step, vault: Vault) -> list[Kept]:
    if step.sealed_kept is None:
        return []
    return [Kept(**row | {"without": tuple(row["without"])}) for row in vault.unseal(step.sealed_kept, *_place(step))]


def seal_kept(step: Step, kept: Iterable[Kept], vault: Vault) -> bytes | None:
    rows = [asdict(one) for one in kept]
    return vault.seal(rows, *_place(step)) if rows else None


def _place(step: Step) -> tuple[str, Any]:
    return "Step.sealed_kept", step.pk


def added(known: Sequence[Kept], more: Iterable[Kept]) -> list[Kept]:
    """Add what a batch has overwritten."""
    found = {_key(one): one for one in known}
    for one in more:
        before = found.get(_key(one))
        found[_key(one)] = one if before is None else replace(one, count=before.count + one.count)
    return list(found.values())


def seen(known: Sequence[Kept], looked: Iterable[Kept]) -> list[Kept]:
    """Bring in what the second look has counted."""
    found = {_key(one): one for one in known if one.without}
    for one in looked:
        before = found.get(_key(one))
        found[_key(one)] = replace(one, count=max(one.count, before.count if before else 0))
    return list(found.values())


def _key(one: Kept) -> Key:
    return one.what, one.without


def words(one: Kept) -> str:
    """Say what stays, and why: customers: 3 items, without name, e-mail: tax law."""
    said = {"what": one.what, "count": count_words({"items": one.count}), "without": _(", ").join(one.without)}
    stays = _("%(what)s: %(count)s, without %(without)s") if one.without else _("%(what)s: %(count)s, unchanged")
    return stays % said + (_(" (%(why)s)") % {"why": one.why} if one.why else "")
