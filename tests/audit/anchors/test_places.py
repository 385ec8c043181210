"""Each kind of anchor against something real: a folder, an S3 server, a mail server, OpenSSL's authority, an HTTP server."""

from __future__ import annotations

import os
import shutil
import smtplib
import subprocess
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.core import mail

from apps.audit import notes
from apps.audit.anchors import bucket as bucket_module
from apps.audit.errors import AnchorRefused, AnchorUnreachable
from tests.audit.anchors.conftest import signed
from tests.services import free_port, not_here


def kept_sizes(anchor: Any) -> list[int]:
    return [notes.read_checkpoint(note).size for note in anchor.kept()]


class TestFolder:
    def test_checkpoints_lie_side_by_side_and_the_largest_comes_first(self, tmp_path, name_anchors):
        (placed,) = name_anchors(f"file://{tmp_path}/for%20auditors")
        (tmp_path / "for auditors").mkdir()
        anchor = placed.open()
        assert kept_sizes(anchor) == []
        for size in (9, 100, 10, 100):
            assert anchor.publish(signed(size)) == b""
        assert kept_sizes(anchor) == [100, 10, 9]
        assert len(list((tmp_path / "for auditors").iterdir())) == 3

    def test_other_files_are_not_read(self, tmp_path, name_anchors):
        (placed,) = name_anchors(f"file://{tmp_path}")
        (tmp_path / "checkpoint").write_text("other")
        (tmp_path / ".checkpoint-0000000000000000009-0000000000000000.1.part").write_text("half")
        assert list(placed.open().kept()) == []

    def test_a_folder_that_is_away_is_unreachable(self, tmp_path, name_anchors):
        (tmp_path / "file").write_text("")
        (placed,) = name_anchors(f"file://{tmp_path}/file/folder")
        with pytest.raises(AnchorUnreachable):
            placed.open().publish(signed(1))
        with pytest.raises(AnchorUnreachable):
            list(placed.open().kept())

    def test_a_share_that_is_not_mounted_is_unreachable_and_nothing_is_left_in_its_place(self, tmp_path, name_anchors):
        (placed,) = name_anchors(f"file://{tmp_path}/share/habeas")
        with pytest.raises(AnchorUnreachable, match="No such file"):
            placed.open().publish(signed(1))
        with pytest.raises(AnchorUnreachable, match="No such file"):
            list(placed.open().kept())
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "share" / "habeas").mkdir(parents=True)  # as mounting does
        placed.open().publish(signed(1))
        assert kept_sizes(placed.open()) == [1]

    def test_a_checkpoint_counts_once_its_file_and_then_its_name_are_synced(self, tmp_path, name_anchors, monkeypatch):
        (placed,) = name_anchors(f"file://{tmp_path}")
        seen: list[tuple[bool, list[str]]] = []
        real = os.fsync

        def fsync(handle: int) -> None:
            real(handle)
            seen.append((Path(f"/proc/self/fd/{handle}").is_dir(), [path.name[:1] for path in tmp_path.iterdir()]))

        monkeypatch.setattr(os, "fsync", fsync)
        placed.open().publish(signed(1))
        assert seen == [(False, ["."]), (True, ["c"])]  # the part; the folder, when the checkpoint has its name


class TestBucket:
    @pytest.fixture
    def client(self, s3_address) -> Any:
        return boto3.client(
            "s3", endpoint_url=s3_address, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        )

    @pytest.fixture
    def locked(self, client) -> str:
        name = f"anchor-{uuid.uuid4().hex[:12]}"
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
        return name

    def place(self, name_anchors, s3_address, name) -> Any:
        query = f"endpoint_url={s3_address}&access_key=a&secret_key=b&days=30"
        (placed,) = name_anchors(f"s3://{name}/habeas?{query}")
        assert placed.name == f"bucket {name}/habeas/checkpoint"
        return placed.open()

    def test_every_checkpoint_is_a_locked_version(self, client, locked, name_anchors, s3_address):
        anchor = self.place(name_anchors, s3_address, locked)
        assert kept_sizes(anchor) == []
        for size in (1, 2, 3):
            anchor.publish(signed(size))
        assert kept_sizes(anchor) == [3, 2, 1]
        head = client.head_object(Bucket=locked, Key="habeas/checkpoint")
        assert head["ObjectLockMode"] == "COMPLIANCE"

    def test_what_is_put_on_top_hides_nothing(self, client, locked, name_anchors, s3_address):
        anchor = self.place(name_anchors, s3_address, locked)
        anchor.publish(signed(7))
        client.put_object(Bucket=locked, Key="habeas/checkpoint-other", Body=b"of somebody else")
        client.put_object(Bucket=locked, Key="habeas/checkpoint", Body=signed(5).encode())
        client.delete_object(Bucket=locked, Key="habeas/checkpoint")
        assert kept_sizes(anchor) == [5, 7]

    def test_more_than_a_page_of_marks_on_top_hides_nothing(
        self, client, locked, name_anchors, s3_address, monkeypatch
    ):
        anchor = self.place(name_anchors, s3_address, locked)
        anchor.publish(signed(7))
        for _ in range(5):
            client.delete_object(Bucket=locked, Key="habeas/checkpoint")
        pages: list[None] = []

        def two_a_page(params: dict[str, Any], **_: Any) -> None:
            params["MaxKeys"] = 2  # instead of 1,000
            pages.append(None)

        self.each_client(monkeypatch, "before-parameter-build.s3.ListObjectVersions", two_a_page)
        assert kept_sizes(anchor) == [7]
        assert len(pages) == 3

    def each_client(self, monkeypatch, event, handler) -> None:
        """Let a handler see a kind of question of every client."""
        real = bucket_module.boto3.client

        def client(*args, **options):
            made = real(*args, **options)
            made.meta.events.register(event, handler)
            return made

        monkeypatch.setattr(bucket_module.boto3, "client", client)

    def test_a_bucket_without_lock_is_refused(self, client, name_anchors, s3_address):
        client.create_bucket(Bucket="anchor-open")
        with pytest.raises(AnchorRefused, match="InvalidRequest"):
            self.place(name_anchors, s3_address, "anchor-open").publish(signed(1))

    def test_a_store_that_ignores_the_lock_is_refused(self, locked, name_anchors, s3_address, monkeypatch):
        anchor = self.place(name_anchors, s3_address, locked)

        def forget_the_lock(params: dict[str, Any], **_: Any) -> None:
            for name in [name for name in params if name.startswith("ObjectLock")]:
                del params[name]

        self.each_client(monkeypatch, "before-parameter-build.s3.PutObject", forget_the_lock)
        with pytest.raises(AnchorRefused, match="did not lock"):
            anchor.publish(signed(1))

    def test_no_bucket_is_refused_and_no_server_is_unreachable(self, name_anchors, s3_address):
        with pytest.raises(AnchorRefused, match="NoSuchBucket"):
            self.place(name_anchors, s3_address, "not-there").publish(signed(1))
        with pytest.raises(AnchorUnreachable):
            self.place(name_anchors, f"http://127.0.0.1:{free_port()}", "any").publish(signed(1))

    def test_a_server_in_trouble_is_unreachable(self, name_anchors, web):
        web.status = 503
        with pytest.raises(AnchorUnreachable):
            self.place(name_anchors, web.address, "any").publish(signed(1))


class TestLetter:
    def test_the_auditors_get_the_checkpoint_to_keep(self, name_anchors):
        (placed,) = name_anchors("mailto:auditors@example.org")
        assert placed.name == "letter …@example.org"
        anchor = placed.open()
        anchor.publish(signed(12))
        (letter,) = mail.outbox
        assert letter.to == ["auditors@example.org"] and "12 entries" in letter.subject
        assert signed(12) in letter.body and letter.attachments[0].content == signed(12)
        assert not anchor.can_be_read and list(anchor.kept()) == []

    @pytest.mark.parametrize(
        ("trouble", "expected"),
        [
            (smtplib.SMTPRecipientsRefused({}), AnchorRefused),
            (smtplib.SMTPDataError(554, b"no"), AnchorRefused),
            (smtplib.SMTPDataError(451, b"later"), AnchorUnreachable),
            (smtplib.SMTPServerDisconnected(), AnchorUnreachable),
            (ConnectionRefusedError(), AnchorUnreachable),
        ],
    )
    def test_trouble_with_the_mail_server(self, name_anchors, monkeypatch, trouble, expected):
        def fail(*_, **__):
            raise trouble

        (placed,) = name_anchors("mailto:auditors@example.org")
        monkeypatch.setattr("django.core.mail.EmailMessage.send", fail)
        with pytest.raises(expected):
            placed.open().publish(signed(1))


class Web:
    """A public address: what is put there is shown, with a status that tests choose."""

    def __init__(self) -> None:
        self.status, self.body, self.token = 200, None, ""
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                is_allowed = not web.token or self.headers.get("Authorization") == f"Bearer {web.token}"
                if is_allowed and web.status == 200:
                    web.body = content
                self.answer(web.status if is_allowed else 403, b"")

            do_POST = do_PUT

            def do_GET(self) -> None:
                self.answer(web.status if web.body is not None else 404, web.body or b"")

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.stop()


class TestAddress:
    def place(self, name_anchors, web, query="") -> Any:
        (placed,) = name_anchors(f"{web.address}/checkpoint{query}")
        return placed.open()

    @pytest.mark.parametrize("query", ["", "?method=POST"])
    def test_what_is_put_there_is_read_back(self, name_anchors, web, query):
        anchor = self.place(name_anchors, web, query)
        assert kept_sizes(anchor) == []
        anchor.publish(signed(3))
        anchor.publish(signed(4))
        assert kept_sizes(anchor) == [4]

    def test_a_token_is_shown_for_writing(self, name_anchors, web):
        web.token = "t0ken"
        with pytest.raises(AnchorRefused, match="403"):
            self.place(name_anchors, web).publish(signed(1))
        anchor = self.place(name_anchors, web, "?token=t0ken")
        anchor.publish(signed(2))
        assert kept_sizes(anchor) == [2]

    @pytest.mark.parametrize(
        ("status", "expected"), [(500, AnchorUnreachable), (429, AnchorUnreachable), (302, AnchorRefused)]
    )
    def test_trouble(self, name_anchors, web, status, expected):
        web.status = status
        with pytest.raises(expected):
            self.place(name_anchors, web).publish(signed(1))
        web.body = b"x"
        with pytest.raises(expected):
            list(self.place(name_anchors, web).kept())

    def test_an_endless_answer_is_cut_off(self, name_anchors, web):
        web.body = b"x" * (2 * 1024 * 1024)
        with pytest.raises(AnchorRefused, match="too large"):
            list(self.place(name_anchors, web).kept())

    def test_nobody_there(self, name_anchors):
        (placed,) = name_anchors(f"http://127.0.0.1:{free_port()}/checkpoint")
        with pytest.raises(AnchorUnreachable):
            placed.open().publish(signed(1))


class Authority:
    """A time-stamp authority made of `openssl ts`, behind HTTP."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.forge: Any = lambda answer: answer
        make_authority(folder)
        authority = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                (folder / "query").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
                openssl(folder, "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply")
                answer = authority.forge((folder / "reply").read_bytes())
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"tsa+http://127.0.0.1:{self._server.server_port}/tsr?certificate={folder / 'ca.pem'}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def openssl(folder: Path, *arguments: str) -> str:
    program = shutil.which("openssl") or "openssl"
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_authority(folder: Path) -> None:
    (folder / "tsa.cnf").write_text(
        """
[tsa]
default_tsa = own
[own]
serial = serial
crypto_device = builtin
signer_cert = tsa.pem
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""
    )
    (folder / "serial").write_text("01")
    (folder / "extensions").write_text("extendedKeyUsage=critical,timeStamping\n")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl(
        folder, "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test root", "-days", "9"
    )
    openssl(folder, "req", *curve, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Test authority")
    openssl(
        folder, "x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-extfile", "extensions", "-out", "tsa.pem", "-days", "9",
    )  # fmt: skip


@pytest.fixture
def authority(tmp_path) -> Iterator[Authority]:
    if shutil.which("openssl") is None:
        not_here("openssl")
    (tmp_path / "tsa").mkdir()
    running = Authority(tmp_path / "tsa")
    yield running
    running.stop()


class TestTimestamp:
    def test_the_time_stamp_is_kept_and_openssl_agrees(self, authority, name_anchors, tmp_path):
        (placed,) = name_anchors(authority.address)
        assert (placed.name, placed.proof_extension) == ("timestamp 127.0.0.1", "tsr")
        anchor = placed.open()
        proof = anchor.publish(signed(5))
        (tmp_path / "5.tsr").write_bytes(proof)
        (tmp_path / "5.checkpoint").write_text(signed(5))
        (tmp_path / "6.checkpoint").write_text(signed(6))
        check = ["ts", "-verify", "-in", "5.tsr", "-CAfile", str(authority.folder / "ca.pem"), "-data"]
        openssl(tmp_path, *check, "5.checkpoint")
        with pytest.raises(AssertionError):
            openssl(tmp_path, *check, "6.checkpoint")
        assert not anchor.can_be_read and list(anchor.kept()) == []

    def test_somebody_elses_time_stamp_is_refused(self, authority, name_anchors, tmp_path):
        (tmp_path / "other").mkdir()
        make_authority(tmp_path / "other")
        (placed,) = name_anchors(authority.address.replace("tsa/ca.pem", "other/ca.pem"))
        with pytest.raises(AnchorRefused, match="pinned"):
            placed.open().publish(signed(1))

    @pytest.mark.parametrize(
        "forge", [lambda _: b"", lambda _: b"no answer", lambda a: a[:-9], lambda a: a[:-1] + bytes([a[-1] ^ 1])]
    )
    def test_a_forged_answer_is_refused(self, authority, name_anchors, forge):
        authority.forge = forge
        (placed,) = name_anchors(authority.address)
        with pytest.raises(AnchorRefused):
            placed.open().publish(signed(1))

    def test_an_old_answer_is_refused(self, authority, name_anchors):
        """Its nonce is of another question."""
        (placed,) = name_anchors(authority.address)
        old = placed.open().publish(signed(1))
        authority.forge = lambda _: old
        with pytest.raises(AnchorRefused):
            placed.open().publish(signed(1))

    def test_a_certificate_that_is_gone_is_said(self, authority, name_anchors):
        (placed,) = name_anchors(authority.address)
        (authority.folder / "ca.pem").rename(authority.folder / "gone")
        with pytest.raises(AnchorRefused, match="certificate"):
            placed.open().publish(signed(1))
