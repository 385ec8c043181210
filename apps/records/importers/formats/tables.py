"""CSV and its relatives: one message a row, or a question and its answer a row; columns found by their names."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from django.utils.translation import gettext as _

from ..building import Builder
from ..limits import MAX_CONVERSATION_BYTES, MAX_MESSAGES_PER_PART, MAX_VALUES, MIB
from ..types import ParsedConversation, Skipped
from ..values import as_role, as_time, content_id

NAME = "csv"
# Rows of one conversation that do not stand together are gathered in files up to this size.
_MAX_GATHERED_BYTES = 16 * MIB
# What is kept of each row names its cells again: long names, and many, would multiply a small file.
_MAX_COLUMNS = 256
_MAX_COLUMN_NAME = 100
_DELIMITERS = (",", ";", "\t", "|")
_COLUMNS = {
    "role": "role author sender from speaker who participant 角色 发送者 发言人 作者 身份",
    "content": "content text message body value msg utterance 内容 消息 正文 文本 消息内容",
    "question": "prompt question user user_message input 问题 提问 用户 提示词",
    "answer": "response answer assistant assistant_message completion output reply 回答 答案 回复 助手",
    "time": "timestamp time date datetime created created_at create_time createdat sent_at 时间 日期 创建时间 发送时间",
    "conversation": "conversation conversation_id conversationid chat chat_id thread thread_id session session_id"
    " 会话 对话 会话id 对话id 会话编号 对话编号",
    "title": "title conversation_title name subject topic 标题 主题 会话标题 对话标题",
    "id": "id message_id messageid 消息id 编号",
    "model": "model model_slug 模型",
}
_MEANINGS = {word: meaning for meaning, words in _COLUMNS.items() for word in words.split()}

csv.field_size_limit(MAX_CONVERSATION_BYTES)  # 131,072 by default, less than one pasted article


class Table(NamedTuple):
    """How to read a table: what separates its cells, what its columns are called, which means what."""

    delimiter: str
    names: list[str]
    columns: dict[str, int]


class _Group:
    """The rows of one conversation."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.title = ""
        self.builder = Builder(NAME)
        self.rows: list[list[str]] = []
        self.values = 0  # cells held in memory


def table_of(lines: Iterable[str]) -> Table | None:
    """The table that these lines begin; None if their first one is no header that we know."""
    header = next((line for line in lines if line.strip() and not line.lower().startswith("sep=")), "")
    for delimiter in _DELIMITERS:
        names = next(csv.reader([header], delimiter=delimiter), [])
        columns: dict[str, int] = {}
        for index, name in enumerate(names):
            meaning = _MEANINGS.get(name.strip().strip("\"'").lower().replace(" ", "_"))
            if meaning:
                columns.setdefault(meaning, index)
        names = _told_apart(name[:_MAX_COLUMN_NAME] for name in names[:_MAX_COLUMNS])
        if "content" in columns and "question" in columns and "answer" not in columns:
            columns.setdefault("role", columns.pop("question"))  # "user, message": who said it
        if len(columns) > 1 and ("content" in columns or {"question", "answer"} <= columns.keys()):
            return Table(delimiter, names, columns)
    return None


def _told_apart(names: Iterable[str]) -> list[str]:
    """The names, with repeated ones numbered as parsing.py numbers keys, so that no cell hides another."""
    found: dict[str, None] = {}
    for name in names:
        told, number = name, 1
        while told in found:
            number += 1
            told = f"{name}~{number}"
        found[told] = None
    return list(found)


def read_rows(lines: Iterable[str], table: Table, *, title: str, size: int) -> Iterator[ParsedConversation | Skipped]:
    """Each conversation of the table, by its column of conversations; without one the whole table is one."""
    is_gathered = size <= _MAX_GATHERED_BYTES
    groups: dict[str, _Group] = {}
    for number, row in enumerate(_rows(lines, table), 1):
        if isinstance(row, Skipped):
            yield row
            continue
        name = _cell(table, row, "conversation")
        if not is_gathered and groups and name not in groups:
            yield from _finish(groups, title)
        group = groups.setdefault(name, _Group(name))
        if not _add(group, table, row):
            yield Skipped(_("Row %(number)s") % {"number": f"{number + 1:,}"}, _("It has no text."))
        if len(group.builder.drafts) >= MAX_MESSAGES_PER_PART or group.values >= MAX_VALUES:
            yield from _finish({name: groups.pop(name)}, title)
    yield from _finish(groups, title)


def _rows(lines: Iterable[str], table: Table) -> Iterator[list[str] | Skipped]:
    reader = csv.reader((line + "\n" for line in lines), delimiter=table.delimiter)
    is_header = True
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            place = {"number": f"{reader.line_num:,}"}
            yield Skipped(_("Line %(number)s") % place, _("It is not a row of a table (a quotation mark is missing)."))
            continue
        if not any(cell.strip() for cell in row) or row[0].lower().startswith("sep="):
            continue
        if is_header:
            is_header = False
        else:
            yield row


def _add(group: _Group, table: Table, row: list[str]) -> bool:
    created_at = as_time(_cell(table, row, "time").replace("/", "-"))
    original = dict(zip(table.names, row, strict=False))
    if len(row) > len(table.names):
        original["habeas_more"] = "\t".join(row[len(table.names) :])
    group.values += len(row) + len(original)
    role = as_role(_cell(table, row, "role"))
    said = [(role, _cell(table, row, "content"))]
    if "content" not in table.columns:
        said = [("user", _cell(table, row, "question")), ("assistant", _cell(table, row, "answer"))]
    said = [(who, text) for who, text in said if text.strip()]
    builder, model = group.builder, _cell(table, row, "model")
    for who, text in said:
        builder.add("", builder.chain(), who, [text], created_at=created_at, original=original, model=model)
    group.rows.append(row)
    group.title = group.title or _cell(table, row, "title")
    return bool(said)


def _finish(groups: dict[str, _Group], title: str) -> Iterator[ParsedConversation]:
    for group in groups.values():
        if group.builder.drafts:
            name = group.title or (f"{title} · {group.name}" if group.name else title)
            yield group.builder.finish(content_id(group.rows), title=name, original={"conversation": group.name})
    groups.clear()


def _cell(table: Table, row: list[str], meaning: str) -> str:
    index = table.columns.get(meaning, -1)
    return row[index] if 0 <= index < len(row) else ""
