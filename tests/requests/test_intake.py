"""Filing without an account: the same work, the same letter, a link that works once."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.audit.actors import Actor
from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed
from apps.mail.models import Letter
from apps.mail.services import _open
from apps.requests import selectors, services
from apps.requests.errors import IdentityTooLow, LinkUsedOrExpired, WrongStatus
from apps.requests.models import Intake, PrivacyRequest, Status
from apps.requests.services.intake import expire_intakes, send_links

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


def file_for(email: str) -> services.OpenedIntake:
    return services.open_intake(
        kind="access", regime="ccpa", email=email, name="A. L.", data_points={"joined": "2024"}, note="all of it"
    )


def letter_to(reference: str) -> dict[str, str]:
    intake = Intake.objects.get(reference=reference)
    return _open(Letter.objects.get(owner=intake.pk))


def token_of(reference: str) -> str:
    return letter_to(reference)["text"].split("/confirm/")[1].split("/")[0]


def test_known_and_unknown_people_leave_the_same_rows_and_get_the_same_letter(ada):
    known, unknown = file_for("ada@example.org"), file_for("eve@example.org")
    assert (Intake.objects.count(), Letter.objects.count(), PrivacyRequest.objects.count()) == (2, 0, 0)
    assert send_links() == 2
    assert send_links() == 0
    letters = [letter_to(one.reference)["text"] for one in (known, unknown)]
    for letter, opened in zip(letters, (known, unknown), strict=True):
        assert opened.reference in letter
    plain = [
        letter.replace(one.reference, "R").replace(token_of(one.reference), "T")
        for letter, one in zip(letters, (known, unknown), strict=True)
    ]
    assert plain[0] == plain[1]
    assert b"example.org" not in b"".join(bytes(intake.sealed) for intake in Intake.objects.all())


def test_looking_at_the_link_does_not_use_it_up_and_sending_does(ada):
    opened = file_for("ada@example.org")
    send_links()
    token = token_of(opened.reference)
    assert services.intake_by_link(token) == services.intake_by_link(token)
    with pytest.raises(LinkUsedOrExpired):
        services.intake_by_link(token + "x")
    request = services.confirm_intake(token, data_points={"conversations": "about rent"})
    with pytest.raises(LinkUsedOrExpired):
        services.confirm_intake(token)
    assert (request.status, request.identity_level, request.subject_id) == (Status.VERIFYING, "none", ada.pk)
    assert request.reference == opened.reference
    assert selectors.by_reference_and_code(opened.reference, opened.code) == request
    stated = selectors.stated_identity(request)
    assert stated["data_points"] == {"joined": "2024", "conversations": "about rent"}
    assert stated["identity_methods"] == ["email_link"]


def test_an_email_alone_never_releases_anything(ada):
    opened = file_for("ada@example.org")
    send_links()
    request = services.confirm_intake(token_of(opened.reference))
    with pytest.raises(WrongStatus):
        services.approve_request(request, rule="command_line", actor=Actor.command_line())
    PrivacyRequest.objects.filter(pk=request.pk).update(status=Status.IN_REVIEW)
    with pytest.raises(IdentityTooLow):
        services.approve_request(request, rule="command_line", actor=Actor.command_line())


def test_the_code_opens_the_status_before_the_link_is_used(ada):
    opened = file_for("eve@example.org")
    found = selectors.by_reference_and_code(opened.reference, opened.code)
    assert isinstance(found, Intake)


def test_the_clock_runs_from_the_day_of_filing(ada):
    opened = file_for("ada@example.org")
    Intake.objects.update(created_at=timezone.now() - timedelta(days=5))
    send_links()
    request = services.confirm_intake(token_of(opened.reference))
    assert (timezone.now() - request.received_at).days == 5
    assert request.due_on == (request.received_at + timedelta(days=45)).date()


def test_what_was_never_confirmed_is_destroyed_after_a_week(ada):
    opened = file_for("ada@example.org")
    send_links()
    intake = Intake.objects.get(reference=opened.reference)
    token = token_of(opened.reference)
    assert expire_intakes() == 0
    Intake.objects.update(link_expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(LinkUsedOrExpired):
        services.confirm_intake(token)
    assert expire_intakes() == 1
    assert (Intake.objects.count(), Letter.objects.count()) == (0, 0)
    with pytest.raises(KeyDestroyed):
        keys.open_key(intake.key_id)
