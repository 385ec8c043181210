"""The letters about a request. They name the reference, dates and places; never a person, a title or content."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from apps.archives.models import Archive
from apps.locations.contract import Kept
from apps.locations.labels import label as place_label
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.mail import services as mail
from apps.requests import keeping
from apps.requests.labels import kind_label
from apps.requests.models import CHANGES, Intake, Kind, PrivacyRequest, Receipt, Status, Step
from apps.requests.moments import reason_words
from apps.requests.regimes import Ground, regime_of
from apps.requests.vault import Vault, details_of

TEMPLATE = "request_letter"


def day_words(moment: Any) -> str:
    return date_format(timezone.localtime(moment) if isinstance(moment, datetime) else moment, "DATE_FORMAT")


def _time(moment: datetime) -> str:
    local = timezone.localtime(moment)
    return f"{date_format(local, 'DATETIME_FORMAT')} ({local.tzname()})"


def page_url(name: str, *values: str) -> str:
    return f"{settings.SITE_URL}{reverse(name, args=values)}"


def _send(request: PrivacyRequest, vault: Vault, words: Any, **values: Any) -> None:
    """Write a letter in the person's language and time zone, under the request key; nobody to write to means none."""
    to = details_of(request, vault).get("email")
    if not to:
        return
    written = _written(request, words, **values)
    mail.queue_letter(
        TEMPLATE, to=to, owner=request.pk, key_id=request.key_id, language=request.language, context={"words": written}
    )


def _written(request: PrivacyRequest, words: Any, **values: Any) -> dict[str, Any]:
    with translation.override(request.language), timezone.override(ZoneInfo(request.time_zone)):
        subject, lines, doubt = words(request, **values)
        page = page_url("portal:request", request.reference)
        if request.is_destroyed or request.subject_id is None:  # there is no account to sign in with
            page = page_url("portal:find")
        label = _("Open request %(reference)s") % {"reference": request.reference}
        return {"subject": subject, "lines": [str(line) for line in lines], "doubt": doubt, "label": label, "url": page}


def _complaint(request: PrivacyRequest) -> str:
    authority = regime_of(request.regime).authority
    values = {"authority": authority.name, "url": authority.url}
    return _("You may complain to %(authority)s, %(url)s, free of charge.") % values


def _received(request: PrivacyRequest) -> tuple[str, list[str], str]:
    values = {"reference": request.reference, "day": day_words(request.received_at), "due": day_words(request.due_on)}
    lines = [
        kind_label(request.kind),
        _("We received it on %(day)s. A full answer is due by %(due)s.") % values,
    ]
    if request.status == Status.VERIFYING:
        lines.append(_("First we check that it is you. If we need anything for that, we write to you."))
    if request.kind == Kind.ERASURE and request.cooling_off_until:
        lines.append(
            _("Nothing is erased before %(time)s. Until then you can withdraw with one click.")
            % {"time": _time(request.cooling_off_until)}
        )
    doubt = _("You did not ask for this? Withdraw it on that page, change your password, and write to %(contact)s.")
    return _("We received your request %(reference)s") % values, lines, doubt % {"contact": settings.PRIVACY_CONTACT}


def _approved(request: PrivacyRequest) -> tuple[str, list[str], str]:
    values = {"reference": request.reference}
    lines = [_("Every place that ever held data is asked now. You do not have to do anything.")]
    if request.kind in CHANGES:
        lines = [_("Every place is asked now. At the end you get a receipt that says what was done where.")]
    if request.kind == Kind.ERASURE:
        lines = [_("The erasure begins now. When it has begun, nobody can take it back.")]
        if request.cooling_off_until and request.cooling_off_until > timezone.now():
            begins = {"time": _time(request.cooling_off_until)}
            lines = [_("The erasure starts by itself on %(time)s. Until then you can withdraw.") % begins]
    return _("Your request %(reference)s is approved") % values, lines, ""


def _refused(request: PrivacyRequest, ground: Ground, text: str) -> tuple[str, list[str], str]:
    regime = regime_of(request.regime)
    law = {"ground": ground.label, "law": regime.name, "article": ground.article}
    lines = [
        _("We do not do what you asked. The reason: %(ground)s (%(law)s, %(article)s).") % law,
        text,
        _complaint(request),
        str(regime.authority.remedy),
    ]
    return _("Your request %(reference)s: we cannot do this") % {"reference": request.reference}, lines, ""


def _extended(request: PrivacyRequest, text: str) -> tuple[str, list[str], str]:
    lines = [
        _("We need until %(due)s, because:") % {"due": day_words(request.due_on)},
        text,
        _complaint(request),
    ]
    return _("Your request %(reference)s takes longer") % {"reference": request.reference}, lines, ""


def _withdrawn(request: PrivacyRequest) -> tuple[str, list[str], str]:
    lines = [_("You withdrew it. We have stopped; what was collected is destroyed, and your data stays as it is.")]
    if request.kind in CHANGES:
        lines = [_("You withdrew it. We have stopped, and your data stays as it is.")]
    return _("Your request %(reference)s is withdrawn") % {"reference": request.reference}, lines, ""


def _lapsed(request: PrivacyRequest) -> tuple[str, list[str], str]:
    lines = [
        _("We could not find out in time that it is you, so we have closed it. You can ask again at any time."),
        _complaint(request),
    ]
    return _("Your request %(reference)s is closed") % {"reference": request.reference}, lines, ""


def _message(request: PrivacyRequest) -> tuple[str, list[str], str]:
    lines = [
        _("The privacy team has written to you. Sign in to read it: for your safety it does not stand in an e-mail.")
    ]
    return _("A message about your request %(reference)s") % {"reference": request.reference}, lines, ""


def _archive_ready(request: PrivacyRequest, archive: Archive, missing: int) -> tuple[str, list[str], str]:
    lines = [_("The copy of your data is ready. Sign in to download it.")]
    if archive.number > 1:
        lines = [_("The rest of the copy of your data is ready, as a download of its own. Sign in to fetch it.")]
    if missing:
        lines.append(_("Not every place has answered yet. What is missing follows by itself in a second download."))
    if archive.expires_at:
        until = {"time": _time(archive.expires_at)}
        lines.append(
            _("You can download it until %(time)s. After that its key is destroyed, and you would have to ask again.")
            % until
        )
    doubt = _("You did not ask for this? Nobody can open the download without your sign-in. Write to %(contact)s.")
    subject = (
        _("Your request %(reference)s is complete")
        if not missing
        else _("Your request %(reference)s: a download is ready")
    )
    return subject % {"reference": request.reference}, lines, doubt % {"contact": settings.PRIVACY_CONTACT}


def _receipt_ready(
    request: PrivacyRequest, receipt: Receipt, is_final: bool, kept: list[tuple[Location, Kept]]
) -> tuple[str, list[str], str]:
    subject = _("Your request %(reference)s: the receipt is ready") % {"reference": request.reference}
    opens = _("Open it with the reference %(reference)s and the code that you were shown when you asked.")
    if request.kind in CHANGES:
        return subject, [*_what_changed(request, is_final), opens % {"reference": request.reference}], ""
    lines = [_("Your data is erased. The receipt says what was erased where, and can be checked without us.")]
    if not is_final:
        lines = [
            _("Your key is destroyed, and what we could reach is erased. One place or more still keeps something."),
            *_what_stays(request),
            _("The receipt says which, why and until when. When it goes, you get a final receipt by itself."),
        ]
    if kept:
        lines.append(_("By its rules a place keeps:"))
        said = [{"place": place_label(place), "what": keeping.words(one)} for place, one in kept]
        lines += [_("%(place)s, %(what)s") % values for values in said]
    lines += [*_two_moments(request, receipt), opens % {"reference": request.reference}]
    return subject, lines, ""


def _what_changed(request: PrivacyRequest, is_final: bool) -> list[str]:
    """Say what a rectification, a restriction or its end has come to."""
    is_lifted = request.steps.filter(phase=Step.Phase.LIFT).exists()
    if request.kind == Kind.RECTIFICATION:
        done = _(
            "Your data is corrected. The receipt says what became of it in each place, and can be checked without us."
        )
        part = _("What we could reach is corrected. One place or more is not done yet.")
    elif is_lifted:
        done = _("The restriction is lifted: your data is used again as before. The receipt says so for each place.")
        part = _("The restriction is lifted where we could reach. One place or more is not done yet.")
    else:
        done = _("The use of your data is restricted. It is stored and shown to you, and nothing else is done with it.")
        part = _("The use of your data is restricted where we could reach. One place or more is not done yet.")
    more = (
        [] if is_lifted or request.kind == Kind.RECTIFICATION else [_("We tell you before the restriction is lifted.")]
    )
    if is_final:
        return [done, *more]
    final = _("The receipt says which, and why. When it is done, you get a final receipt by itself.")
    return [part, *_what_stays(request), final, *more]


def _lift_announced(request: PrivacyRequest, text: str) -> tuple[str, list[str], str]:
    lines = [
        _("The use of your data was restricted at your request. On %(day)s we lift that, because:")
        % {"day": day_words(request.lift_on)},
        text,
        _("From then on your data is used again as before. If you do not agree, write to us before that day."),
        _complaint(request),
    ]
    return _("Your request %(reference)s: the restriction ends") % {"reference": request.reference}, lines, ""


def _what_stays(request: PrivacyRequest) -> list[str]:
    """Say for each place that is not done why, and until when."""
    open_steps = request.steps.filter(location__isnull=False).exclude(state=Step.State.DONE).select_related("location")
    lines = []
    for step in open_steps.order_by("order", "location__name"):
        if step.location is None:
            continue
        values = {"place": place_label(step.location), "reason": str(Reason(step.reason).label) if step.reason else ""}
        if step.until is not None:
            lines.append(_("%(place)s: %(reason)s (until %(day)s)") % (values | {"day": day_words(step.until)}))
        else:
            lines.append(_("%(place)s: %(reason)s") % values)
    return lines


def _receipt_renewed(request: PrivacyRequest, receipt: Receipt) -> tuple[str, list[str], str]:
    lines = [
        _("Your data is erased, as we told you. What has changed is when old copies of it can no longer be opened."),
        *_two_moments(request, receipt),
        _("A new receipt says so. Open it with the reference %(reference)s and the code that you were shown.")
        % {"reference": request.reference},
    ]
    return _("Your request %(reference)s: a new receipt") % {"reference": request.reference}, lines, ""


def _two_moments(request: PrivacyRequest, receipt: Receipt) -> list[str]:
    """Say T0 and T1: since when nobody can open it, and by when nobody could with any old copy."""
    lines = []
    if request.unreadable_from is not None:
        is_ahead = request.unreadable_from > timezone.now()
        said = _("Unreadable from %(time)s on.") if is_ahead else _("Unreadable since %(time)s.")
        lines.append(said % {"time": _time(request.unreadable_from)})
    if receipt.irrecoverable_by is not None:
        day = {"day": day_words(receipt.irrecoverable_by)}
        lines.append(_("Irrecoverable by %(day)s, for anybody with any old copy.") % day)
    else:
        lines.append(reason_words(receipt.irrecoverable_code))
    return [line for line in lines if line]


def _copy_question(request: PrivacyRequest) -> tuple[str, list[str], str]:
    lines = [
        _("You asked for a copy and for an erasure. The erasure waits until you have downloaded the copy."),
        _("It is due by %(due)s. Download the copy, or tell us on that page to erase without it.")
        % {"due": day_words(request.due_on)},
    ]
    return _("Your request %(reference)s waits for you") % {"reference": request.reference}, lines, ""


def received(request: PrivacyRequest, vault: Vault) -> None:
    _send(request, vault, _received)


def approved(request: PrivacyRequest, vault: Vault) -> None:
    _send(request, vault, _approved)


def refused(request: PrivacyRequest, vault: Vault, *, ground: Ground, text: str) -> None:
    """Reasons, the authority, the courts: the three things that a refusal must say (GDPR Article 12(4))."""
    _send(request, vault, _refused, ground=ground, text=text)


def extended(request: PrivacyRequest, vault: Vault, *, text: str) -> None:
    _send(request, vault, _extended, text=text)


def withdrawn(request: PrivacyRequest, vault: Vault) -> None:
    _send(request, vault, _withdrawn)


def lapsed(request: PrivacyRequest, vault: Vault) -> None:
    _send(request, vault, _lapsed)


def message_sent(request: PrivacyRequest, vault: Vault) -> None:
    _send(request, vault, _message)


def archive_ready(request: PrivacyRequest, vault: Vault, archive: Archive, *, missing: int) -> None:
    _send(request, vault, _archive_ready, archive=archive, missing=missing)


def receipt_ready(request: PrivacyRequest, vault: Vault, receipt: Receipt, *, is_final: bool) -> None:
    steps = request.steps.filter(sealed_kept__isnull=False).select_related("location").order_by("order", "pk")
    kept = [(step.location, one) for step in steps if step.location for one in keeping.kept_of(step, vault)]
    _send(request, vault, _receipt_ready, receipt=receipt, is_final=is_final, kept=kept)


def receipt_renewed(request: PrivacyRequest, vault: Vault, receipt: Receipt) -> None:
    _send(request, vault, _receipt_renewed, receipt=receipt)


def copy_question(request: PrivacyRequest, vault: Vault) -> None:
    _send(request, vault, _copy_question)


def lift_announced(request: PrivacyRequest, vault: Vault, *, text: str) -> None:
    """The person is told before a restriction is lifted (GDPR Article 18(3)); `request.lift_on` is the day."""
    _send(request, vault, _lift_announced, text=text)


def preview_lift(request: PrivacyRequest, *, text: str) -> dict[str, Any]:
    """Return the words of that letter without sending it, for staff to look at first."""
    return _written(request, _lift_announced, text=text)


def preview_refused(request: PrivacyRequest, *, ground: Ground, text: str) -> dict[str, Any]:
    """Return the words of the letter without sending it, for staff to look at first."""
    return _written(request, _refused, ground=ground, text=text)


def preview_extended(request: PrivacyRequest, *, text: str) -> dict[str, Any]:
    """The same for an extension; `request.due_on` is the new day."""
    return _written(request, _extended, text=text)


def preview_message(request: PrivacyRequest) -> dict[str, Any]:
    """The same for a message, which itself does not stand in the letter."""
    return _written(request, _message)


def confirm_link(intake: Intake, *, to: str, token: str) -> None:
    """The letter after filing without an account: the same whether we know the address or not."""
    with translation.override(intake.language):
        values = {"reference": intake.reference}
        written = {
            "subject": _("Confirm your request %(reference)s") % values,
            "lines": [
                _("Somebody, probably you, asked us about their data with this address. Confirm it to go on."),
                _(
                    "The link works once, for 7 days. Nothing is given to anybody on an e-mail alone: we check who asks."
                ),
            ],
            "doubt": _("You did not ask for this? Then do nothing: without this message nobody can go on."),
            "label": _("Go on with request %(reference)s") % values,
            "url": page_url("portal:confirm_intake", token),
        }
    mail.queue_letter(
        TEMPLATE, to=to, owner=intake.pk, key_id=intake.key_id, language=intake.language, context={"words": written}
    )


def staff_alert(request: PrivacyRequest) -> None:
    """Tell the privacy team that a place does not answer although the deadline is near."""
    with translation.override(settings.LANGUAGE_CODE):
        values = {"reference": request.reference, "due": day_words(request.due_on)}
        written = {
            "subject": _("Request %(reference)s: a place does not answer") % values,
            "lines": [_("It is due by %(due)s. The step tries again by itself; please look at the place.") % values],
            "doubt": "",
            "label": _("Open the requests"),
            "url": f"{settings.SITE_URL}/admin/",
        }
    mail.queue_letter(
        TEMPLATE,
        to=settings.PRIVACY_CONTACT,
        owner=request.pk,
        language=settings.LANGUAGE_CODE,
        context={"words": written},
    )
