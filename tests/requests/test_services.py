"""Opening, deciding, changing: each with its entry, each only from the states that allow it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.audit.actors import Actor
from apps.keys import services as keys
from apps.keys.models import Key
from apps.locations.models import Location
from apps.mail.models import Letter
from apps.records.subjects import add_identity, freeze_subject
from apps.requests import selectors, services
from apps.requests.errors import (
    AlreadyExtended,
    EmptyText,
    IdentityTooLow,
    NoLocation,
    NotApprovable,
    SamePerson,
    SecondApproverWanted,
    TooLate,
    UnknownGround,
    UnknownKind,
    UnknownRegime,
    WrongStatus,
)
from apps.requests.models import Clock, Kind, PrivacyRequest, Status, Step
from apps.requests.vault import details_of
from tests.requests.conftest import ADA, as_officer, as_person, events, filed, staff, there

pytestmark = pytest.mark.django_db(databases=["default", "keys"])


@pytest.fixture(autouse=True)
def _policy(settings):
    settings.AUTOMATIC_ACCESS_APPROVAL = False


def test_opening_writes_row_clocks_entry_and_letter(ada):
    opened = services.open_request(ada, kind="access", regime="gdpr", actor=as_person(ada), note="the spring as well")
    request = opened.request
    assert request.status == Status.IN_REVIEW
    assert events(request) == ["request.opened"]
    assert [(clock.duty, clock.due_on) for clock in request.clocks.all()] == [("respond", request.due_on)]
    assert Letter.objects.get(owner=request.pk).key_id == request.key_id
    assert selectors.note_of(request) == "the spring as well"
    assert b"spring" not in bytes(there(request.sealed))


def test_letters_go_to_the_address_of_the_sign_in_whatever_else_they_are_known_by(ada):
    for number in range(8):  # they are kept in the order of random ids
        add_identity(ada, "email", f"not-proven-{number}@example.org", actor=Actor.system())
    assert details_of(filed(ada))["email"] == ADA


def test_the_code_opens_the_request_and_a_wrong_one_does_not(ada):
    opened = services.open_request(ada, kind="access", regime="gdpr", actor=as_person(ada))
    reference = opened.request.reference
    assert selectors.by_reference_and_code(reference.lower(), opened.code) == opened.request
    assert selectors.by_reference_and_code(reference, opened.code[:-1] + "2X") is None
    assert selectors.by_reference_and_code("HB-2222-2222", opened.code) is None


def test_an_unknown_law_or_right_is_refused_and_leaves_no_live_key(ada):
    before = Key.objects.filter(kind="request", destroyed_at=None).count()
    with pytest.raises(UnknownRegime):
        filed(ada, regime="atlantis")
    with pytest.raises(UnknownKind):
        filed(ada, kind="teleport")
    assert PrivacyRequest.objects.count() == 0
    assert Key.objects.filter(kind="request", destroyed_at=None).count() - before <= 2  # in a test's transaction: swept


def test_ccpa_counts_the_acknowledgement_as_met_by_the_letter(ada):
    request = filed(ada, regime="ccpa")
    acknowledged = request.clocks.get(duty="acknowledge")
    assert acknowledged.met_at is not None
    assert request.due_on == request.clocks.get(duty="respond").due_on


def test_the_standing_policy_approves_the_copy_of_a_signed_in_person_and_no_erasure(ada, settings):
    settings.AUTOMATIC_ACCESS_APPROVAL = True
    assert filed(ada, "access").status == Status.APPROVED
    assert filed(ada, "portability").status == Status.APPROVED
    assert filed(ada, "erasure").status == Status.IN_REVIEW
    assert filed(ada, "access", actor=Actor.command_line()).status == Status.IN_REVIEW
    assert filed(ada, "access", identity_level="none").status == Status.VERIFYING


def test_approval_plans_a_step_for_every_place_that_ever_held_data(ada, cleo, place):
    off = Location.objects.create(kind="fake", name="Old desk", is_enabled=False)
    emptied = Location.objects.create(kind="fake", name="Empty", is_enabled=False, emptied_at=timezone.now())
    request = filed(ada)
    assert services.approve_request(request, officer=cleo, actor=as_officer(cleo))
    planned = {there(step.location).name: step.state for step in request.steps.filter(location__isnull=False)}
    assert set(planned) == set(Location.objects.exclude(pk=emptied.pk).values_list("name", flat=True))
    assert planned[off.name] == Step.State.NEEDS_PERSON
    assert planned["Support desk"] == Step.State.PENDING
    assert request.steps.filter(phase="finish").count() == 1


def test_no_place_at_all_is_an_error(ada, cleo):
    request = filed(ada)
    Location.objects.all().delete()
    with pytest.raises(NoLocation):
        services.approve_request(request, officer=cleo, actor=as_officer(cleo))
    request.refresh_from_db()
    assert request.status == Status.IN_REVIEW
    assert not request.approvals.exists()


def test_an_erasure_above_the_threshold_wants_a_second_person(ada, cleo, dan, settings, monkeypatch):
    settings.SECOND_APPROVER_ABOVE_CONVERSATIONS = -1
    request = filed(ada, "erasure")
    assert services.approve_request(request, officer=cleo, actor=as_officer(cleo)) is False
    request.refresh_from_db()
    assert request.status == Status.IN_REVIEW
    assert not request.steps.exists()
    with pytest.raises(SamePerson):
        services.approve_request(request, officer=cleo, actor=as_officer(cleo))
    assert services.approve_request(request, officer=dan, actor=as_officer(dan)) is True
    request.refresh_from_db()
    assert request.status == Status.COOLING_OFF
    assert events(request)[-3:] == ["request.approved", "request.second_approved", "request.cooling_off"]


def test_the_second_approval_needs_its_permission(ada, cleo, settings):
    settings.SECOND_APPROVER_ABOVE_CONVERSATIONS = -1
    request, other = filed(ada, "erasure"), staff("carl@example.org", "compliance")
    services.approve_request(request, officer=other, actor=as_officer(other))
    with pytest.raises(SecondApproverWanted):
        services.approve_request(request, officer=cleo, actor=as_officer(cleo))


def test_below_the_threshold_one_person_is_enough(ada, cleo, settings):
    settings.SECOND_APPROVER_ABOVE_CONVERSATIONS = 5
    assert services.approve_request(filed(ada, "erasure"), officer=cleo, actor=as_officer(cleo))


def test_the_command_line_counts_as_every_approval_and_says_so(ada, settings):
    settings.SECOND_APPROVER_ABOVE_CONVERSATIONS = -1
    request = filed(ada, "erasure")
    assert services.approve_request(request, rule="command_line", actor=Actor.command_line())
    request.refresh_from_db()
    assert (request.status, request.cooling_off_until) == (Status.APPROVED, None)
    assert events(request)[-1] == "request.command_line_approval"
    settings.COMMAND_LINE_APPROVAL = False
    with pytest.raises(NotApprovable):
        services.approve_request(filed(ada, "erasure"), rule="command_line", actor=Actor.command_line())


def test_identity_must_be_as_sure_as_the_law_wants(ada, cleo):
    request = filed(ada, regime="ccpa", identity_level="none")
    with pytest.raises(WrongStatus):
        services.approve_request(request, officer=cleo, actor=as_officer(cleo))
    services.confirm_identity(request, level="reasonable", methods=["telephone"], actor=as_officer(cleo))
    assert request.status == Status.VERIFYING
    services.confirm_identity(request, level="reasonably_high", methods=["declaration"], actor=as_officer(cleo))
    assert request.status == Status.IN_REVIEW
    PrivacyRequest.objects.filter(pk=request.pk).update(identity_level="reasonable")
    with pytest.raises(IdentityTooLow):
        services.approve_request(request, officer=cleo, actor=as_officer(cleo))


def test_a_refusal_names_a_ground_of_the_law_and_reaches_the_person(ada, cleo):
    request = filed(ada, "erasure")
    with pytest.raises(UnknownGround):
        services.refuse_request(request, ground="because", text="no", actor=as_officer(cleo))
    with pytest.raises(EmptyText):
        services.refuse_request(request, ground="legal_claim", text=" ", actor=as_officer(cleo))
    services.refuse_request(request, ground="legal_claim", text="A court asks for it.", actor=as_officer(cleo))
    assert (request.status, request.ground) == (Status.REFUSED, "legal_claim")
    assert request.retain_until is not None
    assert [told.text for told in selectors.messages_of(request)] == ["A court asks for it."]
    assert Letter.objects.filter(owner=request.pk).count() == 2
    assert events(request)[-1] == "request.refused"
    with pytest.raises(WrongStatus):
        services.approve_request(request, officer=cleo, actor=as_officer(cleo))


def test_a_deadline_is_extended_once_with_a_reason_inside_the_first_period(ada, cleo):
    request = filed(ada)
    first = request.due_on
    with pytest.raises(EmptyText):
        services.extend_deadline(request, text="", actor=as_officer(cleo))
    later = services.extend_deadline(request, text="The desk is still searching.", actor=as_officer(cleo))
    assert later > first
    assert request.due_on == later
    with pytest.raises(AlreadyExtended):
        services.extend_deadline(request, text="More.", actor=as_officer(cleo))


def test_an_extension_after_the_first_period_comes_too_late(ada, cleo):
    request = filed(ada)
    Clock.objects.filter(request=request).update(due_on=timezone.now().date() - timedelta(days=2))
    with pytest.raises(TooLate):
        services.extend_deadline(request, text="Late.", actor=as_officer(cleo))


def test_withdrawing_stops_and_thaws(ada, cleo, settings):
    request = filed(ada, "erasure")
    services.approve_request(request, rule="command_line", actor=Actor.command_line())
    freeze_subject(ada.pk)
    services.withdraw_request(request, actor=as_person(ada))
    ada.refresh_from_db()
    assert (request.status, ada.frozen_at) == (Status.WITHDRAWN, None)
    with pytest.raises(WrongStatus):
        services.withdraw_request(request, actor=as_person(ada))


def test_messages_go_both_ways_and_lie_sealed(ada, cleo):
    request = filed(ada)
    letters = Letter.objects.count()
    services.send_message(request, "Please hurry", actor=as_person(ada))
    assert Letter.objects.count() == letters
    services.send_message(request, "We do", actor=as_officer(cleo))
    assert Letter.objects.count() == letters + 1
    assert [(told.is_from_person, told.text) for told in selectors.messages_of(request)] == [
        (True, "Please hurry"),
        (False, "We do"),
    ]
    assert all(b"hurry" not in bytes(row.sealed) for row in request.messages.all())


def test_assigning_and_looking_are_in_the_log(ada, cleo):
    request = filed(ada)
    services.assign_request(request, cleo, actor=as_officer(cleo))
    services.assign_request(request, cleo, actor=as_officer(cleo))
    services.look_at_request(request, purpose="review", actor=as_officer(cleo))
    assert request.assigned_to == cleo
    assert events(request) == ["request.opened", "request.assigned", "request.looked_at"]


def test_another_persons_request_is_not_there(ada, ben):
    request = filed(ada)
    assert selectors.my_request(ada, request.reference) == request
    assert selectors.my_request(ben, request.reference) is None
    assert list(selectors.by_email("ADA@example.org ")) == [request]
    assert not selectors.by_email("ben@example.org")


def test_request_parts_cannot_be_swapped(ada, ben):
    from apps.sealing.errors import DecryptionError

    first, second = filed(ada), filed(ben)
    second.sealed = first.sealed
    with pytest.raises(DecryptionError):
        selectors.note_of(second)
    assert keys.open_key(there(second.key_id))


def test_erasures_ask_for_everything(ada):
    from datetime import date

    from apps.locations.contract import Scope
    from apps.requests.vault import details_of, scope_of

    request = filed(ada, Kind.ERASURE, scope=Scope(since=date(2026, 1, 1)))
    assert scope_of(details_of(request)) == Scope()
