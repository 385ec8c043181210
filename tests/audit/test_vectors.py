"""Receipts and logs kept as files whose names say whether they are good; both verifiers must agree, today and later."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from pymerkle import InmemoryTree

from apps.audit import notes, proofs
from apps.audit.errors import BadProof
from apps.portal.templatetags.portal import groups
from tests.audit.verifier import run_verifier

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "audit"
KEY = (VECTORS / "log.key").read_text().strip()
RECEIPTS = sorted(VECTORS.glob("*.tlog-proof"))
LOGS = sorted(VECTORS.glob("*.jsonl"))
SAYS = {
    "bad-log-cut-short": "do not give the root",
    "bad-log-rolled-back-behind-the-older-checkpoint": "cut or rolled back",
    "bad-log-selection-with-an-entry-changed": "is not in the log",
    "bad-log-with-an-entry-added": "do not give the root",
    "bad-log-with-an-entry-changed": "rewritten",
    "bad-log-with-an-entry-dropped": "entry 8 is missing",
    "bad-log-with-entries-swapped": "rewritten",
    "bad-receipt-at-another-place": "is not in the log",
    "bad-receipt-cut-short": "malformed",
    "bad-receipt-of-a-log-signed-by-another-key": "not signed by this key",
    "bad-receipt-with-a-path-out-of-order": "is not in the log",
    "bad-receipt-with-a-short-path": "too short",
    "bad-receipt-with-another-checkpoint": "the proof is too",
    "bad-receipt-with-another-text": "text is not the one",
    "bad-receipt-without-extra-data": "not a proof",
}


def test_there_are_vectors():
    assert len(RECEIPTS) == 11 and len(LOGS) == 9
    assert {path.stem for path in RECEIPTS + LOGS if path.name.startswith("bad-")} == set(SAYS)


@pytest.mark.parametrize("path", RECEIPTS + LOGS, ids=lambda path: path.name)
def test_the_standalone_verifier_judges_as_the_name_says(path, tmp_path):
    older = ["--checkpoint", str(VECTORS / "older.checkpoint")] if path in LOGS else []
    result = run_verifier("receipt" if path in RECEIPTS else "log", path, tmp_path, *older, key=KEY)
    if path.name.startswith("good-"):
        assert (result.code, result.err) == (0, "")
    else:
        assert result.code == 1 and SAYS[path.stem] in result.err
    assert (
        run_verifier("receipt" if path in RECEIPTS else "log", path, tmp_path, key=str(VECTORS / "another.key")).code
        == 1
    )


def test_the_standalone_verifier_prints_the_fingerprint_that_the_receipt_s_page_shows(tmp_path):
    path = VECTORS / "good-receipt.tlog-proof"
    body = proofs.check_receipt(path.read_text(encoding="utf-8"), KEY).body
    assert body is not None
    fingerprint = f" SHA-256 {groups(hashlib.sha256(body).hexdigest())}, "
    assert fingerprint in run_verifier("receipt", path, tmp_path, key=KEY).out
    assert "SHA-256" not in run_verifier("receipt", VECTORS / "good-entry.tlog-proof", tmp_path, key=KEY).out


@pytest.mark.parametrize("path", RECEIPTS, ids=lambda path: path.name)
def test_the_site_s_own_verifier_agrees(path):
    text = path.read_text(encoding="utf-8")
    if path.name.startswith("good-receipt"):
        body = proofs.check_receipt(text, KEY).body
        assert body is not None and "会话存储" in body.decode()
    elif path.name.startswith("good-"):
        assert proofs.check(text, notes.VerifierKey.parse(KEY)).body is None
    else:
        with pytest.raises(BadProof):
            proofs.check(text, notes.VerifierKey.parse(KEY))


@pytest.mark.parametrize("path", [path for path in LOGS if "selection" not in path.name], ids=lambda path: path.name)
def test_another_implementation_of_the_tree_agrees(path):
    header, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    other = InmemoryTree(algorithm="sha256")
    for line in lines:
        other.append_entry(line["entry"].encode())
    is_whole = other.get_root() == notes.open_checkpoint(header["checkpoint"], notes.VerifierKey.parse(KEY)).root
    assert is_whole == (path.name.startswith("good-") or "rolled-back" in path.name)
