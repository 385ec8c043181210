"""A proof or a receipt is good as it was made, and bad after any change; checked by ours and by the standalone verifier."""

from __future__ import annotations

from hashlib import sha256

import pytest
from django.db import transaction

from apps.audit import notes, proofs, selectors, services
from apps.audit.actors import Actor
from apps.audit.errors import BadProof, NotSigned
from apps.audit.events import Event
from apps.audit.models import Entry
from tests.audit.verifier import run_verifier

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing_without_commits")]

BODY = '{"law":"GDPR Article 17(1)","places":[{"name":"档案","remaining":0}]}'.encode()


@pytest.fixture
def receipt_entry(write, handle) -> Entry:
    write(5)
    with transaction.atomic():
        entry = services.append(
            Event.RECEIPT_ISSUED, about=handle, actor=Actor.system(), body_sha256=sha256(BODY).digest(), number=1
        )
    write(7)
    return entry


@pytest.fixture
def receipt(receipt_entry) -> str:
    services.wait_until_signed(receipt_entry)
    return selectors.receipt_text(receipt_entry, BODY)


def test_there_is_no_receipt_before_its_entry_is_signed(receipt_entry):
    with pytest.raises(NotSigned):
        selectors.receipt_text(receipt_entry, BODY)
    services.sequence(limit=2)
    with pytest.raises(NotSigned):
        selectors.receipt_text(receipt_entry, BODY)


def test_a_receipt_is_good(receipt, receipt_entry, handle, tmp_path):
    proof = proofs.check_receipt(receipt, selectors.public_key_text())
    assert proof.body == BODY
    assert proof.record == selectors.record_of(receipt_entry)
    assert proof.index == 6 and proof.checkpoint.size == 14
    result = run_verifier("receipt", receipt, tmp_path)
    assert (result.code, result.err) == (0, "")
    assert handle in result.out and "place 6" in result.out


@pytest.mark.thorough
def test_no_changed_byte_of_a_receipt_is_let_through(receipt, tmp_path):
    whole = receipt.encode()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1
        text = changed.decode("utf-8", "replace")
        with pytest.raises(BadProof):
            proofs.check_receipt(text, selectors.public_key_text())
        if at % 7 == 0 or at < 120:
            assert run_verifier("receipt", bytes(changed), tmp_path).code == 1
    for cut in (0, 1, 40, len(whole) // 2, len(whole) - 1):
        assert run_verifier("receipt", whole[:cut], tmp_path).code == 1


def test_a_receipt_with_another_text_is_bad(receipt_entry, receipt, tmp_path):
    forged = selectors.receipt_text(receipt_entry, BODY.replace(b'"remaining":0', b'"remaining":9'))
    with pytest.raises(BadProof, match="text"):
        proofs.check_receipt(forged, selectors.public_key_text())
    assert run_verifier("receipt", forged, tmp_path).code == 1


@pytest.mark.slow
def test_another_entry_is_no_receipt(receipt, receipt_entry, tmp_path):
    other = Entry.objects.exclude(pk=receipt_entry.pk).latest("pk")
    plain = selectors.entry_proof(other)
    assert proofs.check(plain, selectors.verifier_key()).body is None
    assert run_verifier("receipt", plain, tmp_path).code == 0  # a good proof of an entry, and says so
    assert "receipt" not in run_verifier("receipt", plain, tmp_path).out
    with pytest.raises(BadProof, match="not a receipt"):
        proofs.check_receipt(plain, selectors.public_key_text())
    dressed = selectors.receipt_text(other, BODY)
    with pytest.raises(BadProof):
        proofs.check(dressed, selectors.verifier_key())
    assert run_verifier("receipt", dressed, tmp_path).code == 1


def test_a_log_of_one_entry_can_be_proven(handle, tmp_path):
    services.sequence()
    text = selectors.entry_proof(Entry.objects.get())
    assert proofs.check(text, selectors.verifier_key()).checkpoint.size == 1
    assert run_verifier("receipt", text, tmp_path).code == 0


def test_the_key_decides(receipt, tmp_path):
    other = str(notes.VerifierKey(selectors.verifier_key().name, b"o" * 32))
    with pytest.raises(BadProof):
        proofs.check_receipt(receipt, other)
    with pytest.raises(BadProof, match="the key"):
        proofs.check_receipt(receipt, "no key")
    assert run_verifier("receipt", receipt, tmp_path, key=other).code == 1
    assert run_verifier("receipt", receipt, tmp_path, key="no key").code == 1
    without = run_verifier("receipt", receipt, tmp_path, key=None)
    assert without.code == 3 and "cannot judge" in without.err and without.out == ""


def entry_of(text: str) -> str:
    return notes.encode_base64(proofs.canonical_json({"entry": text}))


@pytest.mark.parametrize(
    "extra",
    [
        "",
        "extra",
        "extra AA",
        "extra " + notes.encode_base64(b"[]"),
        "extra " + notes.encode_base64(b"{}"),
        "extra " + notes.encode_base64(b'{"entry":1}'),
        "extra " + notes.encode_base64(b'{"entry":"{}","more":"{}"}'),
        "extra " + notes.encode_base64(b'{"entry":"{}","body":null}'),
        "extra " + notes.encode_base64(b'{"entry":"{}","body":"{}"}'),
        "extra " + notes.encode_base64(b'{"entry":"{\\"details\\":1}","body":"{}"}'),
        "extra " + notes.encode_base64(b"\xff"),
        "extra " + notes.encode_base64(b'{"entry":"\\ud800"}'),
        "extra " + notes.encode_base64(b'{"a":' * 100_000),
        "extra " + entry_of("[]"),
        "extra " + entry_of("no JSON"),
        "extra " + entry_of('{"event":"receipt.issued","about":"","at":"","details":[]}'),
    ],
)
def test_malformed_extra_data_is_refused(receipt, extra, tmp_path):
    lines = receipt.split("\n")
    lines[1] = extra
    with pytest.raises(BadProof):
        proofs.check("\n".join(lines), selectors.verifier_key())
    result = run_verifier("receipt", "\n".join(lines), tmp_path)
    assert result.code == 1 and result.err.count("\n") == 1


@pytest.mark.parametrize("name", [b'"body"', b'"entry"'])
def test_what_is_said_twice_is_refused_whichever_is_true(receipt, name, tmp_path):
    lines = receipt.split("\n")
    good = notes.decode_base64(lines[1].removeprefix("extra "))
    lines[1] = "extra " + notes.encode_base64(b"{" + name + b':"{}",' + good.removeprefix(b"{"))
    assert proofs.check_receipt(receipt, selectors.public_key_text()), "the last of two is the true one"
    with pytest.raises(BadProof, match="log writes"):
        proofs.check("\n".join(lines), selectors.verifier_key())
    assert run_verifier("receipt", "\n".join(lines), tmp_path).code == 1


@pytest.mark.parametrize(
    "line", ["index 06", "index -1", "index 6 ", "index", "", "index 14", "index 5", "index " + "9" * 30]
)
def test_another_place_is_refused(receipt, line, tmp_path):
    changed = receipt.replace("index 6", line)
    with pytest.raises(BadProof):
        proofs.check(changed, selectors.verifier_key())
    assert run_verifier("receipt", changed, tmp_path).code == 1


def test_a_path_that_is_too_long_or_short_is_refused(receipt, tmp_path):
    lines = receipt.split("\n")
    for changed in (lines[:3] + lines[4:], [*lines[:4], lines[3], *lines[4:]], lines[:3] + lines[7:]):
        with pytest.raises(BadProof):
            proofs.check("\n".join(changed), selectors.verifier_key())
        assert run_verifier("receipt", "\n".join(changed), tmp_path).code == 1
