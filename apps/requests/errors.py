"""What can be wrong with a request. No message holds a name, an address or content."""

from collections.abc import Collection

from apps.locations.models import Location


class RequestError(Exception):
    """Base of the errors of this package."""


class WaitsForPerson(RequestError):
    """A step cannot go on before a person has done something. `reason`: one of apps.locations.reasons."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownRegime(RequestError):
    """No such regime in regimes.py."""


class UnknownKind(RequestError):
    """The regime gives no such right."""


class UnknownGround(RequestError):
    """The regime knows no such ground for refusing a request of this kind."""


class WrongStatus(RequestError):
    """The request is not in a state that allows this, or not any more. Load it again and look."""


class NoLocation(RequestError):
    """There is no place at all: "every place is done" would be true of none. Run `migrate`, which makes our own."""


class IdentityTooLow(RequestError):
    """The identity has not been checked as far as the regime asks for this kind of request."""


class SamePerson(RequestError):
    """The second approval must come from somebody who did not give the first."""


class OwnRequest(RequestError):
    """Nobody on the staff decides on a request about themselves, or on whom it takes."""


class PlanChanged(RequestError):
    """What the person is known by has changed since the plan was looked at: look at it again, then decide."""


class ApproverLeft(RequestError):
    """Whoever gave the first approval may not approve any more: it is void, and is given anew by somebody who may."""


class NoterLeft(RequestError):
    """Whoever noted it may not any more: it is taken back. Somebody who may notes it anew, then another one confirms it."""


class NothingNoted(RequestError):
    """Nothing of the kind waits for a second person's yes, or not any more."""


class SecondApproverWanted(RequestError):
    """The second approval needs the permission `requests.approve_erasure_second`."""


class ErasureBegun(RequestError):
    """The intent to destroy the keys is in the log: from there it only goes forward."""


class TooLate(RequestError):
    """The first period is over: an extension had to be told inside it."""


class AlreadyExtended(RequestError):
    """A deadline is extended once."""


class EmptyText(RequestError):
    """A reason or a message that the person will read is wanted, and it is empty."""


class CorrectionsWanted(RequestError):
    """For some place nobody has said yet what is to be corrected there (services.note_corrections)."""


class FoundThereWanted(RequestError):
    """The request says that something the person is known by is wrong: it may be somebody else's, and find their rows.

    So a value is written outside only where it is said what is found there. `places`: those of which it is not said.
    """

    def __init__(self, places: Collection[Location]) -> None:
        super().__init__(len(places))
        self.places = places


class OtherRestriction(RequestError):
    """Another restriction of this person stands: lifting one would lift both."""


class ErasureAgreed(RequestError):
    """Somebody has agreed to an erasure of this person: whose data goes is not changed by correcting who they are."""


class IdentityDoubted(RequestError):
    """An open rectification calls wrong what would find the person's data, so that it may be another's: it comes first."""


class TooSoon(RequestError):
    """A restriction is lifted on a day after the one on which the person is told (GDPR Article 18(3))."""


class TooLarge(RequestError):
    """The document is larger than we take."""


class LinkUsedOrExpired(RequestError):
    """No such link, or not any more."""


class RecordErased(RequestError):
    """The request's retention is over and its key destroyed: nothing but dates is left."""


class NotApprovable(RequestError):
    """Approving on the command line is switched off (COMMAND_LINE_APPROVAL)."""


class LostClaim(RequestError):
    """Another worker has taken the step over: whatever this one did since its last commit is not recorded."""
