"""What an asset promises of its tables: where they lie, what names them, and in which modes they are published."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from contracts.produced import AssetPromise, produced_asset, produced_table, produced_view, reserved_columns
from contracts.refs import ViewRef
from tests.versions import SOME

PROMISE = AssetPromise(key=("a", "b"), code_version="1")
ONE, TWO = ViewRef(key=SOME), ViewRef(key=type(SOME)("blake3:" + "0" * 64))


@pytest.mark.parametrize("key", [("made",), ("a", "b"), ("a.b",), ("a/b",), ("a%2Eb", "."), ("%", "c")], ids="/".join)
def test_the_place_of_an_asset_s_tables_names_the_asset(key: tuple[str, ...]) -> None:
    assert produced_asset(produced_table(key)) == key


def test_no_two_assets_share_a_place() -> None:
    keys = [("a", "b"), ("a.b",), ("a/b",), ("a%2Eb",), ("a%2Fb",)]
    assert len({produced_table(key) for key in keys}) == len(keys)


@pytest.mark.parametrize("table", ["orders", "asset", "asset.", "assets.made", ""])
def test_a_contract_s_table_is_of_no_asset(table: str) -> None:
    assert produced_asset(table) is None


def test_a_version_is_named_by_its_segments_in_their_order() -> None:
    keys = {produced_view(PROMISE, segments).key for segments in ([ONE], [ONE, TWO], [TWO, ONE])}
    assert len(keys) == 3
    assert produced_view(PROMISE, [ONE]).key in keys


@pytest.mark.parametrize("mode", ["append", "replace", "error"])
def test_every_mode_is_a_mode(mode: str) -> None:
    assert AssetPromise.model_validate({"key": ["a"], "code_version": "1", "sink_mode": mode}).sink_mode == mode


def test_another_mode_is_none() -> None:
    with pytest.raises(ValidationError, match="'append', 'replace' or 'error'"):
        AssetPromise.model_validate({"key": ["a"], "code_version": "1", "sink_mode": "merge"})


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (["id"], ()),
        (["id", "_hg_source", "_hg_record", "_hg_segment"], ()),
        (["_hg_source"], ("_hg_source",)),
        (["_HG_mine"], ("_HG_mine",)),
    ],
    ids=["none", "all of lineage", "a part of lineage", "one of one's own"],
)
def test_lineage_s_names_are_taken_whole_or_not_at_all(names: list[str], refused: tuple[str, ...]) -> None:
    assert reserved_columns(names) == refused
