"""What is done with accounts: who acts, what an account holds, and its end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpRequest
from django.utils import translation

from apps.accounts import roles
from apps.accounts.errors import NotSignedIn
from apps.accounts.letters import words_of
from apps.accounts.models import OfficerHandle, User
from apps.audit.actors import Actor, Role
from apps.audit.handles import new_handle
from apps.mail import services as mail

ROLE_OF_GROUP = {
    roles.COMPLIANCE: Role.OFFICER,
    roles.APPROVERS: Role.APPROVER,
    roles.AUDITORS: Role.AUDITOR,
    roles.ADMINISTRATORS: Role.ADMINISTRATOR,
}


def actor_of(request: HttpRequest, *, handle: str | None = None) -> Actor:
    """Say who acts in a request: a data subject by the handle given, or staff by this year's handle and their role."""
    if handle is not None:
        return Actor(handle, Role.PERSON)
    if not request.user.is_authenticated:
        raise NotSignedIn
    return Actor(officer_handle(request.user), role_of(request.user))


def role_of(user: User) -> Role:
    """The first of the person's roles, in the order of ROLE_OF_GROUP; a superuser without one is an administrator."""
    names = set(user.groups.values_list("name", flat=True))
    for name, role in ROLE_OF_GROUP.items():
        if name in names:
            return role
    return Role.ADMINISTRATOR if user.is_superuser else Role.PERSON


def must_take_two_steps(user: User) -> bool:
    """Staff sign in with a second step; only the sample site lets them in with a password alone."""
    if not settings.STAFF_SECOND_STEP:
        return False
    return user.is_staff or user.is_superuser or user.groups.filter(name__in=roles.PERMISSIONS).exists()


def officer_handle(user: User) -> str:
    """What the log calls this person this year; made on first use."""
    year = datetime.now(UTC).year
    row, _ = OfficerHandle.objects.get_or_create(user=user, year=year, defaults={"handle": new_handle()})
    return row.handle


def send_account_letter(letter: str, *, to: str, user: User | None, language: str, values: dict[str, Any]) -> None:
    """Queue one of the letters of letters.py, in a language; it belongs to the account, if there is one."""
    with translation.override(language):
        words = words_of(letter, values)
    mail.queue_letter("account", to=to, owner=user.pk if user else None, language=language, context={"words": words})


def set_email_code(user: User, on: bool) -> None:
    """Switch the code by e-mail, a second step at each sign-in, on or off."""
    User.objects.filter(pk=user.pk).update(email_code=on)


def account_inventory(user_id: UUID) -> dict[str, Any]:
    """List what an account holds, for the person's own archive: no secrets, no keys of sessions."""
    user = User.objects.get(pk=user_id)
    return {
        "email": user.email,
        "language": user.language,
        "time_zone": user.time_zone,
        "made_at": user.date_joined,
        "last_sign_in_at": user.last_login,
        "code_by_email": user.email_code,
        "roles": sorted(user.groups.values_list("name", flat=True)),
        "addresses": list(EmailAddress.objects.filter(user=user).order_by("pk").values("email", "verified", "primary")),
        "sign_ins": list(
            UserSession.objects.filter(user=user)
            .order_by("pk")
            .values("created_at", "last_seen_at", "ip", "user_agent")
        ),
        "second_factors": list(
            Authenticator.objects.filter(user=user).order_by("pk").values("type", "created_at", "last_used_at")
        ),
        "actions_in_the_admin": LogEntry.objects.filter(user=user).count(),
        "years_on_staff": sorted(OfficerHandle.objects.filter(user=user).values_list("year", flat=True)),
    }


@transaction.atomic
def erase_account(user_id: UUID) -> dict[str, int]:
    """Delete an account with all that belongs to it; return how many rows of each. A repeat finds nothing and deletes 0."""
    session_keys = list(UserSession.objects.filter(user_id=user_id).values_list("session_key", flat=True))
    counts = {
        "sessions": Session.objects.filter(session_key__in=session_keys).delete()[0],
        "sign-ins": UserSession.objects.filter(user_id=user_id).delete()[0],
        "second factors": Authenticator.objects.filter(user_id=user_id).delete()[0],
        "addresses": EmailAddress.objects.filter(user_id=user_id).delete()[0],
        "admin log": LogEntry.objects.filter(user_id=user_id).delete()[0]
        + LogEntry.objects.filter(object_id=str(user_id)).delete()[0],
        "officer handles": OfficerHandle.objects.filter(user_id=user_id).delete()[0],
        "letters": mail.erase_letters([user_id]),
    }
    return counts | {"accounts": User.objects.filter(pk=user_id).delete()[1].get("accounts.User", 0)}


def remaining_account_rows(user_id: UUID) -> int:
    """Count what is still there of an account: the second look after `erase_account`."""
    looks = (UserSession, Authenticator, EmailAddress, OfficerHandle)
    found = sum(model.objects.filter(user_id=user_id).count() for model in looks)
    return found + User.objects.filter(pk=user_id).count() + mail.count_letters([user_id])
