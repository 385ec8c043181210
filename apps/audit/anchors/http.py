"""Asking over HTTP, with errors as ours and answers of bounded size. Redirects are not followed."""

from __future__ import annotations

from typing import Any

import httpx

from apps.audit.errors import AnchorRefused, AnchorUnreachable

LARGEST = 1024 * 1024


def ask(client: httpx.Client, method: str, url: str, **options: Any) -> bytes:
    """Return the body of a good answer; of a missing page b""."""
    try:
        with client.stream(method, url, **options) as answer:
            body = b""
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > LARGEST:
                    raise AnchorRefused("the answer is too large")
    except (httpx.HTTPError, httpx.InvalidURL):
        raise AnchorUnreachable("the address does not answer") from None
    if answer.status_code in {404, 410} and method == "GET":
        return b""
    if answer.status_code >= 500 or answer.status_code == 429:
        raise AnchorUnreachable(f"the address says {answer.status_code}")
    if not answer.is_success:
        raise AnchorRefused(f"the address says {answer.status_code}")
    return body
