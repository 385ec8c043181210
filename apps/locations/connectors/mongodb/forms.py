"""How staff set up MongoDB: its address, then a block for each collection or GridFS bucket."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.formsets import BaseFormSet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.locations import mongo
from apps.locations.connectors.mongodb.rules import DELETE, KEEP, PATH, UNSET, check_rules

MOST_COLLECTIONS = 60
KIND = r"\A[a-z][a-z0-9_]{0,23}\Z"
ACTIONS = {
    DELETE: gettext_lazy("Delete the documents"),
    UNSET: gettext_lazy("Keep the documents, remove some fields"),
    KEEP: gettext_lazy("Keep the documents as they are: a law demands it"),
}


class CollectionForm(forms.Form):
    use_required_attribute = False

    collection = forms.CharField(
        label=gettext_lazy("Collection"), max_length=200, required=False,
        help_text=gettext_lazy("As the database spells it. Of GridFS: the name of the bucket, usually fs."),
    )  # fmt: skip
    is_bucket = forms.BooleanField(label=gettext_lazy("This is a GridFS bucket"), required=False)
    field = forms.CharField(
        label=gettext_lazy("Field"), max_length=200, required=False,
        help_text=gettext_lazy("The one that says whose the document is, as in user_id or metadata.user_id."),
    )  # fmt: skip
    kind = forms.RegexField(
        KIND, label=gettext_lazy("holds the person's"), max_length=24, required=False,
        help_text=gettext_lazy("A kind of identity: email, user_id, phone, or one of your own."),
        error_messages={"invalid": gettext_lazy("Write a kind such as user_id: small letters, digits and _.")},
        widget=forms.TextInput(attrs={"list": "identity-kinds"}),
    )  # fmt: skip
    parent = forms.CharField(
        label=gettext_lazy("or the _id of a document of the collection"), max_length=200, required=False,
        help_text=gettext_lazy("For documents that belong to another one, as a message to its conversation."),
    )  # fmt: skip
    action = forms.ChoiceField(label=gettext_lazy("In an erasure"), choices=list(ACTIONS.items()), required=False)
    fields_ = forms.CharField(
        label=gettext_lazy("Fields to remove"), required=False, widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("One a line, as in name or address.street"),
    )  # fmt: skip
    why = forms.CharField(
        label=gettext_lazy("Why documents stay"), max_length=200, required=False,
        help_text=gettext_lazy("As in: Invoices, 10 years, tax law"),
    )  # fmt: skip
    mark = forms.CharField(
        label=gettext_lazy("Field that marks a restriction"), max_length=100, required=False,
        help_text=gettext_lazy("If your programs leave documents alone where such a field is true."),
    )  # fmt: skip

    def clean_field(self) -> str:
        return _path(self.cleaned_data["field"])

    def clean_mark(self) -> str:
        return _path(self.cleaned_data["mark"])

    def clean_fields_(self) -> list[str]:
        return [_path(line.strip()) for line in self.cleaned_data["fields_"].splitlines() if line.strip()]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = self.cleaned_data
        data["action"] = data.get("action") or DELETE
        if not data.get("collection") or self.errors:
            return data
        if not data.get("field"):
            self.add_error("field", _("Write the field that says whose the document is."))
        if bool(data.get("kind")) == bool(data.get("parent")):
            self.add_error("kind", _("Say one of the two: which identity the field holds, or which collection it points to."))  # fmt: skip
        if data.get("parent") and data["parent"] == data["collection"]:
            self.add_error("parent", _("A collection cannot belong to itself."))
        if data["action"] == UNSET and not data.get("fields_"):
            self.add_error("fields_", _("Name the fields to remove."))
        if data["action"] == UNSET and data.get("is_bucket"):
            self.add_error("action", _("Files of GridFS can be deleted or kept."))
        if data["action"] == KEEP and not data.get("why"):
            self.add_error("why", _("Say why: staff read it on the page of this place."))
        return data

    @property
    def title(self) -> str:
        return str(self["collection"].value() or _("Another collection"))

    def usual_fields(self) -> list[forms.BoundField]:
        """The fields that every collection needs."""
        return [self[name] for name in ("collection", "is_bucket", "field", "kind", "parent", "action")]

    def other_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("fields_", "why", "mark", "DELETE") if name in self.fields]

    def shows_others(self) -> bool:
        return any(field.errors or field.value() for field in self.other_fields())

    @property
    def is_blank(self) -> bool:
        return not self.cleaned_data.get("collection") or bool(self.cleaned_data.get("DELETE"))


def _path(text: str) -> str:
    if text and not PATH.match(text):
        raise ValidationError(_("Write a field such as user_id or metadata.user_id."))
    return text


CollectionFormSet: type[BaseFormSet[Any]] = forms.formset_factory(
    CollectionForm, extra=0, min_num=1, max_num=MOST_COLLECTIONS, validate_max=True, can_delete=True
)


class ConfigForm(forms.Form):
    hosts = forms.CharField(
        label=gettext_lazy("Hosts"), max_length=500,
        help_text=gettext_lazy("As in db1.example.org:27017; several members of a replica set with commas."),
    )  # fmt: skip
    is_srv = forms.BooleanField(label=gettext_lazy("This is one name that stands for the hosts (mongodb+srv)"), required=False)  # fmt: skip
    replica_set = forms.CharField(label=gettext_lazy("Replica set"), max_length=100, required=False, help_text=gettext_lazy("Its name. Empty for a single server."))  # fmt: skip
    database = forms.CharField(label=gettext_lazy("Database"), max_length=63)
    user = forms.CharField(
        label=gettext_lazy("User"), max_length=100, required=False,
        help_text=gettext_lazy("One made for this, with find, remove and update on the collections below and nothing else."),
    )  # fmt: skip
    password = forms.CharField(
        label=gettext_lazy("Password"), max_length=500, required=False, strip=False, widget=forms.PasswordInput,
        help_text=gettext_lazy("Kept sealed and never shown again."),
    )  # fmt: skip
    auth_database = forms.CharField(label=gettext_lazy("Database of the user"), max_length=63, required=False, help_text=gettext_lazy("Empty: admin."))  # fmt: skip
    tls = forms.ChoiceField(label=gettext_lazy("Encryption of the connection"), choices=list(mongo.TLS.items()))
    ca_file = forms.CharField(
        label=gettext_lazy("Certificates of the authority"), max_length=500, required=False,
        help_text=gettext_lazy("Path of a file on the machine of the workers, when the server's certificate is your own. Empty: those of the system."),
    )  # fmt: skip
    horizon_days = forms.IntegerField(
        label=gettext_lazy("Days until backups and logs forget a deleted document"), required=False, min_value=0, max_value=3660,
        help_text=gettext_lazy("The longest of: backups, snapshots, oplog, images for change streams. Empty: nobody knows, and receipts say so."),
    )  # fmt: skip

    only_copies = forms.BooleanField(
        label=gettext_lazy("Only copies that Habeas writes itself are here"), required=False,
        help_text=gettext_lazy("Then no collection needs to be named: copies are erased where they are written."),
    )  # fmt: skip

    secrets = ("password",)
    optional_secrets = ("password",)
    blocks_title = gettext_lazy("Where a person's documents are")
    blocks_help = gettext_lazy("Name each collection with the field that says whose a document is.")
    blocks_more = gettext_lazy("Documents that stay, restriction, taking it out")
    blocks_buttons = (("config-more", gettext_lazy("Add another collection")),)

    def __init__(self, data: Any = None, *, initial: dict[str, Any] | None = None, prefix: str | None = None) -> None:
        super().__init__(data, initial=initial, prefix=prefix)
        lines = [_as_written(line) for line in (initial or {}).get("collections", [])]
        self.blocks = CollectionFormSet(data, initial=lines, prefix=f"{prefix}-tables" if prefix else "tables")

    def offered(self, present: dict[str, Any]) -> tuple[ConfigForm, dict[str, Any]] | None:
        """Return this form with an empty block more, and its secrets, if that was asked for."""
        if "config-more" not in self.data:
            return None
        written = {name: self[name].value() for name in self.fields if name not in self.secrets}
        form = ConfigForm(initial=written, prefix=self.prefix)
        blocks = [{name: block[name].value() for name in block.fields if name != "DELETE"} for block in self.blocks]
        named = [block for block in blocks if block["collection"]]
        form.blocks = CollectionFormSet(initial=[*named, {}], prefix=self.blocks.prefix)
        return form, {"password": str(self.data.get(self.add_prefix("password"), "")) or present.get("password", "")}

    def is_valid(self) -> bool:
        return super().is_valid() and self.blocks.is_valid() and self._has_good_rules()

    def _has_good_rules(self) -> bool:
        lines = [_as_kept(block.cleaned_data) for block in self.blocks if not block.is_blank]
        try:
            if lines or not self.cleaned_data["only_copies"]:
                check_rules(lines)
        except ValidationError as error:
            self.add_error(None, error)
            return False
        self.cleaned_data["collections"] = lines
        return True


def _as_kept(data: dict[str, Any]) -> dict[str, Any]:
    names = ("collection", "is_bucket", "field", "kind", "parent", "action", "why", "mark")
    return {name: data[name] for name in names} | {"fields": data["fields_"]}


def _as_written(line: dict[str, Any]) -> dict[str, Any]:
    return line | {"fields_": "\n".join(line["fields"])}
