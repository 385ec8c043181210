"""The outbox: sealed until sent, sent at least once, and nothing stays of what was sent or erased."""

from __future__ import annotations

import smtplib
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import transaction
from django.utils import timezone

from apps.keys import services as keys
from apps.mail import services
from apps.mail.models import Letter

pytestmark = pytest.mark.django_db(databases=["default", "keys"])


def html_of(message: Any) -> str:
    return message.alternatives[0].content


def failing(error: Exception) -> Any:
    def send(self: EmailBackend, messages: list) -> int:
        raise error

    return send


def test_a_letter_is_sealed_until_it_is_sent_and_empty_afterwards(write: Any) -> None:
    letter = write()
    stored = bytes(Letter.objects.get().sealed or b"")
    assert stored
    assert b"ada@example.org" not in stored
    assert services.send_letter(letter.pk)
    letter.refresh_from_db()
    assert (letter.state, letter.sealed) == (Letter.State.SENT, None)
    (message,) = mail.outbox
    assert message.to == ["ada@example.org"]
    assert "The copy is ready." in message.body
    assert "The copy is ready." in html_of(message)


def test_the_subject_of_a_letter_is_one_line_and_its_language_the_readers(write: Any) -> None:
    letter = services.queue_letter(
        "account", to="a@example.org", owner=None, language="zh-hans",
        context={"words": {"subject": "two\nlines", "lines": [], "url": ""}},
    )  # fmt: skip
    services.send_letter(letter.pk)
    assert mail.outbox[0].subject == "two lines"
    assert 'lang="zh-Hans"' in html_of(mail.outbox[0])


def test_what_a_person_typed_cannot_become_markup(write: Any) -> None:
    words = {"subject": "x", "lines": ["<b>&"], "url": ""}
    letter = services.queue_letter("account", to="a@example.org", owner=None, language="en", context={"words": words})
    services.send_letter(letter.pk)
    assert "<b>&" in mail.outbox[0].body
    assert "&lt;b&gt;&amp;" in html_of(mail.outbox[0])


def test_a_letter_of_a_rolled_back_change_does_not_exist(write: Any) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        write()
        _ = 1 / 0
    assert not Letter.objects.exists()


def test_one_of_two_senders_gets_the_letter(write: Any) -> None:
    letter = write()
    seen = Letter.objects.get()
    assert services._claim(seen)
    assert not services._claim(seen)
    assert not services.send_letter(letter.pk)  # leased by the first
    assert mail.outbox == []


def test_a_sender_that_died_is_replaced_after_its_lease_with_the_same_message_id(write: Any) -> None:
    letter = write()
    assert services._claim(Letter.objects.get())
    Letter.objects.update(next_try_at=timezone.now() - timedelta(seconds=1))
    assert services.send_letter(letter.pk)
    assert mail.outbox[0].extra_headers["Message-ID"] == f"<{letter.pk}@testserver>"


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        smtplib.SMTPServerDisconnected("x"),
        smtplib.SMTPAuthenticationError(535, b"no"),
        smtplib.SMTPRecipientsRefused({"ada@example.org": (450, b"later")}),
        smtplib.SMTPDataError(451, b"later"),
    ],
)
def test_a_server_that_is_down_makes_the_letter_wait(
    error: Exception, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = write()
    with monkeypatch.context() as patch:
        patch.setattr(EmailBackend, "send_messages", failing(error))
        assert not services.send_letter(letter.pk)
    letter.refresh_from_db()
    assert (letter.state, letter.attempts) == (Letter.State.PENDING, 1)
    assert letter.next_try_at > timezone.now() + timedelta(seconds=25)
    assert services.send_due_letters() == 0
    Letter.objects.update(next_try_at=timezone.now())
    assert services.send_due_letters() == 1


@pytest.mark.parametrize(
    "error",
    [
        smtplib.SMTPRecipientsRefused({"ada@example.org": (550, b"no")}),
        smtplib.SMTPDataError(554, b"no"),
        ValueError("Invalid address; only ada@example.org could be parsed"),  # Django's own, before anything is sent
    ],
)
def test_a_letter_refused_for_good_is_given_up_and_emptied(
    error: Exception, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = write()
    monkeypatch.setattr(EmailBackend, "send_messages", failing(error))
    assert not services.send_letter(letter.pk)
    letter.refresh_from_db()
    assert (letter.state, letter.sealed, letter.sent_at) == (Letter.State.FAILED, None, None)


def test_pauses_grow_to_an_hour_and_end_after_a_week(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    letter = write()
    monkeypatch.setattr(EmailBackend, "send_messages", failing(OSError()))
    Letter.objects.update(attempts=40, next_try_at=timezone.now())
    services.send_letter(letter.pk)
    letter.refresh_from_db()
    assert timedelta(minutes=59) < letter.next_try_at - timezone.now() <= timedelta(hours=1)
    Letter.objects.update(created_at=timezone.now() - timedelta(days=8), next_try_at=timezone.now())
    services.send_letter(letter.pk)
    letter.refresh_from_db()
    assert letter.state == Letter.State.FAILED


def test_a_letter_under_a_destroyed_key_is_given_up(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    key = keys.create_key(keys.KeyKind.REQUEST, owner=uuid4())
    letter = write(key_id=key.id)
    assert services.send_letter(letter.pk)  # positive control: it opens while the key lives
    letter = write(key_id=key.id)
    destroyed = keys.open_key

    def gone(key_id: Any) -> bytes:
        if key_id == key.id:
            raise services.KeyDestroyed(key_id, timezone.now())
        return destroyed(key_id)

    monkeypatch.setattr(keys, "open_key", gone)
    assert not services.send_letter(letter.pk)
    letter.refresh_from_db()
    assert letter.state == Letter.State.FAILED


def test_a_letter_cannot_be_moved_to_another_row(write: Any) -> None:
    first, second = write(), write()
    Letter.objects.filter(pk=second.pk).update(sealed=first.sealed)
    assert not services.send_letter(second.pk)
    assert services.send_letter(first.pk)


def test_erasing_takes_rows_and_files_of_one_owner_and_leaves_others(write: Any, settings: Any, tmp_path: Path) -> None:
    settings.EMAIL_BACKEND = "apps.mail.backends.FolderBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "mailbox")
    ada, ben = uuid4(), uuid4()
    for owner in (ada, ada, ben):
        write(owner=owner)
    assert services.send_due_letters() == 3
    files = sorted((tmp_path / "mailbox").iterdir())
    assert len(files) == 3
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)
    assert all(b"To: a...@example.org" in path.read_bytes() for path in files)
    assert not any(b"ada@example.org" in path.read_bytes() for path in files), "mail that has left keeps no address"
    assert services.erase_letters([ada]) == 2
    (left,) = (tmp_path / "mailbox").iterdir()
    assert left.name == f"{Letter.objects.get().pk}.eml"
    assert services.count_letters([ada]) == 0
    assert services.count_letters([ben]) == 1


def test_old_letters_that_ended_are_purged_and_waiting_ones_stay(write: Any) -> None:
    sent, waiting = write(), write()
    services.send_letter(sent.pk)
    Letter.objects.update(created_at=timezone.now() - timedelta(days=31))
    assert services.purge_letters() == 1
    assert Letter.objects.get().pk == waiting.pk


def test_a_broker_that_is_down_does_not_lose_the_letter(
    write: Any, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    monkeypatch.setattr(services.current_app, "send_task", lambda *a, **k: (_ for _ in ()).throw(services.KombuError()))
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        write()
    assert callbacks
    assert services.send_due_letters() == 1
