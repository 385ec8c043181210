"""A command that reads or writes what is held does nothing in quarantine, and says why."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.audit import quarantine
from apps.audit.commands import ContentCommand
from apps.audit.quarantine import Reason

pytestmark = [pytest.mark.starts, pytest.mark.django_db(databases=["default", "keys"])]


class Command(ContentCommand):
    def handle(self, *args: Any, **options: Any) -> str:
        return "done"


def test_it_works_outside_quarantine_and_in_it_it_says_why_not(capsys):
    assert call_command(Command()) == "done"
    quarantine.enter(Reason.LOG_BEHIND)
    with pytest.raises(CommandError, match=r"Nothing was done: .*older than the log that was published"):
        call_command(Command())
    assert capsys.readouterr().out == "done\n"
