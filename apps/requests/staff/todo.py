"""What may be done with a request, by whom and when. Buttons and views ask here; the services ask again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import User
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.requests import selectors
from apps.requests.corrections import unspoken
from apps.requests.dates import today
from apps.requests.doubting import waits_for_rectification
from apps.requests.models import ENDED, Kind, PrivacyRequest, Status, Step
from apps.requests.regimes import regime_of
from apps.requests.schedule import ACTIVE
from apps.requests.services.correcting import open_places
from apps.requests.services.deciding import UNDECIDED, is_about
from apps.requests.services.knowing import was_let_go
from apps.requests.services.lifting import is_standing
from apps.requests.vault import details_of

VIEW = "requests.view_privacyrequest"
REVIEW = "requests.review_privacyrequest"
SECOND = "requests.approve_erasure_second"
NOT_NOW = _("The request is not in a state any more that allows this. Look at it again.")

Fits = Callable[[PrivacyRequest, User], bool]


@dataclass(frozen=True)
class Act:
    """Something that can be done. `fits` says whether the request is in a state for it."""

    name: str
    label: Promise
    permission: str
    fits: Fits
    url: str  # last part of the page's address


def may(act: Act, request: PrivacyRequest, user: User) -> bool:
    """Say whether this person may do it now. Nobody decides on a request about themselves, whatever their roles."""
    return not is_about(request, user) and _fits(act, request, user)


def allowed(request: PrivacyRequest, user: User) -> dict[str, Act]:
    """Return what this person may do with the request now, by name."""
    if is_about(request, user):  # asked once: the page looks at every act
        return {}
    return {name: act for name, act in ACTS.items() if _fits(act, request, user)}


def _fits(act: Act, request: PrivacyRequest, user: User) -> bool:
    return user.has_perm(act.permission) and act.fits(request, user)


def _is_unverified(request: PrivacyRequest, user: User) -> bool:
    return request.status in (Status.RECEIVED, Status.VERIFYING)


def _waits_for_first(request: PrivacyRequest, user: User) -> bool:
    is_first = request.status == Status.IN_REVIEW and not request.approvals.exists()
    return is_first and not _lacks_corrections(request) and not _waits_for_another(request)


def _waits_for_another(request: PrivacyRequest) -> bool:
    """Say whether an erasure waits until a rectification is decided that calls wrong what it would go by."""
    return request.key_id is not None and waits_for_rectification(request)


def _lacks_corrections(request: PrivacyRequest) -> bool:
    """Say whether a rectification waits until it is said for every place what is corrected there."""
    if request.kind != Kind.RECTIFICATION or request.key_id is None:
        return False
    return bool(unspoken(details_of(request), Location.objects.that_ever_held_data()))


def _takes_corrections(request: PrivacyRequest, user: User) -> bool:
    is_open = request.status == Status.IN_REVIEW or request.status in ACTIVE
    return request.kind == Kind.RECTIFICATION and is_open and bool(open_places(request))


def _may_be_released(request: PrivacyRequest, user: User) -> bool:
    return request.kind == Kind.RESTRICTION and is_standing(request)


def _waits_for_second(request: PrivacyRequest, user: User) -> bool:
    approvals = request.approvals.all()
    if request.status != Status.IN_REVIEW or not approvals.exists() or _waits_for_another(request):
        return False
    return not approvals.filter(officer=user).exists()


def _is_undecided(request: PrivacyRequest, user: User) -> bool:
    return request.status in UNDECIDED


def _is_extendable(request: PrivacyRequest, user: User) -> bool:
    if request.status in ENDED or regime_of(request.regime).extended is None:
        return False
    clock = request.clocks.filter(duty="respond", met_at__isnull=True).order_by("due_on").first()
    return clock is not None and clock.extended_on is None and today() <= clock.due_on


def _is_readable(request: PrivacyRequest, user: User) -> bool:
    return request.key_id is not None


def _is_unfinished(request: PrivacyRequest, user: User) -> bool:
    return request.status not in ENDED


def _is_withdrawable(request: PrivacyRequest, user: User) -> bool:
    return selectors.is_withdrawable(request)


def waits_for_copy(request: PrivacyRequest) -> bool:
    """Say whether an erasure stands still because the person has not fetched their copy."""
    if request.kind != Kind.ERASURE or request.waives_archive_first or request.status in ENDED:
        return False
    return request.steps.filter(state=Step.State.BLOCKED, reason=Reason.WAITS_FOR_ARCHIVE).exists()


def _is_holdable(request: PrivacyRequest, user: User) -> bool:
    return request.subject_id is not None and not request.is_destroyed and request.status not in ENDED


def _may_be_lifted(request: PrivacyRequest, user: User) -> bool:
    return request.subject_id is not None and request.status not in ENDED


def _may_be_confirmed(request: PrivacyRequest, user: User) -> bool:
    return _may_be_noted(request, user) and was_let_go(request)


def _may_be_noted(request: PrivacyRequest, user: User) -> bool:
    return request.key_id is not None and request.status not in ENDED


ACTS: dict[str, Act] = {
    act.name: act
    for act in (
        Act("identity", _("Check the identity"), REVIEW, _is_unverified, "identity/"),
        Act("approve", _("Look at the plan and approve"), REVIEW, _waits_for_first, "approve/"),
        Act("second", _("Look at the plan and approve as the second person"), SECOND, _waits_for_second, "approve/"),
        Act("corrections", _("Say what is corrected where"), REVIEW, _takes_corrections, "corrections/"),
        Act("lift_restriction", _("Lift the restriction"), REVIEW, _may_be_released, "lift-restriction/"),
        Act("go_on", _("Erase without waiting for the copy"), REVIEW, lambda r, u: waits_for_copy(r), "go-on/"),
        Act("refuse", _("Refuse"), REVIEW, _is_undecided, "refuse/"),
        Act("message", _("Write to the person"), REVIEW, _is_readable, "message/"),
        Act("extend", _("Extend the deadline"), REVIEW, _is_extendable, "extend/"),
        Act("assign", _("Assign"), VIEW, _is_unfinished, "assign/"),
        Act("hold", _("Place a legal hold"), REVIEW, _is_holdable, "hold/"),
        Act("known_by", _("What the person is known by"), REVIEW, _may_be_noted, "known-by/"),
        Act("confirm_known_by", _("Confirm what was noted"), SECOND, _may_be_confirmed, "known-by/confirm/"),
        Act("withdraw", _("Withdraw for the person"), REVIEW, _is_withdrawable, "withdraw/"),
        Act("lift", _("Lift this hold"), REVIEW, _may_be_lifted, ""),
        Act("retry", _("Try again"), REVIEW, _is_unfinished, ""),
    )
}
PRIMARY = ("identity", "approve", "second", "go_on", "corrections")  # what the page is for: the first that fits
MORE = (
    "corrections", "message", "lift_restriction", "assign", "known_by", "confirm_known_by", "extend", "hold", "withdraw",
)  # fmt: skip
