"""check_locations: asks every place whether it answers, what stands in the way of erasing there, and what the policy says.

Exit codes: 0 all is well; 1 a place breaks the policy (ERASURE_HORIZON_DAYS) and nobody has recorded why it is used;
4 a place does not answer or has a problem.
"""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from apps.audit.actors import Actor
from apps.locations import policy
from apps.locations.contract import Health
from apps.locations.labels import horizon_words, label
from apps.locations.models import Location
from apps.locations.services import check_location


class Command(BaseCommand):
    help = (
        "Ask every place whether it answers, when an erased copy there is really gone, and what the policy says to it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON list of places")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print each place with what was read of it; then end with the code of the worst."""
        code, rows = 0, []
        for location in Location.objects.filter(is_enabled=True, emptied_at__isnull=True).order_by("name"):
            health = check_location(location, actor=Actor.command_line())
            verdict = verdict_of(location, health)
            rows.append(described(location, health, verdict))
            if not options["json"]:
                self._print(location, health)
            if verdict == "refused":
                code = 1
            elif code == 0 and (not health.is_reachable or health.problems):
                code = 4
        if options["json"]:
            self.stdout.write(json.dumps(rows, ensure_ascii=False, indent=1))
        if code == 1:
            limit = settings.ERASURE_HORIZON_DAYS
            self.stderr.write(
                f"A place keeps erased copies for more than {limit} days and no reason is recorded: change the place, or "
                "record in the admin why it is used."
            )
        if code:
            raise SystemExit(code)

    def _print(self, location: Location, health: Health) -> None:
        state = "reachable" if health.is_reachable else "NOT reachable"
        gone = horizon_words(health.horizon_days)
        self.stdout.write(f"{label(location)}: {state}; erased copies are gone after: {gone}. {health.message}")
        said = [*health.problems, policy.words(health.horizon_days, reason=location.horizon_reason)]
        for line in [*(f"{name}: {value}" for name, value in health.facts), *filter(None, said)]:
            self.stdout.write(f"  {line}")


def verdict_of(location: Location, health: Health) -> str:
    """Return fits, unknown, excepted (too long, with a recorded reason), warned or refused."""
    if health.horizon_days is None:
        return "unknown"
    if not policy.is_too_long(health.horizon_days):
        return "fits"
    if location.horizon_reason:
        return "excepted"
    return "refused" if policy.refuses(health.horizon_days) else "warned"


def described(location: Location, health: Health, verdict: str) -> dict[str, Any]:
    return {
        "place": label(location),
        "kind": location.kind,
        "reachable": health.is_reachable,
        "message": health.message,
        "problems": list(map(str, health.problems)),
        "facts": {str(name): str(value) for name, value in health.facts},
        "horizon_days": health.horizon_days,
        "policy": verdict,
    }
