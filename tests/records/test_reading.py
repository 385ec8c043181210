"""Lists page by page, one conversation with its branches, and the search."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.records import selectors, services
from apps.records.errors import ConversationNotFound
from apps.records.models import Conversation, Subject
from apps.records.selectors import searching
from apps.records.tree import Tree
from tests.records.conftest import START, by, conversation, node

pytestmark = pytest.mark.django_db(databases=["default", "keys"])


def give(subject: Subject, *texts: str) -> None:
    services.store_conversations(
        subject,
        [conversation(f"c{n}", text, title=f"Title {n}", at=START + timedelta(days=n)) for n, text in enumerate(texts)],
        actor=by(subject),
    )


def pages(subject: Subject, **options: Any) -> list[list[str]]:
    found, cursor = [], ""
    while True:
        page = selectors.conversations_page(subject, cursor=cursor, **options)
        found.append([line.title for line in page.items])
        cursor = page.next_cursor
        if not cursor:
            return found


def test_pages_hold_every_conversation_once_newest_first(ada: Subject, ben: Subject) -> None:
    give(ada, *["text"] * 7)
    give(ben, "text")
    Conversation.objects.filter(subject=ada).update(updated_at=START)  # all at the same moment
    assert sorted(title for page in pages(ada, limit=3) for title in page) == [f"Title {n}" for n in range(7)]
    assert [len(page) for page in pages(ada, limit=3)] == [3, 3, 1]
    assert [len(page) for page in pages(ada, limit=7)] == [7]


def test_days_limit_the_list_on_both_sides(ada: Subject) -> None:
    give(ada, *["text"] * 5)
    day = (START + timedelta(days=2)).date()
    assert pages(ada, since=day) == [["Title 4", "Title 3", "Title 2"]]
    assert pages(ada, since=day, until=day) == [["Title 2"]]
    assert selectors.count_conversations(ada, until=day) == 3


OUT_OF_TIME = '["0001-01-01T00:00:00+23:59","9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"]'


@pytest.mark.parametrize(
    "cursor",
    ["x", "00", "6e756c6c", "5b312c325d", OUT_OF_TIME.encode().hex(), f'[{OUT_OF_TIME},"",0]'.encode().hex()],
)
def test_a_cursor_that_is_none_begins_at_the_top(ada: Subject, cursor: str) -> None:
    give(ada, "text")
    assert len(selectors.conversations_page(ada, cursor=cursor).items) == 1
    assert len(selectors.search(ada, "text", cursor=cursor).hits) == 1


def test_a_conversation_is_read_page_by_page(ada: Subject) -> None:
    services.store_conversations(ada, [conversation("c", *map(str, range(25)))], actor=by(ada))
    pk = Conversation.objects.get().pk
    reading = selectors.read_conversation(ada, pk, page=3, limit=10)
    assert [turn.number for turn in reading.turns] == [21, 22, 23, 24, 25]
    assert (reading.total, reading.page, reading.last_page) == (25, 3, 3)
    assert selectors.read_conversation(ada, pk, page=99, limit=10).page == 3
    assert len(selectors.read_conversation(ada, pk, limit=10**6).turns) == 25
    position = reading.turns[2].position
    assert selectors.page_of(ada, pk, position, limit=10) == (None, 3)
    with pytest.raises(ConversationNotFound):
        selectors.read_conversation(ada, ada.pk)


def test_an_erased_conversation_is_neither_listed_nor_found_nor_read(ada: Subject) -> None:
    give(ada, "text", "text")
    first = Conversation.objects.order_by("started_at")[0]
    services.mark_conversations(ada, [first.pk], actor=by(ada))
    assert pages(ada) == [["Title 1"]]
    assert [hit.title for hit in selectors.search(ada, "text").hits] == ["Title 1"]
    assert selectors.held_summary(ada).conversations == 1
    with pytest.raises(ConversationNotFound):
        selectors.read_conversation(ada, first.pk)


def test_the_summary_counts_what_is_held(ada: Subject, ben: Subject) -> None:
    give(ada, "one", "two")
    summary = selectors.held_summary(ada)
    assert (summary.conversations, summary.messages, summary.files, summary.identities) == (2, 2, 0, 1)
    assert (summary.oldest, summary.newest) == (START, START + timedelta(days=1))
    assert selectors.held_summary(ben).conversations == 0


@pytest.mark.parametrize(
    ("words", "titles"),
    [
        ("LANDLORD", ["Title 2", "Title 0"]),
        ("landlord  deposit", ["Title 0"]),
        ("Title 1", ["Title 1"]),
        ("房东", ["Title 1"]),
        ('say "no"', ["Title 2"]),
        ("content_type", []),
        ("assistant", []),
        ("", []),
    ],
)
def test_search_finds_all_words_in_one_message_or_in_the_title(ada: Subject, words: str, titles: list[str]) -> None:
    give(ada, "the Landlord keeps the Deposit", "给房东的信", 'my landlord may say "no"')
    assert [hit.title for hit in selectors.search(ada, words).hits] == titles


def test_search_shows_the_place_and_sees_nobody_elses(ada: Subject, ben: Subject) -> None:
    give(ada, "before " * 100 + "needle" + " after" * 100)
    [hit] = selectors.search(ada, "needle").hits
    assert "needle" in hit.excerpt and len(hit.excerpt) < 200 and hit.position == 1
    assert selectors.search(ben, "needle").hits == []


def all_hits(subject: Subject, words: str, **options: Any) -> tuple[list[str], int]:
    found, cursor, count = [], "", 0
    while True:
        page = selectors.search(subject, words, cursor=cursor, **options)
        found += [hit.title for hit in page.hits]
        count += 1
        cursor = page.next_cursor
        if not cursor:
            return found, count


def test_a_search_that_takes_long_goes_on_where_it_stopped(ada: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "NODES_AT_ONCE", 4)
    give(ada, *["nothing"] * 5)
    long = conversation("long", *["nothing"] * 20, "needle", title="Long", at=START + timedelta(days=2, hours=1))
    services.store_conversations(ada, [long], actor=by(ada))
    found, count = all_hits(ada, "needle", seconds=0)
    assert found == ["Long"] and count > 6
    assert all_hits(ada, "nothing", limit=2)[0] == ["Title 4", "Title 3", "Long", "Title 2", "Title 1", "Title 0"]
    assert all_hits(ada, "needle")[1] == 1


def test_the_default_path_ends_at_the_current_node_or_at_the_newest() -> None:
    nodes = [(0, None, True), (1, 0, True), (2, 0, True), (3, 1, True), (4, 3, True)]
    assert Tree(nodes, current=2).path() == [0, 2]
    assert Tree(nodes, current=1).path() == [0, 1, 3, 4]
    assert Tree(nodes, current=None).path() == [0, 1, 3, 4]
    assert Tree(nodes, current=2).path(through=1) == [0, 1, 3, 4]
    assert Tree(nodes, current=99).path(through=98) == [0, 1, 3, 4]
    assert Tree([], current=None).path() == []


def test_a_message_that_came_in_later_than_its_answer_stands_before_it_and_a_circle_is_cut() -> None:
    late = [(0, None, True), (1, 3, True), (2, 1, True), (3, 0, True)]
    assert Tree(late, current=2).path() == [0, 3, 1, 2]
    circle = [(0, None, True), (1, 3, True), (2, 1, True), (3, 2, True), (4, 9, True)]
    assert Tree(circle, current=3).path() == [1, 2, 3]
    assert sorted(Tree(circle, current=0).reading_order()) == [0, 1, 2, 3, 4]


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(0, 80))
def test_reading_order_has_every_node_once_and_parents_before_children(links: list[int], current: int) -> None:
    nodes = [(n, link if link < n else None, True) for n, link in enumerate(links)]
    tree = Tree(nodes, current=current)
    order = tree.reading_order()
    assert sorted(order) == list(range(len(nodes)))
    place = {position: index for index, position in enumerate(order)}
    assert all(parent is None or place[parent] < place[position] for position, parent, _is_message in nodes)
    assert order[: len(tree.path())] == tree.path()


@pytest.mark.slow
def test_a_tree_as_deep_as_it_is_long_is_no_problem(ada: Subject) -> None:
    nodes = [node("n0", None, "user", "start")]
    nodes += [node(f"n{n}", f"n{n - 1}", "user", "text") for n in range(1, 3000)]
    services.store_conversations(ada, [conversation("deep", nodes=nodes)], actor=by(ada))
    reading = selectors.read_conversation(ada, Conversation.objects.get().pk, page=10**6)
    assert reading.total == 3000 and reading.turns[-1].number == 3000
