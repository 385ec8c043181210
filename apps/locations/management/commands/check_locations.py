"""check_locations: asks every place whether it answers, what stands in the way of erasing there, and what the policy says.

Exit codes: 0 all is well; 1 a place breaks the policy (ERASURE_HORIZON_DAYS) and nobody has recorded why it is used;
4 a place does not answer, is switched off or has a problem, or keys and backups take longer than the policy allows.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from apps.audit.actors import Actor
from apps.keys.horizons import (
    BACKUPS,
    CANNOT_BE_PROVEN,
    GONE,
    GRACE_PART,
    NEVER_ROLLED,
    PROVIDER,
    ROLL,
    TWO_OFFICERS,
    key_horizon,
)
from apps.locations import policy
from apps.locations.contract import Health
from apps.locations.horizons import KEYS, PLACE, PLACE_UNKNOWN, RECORDS_BACKUPS, Horizon, Wait, erasure_horizon
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
NO_DATE = {
    CANNOT_BE_PROVEN: "master keys are files, and nothing proves that a file is gone",
    TWO_OFFICERS: "each destruction of a master key waits for two people; there is no standing policy",
    NEVER_ROLLED: "master keys are not replaced on a schedule (MASTER_KEY_ROLL_DAYS)",
    PLACE_UNKNOWN: "it does not say for how long erased copies stay there",
}
SWITCHED_OFF = "Not recorded as emptied: each erasure leaves it to a person."


class Command(BaseCommand):
    help = (
        "Ask every place whether it answers, when an erased copy there is really gone, and what the policy says to it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--json", action="store_true", help="one JSON object: places, and erased_now, the parts of T1"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print each place with what was read of it; then end with the code of the worst."""
        code, rows, everywhere = 0, [], Location.objects.that_ever_held_data()
        for location in everywhere.order_by("name"):
            health = checked(location)
            verdict = verdict_of(location, health)
            rows.append(described(location, health, verdict))
            if not options["json"]:
                self._print(location, health)
            if verdict == "refused":
                code = 1
            elif code == 0 and (not health.is_reachable or health.problems):
                code = 4
        horizon = erasure_horizon(key_horizon(), [(place, timezone.now()) for place in everywhere])
        late = late_waits(horizon)
        if code == 0 and late:
            code = 4
        if options["json"]:
            found = {"places": rows, "erased_now": horizon_described(horizon, late)}
            self.stdout.write(json.dumps(found, ensure_ascii=False, indent=1))
        else:
            self._print_horizon(horizon, late)
        if code == 1:
            limit = settings.ERASURE_HORIZON_DAYS
            self.stderr.write(
                f"A place keeps erased copies for more than {limit} days and no reason is recorded: change the place, or "
                "record in the admin why it is used."
            )
        if code:
            raise SystemExit(code)

    def _print_horizon(self, horizon: Horizon, late: list[Wait]) -> None:
        """Print how the second moment of an erasure comes about, and what of it is later than the policy allows."""
        end = f"irrecoverable by {horizon.by}" if horizon.by else no_date(horizon.reason)
        self.stdout.write(f"Erased now: unreadable within two minutes, {end}")
        for part in horizon.key_parts:
            self.stdout.write(f"  keys, {KEY_WAITS.get(part.code, part.code)}: {part.until}")
        for wait in horizon.waits:
            name = WAITS.get(wait.what, wait.place)
            self.stdout.write(f"  {name}: {wait.until or no_date(wait.reason)}")
        for wait in late:
            limit = settings.ERASURE_HORIZON_DAYS
            self.stderr.write(f"{WAITS[wait.what]}: longer than the {limit} days of our policy (ERASURE_HORIZON_DAYS).")

    def _print(self, location: Location, health: Health) -> None:
        state = "reachable" if health.is_reachable else "NOT reachable"
        if not location.is_enabled:
            state = "switched off"
        gone = horizon_words(health.horizon_days)
        self.stdout.write(f"{label(location)}: {state}; erased copies are gone after: {gone}. {health.message}")
        said = [*health.problems, policy.words(health.horizon_days, reason=location.horizon_reason)]
        for line in [*(f"{name}: {value}" for name, value in health.facts), *filter(None, said)]:
            self.stdout.write(f"  {line}")


def no_date(reason: str) -> str:
    return f"no date: {NO_DATE.get(reason, reason)} ({reason})"


def checked(location: Location) -> Health:
    """Ask a place; one that is switched off is not asked, and takes part in every erasure all the same."""
    if location.is_enabled:
        return check_location(location, actor=Actor.command_line())
    return Health(False, SWITCHED_OFF, horizon_days=location.horizon_days)


def verdict_of(location: Location, health: Health) -> str:
    """Return fits, unknown, excepted (too long, with a recorded reason), warned or refused."""
    if health.horizon_days is None:
        return "unknown"
    if not policy.is_too_long(health.horizon_days):
        return "fits"
    if location.horizon_reason:
        return "excepted"
    return "refused" if policy.refuses(health.horizon_days) else "warned"


def late_waits(horizon: Horizon) -> list[Wait]:
    """Return what takes longer than the policy allows, places left out: they have a verdict of their own."""
    today = timezone.now().date()
    ours = [wait for wait in horizon.waits if wait.what != PLACE]
    return [wait for wait in ours if wait.until and policy.is_too_long((wait.until - today).days - 1)]


def horizon_described(horizon: Horizon, late: list[Wait]) -> dict[str, Any]:
    """Return T1 of what would be erased now: `until` is the first day of which it is true, null where none is known."""
    return {
        "irrecoverable_by": _day(horizon.by),
        "reason": horizon.reason,
        "keys": [{"wait": part.code, "until": _day(part.until)} for part in horizon.key_parts],
        "waits": [
            {
                "wait": wait.what,
                "place": wait.place,
                "until": _day(wait.until),
                "reason": wait.reason,
                "too_long": wait in late,
            }
            for wait in horizon.waits
        ],
    }


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None


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
