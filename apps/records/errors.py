"""What can go wrong with a person's records. Not found and not allowed look alike from outside."""

from __future__ import annotations

from datetime import date

from apps.keys.errors import KeyDestroyed


class RecordsError(Exception):
    """Base of this package's errors. No message holds a name, an address or content."""


class SubjectNotFound(RecordsError):
    """Nobody is known by this id or address."""


class SubjectSuppressed(RecordsError):
    """This person was erased, and is not brought in again by others. They can sign up themselves at any time."""


class ConversationNotFound(RecordsError):
    """This person has no such conversation; it may be another's, or erased."""


class AttachmentNotFound(RecordsError):
    """This person has no such file; it may be another's, erased, or not fully received."""


class ImportNotFound(RecordsError):
    """This person has no such import."""


class SubjectFrozen(RecordsError):
    """An erasure has begun: nothing more is written for this person, and what runs stops."""


class RecordingNotAllowed(RecordsError):
    """The person has withdrawn the consent to keeping new conversations. They can give it again."""


class RecordingRestricted(RecordingNotAllowed):
    """The use of the person's data is restricted: nothing new is stored until that is lifted."""


class IdentityTaken(RecordsError):
    """The address or id already belongs to another person."""


class ConversationsHeld(RecordsError):
    """A legal hold keeps what was to be erased; `until` is its date."""

    def __init__(self, until: date) -> None:
        super().__init__("kept by a legal hold")
        self.until = until


class OwnData(RecordsError):
    """Nobody on the staff decides on what is kept of themselves."""


class MessageNotFound(RecordsError):
    """The conversation has no such message, or it has been removed already."""


class NotCorrectable(RecordsError):
    """Only what the person wrote themself, in words, can be corrected here. Another's message can be removed."""


class SubjectRestricted(RecordsError):
    """The processing is restricted: nothing is changed or erased until the restriction is lifted."""


class LostClaim(RecordsError):
    """Another worker has taken this import over: stop without writing anything more."""


class BeingErased(RecordsError):
    """A conversation is on its way out and comes in again: try again when it is gone."""


class Contention(RecordsError):
    """Others kept writing the same conversation. Nothing is lost: try again."""


class DamagedCopy(RecordsError):
    """A copy is not whole, or not one of ours. Another copy, if there is one, may be."""


class SecondPersonWanted(RecordsError):
    """Readable copies take two people: whoever proposes them does not agree to them."""


class NotProposed(RecordsError):
    """Nobody has proposed it, or it has been decided meanwhile."""


CONTENT_IS_GONE = (SubjectFrozen, KeyDestroyed)  # an erasure has begun, or its keys are destroyed already
