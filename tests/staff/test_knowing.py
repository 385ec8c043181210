"""What else a person is known by: staff see which places ask for what, and add it to the person or to the request."""

from __future__ import annotations

from pathlib import Path

import pytest
from allauth.account.models import EmailAddress

from apps.accounts.models import User
from apps.audit.actors import Actor
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.locations.services import save_location
from apps.records.subjects import create_subject, freeze_subject, identities_of, subject_for
from apps.requests import selectors
from apps.requests.models import Kind, Step
from tests.requests.conftest import approved, events, filed, run
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
def test_an_erasure_that_waits_for_a_number_goes_on_when_staff_add_it(at_cleos, ada, crm):
    request = run(approved(ada, Kind.ERASURE))
    step = request.steps.get(location__name="CRM")
    assert (step.state, step.reason) == (Step.State.NEEDS_PERSON, Reason.NO_IDENTITY)
    at_cleos.look(request)
    at_cleos.post(f"{page(request)}known-by/", {"kind": "customer_no", "value": "K-17"})
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
