"""Removing one message of a conversation, or correcting what the person wrote in it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from apps.accounts.access import fresh_authentication_required
from apps.audit.errors import NotSigned
from apps.locations.errors import LocationError
from apps.portal.access import person, person_page
from apps.portal.forms import CorrectionForm
from apps.portal.reader import show_message
from apps.records import services
from apps.records.changes import is_correctable, own_words
from apps.records.errors import Contention, ConversationsHeld, NotCorrectable, SubjectRestricted
from apps.records.models import Subject
from apps.records.selectors.lists import summaries
from apps.records.services.correcting import files_only_of, message_at

SECTION = {"section": "conversations"}


@fresh_authentication_required
@person_page
def remove_message(request: HttpRequest, subject: Subject, pk: UUID, position: int) -> HttpResponse:
    conversation, node = message_at(subject, pk, position)
    if request.method == "POST":
        work = lambda: services.remove_message(subject, pk, position, actor=person(request, subject))  # noqa: E731
        return _carry_out(request, pk, position, work, _("The message was removed."))
    context = SECTION | {
        "conversation": next(iter(summaries(subject, [conversation])), None),
        "position": position,
        "turn": show_message(node),
        "files": files_only_of(conversation, position),
    }
    return render(request, "portal/remove_message.html", context)


@fresh_authentication_required
@person_page
def correct_message(request: HttpRequest, subject: Subject, pk: UUID, position: int) -> HttpResponse:
    conversation, node = message_at(subject, pk, position)
    if not is_correctable(node):
        raise NotCorrectable
    form = CorrectionForm(request.POST if request.method == "POST" else None, initial={"text": own_words(node)})
    if form.is_valid():
        text = form.cleaned_data["text"]
        work = lambda: services.correct_message(subject, pk, position, text, actor=person(request, subject))  # noqa: E731
        return _carry_out(request, pk, position, work, _("The message was corrected."))
    context = SECTION | {
        "conversation": next(iter(summaries(subject, [conversation])), None),
        "position": position,
        "form": form,
    }
    return render(request, "portal/correct_message.html", context)


def _carry_out(request: HttpRequest, pk: UUID, position: int, work: Callable[[], UUID], success: str) -> HttpResponse:
    """Do it, and lead to the message: the conversation has another address from then on."""
    try:
        pk = work()
        messages.success(request, success)
    except ConversationsHeld as held:
        words = _("The law keeps this conversation until %(day)s. Nothing was changed.")
        messages.error(request, words % {"day": date_format(held.until)})
    except SubjectRestricted:
        messages.error(request, _("The use of your data is restricted at your request. Nothing was changed."))
    except (Contention, LocationError):
        messages.warning(request, _("This takes longer than usual. It goes on by itself; look again tomorrow."))
    except NotSigned:
        messages.warning(
            request, _("It is not shown any more. The old key could not be destroyed yet; that goes on by itself.")
        )
        return redirect("portal:conversations")
    return redirect(f"{reverse('portal:conversation', args=[pk])}?at={position}")
