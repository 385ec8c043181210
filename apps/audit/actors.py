"""Who acted: a handle and a role, never a name."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    PERSON = "person", _("Person")
    OFFICER = "officer", _("Officer")
    APPROVER = "approver", _("Approver")
    AUDITOR = "auditor", _("Auditor")
    ADMINISTRATOR = "administrator", _("Administrator")
    SYSTEM = "system", _("System")
    COMMAND_LINE = "command_line", _("Command line")


@dataclass(frozen=True)
class Actor:
    """Who does something. The table that resolves a handle is erasable, the log is not."""

    handle: str
    role: Role

    @classmethod
    def system(cls) -> Actor:
        """The site itself: workers, schedules, standing policies."""
        return cls("", Role.SYSTEM)

    @classmethod
    def command_line(cls) -> Actor:
        """Somebody with a shell on the machine, known to nobody here."""
        return cls("", Role.COMMAND_LINE)
