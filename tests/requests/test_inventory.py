from __future__ import annotations

from django.apps import apps
from django.conf import settings
from django.db import models
from django.utils.module_loading import import_string

from apps.records.indexing.columns import Column
from apps.requests.inventory import INVENTORY

MODELS = {model._meta.label: model for model in apps.get_models(include_auto_created=True)}


def columns_of(model: type[models.Model]) -> list[str]:
    return sorted(field.column for field in model._meta.local_fields if field.column)


def test_every_column_of_every_table_is_declared_once() -> None:
    declared = {label: sorted(table.columns()) for label, table in INVENTORY.items()}
    assert declared == {label: columns_of(model) for label, model in MODELS.items()}


def test_what_is_declared_sealed_is_bytes_and_what_is_clear_has_an_eraser() -> None:
    for label, table in INVENTORY.items():
        fields = {field.column: field for field in MODELS[label]._meta.local_fields}
        for column in table.sealed.split():
            assert isinstance(fields[column], models.BinaryField), (label, column)
        if table.clear or table.sealed:
            assert table.erases not in {"", "never", "sequencer"}


HASHES = {  # of random secrets and of documents; and, under the site key, of settings
    "accounts.User.password",
    "requests.PrivacyRequest.code_hash",
    "requests.Receipt.body_sha256",
    "requests.Intake.code_hash",
    "requests.Intake.link_hash",
    "records.CopyPolicy.place_mac",
}


def test_every_column_of_index_values_says_how_it_is_brought_under_a_new_key() -> None:
    """One that is missing in BLIND_INDEXES would lose its rows when its key is changed."""
    blind = {f"{label}.{column}" for label, table in INVENTORY.items() for column in table.blind.split()}
    assert blind - HASHES == set(settings.BLIND_INDEXES)
    assert blind >= HASHES
    for name, path in settings.BLIND_INDEXES.items():
        model, _field = name.rsplit(".", 1)
        column = import_string(path)
        assert isinstance(column, Column)
        kind = f"{column.names}email" if column.names.endswith("-") else column.names
        assert column.rows(kind).model is apps.get_model(model)
        assert isinstance(column.rows(kind).model._meta.get_field(column.number), models.PositiveSmallIntegerField)


def test_nothing_makes_an_index_value_with_a_key_that_the_registry_does_not_know() -> None:
    root = settings.BASE_DIR / "apps"
    makers = [path for path in root.rglob("*.py") if path.is_relative_to(root / "keys") is False]
    using = {str(path.relative_to(root)) for path in makers if _asks_for_an_index_key(path.read_text())}
    assert using == {"records/indexing/ring.py"}


def _asks_for_an_index_key(text: str) -> bool:
    return any(word in text for word in ("blind_index_key(", "named_key(", "keys.named("))
