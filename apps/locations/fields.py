"""Form fields that several kinds of place share."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.locations.paths import check_template


class SecretText(forms.Textarea):
    """A box for a secret of several lines: like a password, it is taken and never shown, also not after a mistake."""

    def format_value(self, value: Any) -> None:
        return None


class PathTemplatesField(forms.CharField):
    """One path template a line; cleaned to a list."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            label=_("Where a person's data is"),
            help_text=_(
                "One path a line. {user_id}, {email}, {subject_id} or a kind of your own stands for the person. "
                "A path that ends in / means everything below it."
            ),
            widget=forms.Textarea(attrs={"rows": 3}),
            **kwargs,
        )

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        lines = [line.strip() for line in str(super().clean(value)).splitlines() if line.strip()]
        for line in lines:
            check_template(line)
        return lines
