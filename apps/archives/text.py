"""A conversation as plain text, which is Markdown where people wrote Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from apps.archives.html import encode
from apps.archives.labels import Labels, labels
from apps.archives.rendering import ConversationInfo, Part, Turn, archive_href


def render_text(info: ConversationInfo, turns: Iterable[Turn], *, first: bool, language: str) -> Iterator[bytes]:
    """Yield some turns of a conversation, after its head when they are the first ones."""
    words = labels(language)
    if first:
        yield encode(_head(info, words))
    for turn in turns:
        yield encode(_turn(turn, words))


def _head(info: ConversationInfo, words: Labels) -> str:
    facts = [
        words.period((info.started_at, info.updated_at)),
        words.messages.format(f"{info.message_count:,}"),
        info.source,
    ]
    title = " ".join(info.title.split()) or words.untitled
    return f"\ufeff# {title}\n\n{words.sentence(facts)}{words.times}\n"


def _turn(turn: Turn, words: Labels) -> str:
    facts = [words.roles.get(turn.role) or turn.role, turn.author]
    if turn.created_at is not None:
        facts.append(words.time(turn.created_at))
    branch = ""
    if turn.follows is not None:
        branch = f"\n---\n{words.branch.format(turn.follows) if turn.follows else words.branch_from_start}\n"
    body = "\n\n".join([_part(part, words) for part in turn.parts])
    return f"{branch}\n## {turn.number}. {', '.join(fact for fact in facts if fact)}\n\n{body}\n"


def _part(part: Part, words: Labels) -> str:
    kind = part.kind
    if kind == "text":
        return part.text
    if kind == "code":
        return f"```{part.language}\n{part.text}\n```"
    if kind in {"image", "audio", "file"}:
        return f"[{part.name or kind}: {archive_href(part.href) or words.not_held}]" + (
            f"\n{part.text}" if part.text else ""
        )
    if kind == "link":
        return f"{part.text or part.name} <{part.href}>".strip()
    if kind == "withheld":
        return f"[{part.text or words.withheld}]"
    if kind == "removed":
        return f"[{words.removed}]"
    heading = {"thought": words.thinking, "hidden": words.hidden}.get(kind, words.unknown)
    return f"[{heading}]\n{part.text}"
