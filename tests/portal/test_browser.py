"""The pages in a real browser: axe finds nothing, nothing is wider than a phone, keyboard, print and no script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from tests.journeys.conftest import browser  # noqa: F401
from tests.journeys.people import PASSWORD
from tests.journeys.site import Site, running

pytestmark = pytest.mark.browser

LANGUAGES = {"en": "en", "zh-hans": "zh-Hans"}
PUBLIC = ["/", "/how-it-works/", "/verify/", "/accessibility/", "/requests/find/", "/requests/without-account/",
          "/requests/confirm/nothing/", "/nothing/", "/accounts/login/"]  # fmt: skip
OWN = ["/privacy/", "/conversations/", "/conversations/search/", "/conversations/import/", "/conversations/erase-all/",
       "/requests/", "/requests/new/", "/requests/new/details/?kind=access", "/requests/new/details/?kind=erasure",
       "/requests/new/details/?kind=rectification", "/requests/new/details/?kind=restriction"]  # fmt: skip
PHONE: ViewportSize = {"width": 320, "height": 700}
DESK: ViewportSize = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(Site(tmp_path_factory.mktemp("site"))) as started:
        started.manage("make_sample_people")
        yield started


@pytest.fixture(params=list(LANGUAGES))
def page(site: Site, browser: Browser, request: Any) -> Iterator[Page]:  # noqa: F811
    """Ada's browser, signed in, in one language after the other; the second one in the dark."""
    context = new_context(site, browser, request.param, color_scheme="dark" if request.param != "en" else "light")
    opened = context.new_page()
    opened.problems = []  # type: ignore[attr-defined]
    opened.on("console", lambda message: note(opened, message.type, message.text))
    opened.goto("/accounts/login/")
    opened.locator("[name=login]").fill("ada@sample.example")
    opened.locator("[name=password]").first.fill(PASSWORD)
    opened.locator("main form button").first.click()
    opened.wait_for_url("**/privacy/")
    yield opened
    context.close()


def new_context(site: Site, browser: Browser, language: str, **options: Any) -> BrowserContext:  # noqa: F811
    context = browser.new_context(base_url=site.address, accept_downloads=True, **options)
    context.set_default_timeout(20_000)
    context.add_cookies([{"name": "django_language", "value": language, "url": site.address}])
    return context


def note(page: Page, kind: str, text: str) -> None:
    """Keep what the browser complains of, such as a blocked script; an answer that is no 200 is none of it."""
    if kind in ("error", "warning") and "Failed to load resource" not in text:
        page.problems.append(text)  # type: ignore[attr-defined]


def check(page: Page) -> None:
    """axe has no finding, the browser no complaint, and nothing stands out at 320 px."""
    found = Axe().run(page).response["violations"]
    told = [(page.url, one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found]
    assert told == []
    assert getattr(page, "problems", []) == []
    page.set_viewport_size(PHONE)
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    page.set_viewport_size(DESK)
    assert wider <= 0, (page.url, wider)


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_public_pages(site: Site, browser: Browser, language: str) -> None:  # noqa: F811
    context = new_context(site, browser, language)
    opened = context.new_page()
    for path in PUBLIC:
        opened.goto(path)
        assert opened.locator("html").get_attribute("lang") == LANGUAGES[language]
        expect(opened.locator("h1")).to_have_count(1)
        check(opened)
    context.close()


def test_own_pages(page: Page) -> None:
    for path in OWN:
        page.goto(path)
        assert path.split("?")[0] in page.url
        expect(page.locator("h1")).to_have_count(1)
        check(page)
    page.goto("/conversations/")
    paths = [link.get_attribute("href") for link in page.locator("tbody th a").all()[:2]]
    assert paths
    for found in paths:
        page.goto(str(found))
        check(page)
        page.goto(f"{found}erase/")
        check(page)


def test_a_request_from_the_form_to_the_download(page: Page) -> None:
    page.goto("/requests/new/details/?kind=access")
    send(page)
    expect(page.locator(".errors")).to_be_focused()
    check(page)
    page.locator("[name=residence]").select_option("DE")
    page.locator("[name=note]").fill("金丝雀 & canary")
    send(page)
    check(page)
    send(page)
    check(page)
    reference, code = page.locator(".stamp .moment").all_inner_texts()
    page.goto(f"/requests/{reference}/")
    check(page)
    page.evaluate("window.notReloaded = true")
    expect(page.locator("#places .badge.done")).to_have_count(3, timeout=60_000)  # it renews itself
    page.goto(f"/requests/{reference}/")
    expect(page.locator(f"a[href='/requests/{reference}/download/1/']")).to_be_visible(timeout=30_000)
    check(page)
    with page.expect_download() as download:
        page.locator(f"a[href='/requests/{reference}/download/1/']").click()
    assert download.value.suggested_filename == f"{reference}-1.zip"
    page.goto("/requests/")
    check(page)
    page.context.clear_cookies(name="sessionid")
    page.goto(f"/requests/{reference}/")
    page.locator("[name=code]").fill("WRONG")
    send(page)
    check(page)
    page.locator("[name=code]").fill(code)
    send(page)
    page.wait_for_url(f"**/requests/{reference}/")
    check(page)


def test_an_erasure_up_to_its_withdrawal(page: Page) -> None:
    page.goto("/requests/new/details/?kind=erasure")
    page.locator("[name=residence]").select_option("US-CA")
    send(page)
    check(page)
    send(page, ".danger")
    expect(page.locator("[name=word]")).to_have_attribute("aria-invalid", "true")
    check(page)
    page.locator("[name=word]").fill("erase")
    send(page, ".danger")
    reference = page.locator(".stamp .moment").first.inner_text()
    page.goto(f"/requests/{reference}/")
    check(page)
    page.goto(f"/requests/{reference}/withdraw/")
    check(page)
    send(page)
    check(page)


def test_text_comes_in_and_is_found(page: Page) -> None:
    page.goto("/conversations/import/")
    send(page)
    check(page)
    page.locator("[name=text]").fill("You: where is the zebra?\n\nAssistant: in the zoo")
    send(page)
    check(page)
    expect(page.locator(".row .badge.done")).to_be_visible(timeout=60_000)
    check(page)
    page.goto("/conversations/")
    page.locator("[name=words]").fill("zebra")
    page.locator("form[role=search] button").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    check(page)
    page.locator("tbody th a").click()
    assert re.search(r"#m\d+$", page.url)


def test_the_keyboard_alone_gets_everywhere(page: Page) -> None:
    page.goto("/privacy/")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    shadow = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert shadow == "solid"


def test_what_is_folded_away_in_a_form_of_staff_has_its_arrow_beside_it(site: Site, browser: Browser) -> None:  # noqa: F811
    context = new_context(site, browser, "en")
    opened = context.new_page()
    opened.goto("/accounts/login/?next=/admin/locations/location/add/%3Fkind=sql")
    opened.locator("[name=login]").fill("root@sample.example")
    opened.locator("[name=password]").first.fill(PASSWORD)
    opened.locator("main form button").first.click()
    folded = opened.locator("fieldset summary").first
    mark = "summary => [getComputedStyle(summary).listStyleType, getComputedStyle(summary, '::after').content]"
    assert folded.evaluate(mark) == ["disclosure-closed", "none"]
    folded.click()
    assert folded.evaluate(mark) == ["disclosure-open", "none"]
    context.close()


def test_on_paper_there_is_the_text_and_nothing_to_press(page: Page) -> None:
    page.goto("/privacy/")
    page.emulate_media(media="print")
    for gone in (".top nav", ".tools", ".foot", "main .button"):
        assert all(not one.is_visible() for one in page.locator(gone).all()), gone
    assert page.locator("main table").first.is_visible()


def test_without_a_script_nothing_is_missing(site: Site, browser: Browser) -> None:  # noqa: F811
    context = new_context(site, browser, "en", java_script_enabled=False)
    opened = context.new_page()
    opened.goto("/accounts/login/?next=/requests/new/")
    opened.locator("[name=login]").fill("ben@sample.example")
    opened.locator("[name=password]").first.fill(PASSWORD)
    opened.locator("main form button").first.click()
    opened.locator("[value=access]").check()
    send(opened)
    opened.locator("[name=residence]").select_option("FR")
    send(opened)
    send(opened)
    opened.locator("main a.button").click()
    for _ in range(60):
        if opened.locator("a[href*=download]").count():
            break
        opened.wait_for_timeout(1000)
        opened.reload()
    expect(opened.locator("a[href*=download]").first).to_be_visible()
    opened.locator(".tools button[value=zh-hans]").click()
    expect(opened.locator("html")).to_have_attribute("lang", "zh-Hans")
    assert "/requests/HB-" in opened.url
    context.close()


def send(page: Page, button: str = "button") -> None:
    page.locator(f"main form {button}").last.click()
    page.wait_for_load_state()
