"""The place "copies": one for each rule, so that a copy that cannot be reached is a step of its own in every request.

Access lists the copies and does not contain them: they hold what the conversations hold. The keys of sealed ones die in the
erasure's destroy step; here the objects go, every version, whether our rows know them or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson
from django.utils.translation import gettext_lazy

from apps.locations.contract import Entry, Health, Identity, Item, Obstacle, Progress, Remaining, Scope
from apps.locations.errors import LocationError, Refused
from apps.locations.reasons import Reason
from apps.locations.registry import connector_for
from apps.locations.stores import CanBeHeld, try_out, words_of_trial
from apps.records.copies.naming import of_person
from apps.records.copies.removing import left_of_person, remove_person
from apps.records.copies.writing import store_of_policy
from apps.records.models import Copy, CopyPolicy

_DONE = "done"


class CopiesConnector:
    """Its configuration names the rule; where it writes, and with which credentials, stands in the destination."""

    label = gettext_lazy("Copies")

    def __init__(self, config: dict[str, Any]) -> None:
        self._policy_id = UUID(config["policy"])

    @property
    def policy(self) -> CopyPolicy:
        return CopyPolicy.objects.select_related("destination", "location").get(pk=self._policy_id)

    def check(self) -> Health:
        """Ask the destination, and try whether copies can be written, read and deleted there."""
        policy = self.policy
        try:
            there = connector_for(policy.destination).check()
            lets_go = try_out(store_of_policy(policy))
        except LocationError as error:
            return Health(is_reachable=False, message=error.said, horizon_days=None)
        horizon = there.horizon_days if policy.is_readable else 0  # a sealed one is unreadable with its key
        return Health(True, words_of_trial(lets_go), horizon_days=horizon, problems=there.problems)

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]:
        policy = self.policy
        store = store_of_policy(policy)
        return store.obstacles(of_person(policy.pk, who.subject_id)) if isinstance(store, CanBeHeld) else []

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        theirs = Copy.objects.filter(policy_id=self._policy_id, subject_id=who.subject_id).order_by("pk")
        for pk, size, created_at in theirs.values_list("pk", "size", "created_at"):
            yield Item(name=str(pk), kind="copy", size=size, modified=created_at)

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        """Yield copies.json: of which conversation, since when, how large, in which form."""
        if cursor == _DONE:
            return
        policy = self.policy
        theirs = Copy.objects.filter(policy=policy, subject_id=who.subject_id).order_by("pk")
        listed = [
            {"conversation": copy.conversation_id, "written": copy.created_at, "size": copy.size, "form": policy.form}
            for copy in theirs
        ]
        if listed:
            content = orjson.dumps(listed, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
            yield Entry("copies.json", "application/json", (content,), _DONE, count=len(listed))

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        policy = self.policy
        for count in remove_person(policy, store_of_policy(policy), who.subject_id):
            yield Progress(erased=count, cursor="", counts={"copies": count})

    def restrict(self, who: Identity, on: bool) -> int:
        """Nothing to mark: none is written of a restricted person, and sealed ones only lie there. Readable ones others use."""
        theirs = Copy.objects.filter(policy_id=self._policy_id, subject_id=who.subject_id)
        if self.policy.is_readable and theirs.exists():
            raise Refused("Readable copies cannot be marked here. A person has to look.")
        return 0

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        policy = self.policy
        store = store_of_policy(policy)
        count = left_of_person(policy, store, who.subject_id)
        held = self.preflight(who, scope) if count else []
        if held:
            return Remaining(count, held[0].reason, max(filter(None, (one.until for one in held)), default=None))
        return Remaining(count, Reason.STILL_THERE.value if count else "")
