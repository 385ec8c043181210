"""How staff set up a database: its address, then a block for each table.

The block of a table that hangs on another one can be filled in by the database itself ("Find what hangs on them").
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.formsets import BaseFormSet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.locations import own_ground, sql
from apps.locations.connectors.sql.offering import findings
from apps.locations.connectors.sql.rules import ANONYMISE, DELETE, KEEP, check_rules, split_name
from apps.locations.errors import LocationError

MOST_TABLES = 60
KIND = r"\A[a-z][a-z0-9_]{0,23}\Z"
ACTIONS = {
    DELETE: gettext_lazy("Delete the rows"),
    ANONYMISE: gettext_lazy("Keep the rows, overwrite some columns"),
    KEEP: gettext_lazy("Keep the rows as they are: a law demands it"),
}


class TableForm(forms.Form):
    use_required_attribute = False

    table = forms.CharField(
        label=gettext_lazy("Table"), max_length=130, required=False,
        help_text=gettext_lazy("As the database spells it, with its schema where that is not the usual one: customers, shop.orders"),
    )  # fmt: skip
    columns = forms.CharField(
        label=gettext_lazy("Column"), max_length=200, required=False,
        help_text=gettext_lazy("The one that says whose the row is. Several columns of one foreign key: with commas."),
    )  # fmt: skip
    kind = forms.RegexField(
        KIND, label=gettext_lazy("holds the person's"), max_length=24, required=False,
        help_text=gettext_lazy("A kind of identity: email, user_id, phone, or one of your own."),
        error_messages={"invalid": gettext_lazy("Write a kind such as user_id: small letters, digits and _.")},
        widget=forms.TextInput(attrs={"list": "identity-kinds"}),
    )  # fmt: skip
    parent = forms.CharField(
        label=gettext_lazy("or points to a row of the table"), max_length=130, required=False,
        help_text=gettext_lazy("For rows that belong to a row of another table, as an order to its customer."),
    )  # fmt: skip
    ignore_case = forms.BooleanField(label=gettext_lazy("Capital and small letters count as the same"), required=False)
    action = forms.ChoiceField(label=gettext_lazy("In an erasure"), choices=list(ACTIONS.items()), required=False)
    values = forms.CharField(
        label=gettext_lazy("Columns to overwrite"), required=False, widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("One a line. Alone, a column is emptied (NULL); with a fixed text, as in: name = removed"),
    )  # fmt: skip
    why = forms.CharField(
        label=gettext_lazy("Why rows stay"), max_length=200, required=False,
        help_text=gettext_lazy("As in: Invoices, 10 years, tax law"),
    )  # fmt: skip
    mark = forms.CharField(
        label=gettext_lazy("Column that marks a restriction"), max_length=64, required=False,
        help_text=gettext_lazy("If your programs leave rows alone where such a column is true (1)."),
    )  # fmt: skip

    def clean_table(self) -> str:
        return _name(self.cleaned_data["table"])

    def clean_parent(self) -> str:
        return _name(self.cleaned_data["parent"])

    def clean_columns(self) -> list[str]:
        return [part.strip() for part in self.cleaned_data["columns"].split(",") if part.strip()]

    def clean_values(self) -> dict[str, str | None]:
        values: dict[str, str | None] = {}
        for line in filter(None, map(str.strip, self.cleaned_data["values"].splitlines())):
            column, equals, value = (part.strip() for part in line.partition("="))
            if not column:
                raise ValidationError(_("Write the column first, as in: name = removed"))
            values[column] = value if equals else None
        return values

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = self.cleaned_data
        data["action"] = data.get("action") or DELETE
        if not data.get("table") or self.errors:
            return data
        if not data.get("columns"):
            self.add_error("columns", _("Write the column that says whose the row is."))
        elif bool(data.get("kind")) == bool(data.get("parent")):
            self.add_error(
                "kind", _("Say one of the two: which identity the column holds, or which table it points to.")
            )
        elif data["kind"] and len(data["columns"]) > 1:
            self.add_error("columns", _("An identity stands in one column."))
        if data.get("parent") and data["parent"] == data["table"]:
            self.add_error("parent", _("A table cannot belong to itself."))
        if data["action"] == ANONYMISE and not data.get("values"):
            self.add_error("values", _("Name the columns to overwrite."))
        if data["action"] == KEEP and not data.get("why"):
            self.add_error("why", _("Say why: staff read it on the page of this place."))
        return data

    @property
    def title(self) -> str:
        return str(self["table"].value() or _("Another table"))

    def usual_fields(self) -> list[forms.BoundField]:
        """The fields that every table needs."""
        return [self[name] for name in ("table", "columns", "kind", "parent", "action")]

    def other_fields(self) -> list[forms.BoundField]:
        names = ["values", "why", "ignore_case", "mark", "DELETE"]
        return [self[name] for name in names if name in self.fields]

    def shows_others(self) -> bool:
        return any(field.errors or field.value() for field in self.other_fields())

    @property
    def is_blank(self) -> bool:
        """Whether nobody has named a table here: the block counts for nothing."""
        return not self.cleaned_data.get("table") or bool(self.cleaned_data.get("DELETE"))


def _name(text: str) -> str:
    if text:
        try:
            split_name(text)
        except ValueError:
            raise ValidationError(
                _('Write a name such as orders or shop.orders; put odd names into "quotes".')
            ) from None
    return text


TableFormSet: type[BaseFormSet[Any]] = forms.formset_factory(
    TableForm, extra=0, min_num=1, max_num=MOST_TABLES, validate_max=True, can_delete=True
)


class ConfigForm(forms.Form):
    dialect = forms.ChoiceField(label=gettext_lazy("Kind of database"), choices=list(sql.DIALECTS.items()))
    host = forms.CharField(label=gettext_lazy("Host"), max_length=253, required=False, help_text=gettext_lazy("As in db.example.org. Nothing for an SQLite file."))  # fmt: skip
    port = forms.IntegerField(label=gettext_lazy("Port"), required=False, min_value=1, max_value=65535, help_text=gettext_lazy("Empty for the usual one: 5432, or 3306."))  # fmt: skip
    database = forms.CharField(
        label=gettext_lazy("Database"), max_length=500,
        help_text=gettext_lazy("Its name; for SQLite the absolute path of the file on the machine of the workers."),
    )  # fmt: skip
    user = forms.CharField(
        label=gettext_lazy("User"), max_length=100, required=False,
        help_text=gettext_lazy("One made for this, with SELECT, DELETE and UPDATE on the tables below and nothing else."),
    )  # fmt: skip
    password = forms.CharField(
        label=gettext_lazy("Password"), max_length=500, required=False, strip=False, widget=forms.PasswordInput,
        help_text=gettext_lazy("Kept sealed and never shown again."),
    )  # fmt: skip
    tls = forms.ChoiceField(label=gettext_lazy("Encryption of the connection"), choices=list(sql.TLS.items()))
    ca_file = forms.CharField(
        label=gettext_lazy("Certificates of the authority"), max_length=500, required=False,
        help_text=gettext_lazy("Path of a file on the machine of the workers, when the server's certificate is your own. Empty: those of the system."),
    )  # fmt: skip
    horizon_days = forms.IntegerField(
        label=gettext_lazy("Days until backups and logs forget a deleted row"), required=False, min_value=0, max_value=3660,
        help_text=gettext_lazy("The longest of: backups, write-ahead log or binlog, replicas that lag, snapshots. Empty: nobody knows, and receipts say so."),
    )  # fmt: skip

    only_copies = forms.BooleanField(
        label=gettext_lazy("Only copies that Habeas writes itself are here"), required=False,
        help_text=gettext_lazy("Then no table needs to be named: copies are erased where they are written."),
    )  # fmt: skip

    secrets = ("password",)
    optional_secrets = ("password",)
    blocks_title = gettext_lazy("Where a person's rows are")
    blocks_help = gettext_lazy(
        "Name a table that knows people by e-mail or user id. Tables whose rows belong to it can be found for you."
    )
    blocks_more = gettext_lazy("Rows that stay, letter case, restriction, taking it out")
    blocks_buttons = (
        ("config-offer", gettext_lazy("Find what belongs to these tables")),
        ("config-more", gettext_lazy("Add another table")),
    )

    def __init__(self, data: Any = None, *, initial: dict[str, Any] | None = None, prefix: str | None = None) -> None:
        super().__init__(data, initial=initial, prefix=prefix)
        lines = [_as_written(line) for line in (initial or {}).get("tables", [])]
        self.blocks = TableFormSet(data, initial=lines, prefix=f"{prefix}-tables" if prefix else "tables")
        self.offer_said = self.offer_error = ""

    def offered(self, present: dict[str, Any]) -> tuple[ConfigForm, dict[str, Any]] | None:
        """Answer a button of this form: the form to show again, and its secrets; None when none was pressed.

        "More" gives an empty block. "Find" asks the database for what hangs on the tables named by foreign keys; with
        no table named yet, it says which tables there are.
        """
        wanted = [name for name, _words in self.blocks_buttons if name in self.data]
        if not wanted:
            return None
        is_good = super().is_valid()
        password = str(self.data.get(self.add_prefix("password"), "")) or present.get("password", "")
        if wanted == ["config-more"]:
            return self._again([{}]), {"password": password}
        if is_good and self.blocks.is_valid():
            lines = [_as_kept(block) for block in self.blocks if not block.is_blank]
            try:
                found = findings({**self.cleaned_data, "password": password}, lines)
            except LocationError as error:
                self.offer_error = str(error)
            else:
                form = self._again([_as_written(line) if line else {} for line in found.lines])
                form.offer_said = found.said
                return form, {"password": password}
        return self, {"password": password}

    def _again(self, more: list[dict[str, Any]]) -> ConfigForm:
        """Return this form as it was filled in, with blocks added."""
        written = {name: self[name].value() for name in self.fields if name not in self.secrets}
        form = ConfigForm(initial=written, prefix=self.prefix)
        blocks = [{name: block[name].value() for name in block.fields if name != "DELETE"} for block in self.blocks]
        named = [block for block in blocks if block["table"]]
        form.blocks = TableFormSet(initial=[*named, *more], prefix=self.blocks.prefix)
        return form

    def is_valid(self) -> bool:
        return super().is_valid() and self.blocks.is_valid() and self._has_good_rules()

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = self.cleaned_data
        if data.get("dialect") == "sqlite":
            if data.get("database") and not data["database"].startswith("/"):
                self.add_error("database", _("Write the absolute path of the file, as in /srv/shop/shop.sqlite3."))
            elif refusal := own_ground.refusal(str(data.get("database") or "/")):
                self.add_error("database", refusal)
        elif not data.get("host"):
            self.add_error("host", _("Write the host."))
        return data

    def _has_good_rules(self) -> bool:
        lines = [_as_kept(block) for block in self.blocks if not block.is_blank]
        try:
            if lines or not self.cleaned_data["only_copies"]:
                check_rules(lines)
        except ValidationError as error:
            self.add_error(None, error)
            return False
        self.cleaned_data["tables"] = lines
        return True


def _as_kept(block: Any) -> dict[str, Any]:
    data = block.cleaned_data
    return {
        name: data[name]
        for name in ("table", "columns", "kind", "parent", "ignore_case", "action", "values", "why", "mark")
    }


def _as_written(line: dict[str, Any]) -> dict[str, Any]:
    """Return a kept line as the block shows it."""
    values = "\n".join(name if value is None else f"{name} = {value}" for name, value in line["values"].items())
    return line | {"columns": ", ".join(line["columns"]), "values": values}
