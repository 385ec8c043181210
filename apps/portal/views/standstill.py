"""What administrators do while the site stands in quarantine and its log cannot be completed: accept the gap, two of them."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from apps.accounts.access import fresh_authentication_required, is_administrator
from apps.accounts.services import actor_of
from apps.portal.access import posted
from apps.requests.replaying import GapNotAccepted
from apps.requests.replaying import accept_gap as accept


@posted("portal:home")
@fresh_authentication_required
def accept_gap(request: HttpRequest) -> HttpResponse:
    user = request.user
    if not (user.is_authenticated and is_administrator(request)):
        raise Http404
    try:
        has_begun = accept(user.pk, actor=actor_of(request))
    except GapNotAccepted:
        messages.error(request, _("That takes another administrator, or there is no gap to accept any more."))
    else:
        messages.success(
            request,
            _("The new log has begun. Run manage.py replay_tombstones to open the site.")
            if has_begun
            else _("You have accepted the gap. Another administrator has to do so too."),
        )
    return redirect("portal:home")
