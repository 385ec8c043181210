"""ChatGPT's canvas: a document that the assistant writes beside the conversation, as JSON sent to a tool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from .values import as_dict, as_list, as_text

_Piece = tuple[str, str, str]  # kind, text, language


def canvas_text(content: Any) -> Iterator[_Piece]:
    """What canmore.create_textdoc, update_textdoc and comment_textdoc say; JSON that is none is shown as it is."""
    about = as_dict(content)
    texts = [as_text(part) for part in as_list(about.get("parts"))] or [as_text(about.get("text"))]
    for text in filter(None, texts):
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError:
            yield "code", text, "json"
            continue
        yield from _pieces(as_dict(document), text)


def _pieces(document: dict[str, Any], text: str) -> Iterator[_Piece]:
    language = as_text(document.get("type")).removeprefix("code/")
    kind = "text" if language in ("", "document") else "code"
    found = False
    if as_text(document.get("name")):
        yield "text", as_text(document["name"]), ""
    if as_text(document.get("content")):
        found = True
        yield kind, as_text(document["content"]), language if kind == "code" else ""
    for item in as_list(document.get("updates")):
        replacement = as_text(as_dict(item).get("replacement"))
        found = found or bool(replacement)
        yield "code", replacement, ""
    for item in as_list(document.get("comments")):
        comment = as_text(as_dict(item).get("comment"))
        found = found or bool(comment)
        yield "text", comment, ""
    if not found:
        yield "code", text, "json"
