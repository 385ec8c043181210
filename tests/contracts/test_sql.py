"""What an SQL database must do for a person, and what only a database can do to us."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from apps.locations.connectors.sql import erasing, exporting
from apps.locations.contract import Identity, Kept, Scope
from apps.locations.errors import Refused, Unavailable
from apps.locations.reasons import Reason
from tests.contracts.databases import SHOP_RULES, SqlPlace, sql_place

SCOPE = Scope()
OF_ADA = {"customers": 1, "orders": 3, "order_lines": 6, "notes": 3}


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.services),
        pytest.param("mysql", marks=pytest.mark.services),
    ]
)
def shop(request: Any, tmp_path: Path) -> SqlPlace:
    fixture = {"postgresql": "postgres", "mysql": "mariadb"}.get(request.param)
    return sql_place(request.param, request.getfixturevalue(fixture) if fixture else None, tmp_path)


def erase(connector: Any, who: Identity, *, scope: Scope = SCOPE) -> int:
    return sum(progress.erased for progress in connector.erase(who, scope, ""))


def tables_found(connector: Any, who: Identity) -> dict[str, int]:
    return dict(Counter(item.name.split("/")[0] for item in connector.find(who, SCOPE)))


def exported(connector: Any, who: Identity, *, stop_after: int = 10**9, scope: Scope = SCOPE) -> dict[str, bytes]:
    """Export as the engine does, beginning anew with the last cursor after every `stop_after` entries."""
    files: dict[str, bytes] = defaultdict(bytes)
    ended: set[str] = set()
    cursor, taken = "", stop_after
    while taken == stop_after:
        taken = 0
        for taken, entry in enumerate(connector.export(who, scope, cursor), 1):
            assert entry.name not in ended, "written after its end"
            files[entry.name] += b"".join(entry.chunks)
            cursor = entry.cursor
            if entry.part != "piece":
                ended.add(entry.name)
            if taken == stop_after:
                break
    assert ended == set(files)
    return dict(files)


def lines(data: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in data.splitlines()]


def bens_of(shop: SqlPlace) -> dict[str, str]:
    mine = {"customers/1/"} | {f"orders/{n}/" for n in (0, 2, 4)} | {f"order_lines/{n}/" for n in (0, 2, 4)}
    mine |= {f"notes/n'{n}/" for n in (0, 2, 4)}
    return {name: digest for name, digest in shop.everything().items() if not name.startswith(tuple(mine))}


def test_nothing_there_is_nothing_found_and_nothing_remaining(shop: SqlPlace, ada: Identity) -> None:
    assert tables_found(shop.connector, ada) == {}
    assert exported(shop.connector, ada) == {}
    assert erase(shop.connector, ada) == 0
    assert shop.connector.remaining(ada, SCOPE).count == 0


def test_find_counts_the_person_in_every_table(shop: SqlPlace, ada: Identity) -> None:
    shop.fill()
    assert tables_found(shop.connector, ada) == OF_ADA


def test_erasure_takes_everything_of_ada_and_leaves_everybody_else_the_same(
    shop: SqlPlace, ada: Identity, ben: Identity
) -> None:
    shop.fill()
    others = bens_of(shop)
    assert shop.connector.preflight(ada, SCOPE) == []
    assert erase(shop.connector, ada) == 13
    assert shop.connector.remaining(ada, SCOPE).count == 0
    assert shop.everything() == others
    assert tables_found(shop.connector, ben) == OF_ADA
    assert erase(shop.connector, ada) == 0, "a repeat finds nothing"


def test_a_row_marked_as_deleted_is_still_there(shop: SqlPlace, ada: Identity) -> None:
    shop.fill()
    shop.run("UPDATE customers SET deleted_at = '2026-01-01' WHERE id = 1")
    assert tables_found(shop.connector, ada)["customers"] == 1
    erase(shop.connector, ada)
    assert shop.run("SELECT 1 FROM customers WHERE id = 1") == []


@pytest.mark.parametrize("stop_after", [1, 2, 3, 10**9])
def test_export_gives_every_row_once_also_when_it_is_cut_after_any_entry(
    shop: SqlPlace, ada: Identity, stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PAGE", 2)
    monkeypatch.setattr(exporting, "PAGE_OF_LARGE", 2)
    shop.fill()
    files = exported(shop.connector, ada, stop_after=stop_after)
    assert {name: len(lines(data)) for name, data in files.items()} == {
        "01-customers.jsonl": 1, "02-order_lines.jsonl": 6, "03-orders.jsonl": 3, "04-notes.jsonl": 3, "index.jsonl": 4,
    }  # fmt: skip
    notes = lines(files["04-notes.jsonl"])
    assert [note["body"] for note in notes] == [f"=note\n{n} 🦉" for n in (0, 2, 4)]
    assert notes[1]["photo"] == {"base64": "Av8="}
    assert {line["name"]: line["rows"] for line in lines(files["index.jsonl"])} == OF_ADA


@pytest.mark.parametrize("stop_after", [1, 10**9])
def test_large_values_are_files_of_their_own(
    shop: SqlPlace, ada: Identity, stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PIECE", 50_000)
    shop.fill()
    body, photo = "日记🦉" * 40_000, bytes(range(256)) * 400
    shop.run("UPDATE notes SET body = :body, photo = :photo WHERE id = 'n''2'", body=body, photo=photo)
    files = exported(shop.connector, ada, stop_after=stop_after)
    note = lines(files["04-notes.jsonl"])[1]
    assert files[note["body"]["file"]].decode() == body
    assert files[note["photo"]["file"]] == photo
    assert note["photo"]["bytes"] == len(photo)


def test_csv_is_safe_to_open(shop: SqlPlace, ada: Identity) -> None:
    shop.fill()
    files = exported(shop.connector, ada, stop_after=1, scope=Scope(formats=("csv",)))
    rows = list(csv.reader(io.StringIO(files["04-notes.csv"].decode())))
    assert rows[0] == ["id", "user_id", "body", "photo"]
    assert rows[1][2] == "'=note\n0 🦉"
    assert len(rows) == 4


@pytest.mark.slow
def test_ten_thousand_rows_go_in_batches(shop: SqlPlace, ada: Identity) -> None:
    shop.fill(5_000)
    batches = list(shop.connector.erase(ada, SCOPE, ""))
    assert sum(batch.erased for batch in batches) == 1 + 5_000 + 10_000 + 5_000
    assert len(batches) == 21
    assert shop.connector.remaining(ada, SCOPE).count == 0
    assert shop.run("SELECT count(*) FROM notes") == [(5_000,)]


def test_killed_after_each_batch_and_resumed_it_ends_the_same(
    shop: SqlPlace, ada: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "BATCH", 2)
    shop.fill(5)
    others = bens_of(shop)
    others = {name: digest for name, digest in others.items() if "8" not in name.split("/")[1] and "6" not in name.split("/")[1]}  # fmt: skip
    cursor = ""
    while (progress := next(shop.connector.erase(ada, SCOPE, cursor), None)) is not None:
        cursor = progress.cursor
    assert shop.connector.remaining(ada, SCOPE).count == 0
    assert shop.everything() == others


def test_what_appears_meanwhile_is_not_left_behind_without_its_owner(
    shop: SqlPlace, ada: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "BATCH", 1)
    shop.fill(1)
    batches = shop.connector.erase(ada, SCOPE, "")
    seen = []
    for batch in batches:
        seen.append(batch.cursor)
        if '["orders"' in batch.cursor and len(seen) < 5:
            shop.insert("orders", [{"id": 900, "customer_id": 1, "what": "late"}])
            shop.insert("order_lines", [{"order_id": 900, "line": 1, "text": "late"}])
    assert shop.connector.remaining(ada, SCOPE).count == 0
    assert shop.run("SELECT count(*) FROM order_lines WHERE order_id = 900") == [(0,)]


def test_a_table_that_is_not_listed_and_points_there_is_reported_before_anything_is_touched(
    shop: SqlPlace, ada: Identity, ben: Identity
) -> None:
    shop.fill()
    shop.run(
        "CREATE TABLE parcels (id integer PRIMARY KEY, order_id integer, FOREIGN KEY (order_id) REFERENCES orders (id))",
        "INSERT INTO parcels VALUES (1, 0), (2, 1)",
    )
    before = shop.everything()
    [obstacle] = shop.connector.preflight(ada, SCOPE)
    assert (obstacle.reason, obstacle.count) == (Reason.FOREIGN_KEY, 1)
    assert any("parcels" in problem for problem in shop.connector.check().problems)
    assert shop.everything() == before
    erase(shop.connector, ada)
    left = shop.connector.remaining(ada, SCOPE)
    assert (left.count, left.reason) == (2, Reason.FOREIGN_KEY)  # the order, and the customer that it needs
    shop.run("DELETE FROM parcels WHERE id = 1")
    erase(shop.connector, ada)
    assert shop.connector.remaining(ada, SCOPE).count == 0
    assert tables_found(shop.connector, ben) == OF_ADA


@pytest.mark.parametrize("rule", ["CASCADE", "SET NULL"])
def test_what_the_database_changes_by_itself_is_said(shop: SqlPlace, ada: Identity, rule: str) -> None:
    shop.fill()
    shop.run(
        f"CREATE TABLE parcels (id integer PRIMARY KEY, order_id integer, FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE {rule})",
        "INSERT INTO parcels VALUES (1, 0), (2, 1)",
    )
    assert any("parcels" in problem for problem in shop.connector.check().problems)
    assert shop.connector.preflight(ada, SCOPE) == []
    erase(shop.connector, ada)
    assert shop.connector.remaining(ada, SCOPE).count == 0


def chats(shop: SqlPlace, last_message: str) -> Any:
    """Conversations that name their newest message, and messages that name their conversation: two of Ada's, one of Ben's."""
    pointer = "FOREIGN KEY (last_message) REFERENCES said (id)"
    is_file = shop.dialect == "sqlite"
    shop.run(
        f"CREATE TABLE chats (id integer PRIMARY KEY, user_id integer, last_message integer {last_message}{f', {pointer}' if is_file else ''})",
        "CREATE TABLE said (id integer PRIMARY KEY, chat_id integer NOT NULL, FOREIGN KEY (chat_id) REFERENCES chats (id))",
    )
    shop.run(
        *(["PRAGMA defer_foreign_keys = ON"] if is_file else []),
        "INSERT INTO chats VALUES (0, 4, 1), (1, 4, 11), (2, 42, 21)",
        "INSERT INTO said VALUES (0, 0), (1, 0), (10, 1), (11, 1), (20, 2), (21, 2)",
        *([] if is_file else [f"ALTER TABLE chats ADD {pointer}"]),
    )
    return shop.with_rules(
        {"table": "chats", "columns": ["user_id"], "kind": "user_id"},
        {"table": "said", "columns": ["chat_id"], "parent": "chats"},
    )


def test_a_circle_of_foreign_keys_is_opened_where_a_pointer_may_be_empty(
    shop: SqlPlace, ada: Identity, ben: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "BATCH", 1)
    connector = chats(shop, "")
    health = connector.check()
    assert not any("circle" in problem for problem in health.problems)
    assert "chats (last_message)" in dict(health.facts).values()
    assert connector.preflight(ada, SCOPE) == []
    assert erase(connector, ada) == 6
    assert connector.remaining(ada, SCOPE).count == 0
    assert shop.run("SELECT id, last_message FROM chats") == [(2, 21)], "Ben's points where it did"
    assert connector.remaining(ben, SCOPE).count == 3


def test_a_circle_that_nothing_opens_is_said_before_anything_is_touched(shop: SqlPlace, ada: Identity) -> None:
    connector = chats(shop, "NOT NULL")
    assert any("circle" in problem for problem in connector.check().problems)
    [obstacle] = connector.preflight(ada, SCOPE)
    assert (obstacle.reason, obstacle.count) == (Reason.FOREIGN_KEY, 6)
    erase(connector, ada)
    left = connector.remaining(ada, SCOPE)
    assert (left.reason, left.count) == (Reason.FOREIGN_KEY, 4), "what nothing points to went"


def test_answers_to_oneself_go_and_answers_of_others_forbid_it(
    shop: SqlPlace, ada: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "BATCH", 2)
    shop.run(
        "CREATE TABLE posts (id integer PRIMARY KEY, user_id integer, answers integer, FOREIGN KEY (answers) REFERENCES posts (id))"
    )
    shop.insert("posts", [{"id": n, "user_id": 4, "answers": n - 1 if n else None} for n in range(7)])
    connector = shop.with_rules({"table": "posts", "columns": ["user_id"], "kind": "user_id"})
    assert connector.preflight(ada, SCOPE) == []
    assert erase(connector, ada) == 7
    shop.insert("posts", [{"id": 1, "user_id": 4, "answers": None}, {"id": 2, "user_id": 42, "answers": 1}])
    assert connector.preflight(ada, SCOPE)[0].reason == Reason.FOREIGN_KEY
    erase(connector, ada)
    assert connector.remaining(ada, SCOPE).reason == Reason.FOREIGN_KEY


def test_columns_are_overwritten_and_the_rest_of_the_row_stays(shop: SqlPlace, ada: Identity) -> None:
    shop.fill()
    others = bens_of(shop)
    customers, *_rest, notes = SHOP_RULES
    connector = shop.with_rules(
        customers,
        {"table": "order_lines", "columns": ["order_id"], "parent": "orders"},
        {"table": "orders", "columns": ["customer_id"], "parent": "customers"},
        notes | {"action": "anonymise", "values": {"body": "removed", "photo": None}, "why": "Statistics"},
    )
    assert connector.check().problems == ()
    erase(connector, ada)
    left = connector.remaining(ada, SCOPE)
    assert (left.count, left.kept) == (0, (Kept("notes", 3, "Statistics", ("body", "photo")),))
    assert shop.run("SELECT body, photo FROM notes WHERE user_id = 4") == [("removed", None)] * 3
    assert {name: digest for name, digest in shop.everything().items() if name in others} == others
    assert erase(connector, ada) == 0
    assert tables_found(connector, ada) == {"notes": 3}, "they are there to be read, and hold nothing any more"


def test_rows_that_the_law_keeps_are_said_to_stay(shop: SqlPlace, ada: Identity) -> None:
    shop.fill()
    connector = shop.with_rules(SHOP_RULES[3] | {"action": "keep", "why": "Tax law"})
    assert connector.preflight(ada, SCOPE)[0].reason == Reason.LEGAL_HOLD
    assert erase(connector, ada) == 0
    left = connector.remaining(ada, SCOPE)
    assert (left.count, left.reason, left.kept) == (3, Reason.LEGAL_HOLD, (Kept("notes", 3, "Tax law"),))
    assert len(lines(exported(connector, ada)["01-notes.jsonl"])) == 3


def test_rows_that_the_database_keeps_in_silence_are_seen_again(shop: SqlPlace, ada: Identity) -> None:
    keeping = {
        "sqlite": "CREATE TRIGGER t BEFORE DELETE ON notes BEGIN SELECT RAISE(IGNORE); END",
        "postgresql": "CREATE RULE r AS ON DELETE TO notes DO INSTEAD NOTHING",
    }
    if shop.dialect not in keeping:
        pytest.skip("MariaDB has no way to keep rows in silence")
    shop.fill()
    shop.run(keeping[shop.dialect])
    assert erase(shop.connector, ada) == 10
    left = shop.connector.remaining(ada, SCOPE)
    assert (left.count, left.reason) == (3, Reason.CANNOT_DELETE)


@pytest.mark.parametrize("value", ["", " ", "a\x00b", "a\nb"])
def test_an_identity_that_means_nothing_or_too_much_is_refused(shop: SqlPlace, ada: Identity, value: str) -> None:
    shop.fill()
    shop.run("UPDATE customers SET email = '' WHERE id = 2")
    for who in ((("email", value),), ()):
        with pytest.raises(Refused):
            erase(shop.connector, Identity(ada.subject_id, None, None, who))


@pytest.mark.parametrize("value", ["4x", "4 or 1=1", "4' --", "４", "99999999999999999999999", "4.0"])
def test_a_value_that_is_no_number_is_nobody_in_a_column_of_numbers(shop: SqlPlace, ada: Identity, value: str) -> None:
    shop.fill()
    assert tables_found(shop.connector, Identity(ada.subject_id, None, None, (("user_id", value),))) == {}


@pytest.mark.parametrize("value", ["ADA@example.org", "ada@example.org ", "adá@example.org", "%", "' OR ''='"])
def test_text_is_compared_exactly(shop: SqlPlace, ada: Identity, value: str) -> None:
    shop.fill()
    who = Identity(ada.subject_id, None, None, (("email", value),))
    found = list(shop.connector.find(who, SCOPE))
    assert [item.name for item in found] == (
        ["customers/3"] if value == "ADA@example.org" and shop.dialect != "mysql" else []
    )


def test_case_is_ignored_where_that_is_said(shop: SqlPlace, ada: Identity) -> None:
    shop.fill()
    connector = shop.with_rules(SHOP_RULES[0] | {"ignore_case": True})
    who = Identity(ada.subject_id, None, None, (("email", "Ada@Example.org"),))
    assert len(list(connector.find(who, SCOPE))) == (1 if shop.dialect == "mysql" else 2)


def test_odd_names_are_quoted(shop: SqlPlace, ada: Identity) -> None:
    quote = "`" if shop.dialect == "mysql" else '"'
    shop.run(
        f"CREATE TABLE {quote}select{quote} ({quote}order{quote} integer PRIMARY KEY, {quote}User Id{quote} integer, {quote}100%{quote} varchar(9))",
        f"INSERT INTO {quote}select{quote} VALUES (1, 4, 'x'), (2, 42, 'y')",
    )
    rule = {"table": "select", "columns": ["User Id"], "kind": "user_id"}
    connector = shop.with_rules(rule)
    assert connector.check().problems == ()
    assert erase(connector, ada) == 1
    assert (
        len(lines(exported(connector, Identity(ada.subject_id, None, None, (("user_id", "42"),)))["01-select.jsonl"]))
        == 1
    )


def test_a_table_without_a_primary_key_is_refused_by_name(shop: SqlPlace, ada: Identity) -> None:
    shop.run("CREATE TABLE log (user_id integer, what varchar(20))")
    connector = shop.with_rules({"table": "log", "columns": ["user_id"], "kind": "user_id"})
    for ask in (connector.check, lambda: list(connector.find(ada, SCOPE)), lambda: erase(connector, ada)):
        with pytest.raises(Refused, match="log has no primary key"):
            ask()


@pytest.mark.parametrize("rule", [{"table": "gone"}, {"columns": ["gone"]}])
def test_a_table_or_column_that_is_not_there_is_refused(shop: SqlPlace, ada: Identity, rule: dict[str, Any]) -> None:
    connector = shop.with_rules(SHOP_RULES[3] | rule)
    for ask in (connector.check, lambda: connector.remaining(ada, SCOPE)):
        with pytest.raises(Refused):
            ask()


def test_the_connection_test_answers(shop: SqlPlace) -> None:
    health = shop.connector.check()
    assert (health.is_reachable, health.horizon_days, health.problems) == (True, 30, ())


def test_a_row_that_somebody_else_holds_is_unavailable_and_later_goes(
    shop: SqlPlace, ada: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.locations import sql

    monkeypatch.setattr(sql, "LOCK_SECONDS", 1)
    shop.fill()
    with sql.engine_of(shop.config).connect().execution_options(**{sql.WRITES: True}) as other:
        other.exec_driver_sql("UPDATE notes SET body = 'busy' WHERE user_id = 4")
        with pytest.raises(Unavailable):
            erase(shop.connector, ada)
    erase(shop.connector, ada)
    assert shop.connector.remaining(ada, SCOPE).count == 0
