"""The HTTP contract: against the example of the docs, and against servers that do not keep to it."""

from __future__ import annotations

import base64
import secrets
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from apps.locations.connectors.http import ConfigForm, HTTPConnector, signed_text
from apps.locations.contract import Change, Identity, Rectifies, Restricts
from apps.locations.errors import Blocked, NoIdentity, Refused, Unavailable
from apps.locations.reasons import Reason
from tests.contracts.http_example import SECRET, SOURCE, ExampleServer
from tests.contracts.outside import SCOPE, erase, exported, lines_of
from tests.contracts.standin import Answer, Asked, StandIn


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ExampleServer]:
    server = ExampleServer(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def connector(server: ExampleServer) -> HTTPConnector:
    return HTTPConnector(server.config)


class Scripted(StandIn):
    """Answers what the test says, and keeps what it was asked."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.said = answer
        self.asked: list[Asked] = []

    def serve(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        return self.said


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    server = Scripted(Answer(200, {}))
    yield server
    server.stop()


def at(server: Scripted, **more: Any) -> HTTPConnector:
    config = {
        "address": server.address,
        "key_name": "k",
        "algorithm": "hmac-sha256",
        "secret": SECRET,
        "identities": ["user_id"],
    }
    return HTTPConnector(config | more)


def test_the_example_is_less_than_a_hundred_lines():
    assert len(SOURCE.read_text().splitlines()) < 100


def test_files_and_data_are_read_whole_whatever_they_are_called(server, connector, ada):
    server.put("4", "../Ada's\n日记.txt", b"words of Ada")
    server.put("42", "note.txt", b"words of Ben")
    files = exported(connector, ada, stop_after=1)
    [line] = lines_of(files)
    assert files[line["file"]] == b"words of Ada"
    assert line["data"] == {"title": "../Ada's\n日记.txt"}


def test_what_is_held_is_said_beforehand_and_afterwards(server, connector, ada):
    server.put("4", "free", b"x")
    server.put("4", "held", b"y")
    server.run("UPDATE notes SET held = 1 WHERE title = 'held'")
    [obstacle] = connector.preflight(ada, SCOPE)
    assert (obstacle.reason, obstacle.count) == (Reason.LEGAL_HOLD, 1)
    assert erase(connector, ada) == 1
    assert (connector.remaining(ada, SCOPE).count, connector.remaining(ada, SCOPE).reason) == (1, Reason.LEGAL_HOLD)


def test_it_corrects_and_restricts_and_a_repeat_changes_nothing(server, connector, ada):
    server.put("4", "Adda", b"x")
    server.put("42", "Adda", b"x")
    assert isinstance(connector, Rectifies)
    assert isinstance(connector, Restricts)
    assert connector.rectify(ada, [Change("title", "Ada", before="Adda")]) == 1
    assert connector.rectify(ada, [Change("title", "Ada", before="Adda")]) == 0
    with pytest.raises(Refused):
        connector.rectify(ada, [Change("salary", "1")])
    assert (connector.restrict(ada, True), connector.restrict(ada, True), connector.restrict(ada, False)) == (1, 0, 1)
    assert server.run("SELECT title, restricted FROM notes ORDER BY id") == [("Ada", 0), ("Adda", 0)]


def test_only_the_named_kinds_of_identity_leave_the_house(scripted, ada):
    scripted.said = Answer(200, {"count": 0})
    at(scripted).remaining(ada, SCOPE)
    assert b"ada@example.org" not in scripted.asked[0].body
    assert scripted.asked[0].json()["identities"] == [["user_id", "4"]]


def test_the_example_refuses_what_is_not_signed_too_old_or_sent_twice(server, connector, ada):
    server.put("4", "note", b"x")
    request = connector._signed("remaining", connector._about(ada, SCOPE))
    assert httpx.Client().send(request).status_code == 200
    assert httpx.Client().send(request).status_code == 403, "sent twice"
    changed = connector._signed("remaining", connector._about(ada, SCOPE))
    other = httpx.Request("POST", changed.url, headers=changed.headers, content=changed.content.replace(b'"4"', b'"5"'))
    assert httpx.Client().send(other).status_code == 403, "another body"
    stale = connector._signed("remaining", connector._about(ada, SCOPE))
    stale.headers["Habeas-Timestamp"] = str(int(time.time()) - 301)
    assert httpx.Client().send(stale).status_code == 403, "too old, and the time is signed"
    with pytest.raises(Refused):
        HTTPConnector(server.config | {"secret": secrets.token_hex(16)}).remaining(ada, SCOPE)


def test_a_call_signed_with_ed25519_is_checked_by_the_public_key_that_the_test_shows(scripted, ada):
    private = base64.b64encode(secrets.token_bytes(32)).decode()
    connector = at(scripted, algorithm="ed25519", secret=private)
    public = dict(connector.check().facts)["Public key"]
    scripted.said = Answer(200, {"count": 0})
    connector.remaining(ada, SCOPE)
    asked = scripted.asked[-1]
    kind, _equals, signature = asked.headers["habeas-signature"].partition("=")
    assert kind == "ed25519"
    text = signed_text(
        "POST", asked.headers["host"], asked.target, asked.headers["habeas-timestamp"], asked.headers["habeas-nonce"], asked.body
    )  # fmt: skip
    Ed25519PublicKey.from_public_bytes(base64.b64decode(public)).verify(base64.b64decode(signature), text)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_refused_and_nothing_is_sent_on(scripted, ada, status):
    elsewhere = Scripted(Answer(200, {"count": 0}))
    try:
        scripted.said = Answer(status, {}, {"location": f"{elsewhere.address}/remaining"})
        with pytest.raises(Refused):
            at(scripted).remaining(ada, SCOPE)
        assert elsewhere.asked == []
    finally:
        elsewhere.stop()


@pytest.mark.parametrize(
    "answer",
    [
        {}, [], {"count": -1}, {"count": True}, {"count": 10**30}, {"count": 2**31}, {"count": "0"}, {"count": None}, {"count": 1, "reason": "because"}, b"<html>", b"{",
    ],
)  # fmt: skip
def test_an_answer_that_is_not_what_the_contract_asks_for_is_no_proof(scripted, ada, answer):
    scripted.said = Answer(200, answer)
    with pytest.raises(Refused):
        at(scripted).remaining(ada, SCOPE)


def test_an_answer_larger_than_it_may_be_is_refused(scripted, ada, monkeypatch):
    monkeypatch.setattr("apps.locations.connectors.http.LARGEST_PAGE", 100)
    scripted.said = Answer(200, {"count": 0, "more": "x" * 200})
    with pytest.raises(Refused):
        at(scripted).remaining(ada, SCOPE)


def test_pages_and_batches_that_do_not_go_on_come_to_an_end(scripted, ada):
    scripted.said = Answer(200, {"items": [{"id": "1"}], "erased": 0, "cursor": "same"})
    with pytest.raises(Refused):
        list(at(scripted).find(ada, SCOPE))
    with pytest.raises(Refused):
        erase(at(scripted), ada)
    assert len(scripted.asked) <= 4


def test_a_file_of_another_size_is_begun_again(scripted, ada):
    item = {"id": "1", "file": {"name": "a.txt", "size": 3}}
    scripted.said = Answer(200, {"items": [item], "cursor": None})
    entry = next(iter(at(scripted).export(ada, SCOPE, "")))
    scripted.said = Answer(200, b"more than three")
    with pytest.raises(Unavailable):
        list(entry.chunks)


def test_statuses_become_what_the_engine_knows(scripted, ada):
    scripted.said = Answer(409, {"reason": "retention_policy", "until": "2031-01-03"})
    with pytest.raises(Blocked) as blocked:
        erase(at(scripted), ada)
    assert (blocked.value.reason, blocked.value.until) == ("retention_policy", date(2031, 1, 3))
    scripted.said = Answer(422, {})
    with pytest.raises(NoIdentity):
        at(scripted).remaining(ada, SCOPE)
    scripted.said = Answer(503, {}, {"retry-after": "90"})
    with pytest.raises(Unavailable) as busy:
        at(scripted).remaining(ada, SCOPE)
    assert busy.value.retry_after == 90


@pytest.mark.parametrize(
    ("said", "kept"), [("nan", None), ("-1", None), ("soon", None), ("inf", 86400), ("1e300", 86400)]
)
def test_a_pause_that_no_clock_shows_is_not_believed(scripted, ada, said, kept):
    scripted.said = Answer(503, {}, {"retry-after": said})
    with pytest.raises(Unavailable) as busy:
        at(scripted).remaining(ada, SCOPE)
    assert busy.value.retry_after == kept


@pytest.mark.parametrize(
    ("address", "is_taken"),
    [
        ("https://crm.example.org/habeas", True), ("https://10.0.0.7", True), ("http://127.0.0.1:8099", True),
        ("http://localhost", True), ("http://crm.example.org", False), ("http://10.0.0.7", False),
        ("http://localhost.example.org", False), ("ftp://crm.example.org", False),
    ],
)  # fmt: skip
def test_without_tls_only_the_machine_itself_is_asked(address, is_taken):
    values = {"address": address, "key_name": "habeas", "algorithm": "hmac-sha256", "identities": "user_id, email"}
    form = ConfigForm(values)
    assert ("address" not in form.errors) == is_taken
    if not is_taken:
        config = values | {"secret": SECRET, "identities": ["user_id"]}
        with pytest.raises(Refused):
            HTTPConnector(config).remaining(Identity(uuid.uuid4(), None, None, (("user_id", "4"),)), SCOPE)


def test_a_certificate_that_nobody_trusts_is_refused(scripted):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [shutil.which("openssl") or "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{folder}/key", "-out", f"{folder}/cert"],
            check=True, capture_output=True,
        )  # fmt: skip

        class Quiet(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = b'{"horizon_days": 0}'
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        served = HTTPServer(("127.0.0.1", 0), Quiet)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/cert", f"{folder}/key")
        served.socket = context.wrap_socket(served.socket, server_side=True)
        threading.Thread(target=served.serve_forever, daemon=True).start()
        address = f"https://127.0.0.1:{served.server_port}"
        with pytest.raises(Refused):
            at(scripted, address=address).check()
        trusted = Path(f"{folder}/cert").read_text()
        assert at(scripted, address=address, certificates=trusted).check().is_reachable
        served.shutdown()
        served.server_close()
