"""The names of tiles, at every length that an index can have (C2SP tlog-tiles, "Merkle Tree")."""

from __future__ import annotations

import pytest

from apps.audit import tiles

NAMES = [  # the format's own example is the index 1234067
    (0, 256, "000"), (7, 256, "007"), (999, 256, "999"), (1000, 256, "x001/000"), (1000, 17, "x001/000.p/17"),
    (999_999, 256, "x999/999"), (1_234_067, 256, "x001/x234/067"), (1_000_000_000, 1, "x001/x000/x000/000.p/1"),
]  # fmt: skip


@pytest.mark.parametrize(("index", "width", "name"), NAMES)
def test_a_tile_has_the_name_that_the_format_gives_it(index: int, width: int, name: str) -> None:
    for level in (0, 3, tiles.ENTRIES):
        assert tiles.path_of(level, index, width) == f"tile/{level}/{name}"
        assert tiles.parse_path(level, name) == (index, width)


@pytest.mark.parametrize(
    "name", ["0", "00", "0000", "x000/001", "001/234", "x001/x234", "1234", "x1/234", "000.p/0", "000.p/256", "000.p/017", "000.p/", ""]
)  # fmt: skip
def test_another_spelling_is_no_name(name: str) -> None:
    assert tiles.parse_path(0, name) is None
