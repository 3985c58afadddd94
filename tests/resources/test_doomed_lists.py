"""The collector's lists: what stands on one is doomed for everybody, until it is retired."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from contracts.collection import DoomedList, DoomedObject, EmptiedList
from contracts.errors import StoreError
from resources.doomed_lists import (
    doomed_names,
    emptied,
    emptied_key,
    first_copy,
    list_key,
    list_numbers,
    next_list_number,
    standing_lists,
)
from resources.object_store import ObjectStore


def put_list(store: ObjectStore, number: int, names: Sequence[str]) -> None:
    objects = tuple(DoomedObject(name=name, size_bytes=1, why="test") for name in names)
    assert store.put_if_absent(list_key(number), DoomedList(number=number, objects=objects).to_bytes())


def put_note(store: ObjectStore, number: int) -> None:
    note = EmptiedList(number=number, removed=1, removed_bytes=1, kept=())
    assert store.put_if_absent(emptied_key(number), note.to_bytes())


def test_without_lists_nothing_is_doomed(any_store: ObjectStore) -> None:
    assert (doomed_names(any_store), list_numbers(any_store), next_list_number(any_store)) == (frozenset(), [], 1)


def test_what_stands_on_any_list_is_doomed_also_when_the_list_was_gone_through(any_store: ObjectStore) -> None:
    put_list(any_store, 1, ["a", "b"])
    put_list(any_store, 2, ["b", "c"])
    put_note(any_store, 1)
    assert doomed_names(any_store) == {"a", "b", "c"}
    assert [listed.number for listed in standing_lists(any_store)] == [1, 2]
    assert (emptied(any_store, 1) is None, emptied(any_store, 2) is None) == (False, True)


def test_a_retired_list_dooms_nothing_and_its_number_is_not_used_again(any_store: ObjectStore) -> None:
    put_list(any_store, 1, ["a"])
    put_note(any_store, 1)
    any_store.forget(list_key(1))
    assert doomed_names(any_store) == frozenset()
    assert next_list_number(any_store) == 2


@pytest.mark.parametrize(
    ("key", "look"),
    [
        pytest.param(list_key(1), doomed_names, id="a list"),
        pytest.param(emptied_key(1), lambda store: emptied(store, 1), id="a note"),
    ],
)
def test_one_that_cannot_be_read_stops_whoever_would_rely_on_it(
    any_store: ObjectStore, key: str, look: Callable[[ObjectStore], object]
) -> None:
    put_list(any_store, 2, ["a"])
    any_store.put_if_absent(key, b'{"format":"hashgate/doomed/v1"}')
    with pytest.raises(StoreError, match=r"its self-digest is None.*Remove it when no gc is running") as unreadable:
        look(any_store)
    assert unreadable.value.evidence["key"] == key


@pytest.mark.parametrize(
    ("there", "first"),
    [
        pytest.param([], None, id="no copy"),
        pytest.param(["x/ab"], "x/ab", id="the only one"),
        pytest.param(["x/ab.2"], "x/ab.2", id="a later one"),
        pytest.param(["x/ab.10", "x/ab.2", "x/abc"], "x/ab.2", id="the first of several"),
        pytest.param(["x/ab", "x/ab.1"], "x/ab", id="the first generation"),
    ],
)
def test_readers_take_the_first_copy_that_is_there(
    any_store: ObjectStore, there: Sequence[str], first: str | None
) -> None:
    for key in there:
        any_store.put_if_absent(key, b"content")
        any_store.put_if_absent(f"folders/{key}/index.json", b"{}")
    assert first_copy(any_store, "x/ab") == first
    assert first_copy(any_store, "folders/x/ab", "index.json") == (first and f"folders/{first}")


def test_a_folder_without_its_index_is_not_there(any_store: ObjectStore) -> None:
    any_store.put_if_absent("x/ab/valid.parquet", b"left over")
    any_store.put_if_absent("x/ab.1/index.json", b"{}")
    assert first_copy(any_store, "x/ab", "index.json") == "x/ab.1"
