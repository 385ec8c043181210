"""Pages that are the same for everybody, and the choice of a language."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from apps.audit import selectors as audit
from apps.portal.access import posted
from apps.portal.story import cite_of, period_words
from apps.requests.regimes import REGIMES, Regime

A_YEAR = 365 * 24 * 3600
WHERE = {
    "gdpr": gettext_lazy("European Union, Iceland, Liechtenstein, Norway"),
    "ccpa": gettext_lazy("California"),
}
VERIFIER = settings.BASE_DIR / "verify" / "habeas_verify.py"


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "portal/home.html", {"cooling_off_days": settings.ERASURE_COOLING_OFF_DAYS})


@require_GET
def how(request: HttpRequest) -> HttpResponse:
    context = {
        "cooling_off_days": settings.ERASURE_COOLING_OFF_DAYS,
        "archive_days": settings.ARCHIVE_LIFETIME_DAYS,
        "retention_months": settings.REQUEST_RETENTION_MONTHS,
        "regimes": [_regime(regime) for regime in REGIMES.values()],
    }
    return render(request, "portal/how.html", context)


@require_GET
def accessibility(request: HttpRequest) -> HttpResponse:
    return render(request, "portal/accessibility.html")


@require_GET
def verify(request: HttpRequest) -> HttpResponse:
    """Show the public keys and their fingerprints, to be compared with what others have noted."""
    log_fingerprint, archive_fingerprint = audit.fingerprints()
    context = {
        "log_key": audit.public_key_text(),
        "log_fingerprint": log_fingerprint,
        "archive_key": audit.archive_key_text(),
        "archive_fingerprint": archive_fingerprint,
    }
    return render(request, "portal/verify.html", context)


@require_GET
def verifier(request: HttpRequest) -> HttpResponse:
    return HttpResponse(
        VERIFIER.read_bytes(),
        content_type="text/x-python; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="habeas_verify.py"'},
    )


@posted("portal:home")
def language(request: HttpRequest) -> HttpResponse:
    """Remember the language, for a signed-in person in their letters as well, and show the same page again."""
    target = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        target = "/"
    response = HttpResponseRedirect(target)
    code = request.POST.get("language", "")
    if code not in dict(settings.LANGUAGES):
        return response
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME, code, max_age=A_YEAR, samesite="Lax", secure=request.is_secure(), httponly=True
    )
    if request.user.is_authenticated:
        request.user.language = code
        request.user.save(update_fields=["language"])
    return response


def _regime(regime: Regime) -> dict[str, str]:
    """One line of the table of deadlines, from the law as data."""
    where = [str(WHERE[regime.code])] if regime.code in WHERE else [str(regime.name)]
    if regime.code == settings.DEFAULT_REGIME:
        where.append(_("everywhere without a rule of its own"))
    return {
        "where": _("; ").join(where),
        "respond": period_words(regime.respond),
        "extended": period_words(regime.extended) if regime.extended else "–",
        "cite": cite_of(regime, regime.respond),
    }
