"""Every letter that allauth may send has words of ours, and none of them names an address it need not."""

from __future__ import annotations

import re
from pathlib import Path

import allauth
import pytest
from django.utils import translation

from apps.accounts.letters import LETTERS, words_of

NOT_REACHABLE = {
    "account/email/email_confirm",  # only with ACCOUNT_CHANGE_EMAIL
    "account/email/password_reset_code",  # only with codes in place of links
}
VALUES = {
    "when": "22 November 2026, 09:50 UTC",
    "browser": "Firefox (Linux)",
    "from_email": "a@example.org",
    "to_email": "b@example.org",
    "deleted_email": "c@example.org",
    "code": "BCDF-GHJK",
    "activate_url": "http://elsewhere.example/accounts/confirm-email/k/",
    "password_reset_url": "http://elsewhere.example/accounts/password/reset/",
    "signup_url": "http://elsewhere.example/accounts/signup/",
}


def allauth_letters() -> set[str]:
    templates = Path(allauth.__file__).parent / "templates"
    found = {
        f"{path.parent.parent.name}/email/{path.name.removesuffix('_subject.txt')}"
        for path in templates.glob("*/email/*_subject.txt")
    }
    return {name for name in found if not name.startswith("socialaccount/")} - NOT_REACHABLE


def test_every_letter_of_allauth_has_words() -> None:
    assert len(allauth_letters()) > 10
    assert allauth_letters() <= set(LETTERS)


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("letter", sorted(LETTERS))
def test_the_words_fill_in(letter: str, language: str) -> None:
    with translation.override(language):
        words = words_of(letter, VALUES)
    everything = " ".join([words["subject"], *words["lines"], words["doubt"], words["label"]])
    assert "%(" not in everything
    assert words["url"].startswith("http://testserver/accounts/")
    assert not re.search(r"\d+\.\d+\.\d+\.\d+", everything)
