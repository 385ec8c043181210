"""Passkeys in a real browser, with Chromium's virtual authenticator: added, used alone, used as the second step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from playwright.sync_api import Browser, Page

from apps.accounts.models import User
from tests.accounts.conftest import PASSWORD, make_person
from tests.journeys.conftest import browser  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True, databases=["default", "keys"])]


@pytest.fixture(autouse=True, scope="module")
def _the_browsers_loop_runs_in_this_thread() -> Iterator[None]:
    """The ORM is called beside it, also when a test is over and its rows are deleted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        yield


@pytest.fixture
def page(browser: Browser) -> Page:  # noqa: F811
    page = browser.new_page()
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
               "isUserVerified": True, "automaticPresenceSimulation": True}  # fmt: skip
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return page


def sign_in(page: Page, site: str, user: User) -> None:
    page.goto(f"{site}/accounts/login/")
    page.fill("#id_login", user.email)
    page.fill("#id_password", PASSWORD)
    page.click("main .button:has-text('Sign in')")


def add_passkey(page: Page, site: str, *, alone: bool) -> None:
    page.goto(f"{site}/accounts/2fa/webauthn/add/")
    page.fill("#id_password", PASSWORD)
    page.click("main .button:has-text('Go on')")
    page.set_checked("#id_passwordless", alone)
    page.click("#mfa_webauthn_add")
    page.wait_for_url("**/recovery-codes/")


def sign_out(page: Page, site: str) -> None:
    page.goto(f"{site}/accounts/logout/")
    page.click("main .button:has-text('Sign out')")


def test_a_passkey_alone_signs_in(page: Page, live_server: Any) -> None:
    user = make_person("ada")
    sign_in(page, live_server.url, user)
    add_passkey(page, live_server.url, alone=True)
    assert Authenticator.objects.filter(user=user, type="webauthn").exists()
    sign_out(page, live_server.url)
    page.goto(f"{live_server.url}/accounts/login/")
    page.click("#passkey_login")
    page.wait_for_url("**/privacy/")


def test_a_passkey_is_the_second_step(page: Page, live_server: Any) -> None:
    user = make_person("ada")
    sign_in(page, live_server.url, user)
    add_passkey(page, live_server.url, alone=False)
    sign_out(page, live_server.url)
    sign_in(page, live_server.url, user)
    page.wait_for_url("**/2fa/authenticate/")
    page.click("#mfa_webauthn_authenticate")
    page.wait_for_url("**/privacy/")


def test_a_browser_without_the_passkey_is_told_so_on_the_page(browser: Browser, live_server: Any) -> None:  # noqa: F811
    stranger = browser.new_page()
    session = stranger.context.new_cdp_session(stranger)
    session.send("WebAuthn.enable")  # and no authenticator: the browser asks nobody
    stranger.goto(f"{live_server.url}/accounts/login/")
    error = stranger.locator("[data-passkey-error]").first
    assert not error.is_visible()
    stranger.evaluate("document.dispatchEvent(new CustomEvent('allauth.error', {cancelable: true}))")
    assert error.is_visible()
