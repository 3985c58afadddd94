"""Segments: cuts that depend on content alone, recipes that name exactly what they are made of."""

from __future__ import annotations

import datetime as dt
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.refs import BlobRef, Digest, digest_bytes
from contracts.segments import (
    ALONE_BYTES,
    MAXIMUM_BYTES,
    MAXIMUM_DROPS,
    ParserIdentity,
    SegmentIndex,
    crashed_drops,
    cut_segments,
    expected_partition_view,
    segment_view,
)
from contracts.table_contract import Column, CsvFormat, Partitioning, Server, SetRule, TableContract

PARSER = ParserIdentity(version=1, artifact=digest_bytes(b"code"), environment=digest_bytes(b"libraries"))
CONTRACT = TableContract(
    table="t",
    version="1.0.0",
    server=Server(path="t/*.csv", format=CsvFormat()),
    columns=(Column(name="a", type="BIGINT"),),
    partitioning=Partitioning(cadence="daily", start=dt.datetime(2020, 1, 1), file_name_pattern="x"),
)


def blob(name: str, size: int = 100) -> BlobRef:
    return BlobRef(digest=digest_bytes(name.encode()), size_bytes=size)


def test_cutting_loses_and_reorders_nothing() -> None:
    drops = [blob(str(i), size=ALONE_BYTES if i % 50 == 0 else 1000) for i in range(500)]
    assert [d for segment in cut_segments(drops) for d in segment] == drops


def test_a_large_drop_stands_alone() -> None:
    segments = cut_segments([blob("a"), blob("big", ALONE_BYTES), blob("b")])
    assert (blob("big", ALONE_BYTES),) in segments


def test_no_segment_exceeds_its_bounds() -> None:
    for segment in cut_segments([blob(str(i), ALONE_BYTES - 1) for i in range(300)]):
        assert len(segment) <= MAXIMUM_DROPS
        assert sum(d.size_bytes for d in segment) <= MAXIMUM_BYTES


@given(position=st.integers(0, 1000), name=st.text(min_size=1, max_size=8))
def test_one_more_among_a_thousand_costs_tens_of_files_at_most(position: int, name: str) -> None:
    drops = [blob(str(i)) for i in range(1000)]
    before = set(cut_segments(drops))
    after = cut_segments([*drops[:position], blob("new " + name), *drops[position:]])
    parsed_again = [d for segment in after if segment not in before for d in segment]
    assert len(parsed_again) <= 3 * MAXIMUM_DROPS
    assert len([s for s in after if s not in before]) <= 3


def test_the_usual_cost_of_one_more_is_one_segment() -> None:
    drops = [blob(str(i)) for i in range(1000)]
    before, chance = set(cut_segments(drops)), random.Random(7)  # noqa: S311
    costs = []
    for n in range(200):
        position = chance.randrange(1001)
        after = cut_segments([*drops[:position], blob(f"new {n}"), *drops[position:]])
        costs.append(sum(len(s) for s in after if s not in before))
    assert sorted(costs)[len(costs) // 2] < 40


def test_an_edit_of_prose_changes_no_key() -> None:
    told = CONTRACT.model_copy(update={"description": "Daily", "owners": ("ann",), "version": "1.0.1"})
    assert segment_view(told, PARSER, [blob("a")]).key == segment_view(CONTRACT, PARSER, [blob("a")]).key
    assert (
        expected_partition_view(told, PARSER, [blob("a")]).key
        == expected_partition_view(CONTRACT, PARSER, [blob("a")]).key
    )


def test_an_edit_of_a_set_rule_keeps_segments_and_changes_the_partition() -> None:
    rule = SetRule(name="some", query="SELECT count(*) FROM {table}", operator=">", threshold=(0.0,))
    stricter = CONTRACT.model_copy(update={"set_rules": (rule,)})
    assert segment_view(stricter, PARSER, [blob("a")]).key == segment_view(CONTRACT, PARSER, [blob("a")]).key
    assert (
        expected_partition_view(stricter, PARSER, [blob("a")]).key
        != expected_partition_view(CONTRACT, PARSER, [blob("a")]).key
    )


@pytest.mark.parametrize(
    "parser",
    [
        PARSER.model_copy(update={"version": 2}),
        PARSER.model_copy(update={"artifact": digest_bytes(b"other code")}),
        PARSER.model_copy(update={"environment": digest_bytes(b"other libraries")}),
    ],
    ids=["version", "artifact", "environment"],
)
def test_another_parser_is_another_segment(parser: ParserIdentity) -> None:
    assert segment_view(CONTRACT, parser, [blob("a")]).key != segment_view(CONTRACT, PARSER, [blob("a")]).key


def test_a_drop_that_is_refused_unread_is_in_the_recipe_of_its_segment_only() -> None:
    drops = [blob(str(i), ALONE_BYTES) for i in range(3)]
    crashed = [drops[1].digest]
    sound = [segment_view(CONTRACT, PARSER, [drop]) for drop in drops]
    refused = [segment_view(CONTRACT, PARSER, [drop], crashed) for drop in drops]
    assert [a.key == b.key for a, b in zip(sound, refused, strict=True)] == [True, False, True]
    assert [crashed_drops(view) for view in refused] == [frozenset(), frozenset(crashed), frozenset()]
    recipes = [expected_partition_view(CONTRACT, PARSER, drops, which).key for which in ((), crashed)]
    assert recipes[0] == expected_partition_view(CONTRACT, PARSER, drops).key != recipes[1]


def test_drops_that_crashed_elsewhere_change_no_recipe() -> None:
    drops = [blob("a"), blob("b")]
    elsewhere = [blob("c").digest]
    assert segment_view(CONTRACT, PARSER, drops, elsewhere) == segment_view(CONTRACT, PARSER, drops)


def test_in_which_order_drops_crashed_does_not_show() -> None:
    drops = [blob("a"), blob("b"), blob("c")]
    crashed = [drops[2].digest, drops[0].digest]
    forwards, backwards = (segment_view(CONTRACT, PARSER, drops, order) for order in (crashed, crashed[::-1]))
    assert forwards.key == backwards.key


def test_the_order_of_drops_is_part_of_a_segment() -> None:
    one, other = [blob("a"), blob("b")], [blob("b"), blob("a")]
    assert segment_view(CONTRACT, PARSER, one).key != segment_view(CONTRACT, PARSER, other).key


def test_the_index_survives_storage_under_its_content_digest() -> None:
    view = segment_view(CONTRACT, PARSER, [blob("a")])
    index = SegmentIndex(view=view.ref, drops=(), files=())
    assert SegmentIndex.from_bytes(index.to_bytes()) == index
    assert index.content == digest_bytes(index.to_bytes())


def test_an_index_with_a_bent_digest_is_refused() -> None:
    view = segment_view(CONTRACT, PARSER, [blob("a")])
    bent = (
        SegmentIndex(view=view.ref, drops=(), files=())
        .to_bytes()
        .replace(view.key.encode(), Digest("blake3:xyz").encode())
    )
    with pytest.raises(ValueError, match="not a digest"):
        SegmentIndex.from_bytes(bent)
