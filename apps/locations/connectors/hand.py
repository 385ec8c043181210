"""A place that nothing can be connected to: a named person looks there, until a day, and confirms what was done.

Nothing here reads or erases. The step becomes “needs a person”, the person is written to, and staff write down what was
done, with proof; the second look is that record, and the receipt says so: confirmed by a person, not looked at by us.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy, ngettext

from apps.locations.contract import Assignment, Entry, Health, Identity, Item, Obstacle, Progress, Remaining, Scope
from apps.locations.errors import Refused
from apps.locations.reasons import Reason
from apps.locations.said import said as _


class ConfigForm(forms.Form):
    person = forms.CharField(label=gettext_lazy("Who does it"), max_length=100)
    email = forms.EmailField(
        label=gettext_lazy("Their e-mail address"), max_length=254,
        help_text=gettext_lazy("They are written to when there is something to do, before the day, and when it has passed."),
    )  # fmt: skip
    days = forms.IntegerField(
        label=gettext_lazy("Days that they have"), min_value=1, max_value=365, initial=14,
        help_text=gettext_lazy("Well inside the month that the law gives for an answer."),
    )  # fmt: skip
    instructions = forms.CharField(
        label=gettext_lazy("What they do there"), max_length=4000, widget=forms.Textarea(attrs={"rows": 5}),
        help_text=gettext_lazy("As in: Filing room, second floor. Folders are sorted by customer number. Shred, do not bin."),
    )  # fmt: skip
    horizon_days = forms.IntegerField(
        label=gettext_lazy("Days until what is removed is really gone"), required=False, min_value=0, max_value=3660,
        help_text=gettext_lazy("As in 7, where the shredding company comes weekly. Empty: unknown."),
    )  # fmt: skip


class HandConnector:
    label = gettext_lazy("By hand: a person does it")
    ConfigForm = ConfigForm

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config

    def assignment(self) -> Assignment:
        config = self._config
        return Assignment(config["person"], config["email"], int(config["days"]), config["instructions"])

    def summary(self) -> list[str]:
        days = int(self._config["days"])
        return [
            ngettext(
                "Gives %(person)s a task with %(days)d day for each request.",
                "Gives %(person)s a task with %(days)d days for each request.",
                days,
            )
            % {"person": self._config["person"], "days": days},
            _("Puts the files that staff add to the task into the person's copy."),
            _("Counts as erased when staff confirm it with a note; proof can be added, and is kept sealed."),
            _("Is not looked at again by us: receipts say that a person has confirmed it."),
        ]

    def check(self) -> Health:
        days = self._config.get("horizon_days")
        return Health(True, _("Nothing is connected: a person does it by hand."), days)

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]:
        return [Obstacle(Reason.BY_HAND)]

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        """Nothing can be counted: the obstacle says that a person has to look."""
        yield from ()

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        raise Refused(_("Only a person can read there."))

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        raise Refused(_("Only a person can erase there."))

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        raise Refused(_("Only a person can look there."))
