"""People on the staff and their roles. Administrators grant and take them; data subjects are not listed, nor is content.

What other packages register (groups, addresses, second factors, sessions) is taken out: it would show and change what is
sealed or logged elsewhere.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin

from apps.accounts import officers, roles
from apps.accounts.access import fresh_authentication_required
from apps.accounts.errors import AccountsError, LastAdministrator, OwnRoles
from apps.accounts.models import User

MOST_SHOWN = 500
ROLE_WORDS: dict[str, tuple[Promise, Promise]] = {
    roles.COMPLIANCE: (
        gettext_lazy("Compliance officer"),
        gettext_lazy("Reviews requests: checks identities, approves, refuses, extends, writes to people."),
    ),
    roles.APPROVERS: (
        gettext_lazy("Second approver"),
        gettext_lazy("Sees requests and gives the second approval of erasures."),
    ),
    roles.AUDITORS: (gettext_lazy("Auditor"), gettext_lazy("Reads the audit log under /audit/, and nothing else.")),
    roles.ADMINISTRATORS: (
        gettext_lazy("Administrator"),
        gettext_lazy("Manages places and the roles of people. Sees no request and no content."),
    ),
}
WHAT_WENT_WRONG: dict[type[Exception], Promise] = {
    OwnRoles: gettext_lazy("Nobody changes their own roles. Ask another administrator."),
    LastAdministrator: gettext_lazy("This is the last administrator. Make somebody else one first."),
}

for _model in (Group, EmailAddress, Authenticator, UserSession):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


class FindPersonForm(forms.Form):
    email = forms.EmailField(
        label=gettext_lazy("Exact e-mail address"),
        help_text=gettext_lazy("Of somebody who has an account already: they sign up first, then they get a role here."),
        error_messages={"required": gettext_lazy("Write the address."), "invalid": gettext_lazy("Write an address such as name@example.org.")},
    )  # fmt: skip


@admin.register(User)
class UserAdmin(ModelAdmin):
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.people), name="accounts_user_changelist"),
            path("<uuid:pk>/", wrap(self.person), name="accounts_user_change"),
            path("<uuid:pk>/<slug:role>/<slug:act>/", wrap(self.change_role), name="accounts_user_role"),
        ]

    def people(self, request: HttpRequest) -> HttpResponse:
        """List the staff; somebody who is not on it yet is found by their exact address."""
        self._check(request, "view")
        form = FindPersonForm(request.POST or None)
        status = 200
        if request.method == "POST":
            status = 400
            if form.is_valid():
                found = officers.find_person(form.cleaned_data["email"])
                if found is not None:
                    return redirect("admin:accounts_user_change", found.pk)
                form.add_error("email", _("Nobody signs in with this address."))
        rows = [(user, _names(user)) for user in officers.staff()[:MOST_SHOWN]]
        return self._show(request, "people", _("Staff and roles"), {"rows": rows, "form": form}, status=status)

    def person(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        self._check(request, "view")
        user = get_object_or_404(User, pk=pk)
        held = set(user.groups.values_list("name", flat=True))
        own = user.pk == request.user.pk
        lines = [
            {"role": role, "name": name, "what": what, "is_held": role in held}
            for role, (name, what) in ROLE_WORDS.items()
        ]
        may_change = self._may(request, "change") and not own
        return self._show(
            request, "person", user.email, {"person": user, "lines": lines, "may_change": may_change, "is_own": own}
        )

    def change_role(self, request: HttpRequest, pk: UUID, role: str, act: str) -> HttpResponseBase:
        """Grant or take a role, with a fresh sign-in and an entry in the log."""
        self._check(request, "change")
        if request.method != "POST" or role not in ROLE_WORDS or act not in ("grant", "revoke"):
            raise Http404
        return _change_role(request, get_object_or_404(User, pk=pk), role, act)

    def _may(self, request: HttpRequest, act: str) -> bool:
        return bool(request.user.has_perm(f"accounts.{act}_user"))

    def _check(self, request: HttpRequest, act: str) -> None:
        if not self._may(request, act):
            raise PermissionDenied

    def _show(
        self, request: HttpRequest, template: str, title: str, context: dict[str, Any], *, status: int = 200
    ) -> HttpResponse:
        framed = self.admin_site.each_context(request) | {"title": title} | context
        return render(request, f"admin/accounts/{template}.html", framed, status=status)


@fresh_authentication_required
def _change_role(request: HttpRequest, user: User, role: str, act: str) -> HttpResponse:
    change = officers.grant_role if act == "grant" else officers.revoke_role
    values = {"who": user.email, "role": ROLE_WORDS[role][0]}
    try:
        change(user, role, by=request.user, actor=request.actor)  # type: ignore[arg-type, attr-defined]
    except AccountsError as error:
        messages.error(request, str(WHAT_WENT_WRONG.get(type(error), _("This could not be done."))))
    else:
        done = (
            _("%(who)s has the role “%(role)s” now.")
            if act == "grant"
            else _("%(who)s does not have the role “%(role)s” any more.")
        )
        messages.success(request, done % values)
    return redirect("admin:accounts_user_change", user.pk)


def _names(user: User) -> list[str]:
    held = {group.name for group in user.groups.all()}
    return [str(name) for role, (name, _what) in ROLE_WORDS.items() if role in held]


def _to_password_page(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    """The site has one page for changing a password, with its rules; the admin's own would pass them by."""
    return redirect("account_change_password")


def _to_sign_out(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    return redirect("account_logout")


admin.site.password_change = _to_password_page  # type: ignore[method-assign,assignment]
admin.site.logout = _to_sign_out  # type: ignore[method-assign,assignment]
