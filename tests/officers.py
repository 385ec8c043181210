"""Stands in for the look whether somebody still holds a role, where a test is not about people."""

from __future__ import annotations

from uuid import UUID


def anybody(user_id: UUID) -> bool:
    """Let everybody decide."""
    return True


def nobody(user_id: UUID) -> bool:
    """Let nobody decide: they have all left."""
    return False
