"""Asking somebody's server over HTTP: errors become ours, redirects are refused, answers have a largest size and a longest time.

A redirect could carry what is asked, and the signature, to another machine; an operator who moved a server writes the new
address. Private addresses are allowed: it is the operator who configures a place, and many systems stand beside this one.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from apps.locations.deadlines import LARGEST_ANSWER, NOT_PACKED, Deadlines
from apps.locations.errors import Refused, Unavailable
from apps.locations.said import said as _

BUSY = frozenset({408, 409, 425, 429})
LONGEST_PAUSE_SECONDS = 24 * 3600.0  # whoever asks for more is asked again then


def open_client(
    address: str, *, timeout: float, certificates: str = "", headers: Mapping[str, str] | None = None
) -> httpx.Client:
    """Return a client for one server. `certificates`: PEM of the authority to trust in place of the system's."""
    try:
        verify: Any = ssl.create_default_context(cadata=certificates) if certificates else True
        hooks = Deadlines(httpx.SyncByteStream).hooks()
        return httpx.Client(
            base_url=address,
            timeout=timeout,
            verify=verify,
            headers=NOT_PACKED | dict(headers or {}),
            follow_redirects=False,
            event_hooks=hooks,
        )
    except (ssl.SSLError, ValueError, httpx.InvalidURL):
        raise Refused(_("The address or the certificate of the server is not valid.")) from None


@contextmanager
def asking(
    client: httpx.Client, request: httpx.Request, *, fine: frozenset[int] = frozenset()
) -> Iterator[httpx.Response]:
    """Send a request and hold its answer, not yet read. An answer that is neither 200 nor in `fine` is an error of ours."""
    try:
        response = client.send(request, stream=True)
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise _error_of(error) from None
    except (httpx.InvalidURL, ValueError):
        raise Refused(_("The address of the server is not valid.")) from None
    try:
        if response.status_code != 200 and response.status_code not in fine:
            raise _refusal(response)
        yield response
    except (httpx.TransportError, httpx.DecodingError, httpx.StreamError) as error:
        raise _error_of(error) from None
    finally:
        response.close()


def read(response: httpx.Response, *, most: int = LARGEST_ANSWER) -> bytes:
    """Return the body of an answer; one that is larger than it may be is refused before it fills the memory."""
    parts, size = [], 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > most:
            raise Refused(_("The server's answer is larger than it may be."))
        parts.append(chunk)
    return b"".join(parts)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return for how many seconds a server asks to be left alone; a date there is not read, nor what is no time at all."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(seconds, LONGEST_PAUSE_SECONDS) if seconds >= 0 else None


def _refusal(response: httpx.Response) -> Exception:
    status = response.status_code
    if status in BUSY or status >= 500:
        return Unavailable(
            _("The server cannot answer just now (%(code)s).") % {"code": status},
            retry_after=retry_after(response.headers),
        )
    if 300 <= status < 400:
        return Refused(_("The server sends us elsewhere. Redirects are not followed: write its new address."))
    return Refused(
        _("The server refuses us (%(code)s): check the address, the credentials and the permissions.")
        % {"code": status}
    )


def _error_of(error: Exception) -> Exception:
    if isinstance(error, httpx.UnsupportedProtocol):
        return Refused(_("The address of the server is not valid."))
    if isinstance(error.__cause__, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Refused(_("The server's certificate is not one that we trust."))
    return Unavailable(_("The server does not answer."))
