"""check_locations: asks every place whether it answers and what stands in the way of erasing there."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from apps.audit.actors import Actor
from apps.locations.labels import label
from apps.locations.models import Location
from apps.locations.services import check_location


class Command(BaseCommand):
    help = "Ask every place whether it answers and when an erased copy there is really gone."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print one line a place; exit 4 when one does not answer or has a problem."""
        troubled = 0
        for location in Location.objects.filter(is_enabled=True, emptied_at__isnull=True).order_by("name"):
            health = check_location(location, actor=Actor.command_line())
            troubled += not health.is_reachable or bool(health.problems)
            days = "unknown" if health.horizon_days is None else f"{health.horizon_days} days"
            state = "reachable" if health.is_reachable else "NOT reachable"
            self.stdout.write(f"{label(location)}: {state}; erased copies are gone after: {days}. {health.message}")
            for problem in health.problems:
                self.stdout.write(f"  {problem}")
        if troubled:
            raise SystemExit(4)
