"""Cursors come back as they were, and whatever else Dagster has kept counts as none."""

from __future__ import annotations

import pytest

from sensors.cursors import SensorCursor


class PageCursor(SensorCursor):
    """One for tests."""

    page: int = 0
    names: tuple[str, ...] = ()


def test_a_cursor_comes_back_as_it_was() -> None:
    cursor = PageCursor(page=3, names=("a", 'b"\n'))
    assert PageCursor.parse(cursor.text()) == cursor


@pytest.mark.parametrize(
    "text", [None, "", "2024-01-01", "[]", '{"page": "many"}', '{"other": 1}', '{"page": 1, "page": 2}']
)
def test_what_is_no_cursor_counts_as_none(text: str | None) -> None:
    assert PageCursor.parse(text) == PageCursor()
