"""Gives plain forms the widgets of the staff site (django-unfold)."""

from __future__ import annotations

from typing import TypeVar

from django import forms
from unfold.widgets import (
    BASE_INPUT_CLASSES,
    UnfoldAdminDateWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

Form = TypeVar("Form", bound=forms.BaseForm)


def dress(form: Form) -> Form:
    """Return the form with each widget replaced by the staff site's own of the same kind."""
    for field in form.fields.values():
        widget = field.widget
        if isinstance(widget, forms.Textarea):
            field.widget = UnfoldAdminTextareaWidget(attrs=widget.attrs)
        elif isinstance(widget, forms.PasswordInput):
            field.widget = UnfoldAdminPasswordWidget(attrs=widget.attrs)
        elif isinstance(widget, forms.CheckboxInput):
            field.widget = UnfoldBooleanWidget(attrs=widget.attrs)
        elif isinstance(widget, forms.Select):
            field.widget = UnfoldAdminSelectWidget(attrs=widget.attrs, choices=widget.choices)
        elif isinstance(widget, forms.DateInput):
            field.widget = UnfoldAdminDateWidget(attrs=widget.attrs)
        elif isinstance(widget, forms.TextInput):
            kind = widget.input_type
            field.widget = UnfoldAdminTextInputWidget(attrs=widget.attrs)
            field.widget.input_type = kind
        else:
            widget.attrs["class"] = " ".join(BASE_INPUT_CLASSES)
        field.widget.is_required = field.required
    return form
