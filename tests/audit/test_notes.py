"""Signed checkpoints: the format's own example, and every changed byte."""

from __future__ import annotations

import pytest

from apps.audit import notes
from apps.audit.errors import BadNote
from apps.sealing.signatures import SigningKey

KEY = SigningKey.from_seed(b"k" * 32)
VERIFIER = notes.VerifierKey("log.example/audit", KEY.public)
CHECKPOINT = notes.CheckpointText("log.example/audit", 42, b"r" * 32)
NOTE = notes.sign_checkpoint(CHECKPOINT, KEY)

# Keys of others: from the documentation of golang.org/x/mod/sumdb/note, and of the Go checksum database.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SUM_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"


def test_what_was_signed_is_read_back():
    assert notes.open_checkpoint(NOTE, VERIFIER) == CHECKPOINT == notes.read_checkpoint(NOTE)


def test_keys_of_other_logs_are_read_and_written_alike():
    for text in (GO_KEY, GO_SUM_KEY, str(VERIFIER)):
        assert str(notes.VerifierKey.parse(text + "\n")) == text


def test_no_changed_byte_is_let_through():
    for at in range(len(NOTE.encode())):
        for bit in (1, 32, 128):
            changed = bytearray(NOTE.encode())
            changed[at] ^= bit
            with pytest.raises(BadNote):
                notes.open_checkpoint(changed.decode("latin-1" if bit == 128 else "utf-8", "replace"), VERIFIER)


def test_signatures_of_others_are_let_through_unread():
    witness = "— witness.example " + notes.encode_base64(b"\x00" * 80) + "\n"
    assert notes.open_checkpoint(NOTE + witness, VERIFIER) == CHECKPOINT
    same_name = f"— {VERIFIER.name} " + notes.encode_base64(b"\x00" * 68) + "\n"
    assert notes.open_checkpoint(NOTE + same_name, VERIFIER) == CHECKPOINT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no note",
        NOTE.rstrip("\n"),
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("\n42\n", "\n042\n"),
        NOTE.replace("\n42\n", "\n42\nmore\n"),
        NOTE.replace("— ", "- "),
        NOTE + "\n",
        NOTE + "— nobody\n",
        NOTE.replace("log", "log\t"),
    ],
)
def test_a_malformed_note_is_refused(text):
    with pytest.raises(BadNote):
        notes.open_checkpoint(text, VERIFIER)


@pytest.mark.parametrize(
    "text", [NOTE.replace("\n42\n", "\n042\n"), NOTE.replace("\n42\n", "\n42\nmore\n"), "\n" + NOTE]
)
def test_a_malformed_checkpoint_is_not_read_even_unverified(text):
    with pytest.raises(BadNote):
        notes.read_checkpoint(text)


def test_a_second_signature_of_the_same_key_must_fit_too():
    bad = f"— {VERIFIER.name} " + notes.encode_base64(VERIFIER.id + b"\x00" * 64) + "\n"
    with pytest.raises(BadNote, match="does not fit"):
        notes.open_checkpoint(NOTE + bad, VERIFIER)


def test_a_checkpoint_of_another_log_under_the_same_key_is_refused():
    text = str(notes.CheckpointText("other.example/log", 42, b"r" * 32))
    signature = notes.key_id(VERIFIER.name, KEY.public) + KEY.sign(text.encode())
    note = f"{text}\n— {VERIFIER.name} {notes.encode_base64(signature)}\n"
    with pytest.raises(BadNote, match="another log"):
        notes.open_checkpoint(note, VERIFIER)
    assert notes.read_checkpoint(note).origin == "other.example/log"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+hash",
        GO_KEY.replace("c74f20a3", "c74f20a4"),
        GO_KEY.replace("PeterNeumann", "Peter Neumann"),
        GO_KEY[:-4],
        GO_KEY[:-1] + "=",
        "n+00000000+" + notes.encode_base64(b"\x02" + b"k" * 32),
    ],
)
def test_a_malformed_key_is_refused(text):
    with pytest.raises(BadNote):
        notes.VerifierKey.parse(text)


@pytest.mark.parametrize("name", ["", "two words", "a\tb", "a\u2028b"])
def test_a_key_whose_name_no_note_could_have_is_refused(name):
    with pytest.raises(BadNote):
        notes.VerifierKey.parse(str(notes.VerifierKey(name, VERIFIER.public)))
