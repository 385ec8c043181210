"""Master keys are destroyed when two people have decided it and nothing needs them, and not a moment sooner."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.audit.actors import Actor, Role
from apps.audit.choices import PROVIDERS as LOGGED_PROVIDERS
from apps.audit.entries import hash_of
from apps.audit.errors import NotSigned
from apps.audit.events import Event
from apps.audit.handles import new_handle
from apps.audit.models import Entry
from apps.audit.selectors import details_of, is_signed
from apps.keys import policy, services
from apps.keys.epochs import current_epoch
from apps.keys.errors import (
    BadBackup,
    KeyStoreDamaged,
    MasterKeyUnreachable,
    NothingProposed,
    ProposalClosed,
    ProposerLeft,
    SecondPersonWanted,
)
from apps.keys.models import Backup, Epoch, Installation, Key, Proposal
from apps.keys.policy import GRACE, obstacles_of, standing_policy
from apps.keys.providers import PROVIDERS
from apps.keys.providers.file import FileProvider
from apps.keys.services import ending
from apps.keys.wrapping import unwrap_rows
from tests.keys.crashing import die, each_crash, fail
from tests.officers import anybody, nobody

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])

CLEO, DAN, ROOT = (uuid.uuid4() for _ in range(3))  # ids of sign-ins
SYSTEM = Actor.system()


def officer() -> Actor:
    return Actor(new_handle(), Role.APPROVER)


def codes(epoch: Epoch) -> list[str]:
    return [obstacle.code for obstacle in obstacles_of(Epoch.objects.get(pk=epoch.pk))]


def pass_grace(epoch: Epoch) -> None:
    Epoch.objects.filter(pk=epoch.pk).update(emptied_at=timezone.now() - GRACE - timedelta(seconds=1))


def propose(*epochs: Epoch) -> Proposal:
    return services.propose_destruction([epoch.pk for epoch in epochs], officer=CLEO, actor=officer())


def approve(proposal: Proposal) -> Proposal:
    return services.approve_proposal(proposal.pk, officer=DAN, actor=officer(), may_decide=anybody)


def destroy() -> services.Ended:
    return services.destroy_master_keys(actor=SYSTEM)


def files(folder) -> set[str]:
    return {path.stem for path in folder.iterdir()}


@pytest.fixture
def old(ada, tmp_path) -> Epoch:
    """An epoch that a roll has emptied, past its grace and with a newer backup: only the decision is wanting."""
    epoch = current_epoch()
    services.roll_master_key(actor=SYSTEM)
    pass_grace(epoch)
    services.back_up_keys(tmp_path / "keys.backup", actor=SYSTEM)
    epoch.refresh_from_db()
    return epoch


def test_two_people_decide_and_the_master_key_is_gone(old, ada, master_keys):
    copy = bytes(Key.objects.get(pk=ada.id).wrapped or b"")
    proposal = propose(old)
    assert destroy().destroyed == []
    approve(proposal)
    assert files(master_keys) == {old.reference, current_epoch().reference}
    [gone] = destroy().destroyed
    assert gone == old
    assert files(master_keys) == {current_epoch().reference}
    assert services.open_key(ada.id) == ada.key
    assert bytes(Key.objects.get(pk=ada.id).wrapped or b"") == copy
    old.refresh_from_db()
    assert old.destroyed_at is not None
    assert old.gone_at is None  # a file cannot be proven gone
    proposal.refresh_from_db()
    assert proposal.executed_at is not None
    intent = Entry.objects.get(event=Event.MASTER_KEYS_INTENDED)
    assert is_signed(intent)
    assert details_of(intent) == {"proposal": str(proposal.pk), "epochs": [str(old.pk)]}
    outcome = Entry.objects.get(event=Event.MASTER_KEYS_DESTROYED)
    assert details_of(outcome) == {"intent": hash_of(intent), "epochs": [str(old.pk)]}
    assert destroy() == services.Ended()


def in_between(monkeypatch, name: str) -> list[services.Ended]:
    """Have another worker run whole, directly before this one comes to the function of that name."""
    real, others = getattr(ending, name), []

    def after_another(*arguments):
        monkeypatch.setattr(ending, name, real)
        others.append(destroy())
        return real(*arguments)

    monkeypatch.setattr(ending, name, after_another)
    return others


@pytest.mark.parametrize("step", ["_mark", "_destroy", "_record"])
def test_two_workers_at_once_destroy_a_master_key_once_and_say_so_once(step, old, ada, monkeypatch):
    approve(propose(old))
    others = in_between(monkeypatch, step)
    mine = destroy()
    assert [ended.destroyed for ended in [*others, mine]] == [[old], []]
    outcome = Entry.objects.get(event=Event.MASTER_KEYS_DESTROYED)
    old.refresh_from_db()
    assert details_of(outcome)["intent"] == hash_of(Entry.objects.get(pk=old.intent_entry))
    assert services.open_key(ada.id) == ada.key


def test_of_two_intents_the_first_one_counts(old, monkeypatch):
    approve(propose(old))
    real, first = ending._mark, []

    def marked_by_another(epoch, intent, proposal, ended):
        first.append(intent.pk - 1)
        Epoch.objects.filter(pk=epoch.pk).update(intent_entry=first[0])
        real(epoch, intent, proposal, ended)

    monkeypatch.setattr(ending, "_mark", marked_by_another)
    assert destroy().destroyed == [old]
    old.refresh_from_db()
    assert [old.intent_entry] == first


def test_a_wrapped_copy_of_a_destroyed_key_opens_until_then_and_never_after(ada, ben, tmp_path):
    epoch = current_epoch()
    copy = Key.objects.select_related("epoch").get(pk=ada.id)
    services.erase_keys([ada.id], about="", actor=SYSTEM)
    assert unwrap_rows([copy], []) == {ada.id: ada.key}  # the danger is real
    services.roll_master_key(actor=SYSTEM)
    pass_grace(epoch)
    services.back_up_keys(tmp_path / "b", actor=SYSTEM)
    approve(propose(epoch))
    destroy()
    with pytest.raises(KeyStoreDamaged):
        unwrap_rows([copy], [])
    assert services.open_key(ben.id) == ben.key


def test_each_thing_in_the_way_is_named(ada, tmp_path, settings):
    epoch = current_epoch()
    assert codes(epoch) == [policy.IN_SERVICE]
    services.back_up_keys(tmp_path / "before", actor=SYSTEM)
    Epoch.objects.filter(pk=epoch.pk).update(retired_at=timezone.now())
    assert obstacles_of(Epoch.objects.get(pk=epoch.pk)) == [policy.Obstacle(policy.IN_USE, keys=1)]
    services.roll_master_key(actor=SYSTEM)
    assert codes(epoch) == [policy.GRACE_RUNS, policy.NO_BACKUP]
    services.back_up_keys(tmp_path / "after", actor=SYSTEM)
    assert codes(epoch) == [policy.GRACE_RUNS]
    Epoch.objects.filter(pk=epoch.pk).update(emptied_at=timezone.now() - GRACE)
    assert codes(epoch) == []
    services.installation()
    Installation.objects.update(restored_at=timezone.now() - timedelta(days=6))
    assert codes(epoch) == [policy.RESTORED]
    Installation.objects.update(restored_at=timezone.now() - timedelta(days=8))
    assert codes(epoch) == []


def test_what_is_in_the_way_keeps_an_approved_master_key(ada, master_keys):
    epoch = current_epoch()
    services.roll_master_key(actor=SYSTEM)
    approve(propose(epoch))
    ended = destroy()
    assert [(one, [obstacle.code for obstacle in found]) for one, found in ended.waiting] == [
        (epoch, [policy.GRACE_RUNS, policy.NO_BACKUP])
    ]
    assert epoch.reference in files(master_keys)
    assert not Entry.objects.filter(event=Event.MASTER_KEYS_INTENDED).exists()


def test_whoever_proposes_does_not_approve(old):
    proposal = propose(old)
    with pytest.raises(SecondPersonWanted):
        services.approve_proposal(proposal.pk, officer=CLEO, actor=officer(), may_decide=anybody)
    assert destroy().destroyed == []
    approve(proposal)
    with pytest.raises(ProposalClosed):
        approve(proposal)
    with pytest.raises(NothingProposed):
        propose(old)


def test_two_words_count_only_of_two_who_may_say_them_now(old):
    """The first has left, or lost the role, since: what they proposed is withdrawn, and can be proposed anew."""
    proposal = propose(old)
    with pytest.raises(ProposerLeft):
        services.approve_proposal(proposal.pk, officer=DAN, actor=officer(), may_decide=nobody)
    assert destroy() == services.Ended()
    assert Entry.objects.filter(event=Event.MASTER_KEYS_WITHDRAWN).count() == 1
    with pytest.raises(ProposalClosed):
        approve(proposal)
    standing = services.propose_policy(officer=CLEO, actor=officer())
    with pytest.raises(ProposerLeft):
        services.approve_proposal(standing.pk, officer=DAN, actor=officer(), may_decide=nobody)
    assert standing_policy() is None
    assert Entry.objects.filter(event=Event.MASTER_KEY_POLICY_ENDED).count() == 1
    again = services.propose_destruction([old.pk], officer=ROOT, actor=officer())
    services.approve_proposal(again.pk, officer=DAN, actor=officer(), may_decide=lambda one: one == ROOT)  # the first
    assert destroy().destroyed == [old]


def test_a_withdrawn_proposal_destroys_nothing_and_can_be_made_again(old):
    proposal = approve(propose(old))
    services.withdraw_proposal(proposal.pk, actor=officer())
    assert destroy() == services.Ended()
    with pytest.raises(ProposalClosed):
        approve(proposal)
    approve(propose(old))
    assert len(destroy().destroyed) == 1
    with pytest.raises(ProposalClosed):
        services.withdraw_proposal(Proposal.objects.get(executed_at__isnull=False).pk, actor=officer())


@pytest.mark.parametrize("named", ["in service", "unknown", "nothing"])
def test_only_emptied_epochs_can_be_proposed(old, named):
    ids = {"in service": [old.pk, current_epoch().pk], "unknown": [uuid.uuid4()], "nothing": []}[named]
    with pytest.raises(NothingProposed):
        services.propose_destruction(ids, officer=CLEO, actor=officer())
    assert not Proposal.objects.exists()
    assert not Entry.objects.filter(event=Event.MASTER_KEYS_PROPOSED).exists()


def test_an_approval_that_the_log_does_not_hold_does_not_count(old):
    """As when the process ended between the commits of the two databases."""
    proposal = approve(propose(old))
    entry = proposal.approval_entry
    for missing in (10**9, Entry.objects.get(event=Event.MASTER_KEYS_PROPOSED).pk):
        Proposal.objects.filter(pk=proposal.pk).update(approval_entry=missing)
        assert destroy() == services.Ended()
    Proposal.objects.filter(pk=proposal.pk).update(approval_entry=entry)
    assert destroy().destroyed == [old]


def test_under_a_standing_policy_each_emptied_epoch_goes_by_itself(old, person, tmp_path):
    policy_row = services.propose_policy(officer=CLEO, actor=officer())
    assert standing_policy() is None
    with pytest.raises(ProposalClosed):
        services.propose_policy(officer=DAN, actor=officer())
    with pytest.raises(SecondPersonWanted):
        services.approve_proposal(policy_row.pk, officer=CLEO, actor=officer(), may_decide=anybody)
    approve(policy_row)
    assert standing_policy() == policy_row
    assert destroy().destroyed == [old]
    second = current_epoch()
    services.roll_master_key(actor=SYSTEM)
    pass_grace(second)
    Backup.objects.all().delete()
    assert [found[0].code for _epoch, found in destroy().waiting] == [policy.NO_BACKUP]
    services.back_up_keys(tmp_path / "again", actor=SYSTEM)
    services.withdraw_proposal(policy_row.pk, actor=officer())
    assert destroy() == services.Ended()
    assert ending.undecided_epochs() == [second]
    approve(services.propose_policy(officer=ROOT, actor=officer()))
    assert destroy().destroyed == [second]


def test_a_withdrawal_while_the_intent_is_signed_still_counts(old, monkeypatch):
    proposal = approve(propose(old))
    real = ending.wait_until_signed

    def withdraw(entry):
        real(entry)
        services.withdraw_proposal(proposal.pk, actor=officer())

    monkeypatch.setattr(ending, "wait_until_signed", withdraw)
    assert destroy() == services.Ended()
    assert FileProvider().holds(old.reference)


def test_a_key_that_comes_back_while_the_intent_is_signed_keeps_its_master_key(old, ada, monkeypatch):
    approve(propose(old))
    real = ending.wait_until_signed

    def bring_back(entry):
        real(entry)
        Key.objects.filter(pk=ada.id).update(epoch=old)

    monkeypatch.setattr(ending, "wait_until_signed", bring_back)
    [(epoch, found)] = destroy().waiting
    assert (epoch, found) == (old, [policy.Obstacle(policy.IN_USE, keys=1)])
    assert FileProvider().holds(old.reference)


def test_a_provider_that_does_not_answer_is_asked_again(old, monkeypatch, capsys):
    approve(propose(old))

    def away(self, reference):
        raise MasterKeyUnreachable("away")

    with monkeypatch.context() as patch:
        patch.setattr(FileProvider, "destroy", away)
        assert destroy().unreachable == [old]
        with pytest.raises(CommandError, match="does not answer") as error:
            call_command("destroy_master_keys")
        assert error.value.returncode == 4
    with pytest.raises(ProposalClosed):  # its destruction has begun
        services.withdraw_proposal(Proposal.objects.get().pk, actor=officer())
    call_command("destroy_master_keys")
    assert "cannot be proven" in capsys.readouterr().out
    assert Entry.objects.filter(event=Event.MASTER_KEYS_INTENDED).count() == 1


def test_the_command_says_what_is_wanting(old, capsys):
    with pytest.raises(CommandError, match="two people have not decided") as error:
        call_command("destroy_master_keys")
    assert error.value.returncode == 3
    approve(propose(old))
    Epoch.objects.filter(pk=old.pk).update(emptied_at=timezone.now())
    with pytest.raises(CommandError, match=r"may still need it until .*no verified backup") as error:
        call_command("destroy_master_keys")
    assert error.value.returncode == 3
    pass_grace(old)
    call_command("destroy_master_keys")
    call_command("destroy_master_keys")
    assert "Nothing to destroy" in capsys.readouterr().out


def test_after_a_restore_the_command_does_not_say_that_older_master_keys_are_gone(old):
    Epoch.objects.filter(pk=old.pk).update(emptied_at=None)  # as restore_keys does: keys may come back under it
    with pytest.raises(CommandError, match=f"{old.pk}: .*roll_master_key first") as error:
        call_command("destroy_master_keys")
    assert error.value.returncode == 3


def test_an_unsigned_intent_destroys_nothing_and_the_command_says_so(old, monkeypatch):
    approve(propose(old))
    monkeypatch.setattr(ending, "wait_until_signed", lambda entry: (_ for _ in ()).throw(NotSigned("not now")))
    with pytest.raises(CommandError, match="not now"):
        call_command("destroy_master_keys")
    assert FileProvider().holds(old.reference)


def test_a_backup_under_a_destroyed_master_key_is_refused(ada, ben, tmp_path):
    epoch = current_epoch()
    services.back_up_keys(tmp_path / "old", actor=SYSTEM)
    services.roll_master_key(actor=SYSTEM)
    pass_grace(epoch)
    services.back_up_keys(tmp_path / "new", actor=SYSTEM)
    row = Key.objects.get(pk=ada.id)
    row.delete()  # lost, not destroyed
    Epoch.objects.filter(pk=epoch.pk).update(intent_entry=1)
    with pytest.raises(BadBackup, match="too old"):
        services.restore_keys(tmp_path / "old", actor=SYSTEM)
    services.restore_keys(tmp_path / "new", actor=SYSTEM)
    assert services.open_key(ada.id) == ada.key


def test_keys_restored_under_a_retired_epoch_are_rolled_on(ada, tmp_path):
    epoch = current_epoch()
    services.back_up_keys(tmp_path / "old", actor=SYSTEM)
    services.roll_master_key(actor=SYSTEM)
    Key.objects.get(pk=ada.id).delete()
    services.restore_keys(tmp_path / "old", actor=SYSTEM)
    assert Key.objects.get(pk=ada.id).epoch_id == epoch.pk
    assert codes(epoch)[0] == policy.IN_USE
    assert services.roll_master_key(actor=SYSTEM).rewrapped == 1
    assert services.open_key(ada.id) == ada.key
    assert policy.IN_USE not in codes(epoch)


@pytest.mark.thorough
@pytest.mark.parametrize("end", [die, fail])
def test_no_crash_leaves_a_master_key_half_destroyed(end, ada, tmp_path):
    def ready() -> None:
        epoch = current_epoch()
        services.roll_master_key(actor=SYSTEM)
        pass_grace(epoch)
        services.back_up_keys(tmp_path / "b", actor=SYSTEM)
        approve(propose(epoch))
        state.append(epoch)

    state: list[Epoch] = []
    ready()
    crashes = 0
    for _ in each_crash(destroy, end):
        crashes += 1
        destroy()
        epoch = Epoch.objects.get(pk=state[-1].pk)
        assert epoch.destroyed_at is not None
        assert not FileProvider().holds(epoch.reference)
        assert services.open_key(ada.id) == ada.key
        outcomes = Entry.objects.filter(event=Event.MASTER_KEYS_DESTROYED).order_by("id")
        assert [details_of(entry)["epochs"] for entry in outcomes] == [[str(one.pk)] for one in state]
        assert epoch.proposal is not None
        assert epoch.proposal.executed_at is not None
        ready()
    assert crashes >= 10


def test_the_log_knows_every_provider():
    assert set(LOGGED_PROVIDERS.values) == set(PROVIDERS)


def test_a_missing_file_counts_as_destroyed_and_one_in_the_way_does_not(ada, master_keys):
    [path] = master_keys.iterdir()
    FileProvider().destroy("2026-01-01-aaaaaaaa")
    path.unlink()
    path.mkdir()
    with pytest.raises(MasterKeyUnreachable):
        FileProvider().destroy(path.stem)


def test_the_bytes_of_a_file_are_overwritten_before_its_name_goes(ada, master_keys):
    [path] = master_keys.iterdir()
    before = path.read_bytes()
    with path.open("rb") as still_open:
        FileProvider().destroy(path.stem)
        assert not path.exists()
        after = still_open.read()
    assert len(after) == len(before)
    assert after != before
