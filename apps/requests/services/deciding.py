"""Deciding on a request: whether it is the person, yes, no, and the plan that a yes makes."""

from __future__ import annotations

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.access import holds_permission
from apps.accounts.models import User
from apps.accounts.services import officer_handle
from apps.audit import services as audit
from apps.audit.actors import Actor, Role
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.locations.models import Location
from apps.records.models import Conversation, Subject
from apps.records.subjects import is_of_staff
from apps.requests import letters
from apps.requests.closing import mark_ended
from apps.requests.corrections import unspoken
from apps.requests.doubting import waits_for_rectification
from apps.requests.engine import poke
from apps.requests.errors import (
    ApproverLeft,
    CorrectionsWanted,
    EmptyText,
    ErasureAgreed,
    IdentityDoubted,
    IdentityTooLow,
    NoLocation,
    NotApprovable,
    OtherRestriction,
    OwnRequest,
    PlanChanged,
    SamePerson,
    SecondApproverWanted,
    UnknownGround,
    WrongStatus,
)
from apps.requests.models import ENDED, Approval, Kind, Message, PrivacyRequest, Status, Step
from apps.requests.regimes import TWO_OFFICERS, is_enough, regime_of
from apps.requests.schedule import ACTIVE, plan
from apps.requests.vault import Vault, details_of, open_vault, seal_details, seal_message
from apps.requests.who import mark_of

PERSON, STANDING_POLICY, COMMAND_LINE = "person", "standing_policy", "command_line"
UNDECIDED = (Status.RECEIVED, Status.VERIFYING, Status.IN_REVIEW)
REVIEW, SECOND = "requests.review_privacyrequest", "requests.approve_erasure_second"  # who gives which approval
BY_STAFF = (Role.OFFICER, Role.APPROVER, Role.ADMINISTRATOR)


@transaction.atomic
def confirm_identity(request: PrivacyRequest, *, level: str, methods: list[str], actor: Actor) -> None:
    """Record how sure we are who asks, and by what; enough for this right, and the request goes to review."""
    refuse_own(request, actor)
    _lock(request, *UNDECIDED)
    wanted = regime_of(request.regime).right(request.kind).identity
    status = Status.IN_REVIEW if is_enough(level, wanted) else Status.VERIFYING
    vault = open_vault(request)
    details = details_of(request, vault) | {"identity_methods": methods}
    PrivacyRequest.objects.filter(pk=request.pk).update(
        identity_level=level, status=status, sealed=seal_details(request, details, vault)
    )
    audit.append(Event.REQUEST_VERIFIED, about=request.handle, actor=actor, identity=level)
    request.refresh_from_db()


def approve_request(
    request: PrivacyRequest, *, actor: Actor, officer: User | None = None, rule: str = PERSON, seen: str = ""
) -> bool:
    """Approve a reviewed request and plan one step for every place that ever held data; False: a second yes is wanted.

    `rule`: an officer's yes ("person"), the standing policy for people who are signed in, or the command line, which
    counts as every approval and skips the cooling-off. `seen`: who the plan was that the officer looked at
    (who.mark_of). Raises WrongStatus, IdentityTooLow, OwnRequest, SamePerson, PlanChanged, SecondApproverWanted,
    ApproverLeft, NoLocation, NotApprovable, CorrectionsWanted, ErasureAgreed, IdentityDoubted, OtherRestriction.
    """
    if rule == PERSON and _void_of_who_left(request, actor):
        raise ApproverLeft(request.reference)
    return _approve(request, actor, officer, rule, seen)


@transaction.atomic
def _void_of_who_left(request: PrivacyRequest, actor: Actor) -> bool:
    """Take back a first approval of somebody who has left or lost the role since; say whether there was one."""
    _lock(request, Status.IN_REVIEW)
    given = request.approvals.filter(rule=PERSON)
    left = [one.pk for one in given if one.officer_id is None or not holds_permission(one.officer_id, REVIEW)]
    if left:
        given.filter(pk__in=left).delete()
        audit.append(Event.APPROVALS_VOIDED, about=request.handle, actor=actor, approvals=len(left))
    return bool(left)


@transaction.atomic
def _approve(request: PrivacyRequest, actor: Actor, officer: User | None, rule: str, seen: str) -> bool:
    _lock(request, Status.IN_REVIEW)
    refuse_own(request, actor, officer)
    if seen and seen != mark_of(request):
        raise PlanChanged(request.reference)
    if rule == COMMAND_LINE and not settings.COMMAND_LINE_APPROVAL:
        raise NotApprovable
    if not is_enough(request.identity_level, regime_of(request.regime).right(request.kind).identity):
        raise IdentityTooLow(request.reference)
    _check_ready(request, rule)
    is_second = request.approvals.exists()
    if is_second and not _may_approve_second(request, officer):
        raise SecondApproverWanted(request.reference)
    _write_approval(request, officer, rule)
    is_enough_yes = rule != PERSON or is_second or not needs_second_approver(request)
    steps = _plan(request) if is_enough_yes else 0
    _log_approval(request, actor, rule, steps, is_second=is_second)
    if is_enough_yes:
        _set_going(request, rule)
    return is_enough_yes


def _check_ready(request: PrivacyRequest, rule: str) -> None:
    """Refuse what cannot be carried out as it stands."""
    if request.kind == Kind.RECTIFICATION and is_erasure_decided(request):
        raise ErasureAgreed(request.reference)
    if waits_for_rectification(request):
        raise IdentityDoubted(request.reference)
    if request.kind == Kind.RECTIFICATION and rule == PERSON:  # a rule: what nobody spoke of is done by hand
        places = Location.objects.that_ever_held_data()
        if unspoken(details_of(request), places):
            raise CorrectionsWanted(request.reference)
    if request.kind == Kind.RESTRICTION and request.subject_id is not None:
        list(Subject.objects.select_for_update(no_key=True).filter(pk=request.subject_id))  # one of them at a time
        others = PrivacyRequest.objects.filter(kind=request.kind, subject_id=request.subject_id, lifted_at__isnull=True)
        if others.exclude(pk=request.pk).filter(status__in=(*ACTIVE, Status.COMPLETED)).exists():
            raise OtherRestriction(request.reference)


def is_erasure_decided(request: PrivacyRequest) -> bool:
    """Say whether another request of the same person is an erasure to which somebody has said yes."""
    if request.subject_id is None:
        return False
    erasures = PrivacyRequest.objects.filter(subject_id=request.subject_id, kind=Kind.ERASURE).exclude(pk=request.pk)
    return erasures.exclude(status__in=ENDED).filter(approvals__isnull=False).exists()


def is_about(request: PrivacyRequest, officer: User) -> bool:
    """Say whether the request is this officer's own."""
    return request.subject_id is not None and Subject.objects.filter(pk=request.subject_id, account=officer).exists()


def refuse_own(request: PrivacyRequest, actor: Actor, officer: User | None = None) -> None:
    """Raise OwnRequest where somebody on the staff would act on a request about themselves. Every service asks here.

    What they do as the person whose request it is (another handle) is theirs to do.
    """
    if request.subject_id is None:
        return
    if is_of_staff(request.subject_id, actor) or (officer is not None and is_about(request, officer)):
        raise OwnRequest(request.reference)


def needs_second_approver(request: PrivacyRequest) -> bool:
    """Say whether two people must agree to an erasure: above the operator's threshold, and wherever staff have said
    themselves whose data it takes. What other places hold of somebody whom one officer names, nobody counts here.
    """
    if regime_of(request.regime).right(request.kind).approval != TWO_OFFICERS:
        return False
    held = Conversation.objects.filter(subject_id=request.subject_id).count() if request.subject_id else 0
    return held > settings.SECOND_APPROVER_ABOVE_CONVERSATIONS or _was_noted_by_staff(request)


def _was_noted_by_staff(request: PrivacyRequest) -> bool:
    """Say whether staff have noted what the person is known by, with this request or an earlier one: the log knows."""
    subject = Subject.objects.filter(pk=request.subject_id).first() if request.subject_id else None
    about = [request.handle, *([subject.handle] if subject else [])]
    return Entry.objects.filter(about__in=about, event=Event.IDENTITY_ADDED, role__in=BY_STAFF).exists()


def _may_approve_second(request: PrivacyRequest, officer: User | None) -> bool:
    if officer is None:
        return True  # a rule
    if request.approvals.filter(officer=officer).exists():
        raise SamePerson(request.reference)
    return officer.has_perm(SECOND)


def _write_approval(request: PrivacyRequest, officer: User | None, rule: str) -> None:
    try:
        with transaction.atomic():
            Approval.objects.create(request=request, officer=officer, rule=rule)
    except IntegrityError:
        raise SamePerson(request.reference) from None


def _plan(request: PrivacyRequest) -> int:
    """Write the steps: nobody picks the places, and none at all is an error."""
    locations = list(Location.objects.that_ever_held_data())
    if not locations:
        raise NoLocation
    return len(Step.objects.bulk_create(plan(request, locations)))


def _log_approval(request: PrivacyRequest, actor: Actor, rule: str, steps: int, *, is_second: bool) -> None:
    places = request.steps.filter(location__isnull=False).count()
    if rule == COMMAND_LINE:
        audit.append(
            Event.COMMAND_LINE_APPROVAL,
            about=request.handle,
            actor=actor,
            steps=steps,
            locations=places,
            skips_cooling_off=request.kind == Kind.ERASURE and request.cooling_off_until is not None,
        )
        return
    event = Event.REQUEST_SECOND_APPROVED if is_second else Event.REQUEST_APPROVED
    audit.append(event, about=request.handle, actor=actor, rule=rule, steps=steps, locations=places)


def _set_going(request: PrivacyRequest, rule: str) -> None:
    until = None if rule == COMMAND_LINE else request.cooling_off_until
    waits = until is not None and until > timezone.now()
    changed = PrivacyRequest.objects.filter(pk=request.pk, status=Status.IN_REVIEW).update(
        status=Status.COOLING_OFF if waits else Status.APPROVED, cooling_off_until=until
    )
    if not changed:
        raise WrongStatus(request.reference)
    request.refresh_from_db()
    if waits:
        audit.append(Event.REQUEST_COOLING_OFF, about=request.handle, actor=Actor.system(), until=until)
    if rule != STANDING_POLICY:  # that one says yes in the same moment: one letter is enough
        letters.approved(request, open_vault(request))
    poke(request.pk)


@transaction.atomic
def refuse_request(request: PrivacyRequest, *, ground: str, text: str, actor: Actor) -> None:
    """Refuse with a ground of the regime and a reason that the person reads, in the letter and on the page."""
    refuse_own(request, actor)
    _lock(request, *UNDECIDED)
    lawful = regime_of(request.regime).ground(ground, request.kind)
    if lawful is None:
        raise UnknownGround(ground)
    if not text.strip():
        raise EmptyText
    vault = open_vault(request)
    mark_ended(request, Status.REFUSED, ground=ground)
    write_message(request, text, vault, is_from_person=False)
    audit.append(Event.REQUEST_REFUSED, about=request.handle, actor=actor, ground=ground)
    request.refresh_from_db()
    letters.refused(request, vault, ground=lawful, text=text)


@transaction.atomic
def assign_request(request: PrivacyRequest, officer: User | None, *, actor: Actor) -> None:
    """Give the request to an officer, or to nobody."""
    refuse_own(request, actor)
    changed = PrivacyRequest.objects.filter(pk=request.pk).exclude(
        assigned_to=officer, assigned_to__isnull=officer is None
    )
    if changed.update(assigned_to=officer):
        handle = officer_handle(officer) if officer else None
        audit.append(Event.REQUEST_ASSIGNED, about=request.handle, actor=actor, officer=handle)
    request.refresh_from_db()


def write_message(request: PrivacyRequest, text: str, vault: Vault, *, is_from_person: bool) -> Message:
    message = Message(request=request, is_from_person=is_from_person)
    message.sealed = seal_message(message, text, vault)
    message.save(force_insert=True)
    return message


def _lock(request: PrivacyRequest, *statuses: str) -> None:
    """Lock the request's row and refresh it; raises WrongStatus unless it is in one of the states."""
    locked = PrivacyRequest.objects.select_for_update().filter(pk=request.pk, status__in=statuses).first()
    if locked is None:
        raise WrongStatus(request.reference)
    request.refresh_from_db()
