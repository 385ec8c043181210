"""While a rectification calls wrong what Ada is known by, nobody's data is taken by it: it may be Ben's."""

from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress

from apps.audit.actors import Actor
from apps.records import subjects
from apps.requests import services
from apps.requests.corrections import HAND, Correction
from apps.requests.doubting import doubted_kinds, waits_for_rectification
from apps.requests.errors import IdentityDoubted
from apps.requests.models import Status
from apps.requests.staff import todo
from apps.requests.staff.request_page import sentence
from apps.requests.vault import details_of
from tests.requests.amending import said, values
from tests.requests.conftest import ADA, approved, as_officer, filed, run, step_at, there, wake

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


@pytest.fixture(autouse=True)
def _both_are_there(ada, ben, place):
    subjects.add_identity(ada, "email", "b.en@example.org", actor=Actor.system())
    place.put("b.en@example.org", 3)


def doubting(subject, wrong="You have me as B.EN@example.org.", where="account"):
    return filed(subject, "rectification", asked={"where": where, "wrong": wrong, "right": "Nothing"})


def refuse(request, cleo):
    ground = "accurate"
    services.refuse_request(request, ground=ground, text="It is yours.", actor=as_officer(cleo))


def test_a_copy_waits_at_that_place_alone_and_goes_on_when_it_is_decided(ada, cleo, place):
    open_one = doubting(ada)
    copy = run(filed(ada, "access"))
    waiting = step_at(copy, "Support desk")
    assert (waiting.state, waiting.reason, waiting.done_count) == ("blocked", "doubted", 0)
    assert copy.status == Status.PARTLY_COMPLETED
    assert step_at(copy, "Conversations").state == "done"
    refuse(open_one, cleo)
    assert run(copy).status == Status.COMPLETED
    assert step_at(copy, "Support desk").done_count == 3  # nothing is wrong after all


def test_what_she_is_not_known_by_any_more_finds_nothing_of_bens(ada, place):
    doubting(ada)
    copy = run(filed(ada, "access"))
    assert step_at(copy, "Support desk").reason == "doubted"
    held = subjects.held_identity(ada, "email", "b.en@example.org")
    subjects.remove_identity(ada, there(held).pk, actor=Actor.system())
    wake(copy)
    assert run(copy).status == Status.COMPLETED
    assert step_at(copy, "Support desk").done_count == 0


def test_an_erasure_is_not_approved_before_by_nobody_and_no_rule(ada, cleo, place):
    open_one = doubting(ada)
    erasure = filed(ada, "erasure")
    for how in ({"officer": cleo, "actor": as_officer(cleo)}, {"rule": "command_line", "actor": Actor.command_line()}):
        with pytest.raises(IdentityDoubted) as refused:
            services.approve_request(erasure, **how)
        assert str(refused.value) == erasure.reference
    assert not erasure.approvals.exists()
    assert "approve" not in todo.allowed(erasure, cleo)
    assert "Decide on that one first" in sentence(erasure, cleo, [], {})
    refuse(open_one, cleo)
    assert "approve" in todo.allowed(erasure, cleo)
    services.approve_request(erasure, officer=cleo, actor=as_officer(cleo))


def test_one_that_was_approved_before_does_not_begin(ada, cleo, place):
    erasure = approved(ada)
    open_one = doubting(ada)
    run(erasure)
    prepare = erasure.steps.get(phase="prepare")
    assert (prepare.state, prepare.reason) == ("blocked", "doubted")
    assert len(list(place.folder.glob("**/*"))) > 0 and "identities" not in details_of(erasure)
    assert subjects.Subject.objects.get(pk=ada.pk).frozen_at is None
    refuse(open_one, cleo)
    assert run(erasure).status == Status.COMPLETED


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ("My telephone and my name are wrong: Ada, 555.", "account"),
        ("It says b.en@example.org.", "conversation"),
        ("You have me as somebody@example.org.", "account"),
        ("You have me as xb.en@example.org.uk.", "elsewhere"),
    ],
)
def test_what_names_nobody_or_is_not_hers_or_stands_in_a_text_holds_nothing_up(ada, place, wrong, where):
    subjects.add_identity(ada, "phone", "555", actor=Actor.system())
    doubting(ada, wrong, where)
    assert not waits_for_rectification(filed(ada, "erasure"))


def test_a_proven_address_another_persons_request_and_one_that_has_ended_hold_nothing_up(ada, ben, cleo, place):
    doubting(ben)
    erasure = filed(ada, "erasure")
    assert not waits_for_rectification(erasure)
    refuse(doubting(ada), cleo)
    assert not waits_for_rectification(erasure)
    open_one = doubting(ada, f"Not {ADA} any more")
    assert doubted_kinds(erasure, details_of(erasure)) == {"email"}
    EmailAddress.objects.create(user=ada.account, email=ADA, verified=True, primary=True)
    assert doubted_kinds(erasure, details_of(erasure)) == set()
    called = said(Conversations=values(("email", "b.en@example.org", None)), Support_desk=Correction(HAND))
    services.note_corrections(open_one, called, actor=as_officer(cleo))  # what an officer calls wrong counts as well
    assert waits_for_rectification(erasure)
