"""The gated IO manager: every kind of table in and out, held tables, and what is refused to be read."""

# No `from __future__ import annotations` here: Dagster reads the annotations of an asset as they stand.

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from contracts.errors import NotPublishedError, UsageError
from contracts.produced import produced_table
from contracts.sinks import Sink
from platform_assets.decisions.going_back import find_return, roll_back
from platform_assets.decisions.holding import find_held, release
from tests.dagster_home import HALF_BAD, DagsterHome, failure_of
from tests.damaging import flip, remove_all, replace
from tests.installation import SOUND, Installation
from tests.versions import ANA

DAY, NEXT, LAST = "2024-03-01", "2024-03-02", "2024-03-03"
DAILY = dg.DailyPartitionsDefinition("2024-01-01", end_offset=1)
ROWS: dict[str, list[Any]] = {"id": [1, 2], "item": ["pen", "ink"]}
VALIDATED = dg.AssetKey(["orders", "validated"])


@pytest.fixture
def orders(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[DagsterHome]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield DagsterHome(Installation(home, monkeypatch, capsys), instance)


def returning(make: Callable[[], Any], **options: Any) -> dg.AssetsDefinition:
    @dg.asset(name="made", io_manager_key="gated", **options)
    def made() -> Any:
        return make()

    made_asset: dg.AssetsDefinition = made
    return made_asset


def seen_by(annotation: Any, upstream: dg.AssetKey, **options: Any) -> tuple[dg.AssetsDefinition, list[Any]]:
    """An asset that takes an input as `annotation`, and the list into which it puts what it got."""
    got: list[Any] = []

    def reader(rows: Any) -> None:
        got.append(sorted(map(tuple, pa.table(as_arrow(rows)).to_pandas()[["id", "item"]].itertuples(index=False))))

    reader.__annotations__["rows"] = annotation
    return dg.asset(ins={"rows": dg.AssetIn(upstream)}, **options)(reader), got


def as_arrow(rows: Any) -> Any:
    if isinstance(rows, pl.LazyFrame):
        return rows.collect().to_arrow()
    if isinstance(rows, pa.RecordBatchReader):
        return rows.read_all()
    return rows.to_arrow_table() if isinstance(rows, duckdb.DuckDBPyRelation) else pa.table(rows)


def published(orders: DagsterHome, partition: str = "all") -> list[dict[str, Any]]:
    files = orders.installation.workspace.reader.open(produced_table(["made"]), partition)
    return [row for path in files.valid for row in pa.parquet.read_table(path, partitioning=None).to_pylist()]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: pa.table(ROWS), id="Arrow table"),
        pytest.param(lambda: pa.table(ROWS).to_batches()[0], id="record batch"),
        pytest.param(lambda: pa.table(ROWS).to_reader(), id="record batch reader"),
        pytest.param(lambda: duckdb.connect().from_arrow(pa.table(ROWS)), id="DuckDB relation"),
        pytest.param(lambda: pd.DataFrame(ROWS), id="pandas"),
        pytest.param(lambda: pd.DataFrame(ROWS).set_index("id"), id="pandas with a named index"),
        pytest.param(lambda: pl.DataFrame(ROWS), id="polars"),
        pytest.param(lambda: pl.DataFrame(ROWS).lazy(), id="polars, lazily"),
    ],
)
def test_every_kind_of_table_is_published(orders: DagsterHome, make: Callable[[], Any]) -> None:
    made = returning(make)
    assert orders.run(DAY, assets=[made.key], also=[made]).success
    assert published(orders) == [{"id": 1, "item": "pen"}, {"id": 2, "item": "ink"}]
    (event,) = orders.instance.fetch_materializations(made.key, limit=5).records
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["dagster/row_count"].value == 2


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda: None, "asset made returned builtins.NoneType. Return one of pyarrow.Table", id="nothing"),
        pytest.param(lambda: [{"id": 1}], "asset made returned builtins.list.", id="a list"),
        pytest.param(lambda: pa.table({"_hg_source": ["x"]}), "returned the column _hg_source", id="a reserved column"),
    ],
)
def test_what_is_no_table_is_refused_by_name(orders: DagsterHome, make: Callable[[], Any], said: str) -> None:
    made = returning(make)
    assert said in failure_of(orders.run(DAY, assets=[made.key], also=[made]))
    assert orders.installation.workspace.reader.head(produced_table(["made"]), "all") is None


def exported_ids(orders: DagsterHome) -> dict[str, list[int]]:
    """The ids of the current version in each of its sinks."""
    reader = orders.installation.workspace.reader
    head = reader.head(produced_table(["made"]), "all")
    assert head is not None
    found: dict[str, list[int]] = {"parquet": sorted(row["id"] for row in published(orders))}
    for export in head.candidate.exports:
        ((_, path),) = reader.open_exports([head], export.sink)
        with duckdb.connect() as connection:
            if export.sink is Sink.DUCKDB:
                connection.execute(f"ATTACH '{path}' AS d (READ_ONLY)")
            rows = "d.made" if export.sink is Sink.DUCKDB else f"read_csv('{path}')"
            found[str(export.sink)] = [n for (n,) in connection.execute(f"SELECT id FROM {rows} ORDER BY 1").fetchall()]
    return found


@pytest.mark.parametrize(
    ("mode", "ids"),
    [
        pytest.param("replace", [3], id="replace"),
        pytest.param("append", [1, 2, 3], id="append"),
        pytest.param("error", [1, 2], id="error"),
    ],
)
def test_an_asset_is_published_in_every_sink_in_every_mode(orders: DagsterHome, mode: str, ids: list[int]) -> None:
    tables = [pa.table(ROWS), pa.table(ROWS), pa.table({"id": [3], "item": ["nib"]})]
    declared = {"hashgate/sinks": ["duckdb", "csv"], "hashgate/sink_mode": mode}
    made = returning(lambda: tables.pop(0), metadata=declared)
    for again in range(2):
        assert orders.run(DAY, assets=[made.key], also=[made]).success, again
        assert exported_ids(orders) == {sink: [1, 2] for sink in Sink}
    versions = orders.installation.workspace.reader.history(produced_table(["made"]), "all")
    assert [version.number for version in versions] == [1], "the same again is no version"
    assert orders.run(DAY, assets=[made.key], also=[made]).success is (mode != "error")
    assert exported_ids(orders) == dict.fromkeys(Sink, ids)


def test_a_sink_that_an_asset_declares_later_comes_with_the_next_version(orders: DagsterHome) -> None:
    for sinks in ([], ["duckdb"], ["csv"], []):
        made = returning(lambda: pa.table(ROWS), metadata={"hashgate/sinks": sinks})
        assert orders.run(DAY, assets=[made.key], also=[made]).success
        assert exported_ids(orders) == {sink: [1, 2] for sink in ("parquet", *sinks)}


@pytest.mark.parametrize("declared", ["csv", ["excel"], [1]], ids=["no list", "no sink", "no name"])
def test_a_sink_that_there_is_not_is_refused_by_name(orders: DagsterHome, declared: Any) -> None:
    made = returning(lambda: pa.table(ROWS), metadata={"hashgate/sinks": declared})
    said = failure_of(orders.run(DAY, assets=[made.key], also=[made]))
    assert "asset made declares hashgate/sinks as" in said
    assert "Write a list of some of parquet, csv, duckdb" in said


def declaring(*columns: dg.TableColumn) -> dict[str, Any]:
    return {"metadata": {"dagster/column_schema": dg.TableSchema(list(columns))}}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        pytest.param(
            [dg.TableColumn("id", "INTEGER"), dg.TableColumn("item", "VARCHAR")],
            "gate contract: column 1: expected id INTEGER, observed id BIGINT",
            id="another type",
        ),
        pytest.param(
            [dg.TableColumn("id", "BIGINT")], "column 2: expected no column, observed item VARCHAR", id="one more"
        ),
        pytest.param(
            [dg.TableColumn("id", "bigint"), dg.TableColumn("item", "string"), dg.TableColumn("price", "double")],
            "column 3: expected price DOUBLE, observed no column",
            id="one less",
        ),
        pytest.param(
            [
                dg.TableColumn("id", "BIGINT", constraints=dg.TableColumnConstraints(unique=True)),
                dg.TableColumn("item", "VARCHAR", constraints=dg.TableColumnConstraints(nullable=False)),
            ],
            "gate quality: column id: expected each value once, observed 1 repetitions",
            id="a repeated key",
        ),
    ],
)
def test_what_breaks_its_promise_is_held(orders: DagsterHome, columns: list[dg.TableColumn], said: str) -> None:
    rows = {"id": [1, 1], "item": ["pen", "ink"]}
    made = returning(lambda: pa.table(rows), **declaring(*columns))
    failed = failure_of(orders.run(DAY, assets=[made.key], also=[made]))
    assert "asset.made[all] is held, nobody can read it." in failed
    assert said in failed
    with pytest.raises(NotPublishedError, match=r"asset\.made\[all\] cannot be read: its state is held"):
        published(orders)


def test_the_last_good_version_stays_when_the_next_one_is_held(orders: DagsterHome) -> None:
    rows: dict[str, list[Any]] = {name: list(values) for name, values in ROWS.items()}
    made = returning(
        lambda: pa.table(rows), **declaring(dg.TableColumn("id", "BIGINT"), dg.TableColumn("item", "VARCHAR"))
    )
    orders.run(DAY, assets=[made.key], also=[made])
    rows["item"] = [1, 2]
    assert not orders.run(DAY, assets=[made.key], also=[made]).success
    assert published(orders) == [{"id": 1, "item": "pen"}, {"id": 2, "item": "ink"}]


def test_the_same_content_is_one_version(orders: DagsterHome) -> None:
    made = returning(lambda: pa.table(ROWS))
    orders.run(DAY, assets=[made.key], also=[made])
    orders.run(DAY, assets=[made.key], also=[made])
    assert len(orders.installation.workspace.reader.history(produced_table(["made"]), "all")) == 1


def in_mode(mode: str) -> dict[str, Any]:
    return {"metadata": {"hashgate/sink_mode": mode}}


def made_of(*tables: dict[str, list[Any]], **options: Any) -> dg.AssetsDefinition:
    """An asset that returns one table after the other, a run each."""
    left = list(tables)
    return returning(lambda: pa.table(left.pop(0)), **options)


def test_append_publishes_beside_what_is_there_each_content_once(orders: DagsterHome) -> None:
    made = made_of({"id": [1]}, {"id": [2, 3]}, {"id": [1]}, **in_mode("append"))
    for rows in (1, 3, 3):
        assert orders.run(DAY, assets=[made.key], also=[made]).success
        assert len(published(orders)) == rows
    assert [row["id"] for row in published(orders)] == [1, 2, 3]
    history = orders.installation.workspace.reader.history(produced_table(["made"]), "all")
    assert [(commit.number, commit.candidate.valid_rows) for commit in history] == [(1, 1), (2, 3)]
    (event, *_) = orders.instance.fetch_materializations(made.key, limit=1).records
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["dagster/row_count"].value == 3


def test_what_is_appended_is_judged_together_with_what_is_there(orders: DagsterHome) -> None:
    unique = dg.TableColumn("id", "BIGINT", constraints=dg.TableColumnConstraints(unique=True))
    declared = {"dagster/column_schema": dg.TableSchema([unique]), "hashgate/sink_mode": "append"}
    made = made_of({"id": [1, 2]}, {"id": [2, 3]}, {"id": [3]}, metadata=declared)
    assert orders.run(DAY, assets=[made.key], also=[made]).success
    failed = failure_of(orders.run(DAY, assets=[made.key], also=[made]))
    assert "gate quality: column id: expected each value once, observed 1 repetitions" in failed
    assert orders.run(DAY, assets=[made.key], also=[made]).success
    assert [row["id"] for row in published(orders)] == [1, 2, 3]


def test_an_append_of_other_columns_is_held(orders: DagsterHome) -> None:
    made = made_of({"id": [1]}, {"id": ["one"]}, **in_mode("append"))
    assert orders.run(DAY, assets=[made.key], also=[made]).success
    failed = failure_of(orders.run(DAY, assets=[made.key], also=[made]))
    assert re.search(
        r"gate contract: column 1 of segment [0-9a-f]{12}: expected id VARCHAR, observed id BIGINT", failed
    )
    assert published(orders) == [{"id": 1}]


def test_an_append_over_what_was_altered_is_held(orders: DagsterHome) -> None:
    made = made_of({"id": [1]}, {"id": [2]}, **in_mode("append"))
    orders.run(DAY, assets=[made.key], also=[made])
    store = orders.installation.workspace.store
    (valid,) = (key for key in store.walk(f"tables/{produced_table(['made'])}") if key.endswith(".parquet"))
    flip(store, valid)
    assert "gate integrity" in failure_of(orders.run(DAY, assets=[made.key], also=[made]))


def test_error_publishes_once(orders: DagsterHome) -> None:
    made = made_of({"id": [1]}, {"id": [1]}, {"id": [2]}, **in_mode("error"))
    for _ in range(2):
        assert orders.run(DAY, assets=[made.key], also=[made]).success
    failed = failure_of(orders.run(DAY, assets=[made.key], also=[made]))
    assert "its asset's sink mode is `error`: nothing was changed" in failed
    assert "hashgate/sink_mode in the asset's metadata" in failed
    assert published(orders) == [{"id": 1}]


def test_another_mode_is_refused_by_name(orders: DagsterHome) -> None:
    made = made_of({"id": [1]}, **in_mode("merge"))
    failed = failure_of(orders.run(DAY, assets=[made.key], also=[made]))
    assert "asset made declares hashgate/sink_mode as 'merge'. Write one of append, replace, error." in failed


def test_content_that_was_rolled_back_does_not_come_back_by_itself(orders: DagsterHome) -> None:
    made = made_of({"id": [1]}, {"id": [2]}, {"id": [2]}, {"id": [3]})
    for _ in range(2):
        orders.run(DAY, assets=[made.key], also=[made])
    workspace, table = orders.installation.workspace, produced_table(["made"])
    roll_back(workspace, find_return(workspace, table, "all", 1), ANA)
    assert orders.run(DAY, assets=[made.key], also=[made]).success
    assert published(orders) == [{"id": 1}]
    assert orders.run(DAY, assets=[made.key], also=[made]).success
    assert published(orders) == [{"id": 3}]


def test_whoever_reads_a_waived_version_is_told(orders: DagsterHome) -> None:
    orders.installation.drop(DAY, HALF_BAD)
    orders.run(DAY)
    workspace = orders.installation.workspace
    release(workspace, find_held(workspace, "orders", DAY), ANA)
    reader, got = seen_by(pa.Table, VALIDATED, partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    result = orders.run(DAY, assets=[reader.key], also=[reader])
    assert result.success
    assert got == [[(1, "pen")]]
    warned = [
        entry.user_message
        for entry in orders.instance.all_logs(result.run_id)
        if entry.level >= logging.WARNING and "let through" in entry.user_message
    ]
    assert warned == [
        f"orders[{DAY}] version 1 was let through by ana (the airport was closed) although its gates said: quality FAIL"
    ]


def test_a_range_run_publishes_a_dict_of_tables(orders: DagsterHome) -> None:
    made = returning(
        lambda: {DAY: pa.table(ROWS), NEXT: pa.table({"id": [3], "item": ["nib"]})},
        partitions_def=DAILY,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    assert orders.run(DAY, NEXT, assets=[made.key], also=[made]).success
    assert published(orders, NEXT) == [{"id": 3, "item": "nib"}]
    assert orders.latest("made", DAY).metadata["dagster/row_count"].value == 2
    assert orders.latest("made", NEXT).metadata["dagster/row_count"].value == 1


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        pytest.param(pa.table(ROWS), "ran over 2 partitions and returned one table", id="one table for two days"),
        pytest.param({DAY: pa.table(ROWS)}, f"missing {NEXT}, not asked for none", id="a day missing"),
        pytest.param(
            {DAY: pa.table(ROWS), NEXT: pa.table(ROWS), LAST: pa.table(ROWS)},
            f"not asked for {LAST}",
            id="a day too many",
        ),
    ],
)
def test_a_range_run_owes_a_table_for_each_partition(orders: DagsterHome, returned: Any, said: str) -> None:
    made = returning(lambda: returned, partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    assert said in failure_of(orders.run(DAY, NEXT, assets=[made.key], also=[made]))


def test_a_day_whose_versions_have_vanished_is_no_day_without_any(orders: DagsterHome) -> None:
    made = returning(
        lambda: {DAY: pa.table(ROWS), NEXT: pa.table(ROWS)},
        partitions_def=DAILY,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    orders.run(DAY, NEXT, assets=[made.key], also=[made])
    remove_all(orders.installation.workspace.store, f"tables/{produced_table(['made'])}/commits/{NEXT}")
    reader, got = seen_by(pa.Table, made.key, partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    kind, said = error_of(orders.run(DAY, NEXT, assets=[reader.key], also=[made, reader]))
    assert (kind, got) == ("CommitError", [])
    assert "tail was cut off or replayed" in said


@pytest.mark.parametrize(
    "annotation",
    [
        pa.Table,
        pa.RecordBatchReader,
        duckdb.DuckDBPyRelation,
        pd.DataFrame,
        pl.DataFrame,
        pl.LazyFrame,
        Any,
    ],
)
def test_an_input_comes_as_the_kind_it_is_annotated_as(orders: DagsterHome, annotation: Any) -> None:
    orders.installation.drop(DAY)
    orders.run(DAY)
    reader, got = seen_by(annotation, VALIDATED, partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    assert orders.run(DAY, assets=[reader.key], also=[reader]).success
    assert got == [[(1, "pen"), (2, "ink")]]


def test_several_partitions_are_concatenated_and_days_nothing_came_for_are_no_gap(orders: DagsterHome) -> None:
    orders.installation.drop(DAY)
    orders.installation.drop(LAST, b"id,item,amount\n3,nib,1\n")
    orders.run(DAY, LAST)
    reader, got = seen_by(pa.Table, VALIDATED, partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    assert orders.run(DAY, LAST, assets=[reader.key], also=[reader]).success
    assert got == [[(1, "pen"), (2, "ink"), (3, "nib")]]


def test_repeated_keys_are_not_among_the_rows(orders: DagsterHome) -> None:
    orders.installation.drop(DAY, SOUND + b"2,ink again,3\n")
    orders.run(DAY)
    reader, got = seen_by(pa.Table, VALIDATED, partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    orders.run(DAY, assets=[reader.key], also=[reader])
    assert got == [[(1, "pen"), (2, "ink")]]


def error_of(result: dg.ExecuteInProcessResult) -> tuple[str, str]:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    error = event.step_failure_data.error
    assert error is not None
    cause = error.cause or error
    return str(cause.cls_name), cause.message


@pytest.mark.parametrize(
    ("content", "state"),
    [pytest.param(HALF_BAD, "held", id="held"), pytest.param(None, "pending", id="never came")],
)
def test_a_partition_that_has_not_passed_is_refused(orders: DagsterHome, content: bytes | None, state: str) -> None:
    if content is not None:
        orders.installation.drop(DAY, content)
    orders.run(DAY)
    reader, got = seen_by(pa.Table, VALIDATED, partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    kind, said = error_of(orders.run(DAY, assets=[reader.key], also=[reader]))
    assert kind == NotPublishedError.__name__
    assert f"orders[{DAY}] cannot be read: its state is {state}" in said
    assert got == []


def test_a_held_partition_among_good_ones_is_refused(orders: DagsterHome) -> None:
    orders.installation.drop(DAY)
    orders.installation.drop(NEXT, HALF_BAD)
    orders.run(DAY, NEXT)
    reader, got = seen_by(pa.Table, VALIDATED, partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    _, said = error_of(orders.run(DAY, NEXT, assets=[reader.key], also=[reader]))
    assert f"orders[{NEXT}] cannot be read: its state is held" in said
    assert got == []


def test_a_file_that_was_altered_is_refused_before_a_row_is_seen(orders: DagsterHome) -> None:
    orders.installation.drop(DAY)
    orders.run(DAY)
    store = orders.installation.workspace.store
    (valid,) = (key for key in store.walk("tables/orders/segments") if key.endswith("valid.parquet"))
    replace(store, valid, store.get(valid).replace(b"pen", b"pan"))
    reader, got = seen_by(pa.Table, VALIDATED, partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    kind, said = error_of(orders.run(DAY, assets=[reader.key], also=[reader]))
    assert kind == "DigestMismatchError"
    assert "expected blake3:" in said
    assert got == []


@pytest.mark.parametrize(
    ("annotation", "upstream", "said"),
    [
        pytest.param(dict, VALIDATED, "input rows is annotated as <class 'dict'>. Annotate it as one of", id="a dict"),
        pytest.param(
            pa.Table,
            dg.AssetKey(["orders", "report"]),
            "orders/report holds no rows. Read orders/validated",
            id="a report",
        ),
    ],
)
def test_an_input_that_cannot_be_a_table_is_refused(
    orders: DagsterHome, annotation: Any, upstream: dg.AssetKey, said: str
) -> None:
    orders.installation.drop(DAY)
    orders.run(DAY)

    def reader(rows: Any) -> None:
        pytest.fail(f"it was handed {rows}")

    reader.__annotations__["rows"] = annotation
    asset = dg.asset(
        ins={"rows": dg.AssetIn(upstream, input_manager_key="gated")},
        partitions_def=DAILY,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )(reader)
    kind, message = error_of(orders.run(DAY, assets=[asset.key], also=[asset]))
    assert kind == UsageError.__name__
    assert said in message


def test_quarantine_is_a_table_too_even_an_empty_one(orders: DagsterHome) -> None:
    orders.installation.drop(DAY, SOUND + b"3,,1\n")
    orders.installation.drop(NEXT)
    orders.run(DAY, NEXT)
    counts: list[int] = []

    @dg.asset(
        ins={"rows": dg.AssetIn(["orders", "quarantine"])},
        partitions_def=DAILY,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
    )
    def bad(rows: pa.Table) -> None:
        counts.append(rows.num_rows)
        assert "reasons" in rows.column_names

    for day in (DAY, NEXT):
        assert orders.run(day, assets=[bad.key], also=[bad]).success
    assert counts == [1, 0]


def test_own_assets_run_in_the_run_of_the_table_they_read(orders: DagsterHome) -> None:
    orders.installation.drop(DAY)
    reader, got = seen_by(pa.Table, VALIDATED, partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    table = [dg.AssetKey(["orders", name]) for name in ("selection", "validated", "quarantine", "report")]
    assert orders.run(DAY, assets=[*table, reader.key], also=[reader]).success
    assert got == [[(1, "pen"), (2, "ink")]]
    assert orders.materializations("orders/validated") == {DAY: 1}


def test_gated_assets_read_each_other(orders: DagsterHome) -> None:
    made = returning(lambda: pa.table(ROWS))
    reader, got = seen_by(pa.Table, made.key)
    assert orders.run(DAY, assets=[made.key, reader.key], also=[made, reader]).success
    assert got == [[(1, "pen"), (2, "ink")]]
