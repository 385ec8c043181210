"""Two people on the staff decide about master keys, on one page; the first cannot be the second."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.keys import services
from apps.keys.epochs import current_epoch
from apps.keys.errors import MasterKeyUnreachable
from apps.keys.models import Epoch, Proposal
from apps.keys.policy import GRACE
from apps.keys.providers.file import FileProvider
from tests.staff.conftest import Desk

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])

PAGE = "/admin/keys/epoch/"


@pytest.fixture
def old(own_places, settings, tmp_path) -> Epoch:
    """An epoch that a roll has emptied, past its grace."""
    settings.MASTER_KEY_DIR = tmp_path / "master-keys"
    services.site_key("sessions")
    epoch = current_epoch()
    services.roll_master_key(actor=Actor.system())
    Epoch.objects.filter(pk=epoch.pk).update(emptied_at=timezone.now() - GRACE - timedelta(hours=1))
    epoch.refresh_from_db()
    return epoch


def press(desk: Desk, path: str, **data) -> str:
    answer = desk.post(f"{PAGE}{path}", data, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_one_proposes_another_approves_and_the_site_destroys(old, at_roots, at_dans, tmp_path):
    before = at_roots.read(PAGE)
    assert "There is no backup of the keys that is newer. Run backup_keys." in before
    assert "New keys are wrapped under it." in before
    assert "cannot be proven" in before
    services.back_up_keys(tmp_path / "b", actor=Actor.system())
    assert "Another person has to approve it" in press(at_roots, "propose/", epochs=[str(old.pk)])
    proposal = Proposal.objects.get()
    own = at_roots.read(PAGE)
    assert "You proposed this. Somebody else has to approve it." in own
    assert f"{proposal.pk}/approve/" not in own
    assert "You proposed this" in press(at_roots, f"proposals/{proposal.pk}/approve/")
    assert services.destroy_master_keys(actor=Actor.system()).destroyed == []
    assert f"{proposal.pk}/approve/" in at_dans.read(PAGE)
    assert "Approved." in press(at_dans, f"proposals/{proposal.pk}/approve/")
    assert services.destroy_master_keys(actor=Actor.system()).destroyed == [old]
    assert not FileProvider().holds(old.reference)
    assert "Destroyed; that a file is gone cannot be proven" in at_dans.read(PAGE)
    actors = set(
        Entry.objects.filter(event__startswith="master_keys.").exclude(actor="").values_list("actor", flat=True)
    )
    assert len(actors) == 2


@pytest.mark.slow
@pytest.mark.parametrize("how", ["role", "account"])
def test_what_somebody_proposed_who_may_not_any_more_is_withdrawn(old, at_roots, root, at_dans, tmp_path, how):
    services.back_up_keys(tmp_path / "b", actor=Actor.system())
    press(at_roots, "propose/", epochs=[str(old.pk)])
    press(at_roots, "policy/")
    proposal, policy = Proposal.objects.get(is_standing=False), Proposal.objects.get(is_standing=True)
    if how == "role":
        root.groups.clear()
    else:
        User.objects.filter(pk=root.pk).update(is_active=False)
    for one in (proposal, policy):
        assert "may not decide about master keys any more" in press(at_dans, f"proposals/{one.pk}/approve/")
        assert "decided in the meantime" in press(at_dans, f"proposals/{one.pk}/approve/")
    assert services.destroy_master_keys(actor=Actor.system()).destroyed == []
    press(at_dans, "propose/", epochs=[str(old.pk)])  # it can be proposed anew
    assert Proposal.objects.filter(withdrawn_at=None).get().proposed_by != root.pk


@pytest.mark.slow
def test_the_standing_policy_takes_two_and_one_ends_it(old, at_roots, at_dans):
    assert "There is none: each destruction takes two people of its own." in at_roots.read(PAGE)
    press(at_roots, "policy/")
    policy = Proposal.objects.get()
    assert "decided in the meantime" in press(at_dans, "policy/")
    assert "Approved." in press(at_dans, f"proposals/{policy.pk}/approve/")
    assert "Two people have set it" in at_roots.read(PAGE)
    assert "Withdrawn." in press(at_roots, f"proposals/{policy.pk}/withdraw/")
    assert "There is none" in at_roots.read(PAGE)
    assert Entry.objects.filter(event=Event.MASTER_KEY_POLICY_ENDED).count() == 1


def test_choosing_nothing_or_something_else_proposes_nothing(old, at_roots):
    for chosen in ([], ["nonsense"], [str(current_epoch().pk)]):
        assert "Choose at least one" in press(at_roots, "propose/", epochs=chosen)
    assert not Proposal.objects.exists()


def test_every_state_has_its_words(old, at_roots, settings):
    settings.MASTER_KEY_ROLL_DAYS = 0
    Epoch.objects.filter(pk=old.pk).update(emptied_at=timezone.now())
    services.installation()
    type(services.installation()).objects.update(restored_at=timezone.now())
    page = at_roots.read(PAGE)
    assert "Work that began earlier may need it until" in page
    assert "Nothing is destroyed until" in page
    assert "only when roll_master_key is run" in page
    Epoch.objects.filter(pk=old.pk).update(intent_entry=1)
    assert "Being destroyed" in at_roots.read(PAGE)
    Epoch.objects.filter(pk=old.pk).update(destroyed_at=timezone.now(), gone_at=timezone.now())
    assert "gone for good on" in at_roots.read(PAGE)
    Epoch.objects.filter(pk=current_epoch().pk).update(retired_at=timezone.now())
    page = at_roots.read(PAGE)
    assert "Still needed" in page
    assert "The next roll moves them." in page


@pytest.mark.parametrize("who", ["cleo", "mallory", "eve"])
def test_others_neither_see_nor_decide(who, request, old):
    desk = Desk(request.getfixturevalue(who))
    proposal = services.propose_policy(officer=uuid.uuid4(), actor=Actor.system())
    for path in ("", "propose/", "policy/", f"proposals/{proposal.pk}/approve/", f"proposals/{proposal.pk}/withdraw/"):
        answer = (desk.post if path else desk.get)(f"{PAGE}{path}", follow=True)
        assert answer.status_code == 403
    proposal.refresh_from_db()
    assert (proposal.approved_at, proposal.withdrawn_at) == (None, None)


def test_deciding_takes_a_post_and_a_fresh_sign_in(old, at_roots):
    assert at_roots.get(f"{PAGE}policy/").status_code == 404
    at_roots.let_time_pass(3600)
    answer = at_roots.post(f"{PAGE}policy/")
    assert (answer.status_code, "reauthenticate" in answer.headers["Location"]) == (302, True)
    assert not Proposal.objects.exists()


def test_a_page_says_plainly_that_master_keys_cannot_be_reached(old, at_roots, monkeypatch):
    def away(self, reference, items):
        raise MasterKeyUnreachable("away")

    monkeypatch.setattr(FileProvider, "unwrap", away)
    at_roots.raise_request_exception = False
    answer = at_roots.get("/privacy/")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "60"
    assert "Nothing is lost" in answer.content.decode()
    monkeypatch.undo()
    assert at_roots.get(PAGE).status_code == 200


def test_where_nothing_can_be_chosen_nothing_is_offered(old, at_roots, tmp_path):
    offer = "Propose to destroy the chosen ones"
    assert offer in at_roots.read(PAGE)
    press(at_roots, "propose/", epochs=[str(old.pk)])
    assert offer not in at_roots.read(PAGE)
