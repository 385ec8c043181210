"""A place with switches. Data and switches lie in a folder, so that they outlive a killed process."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from apps.locations.contract import Change, Entry, Health, Identity, Item, Obstacle, Progress, Remaining, Scope
from apps.locations.errors import Blocked, Refused, StorageFull, Unavailable


class FakeConnector:
    """Holds files <folder>/data/<e-mail>/<number>; <folder>/switches.json says how it misbehaves.

    unavailable, refused, storage_full: every call raises. unavailable_after: n → export breaks off after n items. leaves: n → so many
    erasures in a row leave one item behind. kills: n → the process is killed after the n-th erased item. slow: seconds
    an item. blocked_until: ISO date → nothing can be erased before. keeps_until: one item stays, and is said to.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.folder = Path(config["folder"])

    # what tests use

    def put(self, email: str, count: int) -> None:
        folder = self.folder / "data" / email
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (folder / f"{number:05}").write_text(f"item {number} of {email}")

    def items_of(self, email: str) -> list[Path]:
        folder = self.folder / "data" / email
        return sorted(folder.iterdir()) if folder.exists() else []

    def switch(self, **values: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "switches.json").write_text(json.dumps(self.switches | values))

    @property
    def switches(self) -> dict[str, Any]:
        path = self.folder / "switches.json"
        return json.loads(path.read_text()) if path.exists() else {}

    # the contract

    def check(self) -> Health:
        return Health(is_reachable=not self.switches.get("unavailable"), message="a fake")

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]:
        self._answer()
        until = self.switches.get("blocked_until")
        return [Obstacle("object_lock", until=date.fromisoformat(until))] if until else []

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        self._answer()
        for path in self._items(who):
            yield Item(name=path.name, kind="item")

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        self._answer()
        most = self.switches.get("unavailable_after")
        for number, path in enumerate(self._items(who)):
            if path.name <= cursor:
                continue
            if most is not None and number >= most:
                raise Unavailable("it has stopped answering")
            self._dawdle()
            yield Entry(f"{path.name}.txt", "text/plain", (path.read_bytes(),), path.name)

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        self._answer()
        until = self.switches.get("blocked_until")
        if until:
            raise Blocked("object_lock", date.fromisoformat(until))
        items = self._items(who)
        if items and (self.switches.get("leaves", 0) or self.switches.get("keeps_until")):
            self.switch(leaves=max(self.switches.get("leaves", 0) - 1, 0))
            items = items[:-1]
        for path in items:
            self._dawdle()
            path.unlink()
            self._perhaps_die()
            yield Progress(erased=1, cursor=path.name, counts={"items": 1})

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        self._answer()
        until = self.switches.get("keeps_until")
        left = len(self._items(who))
        if left and until:
            return Remaining(left, "retention_policy", date.fromisoformat(until))
        return Remaining(left)

    def _items(self, who: Identity) -> list[Path]:
        return [path for email in who.of_kind("email") for path in self.items_of(email)]

    def _answer(self) -> None:
        switches = self.switches
        if switches.get("unavailable"):
            raise Unavailable("it does not answer")
        if switches.get("refused"):
            raise Refused("wrong password")
        if switches.get("storage_full"):
            raise StorageFull("no room")
        if switches.get("broken"):
            raise ZeroDivisionError

    def _dawdle(self) -> None:
        time.sleep(self.switches.get("slow", 0))

    def _perhaps_die(self) -> None:
        left = self.switches.get("kills")
        if left is None:
            return
        self.switch(kills=left - 1 if left > 1 else None)
        if left <= 1:
            os.kill(os.getpid(), signal.SIGKILL)


class ChangingPlace(FakeConnector):
    """A place that corrects and restricts by itself: values.json holds for each address its fields, and "restricted".

    One more switch: breaks_after: n → the place stops answering after the n-th change of a call.
    """

    def set(self, email: str, **fields: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "values.json").write_text(json.dumps(self.values | {email: self.values.get(email, {}) | fields}))

    @property
    def values(self) -> dict[str, dict[str, Any]]:
        path = self.folder / "values.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def rectify(self, who: Identity, changes: Sequence[Change]) -> int:
        self._answer()
        changed = 0
        for change in changes:
            if not any(change.field in self.values.get(email, {}) for email in who.of_kind("email")):
                raise Refused("no such field")
            changed += self._write(who, change.field, change.before, change.value)
            if changed == self.switches.get("breaks_after"):
                raise Unavailable("it has stopped answering")
        return changed

    def restrict(self, who: Identity, on: bool) -> int:
        self._answer()
        return self._write(who, "restricted", None, on)

    def _write(self, who: Identity, field: str, before: Any, value: Any) -> int:
        changed = 0
        for email in who.of_kind("email"):
            held = self.values.get(email)
            if held is None or held.get(field) == value or (before is not None and held.get(field) != before):
                continue
            self.set(email, **{field: value})
            changed += 1
            self._perhaps_die()
        return changed


class PlaceByPhone(ChangingPlace):
    """The same, but it knows people by telephone."""

    def rectify(self, who: Identity, changes: Sequence[Change]) -> int:
        return super().rectify(replace(who, values=tuple(("email", phone) for phone in who.of_kind("phone"))), changes)


class ForgettingPlace(ChangingPlace):
    """The same, but a field that is emptied is not there any more, as a key of an object's metadata at OpenAI."""

    def rectify(self, who: Identity, changes: Sequence[Change]) -> int:
        changed = super().rectify(who, changes)
        held = {
            email: {name: one for name, one in fields.items() if one is not None}
            for email, fields in self.values.items()
        }
        (self.folder / "values.json").write_text(json.dumps(held))
        return changed

    def fields_held(self, who: Identity, fields: Iterable[str]) -> set[str]:
        return {name for email in who.of_kind("email") for name in self.values.get(email, {})}.intersection(fields)


class EmptyPlace(FakeConnector):
    """A place of our own that holds nothing."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__({"folder": "/nonexistent"})
