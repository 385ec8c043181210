"""A time-stamp authority (RFC 3161): a third party signs that this checkpoint was there at that time.

Only the hash of the checkpoint is sent. The answer is checked against the authority's pinned certificates before it counts,
and is kept as the proof: `openssl ts -verify -in FILE.tsr -data FILE.checkpoint -CAfile CERTIFICATE` checks it elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
from cryptography.x509 import load_pem_x509_certificates
from rfc3161_client import TimestampRequestBuilder, VerificationError, VerifierBuilder
from rfc3161_client import decode_timestamp_response as decode

from apps.audit.anchors import TIMEOUT
from apps.audit.anchors.http import ask
from apps.audit.errors import AnchorRefused

QUERY, REPLY = "application/timestamp-query", "application/timestamp-reply"


class TimestampAnchor:
    can_be_read = False

    def __init__(self, *, url: str, certificate: str) -> None:
        self._url, self._certificate = url, Path(certificate)

    def publish(self, note: str) -> bytes:
        request = TimestampRequestBuilder().data(note.encode()).build()  # with a nonce, and asking for the certificate
        with httpx.Client(timeout=TIMEOUT) as client:
            answer = ask(client, "POST", self._url, content=request.as_bytes(), headers={"Content-Type": QUERY})
        try:
            roots = load_pem_x509_certificates(self._certificate.read_bytes())
            verifier = VerifierBuilder.from_request(request)
            for certificate in roots:
                verifier = verifier.add_root_certificate(certificate)
            verifier.build().verify_message(decode(answer), note.encode())
        except OSError as error:
            raise AnchorRefused(f"the authority's certificate cannot be read: {error.strerror}") from None
        except (VerificationError, ValueError):
            raise AnchorRefused("the answer is no time stamp of the authority whose certificate is pinned") from None
        return answer

    def kept(self) -> Iterator[str]:
        return iter(())
