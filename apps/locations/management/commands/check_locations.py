"""check_locations: asks every place whether it answers, what stands in the way of erasing there, and what the policy says.

Exit codes: 0 all is well; 1 a place breaks the policy (ERASURE_HORIZON_DAYS) and nobody has recorded why it is used;
4 a place does not answer or has a problem, or keys and backups take longer than the policy allows.
"""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from apps.audit.actors import Actor
from apps.keys.horizons import BACKUPS, GONE, GRACE_PART, PROVIDER, ROLL, key_horizon
from apps.locations import policy
from apps.locations.contract import Health
from apps.locations.horizons import KEYS, PLACE, RECORDS_BACKUPS, erasure_horizon
from apps.locations.labels import horizon_words, label
from apps.locations.models import Location
from apps.locations.services import check_location

WAITS = {KEYS: "Keys", RECORDS_BACKUPS: "Backups of the records database (RECORDS_BACKUP_RETENTION_DAYS)"}
KEY_WAITS = {
    ROLL: "the next roll of the master key",
    GRACE_PART: "grace for what is at work",
    BACKUPS: "backups of the key store (KEYS_BACKUP_RETENTION_DAYS)",
    PROVIDER: "the provider's waiting time",
    GONE: "master key gone",
}


class Command(BaseCommand):
    help = (
        "Ask every place whether it answers, when an erased copy there is really gone, and what the policy says to it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON list of places")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print each place with what was read of it; then end with the code of the worst."""
        code, rows, checked = 0, [], list[Location]()
        for location in Location.objects.filter(is_enabled=True, emptied_at__isnull=True).order_by("name"):
            health = check_location(location, actor=Actor.command_line())
            verdict = verdict_of(location, health)
            rows.append(described(location, health, verdict))
            if not options["json"]:
                self._print(location, health)
            checked.append(location)
            if verdict == "refused":
                code = 1
            elif code == 0 and (not health.is_reachable or health.problems):
                code = 4
        too_long = self._print_horizon(checked, silent=options["json"])
        if code == 0 and too_long:
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

    def _print_horizon(self, places: list[Location], *, silent: bool) -> bool:
        """Print how the second moment of an erasure comes about; return whether it is later than the policy allows."""
        now = timezone.now()
        horizon = erasure_horizon(key_horizon(), [(place, now) for place in places])
        waits = [wait for wait in horizon.waits if wait.what != PLACE]  # places have their own verdict
        late = [wait for wait in waits if wait.until and policy.is_too_long((wait.until - now.date()).days - 1)]
        if silent:
            return bool(late)
        end = f"irrecoverable by {horizon.by}" if horizon.by else f"no date ({horizon.reason})"
        self.stdout.write(f"Erased now: unreadable at once, {end}")
        for part in horizon.key_parts:
            self.stdout.write(f"  keys, {KEY_WAITS.get(part.code, part.code)}: {part.until}")
        for wait in horizon.waits:
            name = WAITS.get(wait.what, wait.place)
            self.stdout.write(f"  {name}: {wait.until or f'no date ({wait.reason})'}")
        for wait in late:
            limit = settings.ERASURE_HORIZON_DAYS
            self.stderr.write(f"{WAITS[wait.what]}: longer than the {limit} days of our policy (ERASURE_HORIZON_DAYS).")
        return bool(late)

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
