"""Erasure, end to end: freeze, destroy, purge, look again, receipt; and what may come in between."""

import json
import time
from datetime import date, timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.archives.models import Archive
from apps.archives.selectors import read_range
from apps.audit import proofs
from apps.audit.actors import Actor
from apps.audit.models import Entry
from apps.audit.selectors import details_of, public_key_text
from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed, KeyStoreDamaged, MasterKeyUnreachable
from apps.keys.models import Key
from apps.keys.providers.file import FileProvider
from apps.keys.wrapping import unwrap_below
from apps.mail.models import Letter
from apps.records import services as records
from apps.records.importers.types import Node, ParsedConversation
from apps.records.models import Conversation, Subject
from apps.records.subjects import identities_of
from apps.requests import claims, engine, erasure, selectors, services, upkeep
from apps.requests.errors import ErasureBegun
from apps.requests.models import PrivacyRequest, Status, Step
from tests.requests.conftest import (
    add_place,
    approved,
    as_person,
    events,
    filed,
    run,
    states,
    step_at,
    taken,
    there,
    wake,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


def body(request, number=None):
    receipts = selectors.receipts_of(request)
    receipt = receipts[0] if number is None else next(one for one in receipts if one.number == number)
    return selectors.receipt_content(receipt)


def result(request, place):
    return next(one for one in body(request)["places"] if one["place"] == place)


def test_an_erasure_takes_adas_keys_and_data_everywhere_and_leaves_ben(ada, ben, place):
    place.put("ada@example.org", 3)
    place.put("ben@example.org", 2)
    ben_key, ada_key, account = ben.key_id, ada.key_id, ada.account_id
    request = run(approved(ada))
    assert request.status == Status.COMPLETED
    assert set(states(request).values()) == {"done"}
    with pytest.raises(KeyDestroyed):
        keys.open_key(ada_key)
    assert keys.open_key(ben_key)
    assert (len(place.items_of("ada@example.org")), len(place.items_of("ben@example.org"))) == (0, 2)
    assert not User.objects.filter(pk=account).exists()
    assert User.objects.filter(pk=ben.account_id).exists()
    request.refresh_from_db()
    assert (request.subject_id, request.email_index, request.is_destroyed) == (None, None, True)


@pytest.mark.slow
def test_the_receipt_says_place_by_place_what_was_done_and_can_be_checked(ada, place):
    place.put("ada@example.org", 3)
    request = run(approved(ada))
    [receipt] = selectors.receipts_of(request)
    said = selectors.receipt_content(receipt)
    assert said["reference"] == request.reference
    assert said["law"] == {"regime": "gdpr", "name": "GDPR", "article": "Article 17(1)"}
    assert result(request, "Support desk") | {"looked_again_at": ""} == {
        "place": "Support desk", "kind": "fake", "country": "Ireland", "outcome": "erased", "erased": 3,
        "counts": {"items": 3}, "remaining": 0, "reason": None, "reason_text": None, "until": None, "kept": [],
        "looked_again_at": "", "horizon_days": None, "horizon_is": None, "horizon_until": None, "confirmed_by_person_at": None,
    }  # fmt: skip
    assert (said["irrecoverable_by"], bool(said["irrecoverable_reason"])) == (None, True)
    assert said["told"]["places"] == ["Support desk"]
    assert said["is_final"] is True
    assert "example.org" not in json.dumps(said)
    proof = proofs.check_receipt(selectors.receipt_file(receipt), public_key_text())
    assert json.loads(there(proof.body)) == said
    changed = selectors.receipt_file(receipt).replace("extra ", "extra A", 1)
    with pytest.raises(proofs.BadProof):
        proofs.check_receipt(changed, public_key_text())


def test_the_order_of_the_log_is_intent_first_then_destruction_then_purges(ada, place):
    place.put("ada@example.org", 1)
    request = run(approved(ada))
    story = events(request)
    wanted = ["request.opened", "request.command_line_approval", "request.running", "keys.intended", "keys.destroyed"]
    assert [event for event in story if event in wanted] == wanted
    assert story.index("keys.destroyed") < story.index("step.intended")
    assert story.count("step.intended") == request.steps.filter(phase="purge").count()
    assert story[-2:] == ["step.done", "request.completed"]
    assert story.count("receipt.issued") == 1


@pytest.mark.slow
def test_unreadable_at_is_the_tombstone_and_the_longest_unit(ada, settings):
    key = ada.key_id
    request = run(approved(ada))
    with pytest.raises(KeyDestroyed) as destroyed:
        keys.open_key(key)
    assert there(request.unreadable_at) - destroyed.value.destroyed_at == timedelta(seconds=settings.STEP_BATCH_SECONDS)


@pytest.mark.slow
def test_destroying_is_quick_whatever_else_there_is(ada, monkeypatch):
    request = approved(ada)
    taken = []
    destroy = keys.destroy_keys

    def timed(*args, **values):
        began = time.perf_counter()
        found = destroy(*args, **values)
        taken.append(time.perf_counter() - began)
        return found

    monkeypatch.setattr(erasure.keys, "destroy_keys", timed)
    run(request)
    assert taken
    assert taken[0] < 0.5  # 50 ms on a machine of its own; bench/ measures it


@pytest.mark.slow
def test_the_person_is_told_after_the_account_is_gone(ada, place):
    opened = services.open_request(ada, kind="erasure", regime="gdpr", actor=as_person(ada))
    services.approve_request(opened.request, rule="command_line", actor=Actor.command_line())
    request = run(opened.request)
    [letter] = Letter.objects.filter(owner=request.pk)  # earlier ones went with the account
    assert letter.template == "request_letter"
    found = selectors.by_reference_and_code(request.reference, opened.code)
    assert found == request
    assert selectors.receipts_of(found)


@pytest.mark.slow
def test_a_blocked_place_gives_a_first_receipt_and_later_a_final_one(ada, place):
    place.put("ada@example.org", 2)
    place.switch(blocked_until="2031-01-03")
    request = run(approved(ada))
    assert request.status == Status.PARTLY_COMPLETED
    first = result(request, "Support desk")
    assert (first["outcome"], first["reason"], first["until"]) == ("blocked", "object_lock", "2031-01-03")
    assert body(request)["is_final"] is False
    assert there(step_at(request, "Support desk").next_try_at).date() >= date(2031, 1, 3)
    assert not User.objects.filter(email="ada@example.org").exists()  # the rows of our own wait for no outside place
    run(request)
    assert len(selectors.receipts_of(request)) == 1

    place.switch(blocked_until=None)
    wake(request)
    run(request)
    assert request.status == Status.COMPLETED
    assert body(request)["number"] == 2
    assert body(request)["is_final"] is True
    assert result(request, "Support desk")["erased"] == 2
    assert body(request, 1)["is_final"] is False


@pytest.mark.slow
def test_a_place_that_is_away_comes_back_by_itself(ada, place):
    place.put("ada@example.org", 1)
    place.switch(unavailable=True)
    request = run(approved(ada))
    assert request.status == Status.RUNNING
    assert not selectors.receipts_of(request)
    step = step_at(request, "Support desk")
    assert timezone.now() < there(step.next_try_at) <= timezone.now() + timedelta(hours=1)
    place.switch(unavailable=False)
    wake(request)
    assert run(request).status == Status.COMPLETED
    assert place.items_of("ada@example.org") == []


@pytest.mark.slow
def test_the_second_look_asks_again_and_then_calls_a_person(ada, place):
    place.put("ada@example.org", 3)
    place.switch(leaves=1)
    request = run(approved(ada))
    assert request.status == Status.COMPLETED
    assert step_at(request, "Support desk").done_count == 3


def test_what_will_not_go_needs_a_person(ada, place):
    place.put("ada@example.org", 3)
    place.switch(leaves=99)
    request = run(approved(ada))
    step = step_at(request, "Support desk")
    assert (step.state, step.reason, step.remaining) == ("needs_person", "still_there", 1)
    assert request.status == Status.PARTLY_COMPLETED
    place.switch(leaves=0)
    services.retry_step(step, actor=Actor.command_line())
    assert run(request).status == Status.COMPLETED
    assert [receipt.is_final for receipt in selectors.receipts_of(request)] == [True, False]


@pytest.mark.slow
def test_what_a_place_keeps_for_a_time_is_on_the_receipt_with_its_day(ada, place):
    place.put("ada@example.org", 2)
    place.switch(keeps_until="2031-03-01")
    request = run(approved(ada))
    kept = result(request, "Support desk")
    assert (kept["outcome"], kept["erased"], kept["remaining"], kept["until"]) == ("blocked", 1, 1, "2031-03-01")
    assert any(stays.get("until") == "2031-03-01" for stays in body(request)["stays"])


@pytest.mark.thorough
def test_a_place_added_while_the_erasure_runs_is_purged_too(ada, place, tmp_path):
    request = approved(ada)
    late = add_place(tmp_path / "late", "Late desk")
    late.put("ada@example.org", 2)
    run(request)
    assert request.status == Status.COMPLETED
    assert late.items_of("ada@example.org") == []
    assert result(request, "Late desk")["erased"] == 2


@pytest.mark.slow
def test_a_switched_off_place_needs_a_person_and_is_never_success(ada, place):
    from apps.locations.models import Location
    from apps.locations.services import switch_location

    place.put("ada@example.org", 1)
    location = Location.objects.get(name="Support desk")
    switch_location(location, enabled=False, actor=Actor.system())
    request = run(approved(ada))
    assert (request.status, states(request)["Support desk"]) == (Status.PARTLY_COMPLETED, "needs_person")
    assert result(request, "Support desk")["outcome"] == "needs_person"
    switch_location(location, enabled=True, actor=Actor.system())
    services.retry_step(step_at(request, "Support desk"), actor=Actor.system())
    assert run(request).status == Status.COMPLETED


@pytest.mark.slow
def test_cooling_off_holds_everything_and_can_be_withdrawn(ada, place, settings):
    settings.SECOND_APPROVER_ABOVE_CONVERSATIONS = 100
    place.put("ada@example.org", 1)
    request = filed(ada, "erasure")
    services.approve_request(request, actor=as_person(ada))
    assert request.status == Status.COOLING_OFF
    run(request)
    assert set(states(request).values()) == {"pending"}
    assert selectors.is_withdrawable(request)
    PrivacyRequest.objects.filter(pk=request.pk).update(cooling_off_until=timezone.now())
    assert run(request).status == Status.COMPLETED
    assert not selectors.is_withdrawable(request)


def test_withdrawing_in_time_leaves_everything(ada, place):
    place.put("ada@example.org", 1)
    request = approved(ada)
    services.withdraw_request(request, actor=as_person(ada))
    run(request)
    assert request.status == Status.WITHDRAWN
    assert len(place.items_of("ada@example.org")) == 1
    assert keys.open_key(ada.key_id)


@pytest.mark.slow
def test_after_the_intent_nobody_can_withdraw(ada, place, monkeypatch):
    from apps.audit.errors import NotSigned

    def unsigned(*args, **values):
        raise NotSigned("no")

    monkeypatch.setattr(erasure.audit, "wait_until_signed", unsigned)
    request = run(approved(ada))
    destroying = request.steps.get(phase="destroy")
    assert (destroying.state, destroying.reason) == ("blocked", "not_signed")
    assert keys.open_key(ada.key_id)
    with pytest.raises(ErasureBegun):
        services.withdraw_request(request, actor=as_person(ada))
    with pytest.raises(records.SubjectFrozen if hasattr(records, "SubjectFrozen") else Exception):
        records.place_hold(ada, basis="court", until=date(2030, 1, 1), actor=Actor.system())
    monkeypatch.undo()
    wake(request)
    run(request)
    assert request.status == Status.COMPLETED
    assert events(request).count("keys.intended") == 1


@pytest.mark.slow
def test_a_hold_comes_before_an_erasure(ada, place):
    place.put("ada@example.org", 1)
    request = approved(ada)
    hold = records.place_hold(ada, basis="GDPR Article 17(3)(e)", until=date(2031, 3, 1), actor=Actor.system())
    run(request)
    prepare = request.steps.get(phase="prepare")
    assert (prepare.state, prepare.reason, prepare.until) == ("blocked", "legal_hold", date(2031, 3, 1))
    assert keys.open_key(ada.key_id)
    records.lift_hold(hold, actor=Actor.system())
    wake(request)
    assert run(request).status == Status.COMPLETED


def test_a_hold_between_freezing_and_destroying_is_seen_by_the_claim(ada, monkeypatch):
    from apps.records.models import LegalHold

    request = approved(ada)
    claim = taken(request)
    engine.run_claim(claim)
    assert request.steps.get(phase="prepare").state == "done"
    LegalHold.objects.create(subject=ada, basis="court", until=date(2031, 3, 1))
    run(request)
    assert request.steps.get(phase="destroy").reason == "legal_hold"
    assert keys.open_key(ada.key_id)


@pytest.mark.slow
def test_another_erasure_that_is_called_off_does_not_let_writing_go_on(ada):
    request, other = approved(ada), approved(ada)
    engine.run_claim(taken(request))
    assert request.steps.get(phase="prepare").state == "done"
    services.withdraw_request(other, actor=as_person(ada))
    assert run(request).status == Status.COMPLETED
    assert not Subject.objects.filter(pk=ada.pk).exists()


@pytest.mark.slow
def test_a_hold_on_one_conversation_keeps_that_one_alone(ada, place):
    kept, gone, ada_key = stored(ada, "kept"), stored(ada, "gone"), ada.key_id
    hold = records.place_hold(
        ada, basis="GDPR Article 17(3)(e)", until=date(2031, 3, 1), actor=Actor.system(), conversation_id=kept.pk
    )
    request = run(approved(ada))
    assert request.status == Status.PARTLY_COMPLETED
    assert keys.open_key(kept.key_id)
    with pytest.raises(KeyDestroyed):
        keys.open_key(gone.key_id)
    assert list(Conversation.objects.all()) == [kept]
    with pytest.raises(
        KeyDestroyed
    ):  # an old copy of what went would open under the person's key: so it is another now
        keys.open_key(ada_key)
    said = result(request, "Conversations")
    assert (said["outcome"], said["reason"], said["until"]) == ("blocked", "legal_hold", "2031-03-01")
    records.lift_hold(hold, actor=Actor.system())
    wake(request)
    run(request)
    assert request.status == Status.COMPLETED
    assert not Conversation.objects.exists()
    with pytest.raises(KeyDestroyed):
        keys.open_key(ada.key_id)
    assert body(request)["is_final"] is True
    assert body(request)["unreadable_at"] >= body(request, 1)["unreadable_at"]


@pytest.mark.slow
def test_the_key_that_a_hold_keeps_is_replaced_at_once(ada, place):
    """Else a copy of the erased conversation's key from an old backup would open under it."""
    kept, gone = stored(ada, "kept"), stored(ada, "gone")
    until = date(2031, 3, 1)
    hold = records.place_hold(ada, basis="court", until=until, actor=Actor.system(), conversation_id=kept.pk)
    copy, first = Key.objects.get(pk=gone.key_id), ada.key_id
    assert unwrap_below([copy], keys.open_key(first))  # the danger is real
    request = run(approved(ada))
    ada.refresh_from_db()
    assert ada.key_id != first
    with pytest.raises(KeyDestroyed):
        keys.open_key(first)
    with pytest.raises(KeyStoreDamaged):
        unwrap_below([copy], keys.open_key(ada.key_id))
    assert keys.open_key(kept.key_id)
    assert identities_of(ada) == [("email", "ada@example.org")]
    replaced = [details_of(entry) for entry in Entry.objects.filter(event="keys.intended")]
    [intent] = [details for details in replaced if details["reason"] == "replaced"]
    assert (intent["replaced"], intent["removed"]) == ([str(first)], [str(gone.key_id)])
    records.lift_hold(hold, actor=Actor.system())
    wake(request)
    run(request)
    assert not Key.objects.filter(owner=ada.pk, destroyed_at=None).exists()


@pytest.mark.slow
def test_while_the_master_keys_cannot_be_reached_steps_wait_and_lose_no_attempt(ada, monkeypatch):
    request = approved(ada)

    def away(self, reference, items):
        raise MasterKeyUnreachable("away")

    with monkeypatch.context() as patch:
        patch.setattr(FileProvider, "unwrap", away)
        assert engine.run_request(request.pk) == 0
    assert set(request.steps.values_list("state", "attempts")) == {(Step.State.PENDING, 0)}

    def away_at_work(claim):
        raise MasterKeyUnreachable("away")

    with monkeypatch.context() as patch:
        patch.setitem(engine.WORK, Step.Phase.PREPARE, away_at_work)
        engine.run_request(request.pk)
    prepare = request.steps.get(phase="prepare")
    assert (prepare.state, prepare.reason) == (Step.State.BLOCKED, "unreachable")
    wake(request)
    assert run(request).status == Status.COMPLETED


def stored(subject, name):
    """Give a person a conversation of two messages."""
    nodes = []
    for number, role in enumerate(("user", "assistant")):
        message = {
            "id": f"{name}{number}",
            "author": {"role": role},
            "content": {"content_type": "text", "parts": ["x"]},
        }
        parent = f"{name}{number - 1}" if number else None
        data: dict[str, Any] = {"id": f"{name}{number}", "message": message, "parent": parent, "children": []}
        nodes.append(Node(f"{name}{number}", parent, role, None, data))
    parsed = ParsedConversation(
        external_id=name, title=name, started_at=None, updated_at=None, header={}, nodes=nodes, attachments=[]
    )
    records.store_conversations(subject, [parsed], actor=as_person(subject))
    return Conversation.objects.order_by("-imported_at").first()


@pytest.mark.slow
def test_documents_go_with_the_erasure(ada):
    from django.core.files.storage import default_storage

    other = filed(ada, "erasure", identity_level="none")
    row = services.add_evidence(other, services.Document("id.jpg", "image/jpeg"), [b"x"], actor=as_person(ada))
    run(approved(ada))
    row.refresh_from_db()
    assert (row.destroyed_at is not None, bytes(row.sealed), default_storage.exists(row.object_name)) == (
        True,
        b"",
        False,
    )


@pytest.mark.slow
def test_an_erasure_waits_for_the_persons_own_copy(ada, place):
    place.put("ada@example.org", 1)
    copy = filed(ada, "access")
    request = approved(ada)
    engine.run_request(request.pk)
    assert request.steps.get(phase="prepare").reason == "waits_for_archive"
    request.refresh_from_db()
    assert request.status == Status.APPROVED
    run(copy)
    wake(request)
    run(request)
    assert request.steps.get(phase="prepare").reason == "waits_for_archive"  # ready, and not yet fetched

    from apps.archives.services import note_served

    archive = Archive.objects.get(request_id=copy.pk)
    assert b"".join(read_range(archive, 0, there(archive.size)))
    note_served(archive.pk, 0, there(archive.size), actor=as_person(ada))
    wake(request)
    assert run(request).status == Status.COMPLETED
    assert not Archive.objects.filter(request_id=copy.pk).exists()
    assert result(request, "Your downloads")["erased"] == 1


@pytest.mark.slow
def test_an_erasure_waits_for_what_is_still_missing_of_a_copy(ada, place):
    place.put("ada@example.org", 1)
    place.switch(unavailable=True)
    copy = run(filed(ada, "access"))
    copy.steps.filter(location__name="Support desk").update(blocked_since=timezone.now() - timedelta(hours=25))
    assert run(copy).status == Status.PARTLY_COMPLETED
    Archive.objects.filter(request_id=copy.pk).update(served_at=timezone.now())  # the first part was fetched
    request = run(approved(ada))
    assert request.steps.get(phase="prepare").reason == "waits_for_archive"
    place.switch(unavailable=False)
    wake(copy)
    assert run(copy).status == Status.COMPLETED
    wake(request)
    assert (
        run(request).steps.get(phase="prepare").reason == "waits_for_archive"
    )  # the rest is there and not yet fetched
    Archive.objects.filter(request_id=copy.pk).update(served_at=timezone.now())
    wake(request)
    assert run(request).status == Status.COMPLETED


@pytest.mark.slow
def test_waiving_the_copy_lets_the_erasure_go_on_and_the_copy_lapse(ada, place):
    place.switch(unavailable=True)
    copy = run(filed(ada, "access"))
    request = run(approved(ada))
    services.waive_archive_first(request, actor=as_person(ada))
    place.switch(unavailable=False)
    run(request)
    copy.refresh_from_db()
    assert (request.status, copy.status) == (Status.COMPLETED, Status.LAPSED)
    request = approved(
        Subject.objects.create(handle="a" * 26, key_id=keys.create_key(keys.KeyKind.SUBJECT, owner=None).id)
    )
    assert run(request).status == Status.COMPLETED


@pytest.mark.slow
def test_seven_days_before_the_deadline_the_person_is_asked_once(ada, place):
    place.switch(unavailable=True)
    run(filed(ada, "access"))
    request = run(approved(ada))
    letters = Letter.objects.count()
    assert upkeep.ask_about_copies() == 0
    PrivacyRequest.objects.filter(pk=request.pk).update(due_on=upkeep.today() + timedelta(days=7))
    assert (upkeep.ask_about_copies(), upkeep.ask_about_copies()) == (1, 0)
    assert Letter.objects.count() == letters + 1
    assert events(request)[-1] == "request.copy_asked"


@pytest.mark.thorough
def test_a_stale_worker_cannot_commit(ada, place):
    place.put("ada@example.org", 1)
    request = approved(ada)
    claim = taken(request)
    assert claims.claim_next(request.pk, engine.GUARDS) is None  # one worker at a time
    Step.objects.filter(pk=claim.step.pk).update(lease_until=timezone.now())
    other = taken(request)
    assert other.step.pk == claim.step.pk
    engine.run_claim(claim)  # the slow one finishes its work, and changes nothing
    claim.step.refresh_from_db()
    assert (claim.step.state, claim.step.token) == ("running", other.token)
    engine.run_claim(other)
    assert run(request).status == Status.COMPLETED
    assert events(request).count("step.done") == request.steps.count()


@pytest.mark.slow
def test_somebody_we_do_not_know_is_erased_outside(own_places, place):
    from apps.requests.services.intake import send_links

    place.put("eve@example.org", 2)
    services.open_intake(kind="erasure", regime="gdpr", email="eve@example.org")
    send_links()
    request = confirm_newest()
    services.confirm_identity(request, level="reasonable", methods=["data_points"], actor=Actor.command_line())
    services.approve_request(request, rule="command_line", actor=Actor.command_line())
    run(request)
    assert {name: state for name, state in states(request).items() if state != "done"} == {}
    assert request.status == Status.COMPLETED
    assert place.items_of("eve@example.org") == []
    assert result(request, "Support desk")["erased"] == 2


def confirm_newest() -> PrivacyRequest:
    """Follow the link of the newest letter."""
    from apps.mail.services import _open

    letter = Letter.objects.order_by("-created_at").first()
    token = _open(there(letter))["text"].split("/confirm/")[1].split("/")[0]
    return services.confirm_intake(token)
