"""Plain text: "User: …" and "Assistant: …" in the spellings people use, or, where no line names a speaker, one message
a line. Nothing says who speaks there, so the role is "unknown".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from ..building import Builder
from ..limits import MAX_CONVERSATION_BYTES, MAX_MESSAGES_PER_PART
from ..types import ParsedConversation
from ..values import as_time, as_title, content_id

NAME = "txt"
_TITLE_LENGTH = 60
_MAX_MARK_CHARACTERS = 120
_MAX_MESSAGE_CHARACTERS = MAX_CONVERSATION_BYTES // 16

_CLEAR = {
    "user": "user|human|用户|使用者|人类|提问者|客户",
    "assistant": "assistant|ai|bot|chatgpt|gpt|gpt-?[345][\\w.-]*|claude|gemini|copilot|deepseek|kimi|model"
    "|助手|助理|机器人|人工智能|模型|智能助手|ai助手",
    "system": "system|系统",
    "tool": "tool|function|工具",
}
# Words that also begin ordinary lines count only where no clear ones are, and only if both sides occur.
_VAGUE = {
    "user": "you|me|q|question|prompt|我|问|问题|提问|你",
    "assistant": "a|answer|response|reply|答|回答|回复|chatgpt|ai|claude|gpt",
}
_TIME = r"(?:[\[(]?(?P<time>\d{4}[-/]\d{1,2}[-/]\d{1,2}[ T]\d{1,2}:\d{2}(?::\d{2})?Z?)[\])]?\s{0,3}[-–,]?\s{0,3})?"
_FENCE = re.compile(r"\s{0,3}(```|~~~)")


class Message(NamedTuple):
    role: str
    text: str
    created_at: datetime | None


class Speakers(NamedTuple):
    """How this text marks who speaks."""

    pattern: re.Pattern[str]
    roles: tuple[str, ...]  # one for each group of the pattern


def read_lines(
    lines: Callable[[], Iterable[str]], *, title: str = "", source: str = NAME
) -> Iterator[ParsedConversation]:
    """The conversation in a text; a very long one in parts. `lines` is called twice: to learn the spelling, to read."""
    speakers, has_fences = _survey(lines())
    messages = _spoken(lines(), speakers, has_fences) if speakers else _one_a_line(lines())
    part: list[Message] = []
    number = size = 0
    for message in messages:
        part.append(message)
        size += len(message.text)
        if len(part) >= MAX_MESSAGES_PER_PART or size > _MAX_MESSAGE_CHARACTERS:
            number += 1
            yield _conversation(part, title, number, source)
            part, size = [], 0
    if part:
        yield _conversation(part, title, number + 1 if number else 0, source)


def _conversation(messages: list[Message], title: str, number: int, source: str) -> ParsedConversation:
    builder = Builder(source)
    for message in messages:
        builder.add("", builder.chain(), message.role, [message.text], created_at=message.created_at)
    title = title or as_title(messages[0].text)[:_TITLE_LENGTH]
    external_id = content_id([[message.role, message.text] for message in messages])
    return builder.finish(external_id, title=f"{title} ({number})" if number else title)


def _survey(lines: Iterable[str]) -> tuple[Speakers | None, bool]:
    """Which words name speakers in this text, and whether its code fences come in pairs."""
    clear, vague = _speakers(_CLEAR), _speakers(_VAGUE)
    found_clear: set[str] = set()
    found_vague: set[str] = set()
    fences = 0
    is_certain = False
    for line in lines:
        fences += ("```" in line or "~~~" in line) and _FENCE.match(line) is not None
        if is_certain:
            continue
        if role := _role(clear, line):
            found_clear.add(role)
            is_certain = {"user", "assistant"} <= found_clear
        if role := _role(vague, line):
            found_vague.add(role)
    has_fences = fences % 2 == 0
    if found_clear & {"user", "assistant"} and not (len(found_clear) == 1 and len(found_vague) == 2):
        return clear, has_fences
    return (vague if len(found_vague) == 2 else None), has_fences


def _speakers(words: dict[str, str]) -> Speakers:
    names = "|".join(f"({alternatives})" for alternatives in words.values())
    said = r"(?:\s{0,2}[（(][^）)]{0,40}[）)])?(?:\s{0,2}(?:said|says|说|說))?\s{0,2}[*_]{0,3}\s{0,2}"
    name = rf"\s{{0,3}}[>*_\-\s]{{0,4}}{_TIME}(?:#{{1,6}}\s{{0,3}})?[*_\[【]{{0,3}}(?:{names})[\]】]?{said}"
    end = r"(?:[:：]\s*+[*_]{0,3}\s?|(?<=[*_\]】])\s*+$)"
    heading = rf"|\#{{1,6}}\s{{0,3}}[*_]{{0,3}}(?:{names})[*_]{{0,3}}\s*+$"
    return Speakers(re.compile(f"(?:{name}{end}{heading})", re.IGNORECASE), tuple(words) * 2)


def _match(speakers: Speakers, line: str) -> re.Match[str] | None:
    """The mark of a speaker at the beginning of a line. Most lines have none, and are not worth the long pattern."""
    start = line[:_MAX_MARK_CHARACTERS]
    if ":" in start or "：" in start or start.lstrip()[:1] in ("#", "*", "_", "[", "【", ">"):
        return speakers.pattern.match(line)
    return None


def _role(speakers: Speakers, line: str) -> str:
    match = _match(speakers, line)
    return _who(speakers, match) if match else ""


def _who(speakers: Speakers, match: re.Match[str]) -> str:
    names = [group for index, group in enumerate(match.groups(), 1) if index != match.re.groupindex["time"]]
    return next((role for role, name in zip(speakers.roles, names, strict=True) if name), "")


def _spoken(lines: Iterable[str], speakers: Speakers, has_fences: bool) -> Iterator[Message]:
    role, created_at, is_in_fence = "unknown", None, False
    held: list[str] = []
    size = 0
    for line in lines:
        if has_fences and ("```" in line or "~~~" in line) and _FENCE.match(line):
            is_in_fence = not is_in_fence
        match = None if is_in_fence else _match(speakers, line)
        if match or size > _MAX_MESSAGE_CHARACTERS:
            yield from _message(role, created_at, held)
            held, size = [], 0
        if match:
            role = _who(speakers, match)
            created_at = as_time((match["time"] or "").replace("/", "-"))
            line = line[match.end() :]
        held.append(line)
        size += len(line)
    yield from _message(role, created_at, held)


def _message(role: str, created_at: datetime | None, lines: list[str]) -> Iterator[Message]:
    text = "\n".join(lines).strip()
    if text:
        yield Message(role, text, created_at)


def _one_a_line(lines: Iterable[str]) -> Iterator[Message]:
    return (Message("unknown", line.strip(), None) for line in lines if line.strip())
