"""The pieces that messages are made of in OpenAI's and Anthropic's objects and in what other programs made of them.

Each becomes a part of a ChatGPT export's message: text as it is, anything else an object with a `content_type`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from .values import as_dict, as_file_name, as_list, as_text

UNKNOWN = "habeas_unknown"  # a block that we do not know, kept whole under `value`
FILE = "habeas_file"  # name, media_type, text (what was extracted from it), asset_pointer

_TEXT_TYPES = {"text", "input_text", "output_text", "summary_text", "reasoning_text", "refusal", "error"}
_THOUGHT_TYPES = {"thinking", "think", "reasoning", "redacted_thinking"}
_CALL_TYPES = {"tool_use", "tool_call", "function_call", "function", "server_tool_use", "custom_tool_call"}
_RESULT_TYPES = {"tool_result", "function_call_output", "custom_tool_call_output"}
_IMAGE_TYPES = {"image_url", "input_image", "image", "image_file"}
_AUDIO_TYPES = {"input_audio", "audio", "output_audio"}
_FILE_TYPES = {"file", "input_file", "document"}


def parts_of(content: Any) -> list[Any]:
    """The parts of a message's content, which may be a text, a block, or a list of either."""
    if isinstance(content, str):
        return [content]
    if isinstance(content, dict):
        return [_block(content)]
    return [part if isinstance(part, str) else _block(part) for part in as_list(content) if part is not None]


def text_in(content: Any) -> str:
    """Text wherever a block may hold it."""
    if isinstance(content, dict):
        keys = ("text", "value", "content", "summary")
        return text_in(next((content[key] for key in keys if content.get(key)), ""))
    if isinstance(content, list):
        return "\n".join(filter(None, map(text_in, content)))
    return as_text(content)


def thought(text: str, summary: str = "") -> dict[str, Any]:
    return {"content_type": "thoughts", "thoughts": [{"summary": summary, "content": text}]}


def call(name: str, arguments: Any) -> dict[str, Any]:
    """A call of a tool, with its arguments as text."""
    return {"content_type": "code", "language": "json", "text": _as_json(arguments), "name": name}


def result(output: Any) -> dict[str, Any]:
    text = text_in(output)
    return {"content_type": "execution_output", "text": text or (_as_json(output) if output else "")}


def image(pointer: str, name: str = "") -> dict[str, Any]:
    return {"content_type": "image_asset_pointer", "asset_pointer": pointer, "name": name}


def file(name: Any, *, media_type: Any = "", text: Any = "", pointer: Any = "") -> dict[str, Any]:
    """A file that belongs to a message; its text where the export holds it."""
    return {
        "content_type": FILE,
        "name": as_file_name(name),
        "media_type": as_text(media_type),
        "text": as_text(text),
        "asset_pointer": as_text(pointer),
    }


def tool_calls(message: dict[str, Any]) -> list[Any]:
    """The calls beside a message's content (chat completions)."""
    calls = [item for item in as_list(message.get("tool_calls")) if isinstance(item, dict)]
    single = message.get("function_call")
    return [_call_block(item) for item in [*calls, *([single] if isinstance(single, dict) else [])]]


def _block(value: Any) -> Any:
    if not isinstance(value, dict):
        return as_text(value) or {"content_type": UNKNOWN, "value": value}
    kind = as_text(value.get("type") or value.get("content_type"))
    read = _READERS.get(kind)
    if read is None and not kind and isinstance(value.get("text"), str):
        read = _text_block
    part = read(value) if read else None
    return {"content_type": UNKNOWN, "value": value} if part is None else part


def _text_block(value: dict[str, Any]) -> Any:
    """Plain text; with sources named beside it, they stay with it."""
    text = text_in(value.get("text") or value.get("refusal") or value.get("error") or "")
    return text or None


def _thought_block(value: dict[str, Any]) -> Any:
    text = text_in(value.get("thinking") or value.get("think") or value.get("text") or value.get("content") or "")
    summary = text_in(value.get("summary") or value.get("summaries") or "")
    return thought(text, summary) if text or summary else None


def _call_block(value: dict[str, Any]) -> Any:
    inner = as_dict(value.get("tool_call") or value.get("function")) or value
    name = as_text(inner.get("name"))
    arguments = next((inner[key] for key in ("arguments", "args", "input") if inner.get(key) is not None), None)
    part = call(name, arguments)
    output = text_in(inner.get("output"))
    return {**part, "output": output} if output else part


def _result_block(value: dict[str, Any]) -> Any:
    content = value.get("content") if "content" in value else value.get("output")
    return result(content)


def _image_block(value: dict[str, Any]) -> Any:
    inner = value.get("image_url") or value.get("image_file") or value.get("url") or value.get("source")
    if isinstance(inner, dict):
        pointer = as_text(inner.get("url") or inner.get("file_id"))
        if inner.get("type") == "base64":
            pointer = f"data:{as_text(inner.get('media_type'))};base64,{as_text(inner.get('data'))}"
    else:
        pointer = as_text(inner) or as_text(value.get("file_id"))
    return image(pointer) if pointer else None


def _audio_block(value: dict[str, Any]) -> Any:
    inner = as_dict(value.get("input_audio") or value.get("audio")) or value
    text = text_in(inner.get("transcript"))
    data, kind = as_text(inner.get("data")), as_text(inner.get("format")) or "wav"
    pointer = f"data:audio/{kind};base64,{data}" if data else as_text(inner.get("id"))
    return {"content_type": "audio_asset_pointer", "asset_pointer": pointer, "text": text} if pointer or text else None


def _file_block(value: dict[str, Any]) -> Any:
    inner = as_dict(value.get("file") or value.get("source")) or value
    pointer = as_text(inner.get("file_data") or inner.get("file_id") or inner.get("url") or inner.get("file_url"))
    name = inner.get("filename") or inner.get("name") or value.get("title")
    text = inner.get("data") if inner.get("type") == "text" else ""
    return (
        file(name, media_type=inner.get("media_type"), text=text, pointer=pointer) if pointer or name or text else None
    )


_READERS: dict[str, Callable[[dict[str, Any]], Any]] = {}
for _types, _reader in (
    (_TEXT_TYPES, _text_block),
    (_THOUGHT_TYPES, _thought_block),
    (_CALL_TYPES, _call_block),
    (_RESULT_TYPES, _result_block),
    (_IMAGE_TYPES, _image_block),
    (_AUDIO_TYPES, _audio_block),
    (_FILE_TYPES, _file_block),
):
    _READERS.update(dict.fromkeys(_types, _reader))


def _as_json(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
