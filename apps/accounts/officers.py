"""Who has which role on the staff: granted and taken by administrators, each time with an entry in the log."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Q, QuerySet

from apps.accounts import roles
from apps.accounts.errors import LastAdministrator, OwnRoles, UnknownRole
from apps.accounts.models import User
from apps.accounts.services import officer_handle
from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event


def staff() -> QuerySet[User]:
    """Return everybody with a role, by address."""
    with_role = User.objects.filter(Q(groups__name__in=roles.PERMISSIONS) | Q(is_staff=True) | Q(is_superuser=True))
    return with_role.distinct().prefetch_related("groups").order_by("email")


def find_person(email: str) -> User | None:
    """Return who signs in with exactly this address."""
    return User.objects.filter(email=email.strip().lower(), is_active=True).first()


@transaction.atomic
def grant_role(user: User, role: str, *, by: User, actor: Actor) -> None:
    """Give a role; a repeat does nothing. Raises UnknownRole, OwnRoles."""
    group = _group(role)
    _check_not_own(user, by)
    locked = User.objects.select_for_update().get(pk=user.pk)
    if locked.groups.filter(pk=group.pk).exists():
        return
    locked.groups.add(group)
    _follow_roles(locked)
    audit.append(Event.ROLE_GRANTED, about="", actor=actor, role=role, officer=officer_handle(locked))


@transaction.atomic
def revoke_role(user: User, role: str, *, by: User, actor: Actor) -> None:
    """Take a role away, at once; a repeat does nothing. Raises UnknownRole, OwnRoles, LastAdministrator."""
    group = _group(role)
    _check_not_own(user, by)
    locked = User.objects.select_for_update().get(pk=user.pk)
    if not locked.groups.filter(pk=group.pk).exists():
        return
    others = User.objects.filter(groups=group, is_active=True).exclude(pk=user.pk)
    if role == roles.ADMINISTRATORS and not others.exists():
        raise LastAdministrator
    locked.groups.remove(group)
    _follow_roles(locked)
    audit.append(Event.ROLE_REVOKED, about="", actor=actor, role=role, officer=officer_handle(locked))


def _group(role: str) -> Group:
    if role not in roles.PERMISSIONS:
        raise UnknownRole(role)
    return Group.objects.get(name=role)


def _check_not_own(user: User, by: User) -> None:
    if user.pk == by.pk:
        raise OwnRoles


def _follow_roles(user: User) -> None:
    """Let into /admin/ whoever has a role there, and nobody else."""
    is_staff = user.is_superuser or user.groups.filter(name__in=roles.STAFF_ROLES).exists()
    User.objects.filter(pk=user.pk).update(is_staff=is_staff)
