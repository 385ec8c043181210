"""submit_request --subject EMAIL --kind KIND [--regime gdpr] [--approve] [--wait [SECONDS]] [--json]: intake by staff.

A rectification takes --wrong and --right (what is corrected where, staff say in the admin; with --approve it is done by
hand everywhere), a restriction --what and --ground. Each text may be @FILE, for it is seen by others on a command line.

Exit codes: 0 filed, or with --wait ended and answered; 1 refused or failed; 3 with --wait: time, a person or a worker is
wanting; 4 with --wait: only blocked places are left.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from apps.audit.actors import Actor
from apps.audit.commands import ContentCommand
from apps.locations.reasons import Reason
from apps.records.errors import SubjectNotFound
from apps.records.models import Subject
from apps.records.subjects import find_subject
from apps.requests import services
from apps.requests.errors import EmptyText, NoLocation, RequestError, UnknownGround, UnknownKind
from apps.requests.models import Kind, PrivacyRequest, Status, Step
from apps.requests.regimes import NONE, REASONABLY_HIGH, REGIMES
from apps.requests.schedule import next_due
from apps.requests.services.deciding import COMMAND_LINE

WAIT_SECONDS = 600
POLL_SECONDS = 0.5
NO_WORKER_AFTER = 30.0  # a worker looks every 2 seconds
TEXTS = {
    "wrong": "of a rectification: what is wrong",
    "right": "of a rectification: what it should say",
    "what": "of a restriction: what should be left alone",
}
DONE, FAILED, WANTING, BLOCKED = 0, 1, 3, 4


class Command(ContentCommand):
    help = "Files a privacy request for somebody; with --approve it is carried out (sample sites and tests)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--subject", required=True, metavar="EMAIL", help="address or id of the person, or @FILE holding it"
        )
        parser.add_argument("--kind", required=True, metavar="KIND", help=", ".join(Kind.values))
        parser.add_argument("--regime", default=settings.DEFAULT_REGIME, metavar="LAW", help=", ".join(sorted(REGIMES)))
        for name, words in TEXTS.items():
            parser.add_argument(f"--{name}", default="", metavar="TEXT", help=f"{words}, or @FILE holding it")
        grounds = [ground.code for regime in REGIMES.values() for ground in regime.asking_grounds]
        parser.add_argument("--ground", default="", metavar="GROUND", help=f"of a restriction: {', '.join(grounds)}")
        parser.add_argument("--approve", action="store_true", help="counts as every approval and skips the cooling-off")
        parser.add_argument(
            "--wait", nargs="?", type=float, const=WAIT_SECONDS, metavar="SECONDS", help="until it has ended"
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")

    def handle(
        self, *args: Any, subject: str, approve: bool, wait: float | None, as_json: bool, **options: Any
    ) -> None:
        _check("--kind", options["kind"], Kind.values)
        _check("--regime", options["regime"], sorted(REGIMES))
        if approve and not settings.COMMAND_LINE_APPROVAL:
            raise CommandError("--approve is switched off: set COMMAND_LINE_APPROVAL=on, or approve in the admin")
        asked = {name: _text(options[name]) for name in TEXTS} | {"ground": options["ground"]}
        opened = self._open(find(subject), options["kind"], options["regime"], approve, asked)
        request = opened.request
        code, why = (DONE, "") if wait is None else wait_for(request, wait)
        request.refresh_from_db()
        self._print(request, opened.code, as_json)
        if code:
            self.stderr.write(why)
            sys.exit(code)

    def _open(
        self, person: Subject, kind: str, regime: str, approve: bool, asked: dict[str, str]
    ) -> services.OpenedRequest:
        actor = Actor.command_line()
        account = person.account
        try:
            opened = services.open_request(
                person,
                kind=kind,
                regime=regime,
                actor=actor,
                language=account.language if account else settings.LANGUAGE_CODE,
                time_zone=account.time_zone if account else "UTC",
                identity_level=REASONABLY_HIGH if approve else NONE,
                asked=asked,
            )
            if approve:
                services.approve_request(opened.request, rule=COMMAND_LINE, actor=actor)
        except NoLocation:
            raise CommandError("there is no place to ask: run `manage.py migrate`, which makes our own") from None
        except EmptyText:
            raise CommandError("say what it is about: --wrong and --right, or --what") from None
        except UnknownGround:
            raise CommandError("say on which ground with --ground; see --help") from None
        except UnknownKind:
            raise CommandError(f"the law {regime} gives no such right; say another --regime") from None
        except RequestError as error:
            raise CommandError(f"{type(error).__name__}: {error}") from None
        return opened

    def _print(self, request: PrivacyRequest, code: str, as_json: bool) -> None:
        steps = list(request.steps.select_related("location").order_by("order", "pk"))
        if as_json:
            found = {
                "reference": request.reference,
                "receipt_code": code,
                "status": request.status,
                "due_on": request.due_on.isoformat(),
                "steps": [described(step) for step in steps],
            }
            self.stdout.write(json.dumps(found))
            return
        self.stdout.write(f"{request.reference}  {request.status}  due by {request.due_on}")
        self.stdout.write(f"receipt code, shown this once: {code}")
        for step in steps:
            place = f" {step.location.name}" if step.location else ""
            reason = f" ({step.reason})" if step.reason else ""
            self.stdout.write(f"  {step.phase}{place}: {step.state}{reason}, {step.done_count} done")


def _check(option: str, value: str, known: list[str]) -> None:
    if value not in known:
        raise CommandError(f"{option} {value}: not known; say one of {', '.join(known)}")


def find(value: str) -> Subject:
    """Return the person; `@FILE` keeps the address off the command line, where others see it."""
    try:
        return find_subject(_text(value))
    except SubjectNotFound:
        raise CommandError("no such person: give the address or the id of somebody who is known here") from None


def _text(value: str) -> str:
    """Return the text, or what stands in @FILE."""
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {value[1:]}: {error}") from None


def described(step: Step) -> dict[str, Any]:
    return {
        "phase": step.phase,
        "place": step.location.name if step.location else None,
        "state": step.state,
        "reason": step.reason or None,
        "done": step.done_count,
        "remaining": step.remaining,
        "until": step.until.isoformat() if step.until else None,
    }


def wait_for(request: PrivacyRequest, seconds: float) -> tuple[int, str]:
    """Wait until the request has ended or cannot go on by itself soon; return the exit code and why."""
    ends_at = time.monotonic() + seconds
    idle_since: float | None = None
    while time.monotonic() < ends_at:
        request.refresh_from_db()
        verdict = judge(request)
        if verdict is not None:
            return verdict
        if next_due(request.pk, timezone.now()) is None:
            idle_since = None
        elif idle_since is None:
            idle_since = time.monotonic()
        elif time.monotonic() - idle_since > NO_WORKER_AFTER:
            return WANTING, f"{request.reference}: no worker takes the next step; start one (celery -A config worker)"
        time.sleep(POLL_SECONDS)
    return WANTING, f"{request.reference}: still {request.status} after {seconds:g} seconds; it goes on by itself"


def judge(request: PrivacyRequest) -> tuple[int, str] | None:
    """Return the exit code of a request that has ended or stands still, None while it goes on."""
    if request.status == Status.COMPLETED:
        return DONE, ""
    if request.status in (Status.REFUSED, Status.WITHDRAWN, Status.LAPSED):
        return FAILED, f"{request.reference}: {request.status}"
    if request.status in (Status.RECEIVED, Status.VERIFYING, Status.IN_REVIEW):
        return WANTING, f"{request.reference}: {request.status}; a person has to decide, in the admin"
    if request.status == Status.COOLING_OFF:
        return WANTING, f"{request.reference}: waits until {request.cooling_off_until:%Y-%m-%d %H:%M} UTC"
    return judge_steps(request, list(request.steps.exclude(state=Step.State.DONE)))


def judge_steps(request: PrivacyRequest, steps: list[Step]) -> tuple[int, str] | None:
    """Return the exit code when nothing goes on by itself soon: the steps that are pending wait for the others."""
    now = timezone.now()
    failed = any(step.state == Step.State.PENDING and step.next_try_at and step.next_try_at > now for step in steps)
    running = any(step.state == Step.State.RUNNING for step in steps)
    if failed or running or next_due(request.pk, now) is not None:
        return None
    if any(step.state == Step.State.NEEDS_PERSON for step in steps):
        return WANTING, f"{request.reference}: a place needs a person; see it in the admin"
    if any(step.reason == Reason.WAITS_FOR_ARCHIVE for step in steps):
        return WANTING, f"{request.reference}: waits until the person has fetched their copy, or waives it"
    if any(step.state == Step.State.BLOCKED for step in steps):
        return BLOCKED, f"{request.reference}: only blocked places are left; it goes on by itself"
    return None
