"""What staff say about any place; what is special to a kind stands in its connector's ConfigForm."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.locations.models import Location


class LocationForm(forms.ModelForm):
    class Meta:
        model = Location
        fields = ("name", "country", "purpose", "retention")
        labels = {
            "name": gettext_lazy("Name"),
            "country": gettext_lazy("Country"),
            "purpose": gettext_lazy("Why data is there"),
            "retention": gettext_lazy("How long it is kept"),
        }
        help_texts = {
            "name": gettext_lazy("People read it on their pages and receipts, as in: Amazon S3, support files"),
            "purpose": gettext_lazy("With its legal basis, as in: To answer your tickets. Contract"),
            "retention": gettext_lazy("As in: 1 year after closing"),
        }


class SearchIdentityForm(forms.Form):
    """An identity to try a place with, before it is saved."""

    kind = forms.ChoiceField(
        label=gettext_lazy("Identity"),
        choices=[("user_id", "user_id"), ("email", "email"), ("subject_id", "subject_id")],
    )
    value = forms.CharField(label=gettext_lazy("Value"), max_length=254, strip=True)


def merged_config(form: forms.Form, present: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a clean form; a secret left empty stays what it was.

    Raises ValidationError when a secret was never given.
    """
    config = dict(form.cleaned_data)
    for name in getattr(form, "secrets", ()):
        config[name] = config.get(name) or present.get(name, "")
        if not config[name]:
            raise ValidationError({name: _("Write the secret; nothing is kept yet.")})
    return config
