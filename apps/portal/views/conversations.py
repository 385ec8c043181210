"""A person's conversations: the list, the search, and erasing some or all of them."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET

from apps.accounts.access import fresh_authentication_required
from apps.archives import selectors as archives
from apps.portal.access import person, person_page, posted
from apps.portal.forms import EraseWordForm, SearchForm
from apps.records import selectors, services
from apps.records.errors import ConversationNotFound, ConversationsHeld
from apps.records.models import Subject
from apps.records.selectors.lists import summaries
from apps.records.selectors.reading import get_conversation

SECTION = {"section": "conversations"}


@require_GET
@person_page
def conversations(request: HttpRequest, subject: Subject) -> HttpResponse:
    cursor = request.GET.get("cursor", "")
    page = selectors.conversations_page(subject, cursor=cursor)
    context = {"page": page, "is_first": not cursor, "total": selectors.count_conversations(subject)}
    return render(request, "portal/conversations.html", SECTION | context)


@person_page
def search(request: HttpRequest, subject: Subject) -> HttpResponse:
    """Words never stand in an address, where logs and histories would keep them: the form is posted."""
    form = SearchForm(request.POST if request.method == "POST" else None)
    context = SECTION | {"form": form, "words": request.POST.get("words", "")}
    if form.is_valid():
        words = form.cleaned_data["words"]
        context |= {"words": words, "result": selectors.search(subject, words, cursor=form.cleaned_data["cursor"])}
    return render(request, "portal/search.html", context)


@posted("portal:conversations")
@fresh_authentication_required
@person_page
def delete_conversations(request: HttpRequest, subject: Subject) -> HttpResponse:
    ids = _ids(request.POST.getlist("pick"))
    if not ids:
        messages.error(request, _("Nothing was ticked. Tick the conversations that are to go."))
        return redirect("portal:conversations")
    if request.POST.get("confirmed"):
        return _delete(request, subject, ids)
    return _ask(request, subject, ids)


@require_GET
@fresh_authentication_required
@person_page
def delete_conversation(request: HttpRequest, subject: Subject, pk: UUID) -> HttpResponse:
    return _ask(request, subject, [pk])


@fresh_authentication_required
@person_page
def delete_all(request: HttpRequest, subject: Subject) -> HttpResponse:
    form = EraseWordForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        gone = services.delete_all_conversations(subject, actor=person(request, subject))
        return _say_erased(request, gone.conversations)
    latest = archives.archives_of(subject.pk).filter(ready_at__isnull=False).first()
    context = {
        "form": form,
        "everything": True,
        "held": selectors.held_summary(subject),
        "held_until": services.held_until(subject.pk),
        "last_archive": latest.ready_at if latest else None,
    }
    return render(request, "portal/delete_conversations.html", SECTION | context)


def _ask(request: HttpRequest, subject: Subject, ids: list[UUID]) -> HttpResponse:
    rows = summaries(subject, [get_conversation(subject, pk) for pk in ids])
    context = {"rows": rows, "held_until": None}
    return render(request, "portal/delete_conversations.html", SECTION | context)


def _delete(request: HttpRequest, subject: Subject, ids: list[UUID]) -> HttpResponse:
    try:
        gone = services.delete_conversations(subject, ids, actor=person(request, subject))
    except ConversationsHeld as held:
        messages.error(request, _("The law keeps one of them until %(day)s. Nothing was erased.") % {"day": held.until})
        return redirect("portal:conversations")
    return _say_erased(request, gone.conversations)


def _say_erased(request: HttpRequest, count: int) -> HttpResponse:
    words = ngettext("%(count)s conversation was erased.", "%(count)s conversations were erased.", count)
    messages.success(request, words % {"count": count})
    return redirect("portal:conversations")


def _ids(values: Iterable[str]) -> list[UUID]:
    """Read ids that a form of ours wrote; anything else is another person's, so to say."""
    try:
        return list(dict.fromkeys(UUID(value) for value in values))
    except ValueError:
        raise ConversationNotFound from None
