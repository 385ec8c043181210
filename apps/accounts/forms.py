"""Forms of the account pages that allauth does not have."""

from __future__ import annotations

from django import forms


class EmailCodeForm(forms.Form):
    """Says whether a code by e-mail is the second step."""

    on = forms.BooleanField(required=False)
