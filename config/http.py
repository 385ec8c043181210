"""The one door for streaming responses: Django under ASGI would collect a synchronous iterator in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

_END = object()


def stream(
    chunks: Iterable[bytes], *, content_type: str, status: int = 200, headers: dict | None = None
) -> StreamingHttpResponse:
    """Answer with an iterator of bytes, pulled one chunk at a time in the worker thread; closed when the client leaves."""
    return StreamingHttpResponse(_pull(chunks), status=status, content_type=content_type, headers=headers)


async def _pull(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    iterator = iter(chunks)
    pull: Any = sync_to_async(next)
    try:
        while (chunk := await pull(iterator, _END)) is not _END:
            yield chunk
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            await sync_to_async(close)()
