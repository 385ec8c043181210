"""What a person sees of one message: its parts in order, for reader pages, text, CSV and HTML.

Nothing is left out: what ChatGPT hides becomes a part of kind "hidden", what nobody knows one of kind "unknown". The
content types are those of ChatGPT's exports; other formats are turned into them when they are read (blocks.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import orjson

from .blocks import FILE as FILE_BLOCK
from .blocks import UNKNOWN as UNKNOWN_BLOCK
from .building import ORIGINAL
from .canvas import canvas_text
from .types import Node
from .values import as_dict, as_list, as_text

TEXT, CODE, THOUGHT, IMAGE, AUDIO = "text", "code", "thought", "image", "audio"
FILE, HIDDEN, UNKNOWN = "file", "hidden", "unknown"
REMOVED = "removed"  # nothing is left of it but its place
REMOVED_AT, CORRECTED_AT = "habeas_removed_at", "habeas_corrected_at"  # in a message's metadata: when, in ISO 8601

# Where ChatGPT's page shows a source or a picture of the web, the text holds a mark in the private use area.
_MARK = re.compile("\ue200[^\ue200\ue201]{0,2000}\ue201|[\ue200-\ue20f]")
_OLD_MARK = re.compile("【[^【】]{1,80}†[^【】]{0,80}】")
# What is in a message's metadata when there is more to show than its text.
_MORE = {
    "aggregate_result",
    "attachments",
    "citations",
    "content_references",
    "is_user_system_message",
    "is_visually_hidden_from_conversation",
    REMOVED_AT,
}


class Part(NamedTuple):
    """One piece of a message. `language` is of code; `pointer` names an attachment as its `pointer` does."""

    kind: str
    text: str
    language: str = ""
    pointer: str = ""


Parts = Iterator[Part]


def text_of(node: Node | dict[str, Any]) -> list[Part]:
    """The parts of a node (or of its `data`); an empty list for one that only holds the tree together."""
    data = node.data if isinstance(node, Node) else node
    message = data.get("message")
    if not isinstance(message, dict):
        return [Part(UNKNOWN, _as_json(data[ORIGINAL]))] if ORIGINAL in data else []
    metadata = as_dict(message.get("metadata"))
    if (plain := _plain_text(message, metadata)) is not None:
        return [_clean(Part(TEXT, plain))] if plain.strip() else []
    if REMOVED_AT in metadata:
        return [Part(REMOVED, "")]
    parts = [*_content(message, metadata), *_attachments(message, metadata), *_results(metadata)]
    shown = [_clean(part) for part in parts if part.text.strip() or part.pointer]
    if metadata.get("is_visually_hidden_from_conversation") or metadata.get("is_user_system_message"):
        return [part._replace(kind=HIDDEN) if part.kind in (TEXT, CODE, THOUGHT) else part for part in shown]
    return shown


def _plain_text(message: dict[str, Any], metadata: dict[str, Any]) -> str | None:
    """The text of a message that is nothing but one text, as most are; None for any other. Archives show millions."""
    content = message.get("content")
    if not isinstance(content, dict) or content.get("content_type") != "text" or not _MORE.isdisjoint(metadata):
        return None
    parts = as_list(content.get("parts"))
    text = parts[0] if len(parts) == 1 else None
    if not isinstance(text, str) or message.get("recipient") not in ("all", None) or "\ue200" in text or "【" in text:
        return None
    return text


def _content(message: dict[str, Any], metadata: dict[str, Any]) -> Parts:
    content = message.get("content")
    recipient = as_text(message.get("recipient"))
    if recipient.startswith("canmore."):
        yield from (Part(*part) for part in canvas_text(content))
        return
    for part in _parts_of(content):
        if part.kind == TEXT:
            part = part._replace(text=_without_marks(part.text, metadata))
        is_for_tool = recipient not in ("", "all", "assistant") and part.kind == TEXT
        yield part._replace(kind=CODE) if is_for_tool else part


def _parts_of(content: Any) -> Parts:
    """Parts of a message's content, or of one element of its `parts`."""
    if isinstance(content, str):
        yield Part(TEXT, content)
    elif isinstance(content, list):
        for item in content:
            yield from _parts_of(item)
    elif isinstance(content, dict):
        read = _READERS.get(as_text(content.get("content_type")), _unknown)
        yield from read(content)
    elif content is not None:
        yield Part(UNKNOWN, _as_json(content))


def _plain(content: dict[str, Any]) -> Parts:
    """`parts`, or whatever else holds the text in old files."""
    if isinstance(content.get("parts"), list):
        yield from _parts_of(content["parts"])
    elif isinstance(content.get("text") or content.get("content"), str):
        yield Part(TEXT, as_text(content.get("text") or content.get("content")))
    else:
        yield from _unknown(content)


def _code(content: dict[str, Any]) -> Parts:
    language = as_text(content.get("language"))
    name = as_text(content.get("name"))
    text = as_text(content.get("text")) or _joined(content.get("parts"))
    yield Part(CODE, f"{name}\n{text}" if name else text, "" if language == "unknown" else language)
    if content.get("output"):
        yield Part(CODE, as_text(content["output"]), "output")


def _execution_output(content: dict[str, Any]) -> Parts:
    yield Part(CODE, as_text(content.get("text")) or _joined(content.get("parts")), "output")


def _thoughts(content: dict[str, Any]) -> Parts:
    for item in as_list(content.get("thoughts")):
        thought = as_dict(item)
        text = as_text(thought.get("content")) or _joined(thought.get("chunks")) or as_text(item)
        yield Part(THOUGHT, _lines(thought.get("summary"), text))
    if not content.get("thoughts"):
        yield Part(THOUGHT, as_text(content.get("content")) or _joined(content.get("parts")))


def _recap(content: dict[str, Any]) -> Parts:
    """How long it thought."""
    yield Part(THOUGHT, as_text(content.get("content")) or _joined(content.get("parts")))


def _web_page(content: dict[str, Any]) -> Parts:
    """tether_quote, sonic_webpage, tether_browsing_display: what a search or a page gave."""
    texts = [content.get(key) for key in ("text", "snippet", "summary", "result")]
    yield Part(TEXT, _lines(content.get("title"), content.get("url") or content.get("domain"), *_distinct(texts)))
    for asset in as_list(content.get("assets")):
        yield from _parts_of(asset)


def _system_error(content: dict[str, Any]) -> Parts:
    yield Part(TEXT, _lines(content.get("name"), content.get("text")))


def _hidden(content: dict[str, Any]) -> Parts:
    """Profile, instructions and memory, which ChatGPT puts into the conversation without showing them."""
    for key, value in content.items():
        if key != "content_type" and value not in (None, "", [], {}):
            yield Part(HIDDEN, value if isinstance(value, str) else _as_json(value))


def _image(content: dict[str, Any]) -> Parts:
    dalle = as_dict(as_dict(content.get("metadata")).get("dalle"))
    yield Part(IMAGE, as_text(dalle.get("prompt")) or as_text(content.get("name")), "", _pointer(content))


def _audio(content: dict[str, Any]) -> Parts:
    yield Part(AUDIO, as_text(content.get("text")), "", _pointer(content))


def _voice_and_video(content: dict[str, Any]) -> Parts:
    """real_time_user_audio_video_asset_pointer: sound, single pictures and a film of one turn."""
    yield from _audio(as_dict(content.get("audio_asset_pointer")))
    for frame in as_list(content.get("frames_asset_pointers")):
        yield from _image(as_dict(frame)) if isinstance(frame, dict) else [Part(IMAGE, "", "", as_text(frame))]
    film = content.get("video_container_asset_pointer")
    yield Part(FILE, "", "", _pointer(film) if isinstance(film, dict) else as_text(film))


def _video(content: dict[str, Any]) -> Parts:
    yield Part(FILE, "", "", _pointer(content))


def _computer_output(content: dict[str, Any]) -> Parts:
    screenshot = content.get("screenshot")
    yield from _image(screenshot) if isinstance(screenshot, dict) else [Part(IMAGE, "", "", as_text(screenshot))]
    state = content.get("state")
    if state:
        yield Part(CODE, _as_json(state), "json")


def _file(content: dict[str, Any]) -> Parts:
    name, pointer = as_text(content.get("name")), _pointer(content)
    yield Part(FILE, _lines(name, content.get("text")), "", pointer)


def _unknown(content: dict[str, Any]) -> Parts:
    """Whatever it is: as it came. Its texts are content all the same."""
    if "content_type" not in content and isinstance(content.get("parts"), list):
        yield from _parts_of(content["parts"])
        return
    value = content.get("value") if content.get("content_type") == UNKNOWN_BLOCK else content
    yield Part(UNKNOWN, _as_json(value))


_READERS: dict[str, Callable[[dict[str, Any]], Parts]] = {
    "text": _plain,
    "multimodal_text": _plain,
    "audio": _plain,
    "reasoning_recap": _recap,
    "audio_transcription": _plain,
    "code": _code,
    "execution_output": _execution_output,
    "thoughts": _thoughts,
    "tether_quote": _web_page,
    "tether_browsing_display": _web_page,
    "sonic_webpage": _web_page,
    "system_error": _system_error,
    "user_editable_context": _hidden,
    "model_editable_context": _hidden,
    "app_pairing_content": _hidden,
    "image_asset_pointer": _image,
    "audio_asset_pointer": _audio,
    "video_asset_pointer": _video,
    "real_time_user_audio_video_asset_pointer": _voice_and_video,
    "computer_output": _computer_output,
    FILE_BLOCK: _file,
}


def _attachments(message: dict[str, Any], metadata: dict[str, Any]) -> Parts:
    """Files that were uploaded with the message, where its content does not show them already."""
    shown = orjson.dumps(message.get("content")) if metadata.get("attachments") else b""
    for item in as_list(metadata.get("attachments")):
        about = as_dict(item)
        pointer = as_text(about.get("id"))
        if not pointer or pointer.encode() not in shown:
            yield Part(FILE, as_text(about.get("name")), "", pointer)


def _results(metadata: dict[str, Any]) -> Parts:
    """Pictures that code drew, and the sources that an answer names."""
    for item in as_list(as_dict(metadata.get("aggregate_result")).get("messages")):
        message = as_dict(item)
        if message.get("image_url"):
            yield Part(IMAGE, "", "", as_text(message["image_url"]))
    sources = dict.fromkeys(_sources(metadata))
    if sources:
        yield Part(TEXT, "\n".join(f"[{number}] {source}" for number, source in enumerate(sources, 1)))


def _sources(metadata: dict[str, Any]) -> Iterator[str]:
    """Title and address of each source, in order."""
    citations = [as_dict(item).get("metadata") for item in as_list(metadata.get("citations"))]
    for item in [*as_list(metadata.get("content_references")), *citations]:
        reference = as_dict(item)
        for source in [reference, *map(as_dict, as_list(reference.get("items")))]:
            if as_text(source.get("url")):
                yield " ".join(filter(None, (as_text(source.get("title")), as_text(source["url"]))))


def _without_marks(text: str, metadata: dict[str, Any]) -> str:
    """Text with each mark of a source replaced by what ChatGPT's page shows in its place."""
    if "\ue200" not in text and "【" not in text:
        return text
    shown: dict[str, str] = {}
    for item in as_list(metadata.get("content_references")):
        reference = as_dict(item)
        shown[as_text(reference.get("matched_text"))] = as_text(reference.get("alt") or reference.get("prompt_text"))
    text = _OLD_MARK.sub(lambda match: shown.get(match[0], match[0]), text)
    return _MARK.sub(lambda match: shown.get(match[0], ""), text)


def _pointer(content: dict[str, Any]) -> str:
    return as_text(content.get("asset_pointer"))


def _joined(parts: Any) -> str:
    return "\n".join(text for text in map(as_text, as_list(parts)) if text)


def _lines(*values: Any) -> str:
    return "\n".join(text for text in map(as_text, values) if text)


def _distinct(values: Iterable[Any]) -> Iterator[str]:
    return iter(dict.fromkeys(filter(None, map(as_text, values))))


def _as_json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()


def _clean(part: Part) -> Part:
    """Without what HTML cannot hold, and what makes a terminal do things."""
    if "\0" in part.text or "\x1b" in part.text:
        return part._replace(text=part.text.replace("\0", "\ufffd").replace("\x1b", "\ufffd"))
    return part
