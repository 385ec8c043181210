"""What the people of a journey do in a browser, in their own words."""

from __future__ import annotations

import io
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.journeys.site import Site

PASSWORD = "sample-person-2026"
WORDS = {
    "message": "canary-message-7f31",
    "title": "canary-title-52ab",
    "file name": "canary-file-9c10",
    "attachment": "canary-attachment-3e77",
    "note": "canary-note-d041",
    "request message": "canary-letter-88f2",
    "search words": "canary-search-1b6e",
    "user agent": "canary-agent-c4d5",
}


@dataclass
class Person:
    """Somebody with a browser of their own."""

    site: Site
    page: Page
    email: str

    @classmethod
    def sit_down(cls, site: Site, browser: Browser, name: str, **context: Any) -> Person:
        page = browser.new_context(base_url=site.address, accept_downloads=True, **context).new_page()
        page.set_default_timeout(20_000)
        return cls(site, page, f"{name}@sample.example")

    def sign_in(self, then: str = "/privacy/") -> None:
        self.page.goto(f"/accounts/login/?next={then}")
        self.page.get_by_label("E-mail").first.fill(self.email)
        self.page.get_by_label("Password").first.fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in", exact=True).click()
        self.page.wait_for_url(f"**{then}")

    def go(self, path: str) -> None:
        """Open a page; where it asks for the password once more, give it."""
        self.page.goto(path)
        self.confirm_password()

    def confirm_password(self) -> None:
        if "/reauthenticate" in self.page.url:
            self.page.get_by_label("Password").first.fill(PASSWORD)
            self.page.get_by_role("button", name="Go on").click()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def sees(self, text: str) -> None:
        expect(self.page.locator("body")).to_contain_text(text)

    def sees_before_long(self, text: str, *, seconds: float = 150) -> None:
        """Reload, as a person does, until the page says so."""
        self.page.wait_for_timeout(300)
        for _attempt in range(int(seconds)):
            if text in self.page.locator("body").inner_text():
                return
            self.page.wait_for_timeout(1000)
            self.page.reload()
        raise AssertionError(f"no {text!r} after {seconds} s: {self.page.locator('body').inner_text()[:1500]}")

    def file_request(self, kind: str, note: str = "") -> tuple[str, str]:
        """File a request on the web form; return reference and receipt code."""
        self.page.goto("/requests/new/")
        self.page.locator(f"input[name=kind][value={kind}]").check()
        self.press("Continue")
        self.confirm_password()
        self.page.get_by_label("Where do you live?").select_option(index=1)
        self.page.get_by_label("Anything that helps us").fill(note)
        if kind == "erasure":  # whether a copy is fetched whole is tried in tests/requests; here nothing waits for it
            self.page.locator("input[name=waive]").check()
        self.press("Show what will go" if kind == "erasure" else "Continue")
        if kind == "erasure":
            self.page.get_by_label("Type the word “erase”").fill("erase")
            self.press("Erase everything listed above")
        else:
            self.press("Send this request")
        self.sees("We have your request")
        reference, code = self.page.locator(".stamp .moment").all_inner_texts()[:2]
        return reference, code

    def picture(self, name: str) -> None:
        """Keep a picture of the page for the README where PICTURES names a folder."""
        if folder := os.environ.get("PICTURES"):
            self.page.set_viewport_size({"width": 1120, "height": 800})
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    def approve(self, reference: str) -> None:
        """As staff: open the request with a purpose, see the plan, approve with the own password."""
        self.go(f"/admin/requests/privacyrequest/{reference}/")
        if self.page.get_by_role("button", name="Open the request").count():
            self.press("Open the request")
        self.go(f"/admin/requests/privacyrequest/{reference}/approve/")
        self.picture("approve")
        self.page.get_by_role("button", name="Approve", exact=False).click()
        self.page.wait_for_load_state()
        self.sees("Approved")


def chatgpt_export(path: Path) -> Path:
    """Write a small export with the words to look for: in text, title, file name and attachment."""
    name = f"{WORDS['file name']}.txt"
    part = {"content_type": "text", "parts": [f"What does {WORDS['message']} mean?"]}
    answer = {"content_type": "text", "parts": ["It is a bird. 金丝雀。"]}
    about_file = {"attachments": [{"id": "file-Qm4xTz81Lk", "name": name, "mime_type": "text/plain"}]}

    def node(identity: str, parent: str | None, children: list[str], role: str, content: dict, metadata: dict) -> dict:
        author: dict[str, Any] = {"role": role, "name": None, "metadata": {}}
        message = {
            "id": identity,
            "author": author,
            "create_time": 1_700_000_000.5,
            "content": content,
            "metadata": metadata,
        }
        return {"id": identity, "message": message, "parent": parent, "children": children}

    conversation = {
        "title": f"About {WORDS['title']}",
        "create_time": 1_700_000_000.0,
        "update_time": 1_700_000_100.0,
        "conversation_id": "11111111-2222-4333-8444-555555555555",
        "current_node": "b",
        "mapping": {
            "a": node("a", None, ["b"], "user", part, about_file),
            "b": node("b", "a", [], "assistant", answer, {}),
        },
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("conversations.json", json.dumps([conversation]))
        archive.writestr(f"file-Qm4xTz81Lk-{name}", f"secret {WORDS['attachment']}\n" * 20)
    path.write_bytes(buffer.getvalue())
    return path
