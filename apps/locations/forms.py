"""What staff say about any place; what is special to a kind stands in its connector's ConfigForm."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.audit.events import Purpose
from apps.keys.services import site_key
from apps.locations.models import Location
from apps.locations.paths import KIND
from apps.sealing import content
from apps.sealing.aead import associated_data
from apps.sealing.errors import DecryptionError

ADDRESSES = frozenset(  # fields of the kinds' forms that say where a place is, and whether somebody between can read along
    {
        "account", "address", "api_endpoint", "backend", "base_url", "ca_file", "certificates", "dialect", "endpoint_url",
        "host", "host_key", "hosts", "is_srv", "options", "port", "replica_set", "tls",
    }
)  # fmt: skip


class LocationForm(forms.ModelForm):
    class Meta:
        model = Location
        fields = ("name", "country", "purpose", "retention", "horizon_reason")
        labels = {
            "name": gettext_lazy("Name"),
            "country": gettext_lazy("Country"),
            "purpose": gettext_lazy("Why data is there"),
            "retention": gettext_lazy("How long it is kept"),
            "horizon_reason": gettext_lazy("Why this place is used although erased copies stay longer"),
        }
        help_texts = {
            "name": gettext_lazy("People read it on their pages and receipts, as in: Amazon S3, support files"),
            "purpose": gettext_lazy("With its legal basis, as in: To answer your tickets. Contract"),
            "retention": gettext_lazy("As in: 1 year after closing"),
            "horizon_reason": gettext_lazy("Staff and auditors read it. Who decided, and why. No personal data."),
        }


class SearchIdentityForm(forms.Form):
    """An identity to try a place with, before it is saved."""

    use_required_attribute = False  # it stands on the page of a place, which can be saved without it

    kind = forms.RegexField(
        rf"\A{KIND}\Z", label=gettext_lazy("Kind of identity"), max_length=24, initial="user_id",
        help_text=gettext_lazy("As the settings above name it: user_id, email, phone, or a kind of your own."),
        error_messages={"invalid": gettext_lazy("Write a kind such as user_id: small letters, digits and _.")},
        widget=forms.TextInput(attrs={"list": "identity-kinds"}),
    )  # fmt: skip
    value = forms.CharField(
        label=gettext_lazy("Value"), max_length=254, strip=True,
        help_text=gettext_lazy("Somebody whose data you may look at, best a test person. The log keeps that you looked."),
        error_messages={"required": gettext_lazy("Write whom to look for.")},
    )  # fmt: skip
    purpose = forms.ChoiceField(label=gettext_lazy("Purpose"), choices=Purpose.choices, initial=Purpose.SUPPORT)


class SealedSecrets:
    """Carries the secrets of an unsaved form through a test of its settings: sealed, for one kind and one person only."""

    FIELD = "sealed-secrets"

    def __init__(self, kind: str, user_id: object, form: forms.Form) -> None:
        self._context = associated_data("habeas", "site-key", "locations.LocationForm", kind, str(user_id))
        self._form = form

    def seal(self, form: forms.Form, config: dict[str, Any]) -> str:
        secrets = {name: config[name] for name in getattr(form, "secrets", ()) if config.get(name)}
        if not secrets:
            return ""
        sealed = [where(self._form, _cleaned(self._form)), secrets]
        return urlsafe_b64encode(content.seal_json(site_key("locations"), sealed, context=self._context)).decode()

    def open(self, data: Mapping[str, Any], present: dict[str, Any]) -> dict[str, Any]:
        """Return what is kept of a place (`present`) with what the page carried; no secret that was given for another address."""
        address, carried = self._carried(data)
        is_ours = address == where(self._form, _cleaned(self._form))
        return kept(self._form, present) | (carried if is_ours else {})

    def dropped(self, data: Mapping[str, Any], config: dict[str, Any], present: dict[str, Any]) -> list[str]:
        """Return the labels of secrets that were given (in `config`, or carried), but for another address, and so are
        not `present`, and have not been written again.
        """
        taken = written_secrets(self._form, present)
        given = config | self._carried(data)[1]
        return [str(self._form[name].label) for name, value in taken.items() if given.get(name) and not value]

    def _carried(self, data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return address and secrets as the page carried them; nothing for what was not sealed here."""
        try:
            sealed = urlsafe_b64decode(str(data.get(self.FIELD, "")).encode())
            address, secrets = content.unseal_json(site_key("locations"), sealed, context=self._context)
        except (ValueError, DecryptionError):
            return {}, {}
        return address, dict(secrets)


def where(form: forms.Form, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that says to whom a secret is sent."""
    return {name: config.get(name) or "" for name in sorted(ADDRESSES & form.fields.keys())}


def kept(form: forms.Form, config: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of a place, without its secrets if the form leads elsewhere: they were not given for there."""
    if where(form, _cleaned(form)) == where(form, config):
        return config
    return {name: value for name, value in config.items() if name not in getattr(form, "secrets", ())}


def written_secrets(form: forms.Form, present: Mapping[str, Any]) -> dict[str, Any]:
    """Return the secrets of a form that may have mistakes elsewhere: as written, else as they were."""
    names = getattr(form, "secrets", ())
    return {name: _cleaned(form).get(name) or present.get(name) for name in names}


def _cleaned(form: forms.Form) -> dict[str, Any]:
    form.errors  # noqa: B018 (cleans it)
    return form.cleaned_data


def merged_config(form: forms.Form, present: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a clean form; a secret left empty stays what it was.

    Raises ValidationError when a secret was never given. `optional_secrets` of the form may stay empty.
    """
    config = dict(form.cleaned_data)
    for name in getattr(form, "secrets", ()):
        config[name] = config.get(name) or present.get(name, "")
        if not config[name] and name not in getattr(form, "optional_secrets", ()):
            raise ValidationError({name: _("Write the secret; nothing is kept yet.")})
    return config
