"""What a copy is called in its place: <rule>/<person's id>/<conversation's id>/<copy's id>.<form>. Ids only.

So whatever a place holds of a person is found by the beginning of its name, written down here or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_NAME = re.compile(rf"({_ID})/({_ID})/({_ID})/({_ID})\.([a-z]+)")


@dataclass(frozen=True)
class Name:
    policy_id: UUID
    subject_id: UUID
    conversation_id: UUID
    copy_id: UUID
    form: str

    def __str__(self) -> str:
        return f"{self.policy_id}/{self.subject_id}/{self.conversation_id}/{self.copy_id}.{self.form}"


def parse_name(name: str) -> Name | None:
    match = _NAME.fullmatch(name)
    return Name(UUID(match[1]), UUID(match[2]), UUID(match[3]), UUID(match[4]), match[5]) if match else None


def of_person(policy_id: UUID, subject_id: UUID) -> str:
    """Return how the names of everything of a person begin."""
    return f"{policy_id}/{subject_id}/"
