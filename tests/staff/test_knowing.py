"""What else a person is known by: staff see which places ask for what, and add it to the person or to the request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.utils import timezone

from apps.accounts.models import User
from apps.audit.actors import Actor
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.locations.services import save_location
from apps.records.subjects import create_subject, freeze_subject, identities_of, subject_for
from apps.requests import selectors, services
from apps.requests.errors import NothingNoted, SamePerson
from apps.requests.models import Kind, PrivacyRequest, Step
from tests.requests.conftest import approved, as_officer, events, filed, run, staff
from tests.staff.conftest import page, text_of

pytestmark = pytest.mark.django_db(databases=["default", "keys"])


@pytest.fixture
def crm(own_places: None, tmp_path: Path) -> Path:
    """A place that knows people by a number of the operator's own."""
    for number in ("K-17", "K-18"):
        (tmp_path / "crm" / number).mkdir(parents=True)
        (tmp_path / "crm" / number / "note.txt").write_text("x")
    config = {"root": str(tmp_path / "crm"), "templates": ["{customer_no}/"]}
    save_location(Location(kind="files", name="CRM"), config=config, actor=Actor.system())
    return tmp_path / "crm"


def test_what_is_wanting_is_shown_and_added_to_the_person(at_cleos, ada, crm):
    request = filed(ada)
    at_cleos.look(request)
    text = at_cleos.read(f"{page(request)}known-by/")
    assert "Not known" in text
    assert "CRM" in text
    answer = at_cleos.post(f"{page(request)}known-by/", {"kind": "customer_no", "value": " K-17 "}, follow=True)
    assert "Not known" not in text_of(answer)
    assert ("customer_no", "K-17") in identities_of(ada)
    assert ("customer_no", "K-17") in selectors.identity_of_request(request).values


@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_an_erasure_that_waits_for_a_number_goes_on_when_one_adds_it_and_another_confirms(at_cleos, at_dans, ada, crm):
    """Also where the command line approved it: whose data goes is not for one person to say."""
    request = run(approved(ada, Kind.ERASURE))
    step = request.steps.get(location__name="CRM")
    assert (step.state, step.reason) == (Step.State.NEEDS_PERSON, Reason.NO_IDENTITY)
    at_cleos.look(request)
    at_cleos.post(f"{page(request)}known-by/", {"kind": "customer_no", "value": "K-17"})
    at_cleos.post(f"{page(request)}steps/{step.pk}/retry/")
    run(request)
    assert sorted(path.name for path in crm.iterdir()) == ["K-17", "K-18"]
    at_dans.look(request)
    at_dans.post(f"{page(request)}known-by/confirm/", {"kind": "customer_no", "value": "K-17", "answer": "yes"})
    assert "identity.added" in events(request)
    at_cleos.post(f"{page(request)}steps/{step.pk}/retry/")
    assert run(request).status == "completed"
    assert sorted(path.name for path in crm.iterdir()) == ["K-18"]


def test_with_a_frozen_person_it_is_kept_with_the_request_alone(at_cleos, ada, crm):
    request = filed(ada)
    freeze_subject(ada.pk)
    at_cleos.look(request)
    at_cleos.post(f"{page(request)}known-by/", {"kind": "phone", "value": "+49 30 1"})
    request.refresh_from_db()
    assert ("phone", "+49 30 1") in selectors.identity_of_request(request).values
    assert ("phone", "+49 30 1") not in identities_of(ada)


def test_what_is_somebody_elses_or_no_kind_is_not_added(at_cleos, ada, ben, crm):
    request = filed(ada)
    at_cleos.look(request)
    path = f"{page(request)}known-by/"
    assert "Somebody else is known by this" in text_of(
        at_cleos.post(path, {"kind": "email", "value": "BEN@example.org"})
    )
    assert "Write a kind such as user_id" in text_of(at_cleos.post(path, {"kind": "User Id", "value": "4"}))
    assert dict(selectors.identity_of_request(request).values) == {"email": "ada@example.org"}


def test_who_may_not_review_adds_nothing(at_dans, ada, crm):
    request = filed(ada)
    at_dans.look(request)
    assert at_dans.post(f"{page(request)}known-by/", {"kind": "phone", "value": "1"}).status_code == 403


def test_an_address_that_staff_note_opens_nothing_to_whoever_signs_up_with_it(at_cleos, own_places):
    subject = create_subject(emails=["imported@example.org"])
    request = filed(subject)
    at_cleos.look(request)
    at_cleos.post(f"{page(request)}known-by/", {"kind": "email", "value": "cleo.private@example.org"})
    request.refresh_from_db()
    assert ("email", "cleo.private@example.org") in selectors.identity_of_request(request).values
    private = User.objects.create_user("cleo.private@example.org", "a good password")
    EmailAddress.objects.create(user=private, email=private.email, verified=True, primary=True)
    assert subject_for(private).pk != subject.pk


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("subject_id", "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d", "Habeas gives this id itself"),
        ("phone", "+49 30\x1b[2J", "cannot be seen"),
        ("user_id", "17\u202e71", "cannot be seen"),
    ],
)
def test_what_is_no_identity_is_refused(at_cleos, ada, kind, value, said):
    request = filed(ada)
    at_cleos.look(request)
    assert said in text_of(at_cleos.post(f"{page(request)}known-by/", {"kind": kind, "value": value}))
    at_cleos.post(f"{page(request)}known-by/", {"kind": "user_id", "value": "Jürgen 李"})
    assert dict(selectors.identity_of_request(request).values) == {"email": "ada@example.org", "user_id": "Jürgen 李"}


@pytest.fixture
def two_decide(settings: Any) -> None:
    settings.SECOND_APPROVER_ABOVE_CONVERSATIONS = -1


@pytest.mark.slow
def test_what_is_noted_after_the_first_yes_makes_it_void(at_cleos, at_dans, ada, crm, cleo, two_decide):
    request = filed(ada, Kind.ERASURE)
    services.approve_request(request, actor=as_officer(cleo), officer=cleo)
    at_dans.look(request)
    assert "as the second person" in at_dans.read(page(request))
    at_cleos.look(request)
    path = f"{page(request)}known-by/"
    assert "makes the approval void" in at_cleos.read(path)
    answer = text_of(at_cleos.post(path, {"kind": "customer_no", "value": "K-17"}, follow=True))
    assert "void. Both decide again" in answer
    assert not request.approvals.exists()
    assert "request.approvals_voided" in events(request)
    assert "as the second person" not in at_dans.read(page(request))
    services.approve_request(request, actor=as_officer(cleo), officer=cleo)
    at_cleos.post(path, {"kind": "customer_no", "value": "K-17"})  # a repeat changes nothing
    assert request.approvals.count() == 1
    assert "K-17" in at_dans.read(f"{page(request)}approve/")


@pytest.mark.slow
def test_a_yes_to_a_plan_that_was_about_less_is_asked_for_again(at_cleos, ada, crm, cleo):
    request = filed(ada, Kind.ERASURE)
    at_cleos.look(request)
    assert "K-17" not in at_cleos.read(f"{page(request)}approve/")
    services.note_identity(request, "customer_no", "K-17", officer=cleo, actor=as_officer(cleo))
    answer = text_of(at_cleos.post(f"{page(request)}approve/", follow=True))
    assert "has changed since you looked" in answer
    assert "K-17" in answer
    assert not request.approvals.exists()
    at_cleos.post(f"{page(request)}approve/")
    assert request.approvals.count() == 1


@pytest.mark.slow
@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_after_two_have_decided_nobody_adds_alone_whose_data_goes(at_cleos, at_dans, ada, crm, cleo, dan, two_decide):
    request = filed(ada, Kind.ERASURE)
    for officer in (cleo, dan):
        services.approve_request(request, actor=as_officer(officer), officer=officer)
    PrivacyRequest.objects.filter(pk=request.pk).update(cooling_off_until=timezone.now(), status="approved")
    step = run(request).steps.get(location__name="CRM")
    at_cleos.look(request)
    at_dans.look(request)
    path, noted = f"{page(request)}known-by/", {"kind": "customer_no", "value": "K-17"}
    assert "before another person has confirmed" in text_of(at_cleos.post(path, noted, follow=True))
    at_cleos.post(path, noted)  # once is enough
    assert at_cleos.post(f"{path}confirm/", noted | {"answer": "yes"}).status_code == 403
    at_cleos.post(f"{page(request)}steps/{step.pk}/retry/")
    assert run(request).steps.get(pk=step.pk).reason == Reason.NO_IDENTITY
    assert len(list(crm.iterdir())) == 2
    assert "K-17" in at_dans.read(f"{path}confirm/")
    assert at_dans.post(path, noted).status_code == 403  # who approves adds nothing
    at_dans.post(f"{path}confirm/", noted | {"answer": "yes"})
    at_cleos.post(f"{page(request)}steps/{step.pk}/retry/")
    assert run(request).status == "completed"
    assert [path.name for path in crm.iterdir()] == ["K-18"]


def test_who_noted_it_confirms_nothing_and_may_take_it_back(ada, cleo, dan, two_decide):
    request = filed(ada, Kind.ERASURE)
    for officer in (cleo, dan):
        services.approve_request(request, actor=as_officer(officer), officer=officer)
    services.note_identity(request, "phone", "1", officer=cleo, actor=as_officer(cleo))
    with pytest.raises(SamePerson):
        services.confirm_noted(request, "phone", "1", officer=cleo, actor=as_officer(cleo))
    services.drop_noted(request, "phone", "1", actor=as_officer(cleo))
    with pytest.raises(NothingNoted):
        services.confirm_noted(request, "phone", "1", officer=dan, actor=as_officer(dan))
    assert dict(selectors.identity_of_request(request).values) == {"email": "ada@example.org"}


@pytest.mark.parametrize("how", ["role", "account"])
def test_what_somebody_noted_who_may_not_any_more_is_taken_back(at_dans, ada, cleo, dan, two_decide, how):
    request = filed(ada, Kind.ERASURE)
    for officer in (cleo, dan):
        services.approve_request(request, actor=as_officer(officer), officer=officer)
    services.note_identity(request, "phone", "1", officer=cleo, actor=as_officer(cleo))
    if how == "role":
        cleo.groups.clear()
    else:
        User.objects.filter(pk=cleo.pk).update(is_active=False)
    at_dans.look(request)
    answer = {"kind": "phone", "value": "1", "answer": "yes"}
    said = text_of(at_dans.post(f"{page(request)}known-by/confirm/", answer, follow=True))
    assert "Whoever noted this may not any more, so it is taken back" in said
    assert dict(selectors.identity_of_request(request).values) == {"email": "ada@example.org"}
    assert events(request)[-1] == "identity.removed"
    with pytest.raises(NothingNoted):
        services.confirm_noted(request, "phone", "1", officer=dan, actor=as_officer(dan))
    carl = staff("carl@example.org", "compliance")
    services.note_identity(request, "phone", "1", officer=carl, actor=as_officer(carl))
    services.confirm_noted(request, "phone", "1", officer=dan, actor=as_officer(dan))
    assert ("phone", "1") in selectors.identity_of_request(request).values


def test_what_is_noted_with_another_request_does_not_change_whose_data_an_erasure_takes(
    ada, crm, cleo, dan, two_decide
):
    erasure, other = filed(ada, Kind.ERASURE), filed(ada)
    services.note_identity(other, "phone", "1", officer=cleo, actor=as_officer(cleo))
    assert ("phone", "1") in selectors.identity_of_request(erasure).values  # the control: nobody has said yes yet
    for officer in (cleo, dan):
        services.approve_request(erasure, actor=as_officer(officer), officer=officer)
        value = f"K-18 {officer.pk}"
        assert services.note_identity(other, "customer_no", value, officer=cleo, actor=as_officer(cleo))
        assert ("customer_no", value) in selectors.identity_of_request(other).values
        assert not [kind for kind, _value in selectors.identity_of_request(erasure).values if kind == "customer_no"]
    assert erasure.approvals.count() == 2


@pytest.mark.slow
def test_whose_data_an_officer_has_named_is_erased_by_two(at_cleos, at_dans, ada, ben, crm):
    plain, named = filed(ben, Kind.ERASURE), filed(ada, Kind.ERASURE)
    assert not services.needs_second_approver(named)
    at_cleos.look(named)
    at_cleos.post(f"{page(named)}known-by/", {"kind": "customer_no", "value": "K-17"})
    assert services.needs_second_approver(named)
    assert not services.needs_second_approver(plain)
    at_cleos.get(f"{page(named)}approve/")
    at_cleos.post(f"{page(named)}approve/")
    named.refresh_from_db()
    assert named.status == "in_review"
    at_dans.look(named)
    at_dans.get(f"{page(named)}approve/")
    at_dans.post(f"{page(named)}approve/")
    named.refresh_from_db()
    assert named.status in ("approved", "cooling_off")


def test_it_is_so_too_when_it_was_noted_with_an_earlier_request(at_cleos, ada, ben, crm):
    earlier = filed(ada)
    at_cleos.look(earlier)
    at_cleos.post(f"{page(earlier)}known-by/", {"kind": "customer_no", "value": "K-17"})
    assert services.needs_second_approver(filed(ada, Kind.ERASURE))
    assert not services.needs_second_approver(filed(ben, Kind.ERASURE))


def test_what_is_noted_after_one_persons_yes_waits_for_another(at_cleos, ada, crm, cleo):
    request = filed(ada, Kind.ERASURE)
    services.approve_request(request, actor=as_officer(cleo), officer=cleo)
    assert request.status in ("approved", "cooling_off")
    at_cleos.look(request)
    at_cleos.post(f"{page(request)}known-by/", {"kind": "customer_no", "value": "K-17"})
    assert ("customer_no", "K-17") not in selectors.identity_of_request(request).values
    assert ("customer_no", "K-17") not in identities_of(ada)
    assert "Waits for a second person" in at_cleos.read(f"{page(request)}known-by/")
