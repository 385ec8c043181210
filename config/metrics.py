"""/metrics: numbers for a supervisor, in the text format of Prometheus 0.0.4. They say nothing about anybody.

With METRICS_TOKEN it is asked with "Authorization: Bearer TOKEN"; without, only from this machine itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from django.conf import settings
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe

from apps.audit import anchoring, quarantine, sequencer
from apps.audit.models import Pending
from apps.keys.selectors import waiting_keys
from apps.requests.dates import today
from apps.requests.models import PrivacyRequest, Step

PASSED_ON = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")  # a server in front is on this machine too
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    if not _may_read(request):
        raise Http404
    text = "".join(f"{line}\n" for line in [*_log(), *_anchors(), *_keys(), *_work()])
    return HttpResponse(text, content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})


def _may_read(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "")
        return constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}")
    try:
        is_here = ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        is_here = False
    return is_here and not any(name in request.headers for name in PASSED_ON)


def _log() -> Iterator[str]:
    oldest = Pending.objects.order_by("entry_id").values_list("entry__created_at", flat=True).first()
    age = (timezone.now() - oldest).total_seconds() if oldest else 0
    yield from _gauge("habeas_audit_entries", "Entries that have a place in the log.", sequencer.log_size())
    yield from _gauge("habeas_audit_unsequenced_entries", "Entries without a place yet.", Pending.objects.count())
    yield from _gauge("habeas_audit_unsequenced_age_seconds", "How long the oldest of them has waited.", age)


def _anchors() -> Iterator[str]:
    found = anchoring.standings()
    now = timezone.now()
    yield from _gauge("habeas_anchors", "Anchors of the log.", len(found))
    yield from _gauge("habeas_anchors_wanted", "Anchors that the policy wants.", settings.ANCHORS_WANTED)
    good = {_labels(one): int(one.is_good) for one in found}
    yield from _gauges("habeas_anchor_good", "1: it holds what was signed, up to two intervals ago.", good)
    sizes = {_labels(one): one.size for one in found}
    yield from _gauges("habeas_anchor_entries", "Entries of the checkpoint that was left there last.", sizes)
    times = {_labels(one): one.anchored_at.timestamp() for one in found if one.anchored_at}
    yield from _gauges("habeas_anchor_success_timestamp_seconds", "When a checkpoint was left there last.", times)
    waits = {_labels(one): (now - one.waiting_since).total_seconds() if one.waiting_since else 0 for one in found}
    yield from _gauges("habeas_anchor_waiting_seconds", "How long a signed checkpoint has waited for it.", waits)


def _keys() -> Iterator[str]:
    says = "Keys without an owner, too many to be destroyed before a person has looked: manage.py confirm_key_sweep."
    yield from _gauge("habeas_keys_waiting_for_person", says, waiting_keys())


def _work() -> Iterator[str]:
    counted = Step.objects.exclude(state=Step.State.DONE).values_list("state").annotate(Count("pk")).order_by()
    numbers = {state: 0 for state in Step.State.values if state != Step.State.DONE} | dict(counted)
    states = {f'state="{state}"': number for state, number in numbers.items()}
    yield from _gauges("habeas_steps", "Steps of requests that are not done, by state.", states)
    late = PrivacyRequest.objects.filter(ended_at__isnull=True, due_on__lt=today()).count()
    standing = int(bool(quarantine.reason()))
    yield from _gauge("habeas_quarantine", "1: the site stands in quarantine after a restore.", standing)
    yield from _gauge("habeas_requests_overdue", "Requests that are not answered, and should have been.", late)


def _gauge(name: str, says: str, value: float) -> Iterator[str]:
    yield from _gauges(name, says, {"": value})


def _gauges(name: str, says: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP {name} {says}"
    yield f"# TYPE {name} gauge"
    for labels, value in values.items():
        yield f"{name}{{{labels}}} {value:.15g}" if labels else f"{name} {value:.15g}"


def _labels(one: anchoring.Standing) -> str:
    place = one.place.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'kind="{one.kind}",place="{place}"'
