"""Which installation the keys belong to."""

from __future__ import annotations

from apps.keys.models import Installation


def installation() -> Installation:
    """Return the one row, made on first use."""
    return Installation.objects.get_or_create(only=True)[0]


def note_log_size(size: int) -> None:
    """Note that everything which the first `size` entries of the log say is destroyed is a tombstone here."""
    Installation.objects.filter(log_size__lt=size).update(log_size=size)


def note_waiting_keys(number: int) -> None:
    """Note how many keys the last sweep left to a person: a supervisor asks more often than a sweep may cost."""
    Installation.objects.exclude(waiting_keys=number).update(waiting_keys=number)
