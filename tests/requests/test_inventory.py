from __future__ import annotations

from django.apps import apps
from django.db import models

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
