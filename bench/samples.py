"""Varied English and Chinese conversations, about 1 KB a message, in the shapes of the formats that come in.

The same seed gives the same bytes. Used by benches and tests:

    python -m bench.samples FORMAT MESSAGES PATH [SEED]      FORMAT: chatgpt, chatgpt-zip, claude, openwebui, …
"""

from __future__ import annotations

import csv
import json
import random
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

MESSAGE_BYTES = 1_000
MESSAGES_PER_CONVERSATION = 20
_START = 1_640_995_200  # 1 January 2022

_ENGLISH = (
    "Could you look at {thing} once more, because {person} said it {verb} after {number} days?",
    "I moved to {place} in {year}, and since then {thing} has {verb} more often than I would like.",
    "First {action}, then {action2}; if that does not help, write to {person} at {mail}.",
    "The short answer is that {thing} {verb} when nobody remembers to {action}.",
    "In {place} people usually {action} before they {action2}, which surprised me.",
    "My notes from {date} say {number} {unit}, but the invoice says {number2}.",
    "There are {number} ways to {action}: the cheap one, the quick one, and the one {person} recommends.",
    "It is normal to feel unsure about {thing}; most people do in the first {number} weeks.",
    "Please keep this between us: {person} and I have not told anyone about {thing} yet.",
    "Here is what I would try:\n\n1. {action}\n2. {action2}\n3. wait {number} {unit} and look again",
    "```python\ndef check(value):\n    return value > {number} and value != {number2}\n```",
    "As a rule of thumb, {number} {unit} are enough, unless {thing} {verb}.",
    "That depends on where you live; in {place} the rules changed in {year}.",
    "Thank you, that helps. One more question about {thing}: should I {action} or {action2}?",
    "| item | amount |\n|---|---|\n| {thing} | {number} {unit} |\n| the rest | {number2} |",
    "If {person} {verb2}, do not argue; ask for it in writing and note the time ({date}).",
)
_CHINESE = (
    "我想再问一下关于{thing}的事情，因为{person}说{number}天以后情况就变了。",
    "我{year}年搬到{place}，从那时起{thing}就一直让我操心。",
    "建议先{action}，然后{action2}；如果还不行，请写信到 {mail}。",
    "简单来说，只要没有人记得{action}，{thing}就会出问题。",
    "在{place}，大家一般会先{action}再{action2}，这一点让我很意外。",
    "{date}的记录写着{number}{unit}，可是账单上是{number2}。",
    "{person}推荐的方法有{number}种，最省钱的一种是{action}。",
    "刚开始的{number}个星期对{thing}感到没有把握，是很正常的。",
    "这件事请不要告诉别人：我和{person}还没有对外说过{thing}。",
    "可以这样试试：\n\n1. {action}\n2. {action2}\n3. 等{number}{unit}再看",
    "一般来说{number}{unit}就够了，除非{thing}有变化。",
    "这要看您住在哪里，{place}的规定在{year}年改过。",
    "谢谢，明白了。还有一个关于{thing}的问题：我应该{action}还是{action2}？",
    "如果{person}不同意，不要争，请对方写下来，并记下时间（{date}）。",
)
_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "thing": (
            "the lease", "my blood test", "the old boiler", "the spreadsheet", "our garden wall", "the visa form",
            "the sourdough starter", "the night train", "my thesis outline", "the insurance letter", "the school play",
            "the password list", "the second-hand bicycle", "the choir rehearsal", "the tax return", "the kitchen tap",
        ),
        "person": ("Ada", "Ben", "Dr. Okafor", "my sister", "Mrs. Lindqvist", "the landlord", "Tomasz", "the nurse"),
        "place": ("Ghent", "Leipzig", "Porto", "Nairobi", "Chengdu", "Halifax", "Valparaíso", "Turku", "Perth"),
        "verb": ("breaks down", "gets lost", "turns out fine", "costs more", "smells odd", "stops working"),
        "verb2": ("disagrees", "calls again", "does not answer", "wants to know more", "asks for money"),
        "action": (
            "write everything down", "switch it off overnight", "ask for an itemised list", "compare three offers",
            "soak the beans", "save a copy", "sleep on it", "measure the room twice", "read the small print",
            "rename the columns", "take a photograph", "make an appointment",
        ),
        "unit": ("hours", "grams", "pages", "euros", "kilometres", "weeks", "rows"),
    },
    "zh": {
        "thing": ("租房合同", "体检报告", "旧锅炉", "这张表格", "签证材料", "毕业论文", "保险信", "孩子的作业", "二手自行车", "年终总结"),
        "person": ("王老师", "小李", "我妹妹", "房东", "陈医生", "邻居", "同事阿明", "外婆"),
        "place": ("成都", "哈尔滨", "厦门", "柏林", "昆明", "西安", "新加坡", "苏州"),
        "verb": ("变",),
        "verb2": ("不同意",),
        "action": ("把要点写下来", "多比较几家", "关机过一夜", "要一份明细", "先备份", "拍张照片", "预约时间", "仔细读条款", "重新命名各列"),
        "unit": ("小时", "克", "页", "元", "公里", "周", "行"),
    },
}  # fmt: skip


def text(rng: random.Random, language: str, size: int = MESSAGE_BYTES) -> str:
    """About `size` bytes of sentences."""
    sentences = _ENGLISH if language == "en" else _CHINESE
    found: list[str] = []
    length = 0
    while length < size * 0.93:
        found.append(_sentence(rng, rng.choice(sentences), _WORDS[language]))
        length += len(found[-1].encode()) + 1
    return (" " if language == "en" else "").join(found)


def conversations(
    messages: int, *, per_conversation: int = MESSAGES_PER_CONVERSATION, seed: int = 1, size: int = MESSAGE_BYTES
) -> Iterator[dict[str, Any]]:
    """ChatGPT-shaped conversations with `messages` messages together, every other one in Chinese, some with branches."""
    rng = random.Random(seed)
    number = 0
    while messages > 0:
        count = min(messages, per_conversation)
        yield _conversation(rng, "zh" if number % 2 else "en", count, number, size)
        messages -= count
        number += 1


def write(format: str, path: Path, messages: int, *, seed: int = 1, size: int = MESSAGE_BYTES) -> None:
    """Write a file of this format; memory does not grow with it."""
    found = conversations(messages, seed=seed, size=size)
    if format == "chatgpt-zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            with archive.open("conversations.json", "w", force_zip64=True) as raw, TextIOWrapper(raw, "utf-8") as file:
                _write_list(file, found)
            archive.writestr("user.json", json.dumps({"id": "user-sample", "email": "ada@example.org"}))
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        _WRITERS[format](file, found)


def _conversation(rng: random.Random, language: str, count: int, number: int, size: int) -> dict[str, Any]:
    own_id, time = _uuid(rng), _START + number * 7_200.0
    root = _uuid(rng)
    mapping: dict[str, Any] = {root: {"id": root, "message": None, "parent": None, "children": []}}
    parent, started, user_turn = root, time, True
    for index in range(count):
        node_id = _uuid(rng)
        time += rng.randrange(5, 300) + rng.random()
        is_retry = index == count - 1 and count > 3 and number % 5 == 0  # another answer to the same question
        if is_retry:
            parent, user_turn = mapping[parent]["parent"], not user_turn
        mapping[parent]["children"].append(node_id)
        message = _message(node_id, "user" if user_turn else "assistant", text(rng, language, size), round(time, 3))
        mapping[node_id] = {"id": node_id, "message": message, "parent": parent, "children": []}
        parent, user_turn = node_id, not user_turn
    title = _sentence(rng, "{thing}" if language == "zh" else "About {thing}", _WORDS[language])
    return {
        "title": f"{title} {number + 1}",
        "create_time": started,
        "update_time": time,
        "mapping": mapping,
        "moderation_results": [],
        "current_node": parent,
        "plugin_ids": None,
        "conversation_id": own_id,
        "is_archived": False,
        "default_model_slug": "gpt-4o",
        "id": own_id,
    }


def _message(node_id: str, role: str, body: str, time: float) -> dict[str, Any]:
    return {
        "id": node_id,
        "author": {"role": role, "name": None, "metadata": {}},
        "create_time": time,
        "update_time": None,
        "content": {"content_type": "text", "parts": [body]},
        "status": "finished_successfully",
        "end_turn": True if role == "assistant" else None,
        "weight": 1.0,
        "metadata": {"model_slug": "gpt-4o"} if role == "assistant" else {},
        "recipient": "all",
        "channel": None,
    }


def _sentence(rng: random.Random, template: str, words: dict[str, tuple[str, ...]]) -> str:
    chosen = {name: rng.choice(options) for name, options in words.items()}
    return template.format(
        **chosen,
        action2=rng.choice(words["action"]),
        number=rng.randrange(2, 4_000),
        number2=f"{rng.randrange(100_000) / 100:.2f}",
        year=rng.randrange(1995, 2027),
        date=f"{rng.randrange(2015, 2027)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}",
        mail=f"{rng.choice('abcdefgh')}{rng.randrange(10_000)}@example.org",
    )


def _uuid(rng: random.Random) -> str:
    return str(UUID(int=rng.getrandbits(128), version=4))


def _linear(conversation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each message with its parent, simply: what other formats are made from."""
    for node in conversation["mapping"].values():
        if message := node["message"]:
            above = conversation["mapping"][node["parent"]]
            yield {
                "id": node["id"],
                "parent": above["id"] if above["message"] else None,
                "children": node["children"],
                "role": message["author"]["role"],
                "text": message["content"]["parts"][0],
                "time": message["create_time"],
            }


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat()


def _claude(conversation: dict[str, Any]) -> dict[str, Any]:
    return {
        "uuid": conversation["id"],
        "name": conversation["title"],
        "created_at": _iso(conversation["create_time"]),
        "updated_at": _iso(conversation["update_time"]),
        "account": {"uuid": "00000000-0000-4000-8000-00000000acc0"},
        "chat_messages": [
            {
                "uuid": message["id"],
                "text": message["text"],
                "content": [{"type": "text", "text": message["text"], "citations": []}],
                "sender": "human" if message["role"] == "user" else "assistant",
                "created_at": _iso(message["time"]),
                "updated_at": _iso(message["time"]),
                "attachments": [],
                "files": [],
                "parent_message_uuid": message["parent"] or "00000000-0000-4000-8000-000000000000",
            }
            for message in _linear(conversation)
        ],
    }


def _openwebui(conversation: dict[str, Any]) -> dict[str, Any]:
    messages = {
        message["id"]: {
            "id": message["id"],
            "parentId": message["parent"],
            "childrenIds": message["children"],
            "role": message["role"],
            "content": message["text"],
            "timestamp": int(message["time"]),
        }
        for message in _linear(conversation)
    }
    history = {"currentId": conversation["current_node"], "messages": messages}
    return {
        "id": conversation["id"],
        "user_id": "sample",
        "title": conversation["title"],
        "chat": {"models": ["llama3"], "history": history},
        "created_at": int(conversation["create_time"]),
        "updated_at": int(conversation["update_time"]),
    }


def _librechat(conversation: dict[str, Any]) -> dict[str, Any]:
    messages = [
        {
            "messageId": message["id"],
            "parentMessageId": message["parent"] or "00000000-0000-0000-0000-000000000000",
            "text": message["text"],
            "isCreatedByUser": message["role"] == "user",
            "createdAt": _iso(message["time"]),
        }
        for message in _linear(conversation)
    ]
    about = {"conversationId": conversation["id"], "title": conversation["title"]}
    return {**about, "endpoint": "openAI", "branches": True, "recursive": False, "messages": messages}


def _openai_chat(conversation: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": item["role"], "content": item["text"]} for item in _linear(conversation)]}


def _sharegpt(conversation: dict[str, Any]) -> dict[str, Any]:
    names = {"user": "human", "assistant": "gpt"}
    turns = [{"from": names[item["role"]], "value": item["text"]} for item in _linear(conversation)]
    return {"id": conversation["id"], "conversations": turns}


def _write_list(file: TextIO, items: Iterable[dict[str, Any]]) -> None:
    file.write("[")
    for number, item in enumerate(items):
        file.write(", " if number else "")
        file.write(json.dumps(item, ensure_ascii=False))
    file.write("]")


def _write_lines(file: TextIO, items: Iterable[dict[str, Any]]) -> None:
    file.writelines(json.dumps(item, ensure_ascii=False) + "\n" for item in items)


def _write_table(file: TextIO, items: Iterable[dict[str, Any]]) -> None:
    table = csv.writer(file)
    table.writerow(["conversation_id", "role", "content", "timestamp"])
    for conversation in items:
        for message in _linear(conversation):
            table.writerow([conversation["id"], message["role"], message["text"], _iso(message["time"])])


def _write_text(file: TextIO, items: Iterable[dict[str, Any]]) -> None:
    names = {"user": "User", "assistant": "Assistant"}
    for conversation in items:
        file.writelines(f"{names[item['role']]}: {item['text']}\n\n" for item in _linear(conversation))


Writer = Callable[[TextIO, Iterable[dict[str, Any]]], None]


def _listed(shape: Callable[[dict[str, Any]], dict[str, Any]]) -> Writer:
    return lambda file, items: _write_list(file, map(shape, items))


_WRITERS: dict[str, Writer] = {
    "chatgpt": _write_list,
    "claude": _listed(_claude),
    "openwebui": _listed(_openwebui),
    "librechat": _listed(_librechat),
    "openai-chat": lambda file, items: _write_lines(file, map(_openai_chat, items)),
    "sharegpt": _listed(_sharegpt),
    "csv": _write_table,
    "txt": _write_text,
}
FORMATS = (*_WRITERS, "chatgpt-zip")


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1] not in FORMATS:
        sys.exit(f"{__doc__}\nFORMAT is one of: {', '.join(FORMATS)}")
    write(sys.argv[1], Path(sys.argv[3]), int(sys.argv[2]), seed=int(sys.argv[4]) if len(sys.argv) > 4 else 1)
