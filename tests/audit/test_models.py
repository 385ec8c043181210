"""What rows are called, in the admin and in messages of errors: by an id, a number or a place, by nothing that they hold."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import models

MODELS = [model for label in ("audit", "keys") for model in apps.get_app_config(label).get_models()]
TEXTS = (models.CharField, models.TextField, models.BinaryField)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_row_is_called_by_what_it_is_and_which_one(model):
    fields = [field for field in model._meta.get_fields() if isinstance(field, TEXTS) and not field.primary_key]
    row = model(**{field.name: "canary" for field in fields})
    kinds = {"AnchorState": "anchor", "SiteState": "state"}
    assert str(row).startswith(kinds.get(model.__name__, model.__name__.lower()))
    if model.__name__ != "AnchorState":  # the place is its name, and the operator's
        assert "canary" not in str(row)
