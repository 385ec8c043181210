"""Rectification and restriction at the staff's desks: what is corrected where, the yes, tasks by hand, lifting."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apps.audit.actors import Actor
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.mail.models import Letter
from apps.records import subjects
from apps.requests.corrections import HAND, NOTHING, VALUES, corrections_of
from apps.requests.dates import today
from apps.requests.models import PrivacyRequest, Status, Task
from apps.requests.vault import details_of
from tests.requests.conftest import events, filed, run, states
from tests.requests.fakes import ChangingPlace
from tests.staff.conftest import Desk, page, text_of

pytestmark = pytest.mark.django_db(databases=["default", "keys"])

ADA = "ada@example.org"
WISH = {"where": "account", "wrong": "<b>Adda</b>", "right": "Ada & Co"}
RESTING = {"ground": "claim", "what": "All of it, <i>please</i>."}


@pytest.fixture
def crm(own_places, settings, tmp_path) -> ChangingPlace:
    settings.CONNECTORS = settings.CONNECTORS | {"changing": "tests.requests.fakes.ChangingPlace"}
    config = {"folder": str(tmp_path / "crm")}
    save_location(Location(kind="changing", name="CRM"), config=config, actor=Actor.system())
    place = ChangingPlace(config)
    place.set(ADA, name="Adda")
    return place


def answers(**ways: dict[str, str]) -> dict[str, str]:
    """Fill in the page: each place named as said, every other one with nothing to correct."""
    sent: dict[str, str] = {}
    for place in Location.objects.all():
        values = ways.get(place.name.replace(" ", "_"), {"way": NOTHING})
        sent |= {f"{place.pk.hex}-{name}": value for name, value in values.items()}
    return sent


VALUE = {"way": VALUES, "field_0": "name", "before_0": "Adda", "value_0": "Ada"}


def noted(request: PrivacyRequest) -> dict[str, Any]:
    request.refresh_from_db()
    names = {str(place.pk): place.name for place in Location.objects.all()}
    return {names[pk]: one for pk, one in corrections_of(details_of(request)).items()}


@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_from_filing_to_the_receipt_by_the_pages_alone(at_cleos, ada, crm, place):
    request = filed(ada, "rectification", asked=WISH)
    text = at_cleos.look(request)
    assert "&lt;b&gt;Adda&lt;/b&gt;" in text
    assert "Say for each place what is corrected there" in text
    assert f"{page(request)}approve/" not in text.replace('href="', f'href="{page(request)}')
    form = at_cleos.read(f"{page(request)}corrections/")
    assert "Support desk" in form
    assert "The place writes these values" in form
    answer = at_cleos.post(f"{page(request)}corrections/", answers(CRM=VALUE, Support_desk={"way": HAND}), follow=True)
    assert "Noted what is corrected where." in text_of(answer)
    plan = at_cleos.read(f"{page(request)}approve/")
    for words in (
        "1 value is corrected",
        "A person corrects it by hand",
        "Nothing is corrected here",
        "Approve and correct it in 5 places",
    ):
        assert words in plan, words
    at_cleos.post(f"{page(request)}approve/", follow=True)
    run(request)
    assert (request.status, crm.values[ADA]["name"]) == (Status.PARTLY_COMPLETED, "Ada")
    task = Task.objects.get(request=request)
    shown = at_cleos.read(f"{page(request)}tasks/{task.pk}/")
    assert "as far as it is right" in shown
    assert "Ada &amp; Co" in shown
    assert "Files for the person" not in shown
    at_cleos.post(f"{page(request)}tasks/{task.pk}/", {"note": "Corrected the card.", "item_count": 1})
    assert run(request).status == Status.COMPLETED
    assert "Complete since" in at_cleos.read(page(request))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"way": "everything"},
        {"way": VALUES},
        {"way": VALUES, "before_0": "Adda", "value_0": "Ada"},
        {"way": VALUES, "field_0": "name"},
        VALUE | {"way": HAND},
        VALUE | {"way": NOTHING},
    ],
)
def test_what_is_unclear_is_shown_again_and_nothing_is_noted(at_cleos, ada, crm, wrong):
    request = filed(ada, "rectification", asked=WISH)
    at_cleos.look(request)
    answer = at_cleos.post(f"{page(request)}corrections/", answers(CRM=wrong))
    assert "Something is missing below" in text_of(answer)
    assert noted(request) == {}
    at_cleos.post(f"{page(request)}corrections/", answers(CRM=VALUE))
    assert noted(request)["CRM"].changes[0].value == "Ada"


@pytest.mark.slow
def test_what_is_found_there_is_asked_for_when_something_they_are_known_by_is_wrong(at_cleos, ada, crm):
    subjects.add_identity(ada, "user_id", "42", actor=Actor.system())
    request = filed(ada, "rectification", asked=WISH)
    at_cleos.look(request)
    wrong = {"way": VALUES, "field_0": "user_id", "before_0": "42", "value_0": "4"}
    unseen = {"way": VALUES, "field_0": "name", "value_0": "Ada"}
    answer = text_of(at_cleos.post(f"{page(request)}corrections/", answers(Conversations=wrong, CRM=unseen)))
    assert "may find somebody else" in answer
    assert answer.count("Write what is found there.") == 1
    assert 'value="42"' in answer
    assert noted(request) == {}
    at_cleos.post(f"{page(request)}corrections/", answers(Conversations=wrong, CRM=VALUE))
    assert noted(request)["CRM"].changes[0].before == "Adda"


def test_a_place_that_cannot_is_offered_no_values(at_cleos, ada, place):
    request = filed(ada, "rectification", asked=WISH)
    at_cleos.look(request)
    answer = at_cleos.post(f"{page(request)}corrections/", answers(Support_desk=VALUE))
    assert "Something is missing below" in text_of(answer)
    assert noted(request) == {}


@pytest.mark.slow
def test_without_it_nobody_can_approve_and_nobody_without_the_role_fills_it_in(at_cleos, at_roots, ada, crm):
    request = filed(ada, "rectification", asked=WISH)
    at_cleos.look(request)
    answer = at_cleos.post(f"{page(request)}approve/", follow=True)
    assert "not in a state" in text_of(answer)
    assert request.approvals.count() == 0
    assert at_roots.post(f"{page(request)}corrections/", answers(CRM=VALUE)).status_code in (302, 403)
    assert Desk().post(f"{page(request)}corrections/", answers(CRM=VALUE)).status_code == 302
    assert noted(request) == {}


def test_a_copy_is_not_corrected(at_cleos, ada, crm):
    request = filed(ada, "access")
    at_cleos.look(request)
    at_cleos.post(f"{page(request)}corrections/", answers(CRM=VALUE))
    assert noted(request) == {}


@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
class TestRestriction:
    def restricted(self, desk: Desk, ada: Any) -> PrivacyRequest:
        request = filed(ada, "restriction", asked=RESTING)
        desk.look(request)
        plan = desk.read(f"{page(request)}approve/")
        assert "What a restriction does" in plan
        assert "&lt;i&gt;please" in plan
        desk.post(f"{page(request)}approve/", follow=True)
        return run(request)

    @pytest.mark.slow
    def test_the_plan_says_who_has_to_mark_it_by_hand(self, at_cleos, ada, place):
        request = filed(ada, "restriction", asked=RESTING)
        at_cleos.look(request)
        assert at_cleos.read(f"{page(request)}approve/").count("It has no mark for this") == 1
        at_cleos.post(f"{page(request)}approve/", follow=True)
        assert states(run(request))["Support desk"] == "needs_person"

    def test_it_is_lifted_with_a_letter_that_is_looked_at_first(self, at_cleos, ada):
        request = self.restricted(at_cleos, ada)
        assert "The restriction stands" in at_cleos.read(page(request))
        url, day = f"{page(request)}lift-restriction/", (today() + timedelta(days=5)).isoformat()
        at_cleos.read(url)
        values = {"on": day, "text": "The claim is settled."}
        letters = Letter.objects.filter(owner=request.pk).count()
        shown = text_of(at_cleos.post(url, values))
        assert "The letter, as the person will get it" in shown
        assert "we lift that, because" in shown
        assert Letter.objects.filter(owner=request.pk).count() == letters
        seal = shown.split('name="shown" value="')[1].split('"')[0]
        at_cleos.post(url, values | {"shown": seal})
        assert Letter.objects.filter(owner=request.pk).count() == letters + 1
        request.refresh_from_db()
        assert request.lift_on == today() + timedelta(days=5)
        assert "request.lift_announced" in events(request)
        assert "The person was told: it is lifted on" in at_cleos.read(page(request))

    @pytest.mark.slow
    @pytest.mark.parametrize("days", [0, -1])
    def test_not_before_the_person_knows(self, at_cleos, ada, days):
        request = self.restricted(at_cleos, ada)
        day = (today() + timedelta(days=days)).isoformat()
        answer = at_cleos.post(f"{page(request)}lift-restriction/", {"on": day, "text": "Because."})
        assert "choose a day after today" in text_of(answer)
        request.refresh_from_db()
        assert request.lift_on is None

    @pytest.mark.slow
    def test_only_what_stands_is_lifted(self, at_cleos, ada):
        request = filed(ada, "restriction", asked=RESTING)
        at_cleos.look(request)
        day = (today() + timedelta(days=5)).isoformat()
        answer = at_cleos.post(f"{page(request)}lift-restriction/", {"on": day, "text": "Because."}, follow=True)
        assert "not in a state" in text_of(answer)
