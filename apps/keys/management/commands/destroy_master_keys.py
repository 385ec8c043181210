"""Destroy the master keys on which two people have decided and that no live key needs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit.actors import Actor
from apps.audit.errors import AuditError
from apps.keys.errors import KeysError
from apps.keys.models import Epoch
from apps.keys.policy import GRACE_RUNS, IN_SERVICE, IN_USE, NO_BACKUP, RESTORED, Obstacle
from apps.keys.services import destroy_master_keys
from apps.keys.services.ending import undecided_epochs

WAITING, PARTLY = 3, 4
WHY = {
    IN_SERVICE: "it is in service",
    IN_USE: "{keys} live keys are wrapped under it: roll_master_key first",
    GRACE_RUNS: "work that began before the roll may still need it until {until:%Y-%m-%d %H:%M} UTC",
    RESTORED: "keys were restored: nothing is destroyed until {until:%Y-%m-%d %H:%M} UTC",
    NO_BACKUP: "there is no verified backup newer than the roll: backup_keys first",
}
UNDECIDED = "two people have not decided on it (admin, Master keys)"
UNROLLED = "keys may still need it, or were restored since a roll looked: roll_master_key first"


class Command(BaseCommand):
    help = "Destroys the master keys on which two people have decided (in the admin) and that no live key needs."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            ended = destroy_master_keys(actor=Actor.command_line())
        except (KeysError, AuditError) as error:
            raise CommandError(f"{error}. Repeat the command, it goes on.") from None
        for epoch in ended.destroyed:
            self.stdout.write(f"{epoch}: destroyed; {_when(epoch)}")
        waiting = [f"{epoch}: {why(obstacle)}" for epoch, found in ended.waiting for obstacle in found]
        waiting += [f"{epoch}: {UNDECIDED if epoch.emptied_at else UNROLLED}" for epoch in undecided_epochs()]
        unreachable = [f"{epoch}: its provider does not answer; repeat" for epoch in ended.unreachable]
        if waiting or unreachable:
            code = PARTLY if ended.destroyed or unreachable else WAITING
            raise CommandError("; ".join([*unreachable, *waiting]), returncode=code)
        if not ended.destroyed:
            self.stdout.write("Nothing to destroy: every master key but the one in service is gone.")


def why(obstacle: Obstacle) -> str:
    return WHY[obstacle.code].format(keys=obstacle.keys, until=obstacle.until)


def _when(epoch: Epoch) -> str:
    if epoch.gone_at is None:
        return "that a file is gone from an SSD, a journal or a snapshot cannot be proven"
    return f"gone for good at {epoch.gone_at:%Y-%m-%d %H:%M} UTC"
