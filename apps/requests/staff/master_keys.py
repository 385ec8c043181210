"""Master keys in the staff site: what each still opens, what stands in the way of destroying it, and the two people's word.

Reading takes keys.view_epoch, deciding keys.decide_destruction and a fresh sign-in; whoever proposes does not approve.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.admin import ModelAdmin

from apps.accounts.access import fresh_authentication_required, holds_permission
from apps.keys import policy, services
from apps.keys.errors import KeysError, NothingProposed, ProposalClosed, ProposerLeft, SecondPersonWanted
from apps.keys.models import Epoch, Proposal
from apps.keys.selectors import MasterKey, current_proposals, master_keys, newest_backups
from apps.requests.staff.words import INFO, OK, PLAIN, WARN, Badge, moment

VIEW, DECIDE = "keys.view_epoch", "keys.decide_destruction"
LIST = "admin:keys_epoch_changelist"
PROVIDERS = {
    "file": gettext_lazy("A file on this machine"),
    "aws_kms": gettext_lazy("AWS KMS"),
    "vault": gettext_lazy("HashiCorp Vault"),
}
WHAT_WENT_WRONG: dict[type[Exception], Promise] = {
    NothingProposed: gettext_lazy("Choose at least one master key that is not needed any more and not proposed yet."),
    ProposalClosed: gettext_lazy("This has been decided in the meantime. Look at the page again."),
    SecondPersonWanted: gettext_lazy("You proposed this. Somebody else has to approve it."),
    ProposerLeft: gettext_lazy(
        "Whoever proposed this may not decide about master keys any more, so it is withdrawn. Propose it anew."
    ),
}


@dataclass(frozen=True)
class Line:
    """One master key as the page tells it."""

    id: UUID
    provider: str
    since: str
    badge: Badge
    keys: int
    ways: list[str]  # what stands in the way of destroying it
    may_propose: bool


@dataclass(frozen=True)
class Word:
    """A proposal, or the standing policy, that waits for the second person or stands."""

    proposal: Proposal
    epochs: list[str]
    is_own: bool


class ChooseForm(forms.Form):
    epochs = forms.TypedMultipleChoiceField(coerce=UUID, required=False)

    def __init__(self, data: Any, choices: list[UUID]) -> None:
        super().__init__(data)
        self.fields["epochs"].choices = [(str(pk), "") for pk in choices]  # type: ignore[attr-defined]


@admin.register(Epoch)
class MasterKeysAdmin(ModelAdmin):
    def get_urls(self) -> list[URLPattern]:
        pages: dict[str, tuple[Callable[..., Any], str]] = {
            "": (self.show, "changelist"),
            "propose/": (propose, "propose"),
            "policy/": (propose_policy, "policy"),
            "proposals/<uuid:pk>/approve/": (approve, "approve"),
            "proposals/<uuid:pk>/withdraw/": (withdraw, "withdraw"),
        }
        wrap = self.admin_site.admin_view
        return [path(route, wrap(view), name=f"keys_epoch_{name}") for route, (view, name) in pages.items()]

    def show(self, request: HttpRequest) -> HttpResponse:
        user: Any = request.user
        if not user.has_perm(VIEW):
            raise PermissionDenied
        proposals, standing = current_proposals()
        lines = [_line(one) for one in master_keys()]
        context = self.admin_site.each_context(request) | {
            "title": _("Master keys"),
            "lines": lines,
            "proposals": [_word(one, user) for one in proposals],
            "policy": _word(standing, user) if standing is not None else None,
            "policy_stands": standing is not None and policy.is_approved(standing),
            "backups": newest_backups(),
            "retention": settings.KEYS_BACKUP_RETENTION_DAYS,
            "roll_days": settings.MASTER_KEY_ROLL_DAYS,
            "is_file": settings.MASTER_KEY_PROVIDER == "file",
            "may_decide": user.has_perm(DECIDE),
            "is_choosable": any(line.may_propose for line in lines),
        }
        return render(request, "admin/keys/master_keys.html", context)


def propose(request: HttpRequest) -> HttpResponse:
    _check(request)
    form = ChooseForm(request.POST, [one.epoch.pk for one in master_keys()])
    chosen = form.cleaned_data["epochs"] if form.is_valid() else []

    def work(officer: UUID, actor: Any) -> None:
        services.propose_destruction(chosen, officer=officer, actor=actor)

    return _decide(request, work, _("Proposed. Another person has to approve it."))


def propose_policy(request: HttpRequest) -> HttpResponse:
    _check(request)

    def work(officer: UUID, actor: Any) -> None:
        services.propose_policy(officer=officer, actor=actor)

    return _decide(request, work, _("Proposed. The policy stands once another person has approved it."))


def approve(request: HttpRequest, pk: UUID) -> HttpResponse:
    _check(request)

    def work(officer: UUID, actor: Any) -> None:
        services.approve_proposal(pk, officer=officer, actor=actor, may_decide=_may_decide)

    return _decide(
        request, work, _("Approved. The site does the rest by itself, as soon as nothing stands in the way.")
    )


def withdraw(request: HttpRequest, pk: UUID) -> HttpResponse:
    _check(request)

    def work(officer: UUID, actor: Any) -> None:
        services.withdraw_proposal(pk, actor=actor)

    return _decide(request, work, _("Withdrawn."))


def _may_decide(user_id: UUID) -> bool:
    return holds_permission(user_id, DECIDE)


def _check(request: HttpRequest) -> None:
    user: Any = request.user
    if not user.has_perm(DECIDE):
        raise PermissionDenied
    if request.method != "POST":
        raise Http404


@fresh_authentication_required
def _decide(request: HttpRequest, work: Callable[[UUID, Any], None], done: str) -> HttpResponse:
    user: Any = request.user
    try:
        work(user.pk, request.actor)  # type: ignore[attr-defined]
    except KeysError as error:
        messages.error(request, str(WHAT_WENT_WRONG.get(type(error), _("This could not be done."))))
    else:
        messages.success(request, done)
    return redirect(LIST)


def _line(one: MasterKey) -> Line:
    epoch = one.epoch
    return Line(
        id=epoch.pk,
        provider=str(PROVIDERS[epoch.provider]),
        since=moment(epoch.created_at),
        badge=_badge(one),
        keys=one.keys,
        ways=[] if epoch.destroyed_at else [_way(obstacle) for obstacle in one.obstacles],
        may_propose=one.may_propose,
    )


def _badge(one: MasterKey) -> Badge:
    epoch = one.epoch
    if epoch.destroyed_at is not None:
        if epoch.gone_at is None:
            return Badge(_("Destroyed; that a file is gone cannot be proven"), PLAIN)
        return Badge(_("Destroyed; gone for good on %(day)s") % {"day": moment(epoch.gone_at)}, PLAIN)
    if epoch.intent_entry is not None:
        return Badge(_("Being destroyed"), WARN)
    if epoch.retired_at is None:
        return Badge(_("In use"), OK)
    return (
        Badge(_("Not needed any more"), INFO) if epoch.emptied_at and not one.keys else Badge(_("Still needed"), WARN)
    )


def _way(obstacle: policy.Obstacle) -> str:
    if obstacle.code == policy.IN_SERVICE:
        return _("New keys are wrapped under it.")
    if obstacle.code == policy.IN_USE:
        said = ngettext("%(number)s key still needs it.", "%(number)s keys still need it.", obstacle.keys)
        return said % {"number": obstacle.keys} + " " + _("The next roll moves them.")
    if obstacle.code == policy.NO_BACKUP:
        return _("There is no backup of the keys that is newer. Run backup_keys.")
    until = {"time": moment(obstacle.until) if obstacle.until else ""}
    if obstacle.code == policy.GRACE_RUNS:
        return _("Work that began earlier may need it until %(time)s.") % until
    return _("Keys were restored from a backup. Nothing is destroyed until %(time)s.") % until


def _word(proposal: Proposal, user: Any) -> Word:
    epochs = [moment(epoch.created_at) for epoch in proposal.epochs.order_by("created_at")]
    return Word(proposal, epochs, is_own=proposal.proposed_by == user.pk)
