"""Every sink in every mode: what its files show is what the version says, whoever writes how often and at what time."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import duckdb
import pytest

from contracts.commits import Commit
from contracts.duckdb_syntax import literal, quoted
from contracts.errors import CommitError
from contracts.gates import Verdict
from contracts.sinks import Sink, in_order
from contracts.table_contract import SetRule, TableContract
from platform_assets.decisions.going_back import find_return, roll_back
from platform_assets.decisions.holding import find_held, release
from platform_assets.ingest.building import build_partition
from resources import publisher
from resources.csv_sink import as_text
from resources.duckdb_session import parquet_source
from resources.publisher import Outcome
from resources.workspace import Workspace
from tests.resources.racing import race
from tests.sales import DAY, HEADER, SALES, SalesHome, row
from tests.versions import ANA

MODES = ("append", "replace", "error")
BESIDE = {"parquet": (), "csv": (Sink.CSV,), "duckdb": (Sink.DUCKDB,), "both": (Sink.CSV, Sink.DUCKDB)}

FIRST = HEADER + row(1) + row(2, note='"two\nlines, ""quoted"""') + row(2) + row(3, amount="x")
"""Two sound records; one repeats a key, one has no number."""
RESTATED = HEADER + row(1, amount="9.99") + row(5)
NOTHING_WRONG = SetRule(name="some rows", query="SELECT count(*) FROM {table}", operator=">", threshold=(0.0,))


def contract_of(sinks: tuple[Sink, ...], mode: str = "replace", **changes: Any) -> TableContract:
    return SALES.model_copy(update={"sinks": in_order(sinks), "sink_mode": mode} | changes)


@pytest.fixture(params=list(BESIDE.values()), ids=list(BESIDE))
def sinks(request: pytest.FixtureRequest) -> tuple[Sink, ...]:
    found: tuple[Sink, ...] = request.param
    return found


@pytest.fixture
def both(sales: SalesHome) -> SalesHome:
    return sales.under(contract_of(BESIDE["both"]))


def rows_of(workspace: Workspace, version: Commit, sink: Sink) -> Counter[tuple[Any, ...]]:
    """What a person reads in a version's files of a sink, by DuckDB's SQL and nothing of the platform's."""
    schema = dict(version.candidate.contract.table_schema)
    names = ", ".join(map(quoted, schema))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        if sink is Sink.PARQUET:
            (files,) = workspace.reader.open_commits([version])
            query = f"SELECT {names} FROM {parquet_source(files.valid)} AS v"
            if files.overlay:
                query += f" ANTI JOIN {parquet_source(files.overlay)} AS o USING (_hg_source, _hg_record)"
            return Counter(connection.execute(query).fetchall())
        ((_, path),) = workspace.reader.open_exports([version], sink)
        if sink is Sink.DUCKDB:
            connection.execute(f"ATTACH {literal(path)} AS d (READ_ONLY)")
            return Counter(connection.execute(f"SELECT {names} FROM d.sales").fetchall())
        connection.register("cells", as_text(Path(path), schema))
        typed = ", ".join(f"CAST({quoted(name)} AS {kind})" for name, kind in schema.items())
        return Counter(connection.execute(f"SELECT {typed} FROM cells").fetchall())


def ids_of(home: SalesHome, version: Commit) -> list[int]:
    """The ids of the rows, after a look at all sinks: they agree on every row."""
    workspace = home.workspace
    expected = rows_of(workspace, version, Sink.PARQUET)
    for sink in version.candidate.contract.sinks:
        assert rows_of(workspace, version, sink) == expected, sink
    assert sum(expected.values()) == version.candidate.valid_rows
    return sorted(values[0] for values in expected.elements())


def head_of(home: SalesHome) -> Commit:
    head = home.workspace.reader.head("sales", DAY)
    assert head is not None
    return head


def exports_in_the_store(home: SalesHome) -> set[str]:
    store = home.workspace.store
    return {key.rpartition("/")[0].rpartition("/")[2] for key in store.walk("tables/sales/exports")}


# ---- each sink in each mode ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_the_first_version_shows_in_every_sink(mode: str, sinks: tuple[Sink, ...], sales: SalesHome) -> None:
    home = sales.under(contract_of(sinks, mode))
    home.drop(FIRST)
    done = home.ingest()
    assert done.outcome is Outcome.PUBLISHED
    assert [export.sink for export in done.commit.candidate.exports] == list(sinks)
    assert [receipt.gate for receipt in done.receipts] == list(home.contract.gates)
    assert ids_of(home, done.commit) == [1, 2]


@pytest.mark.parametrize("mode", MODES)
def test_the_same_again_changes_nothing(mode: str, sinks: tuple[Sink, ...], sales: SalesHome) -> None:
    home = sales.under(contract_of(sinks, mode))
    home.drop(FIRST)
    first, there = home.ingest().commit, exports_in_the_store(home)
    for force in (False, True):
        again = home.ingest(force=force)
        assert (again.outcome, again.commit) == (Outcome.REUSED, first)
    assert exports_in_the_store(home) == there, "written again for nothing, and left there"


@pytest.mark.parametrize(("mode", "ids"), [("append", [1, 2, 5]), ("replace", [1, 5]), ("error", [1, 2])])
def test_what_is_restated_shows_in_every_sink_as_the_mode_says(
    mode: str, ids: list[int], sinks: tuple[Sink, ...], sales: SalesHome
) -> None:
    home = sales.under(contract_of(sinks, mode))
    home.drop(FIRST)
    first = home.ingest().commit
    home.drop(RESTATED)
    if mode == "error":
        with pytest.raises(CommitError, match="sink mode is `error`: nothing was changed"):
            home.ingest()
        assert head_of(home) == first
    else:
        assert home.ingest().commit.number == 2
    assert ids_of(home, head_of(home)) == ids
    assert ids_of(home, first) == [1, 2], "an earlier version's files stay what they were"


@pytest.mark.parametrize("mode", MODES)
def test_of_four_writers_at_once_every_version_is_whole_in_every_sink(mode: str, tmp_path: Path) -> None:
    home = SalesHome(tmp_path, contract_of(BESIDE["both"], mode))
    (tmp_path / "drops" / "sales").mkdir(parents=True)
    home.drop(HEADER + row(1), f"{DAY}-0.csv")
    home.take_in()
    told = [outcome for some in race(keep_ingesting, 4, tmp_path, mode) for outcome in some]
    versions = home.workspace.reader.history("sales", DAY)
    for version in versions:
        ids_of(home, version)
    assert [version.number for version in versions] == list(range(1, len(versions) + 1))
    assert told.count("published") == len(versions)
    if mode == "error":
        assert (len(versions), told.count("refused")) == (1, len(told) - 1 - told.count("reused"))
        return
    home.ingest()
    last = [1, 11, 12, 13, 14] if mode == "replace" else [1, *(turn * 10 + n for turn in (0, 1) for n in (1, 2, 3, 4))]
    assert ids_of(home, head_of(home)) == sorted(set(last))


def keep_ingesting(number: int, folder: Path, mode: str) -> list[str]:
    """Restate a file of one's own twice, and ingest each time: what came of it."""
    home = SalesHome(folder, contract_of(BESIDE["both"], mode))
    told = []
    for turn in (0, 1):
        content = HEADER + row(turn * 10 + number + 1)
        staged = folder / f"staged-by-{number}"
        staged.write_text(content)
        staged.rename(folder / "drops" / "sales" / f"{DAY}-{number + 1}.csv")
        try:
            told.append(str(home.ingest().outcome))
        except CommitError as error:
            if "sink mode is `error`" not in str(error):
                raise
            told.append("refused")
    return told


# ---- sinks come and go -----------------------------------------------------------------------------------------------


def test_a_sink_that_a_contract_names_later_brings_a_version_that_parses_nothing(sales: SalesHome) -> None:
    sales.drop(FIRST)
    plain = sales.ingest().commit
    done = sales.under(contract_of((Sink.DUCKDB,))).ingest()
    assert (done.outcome, done.commit.number, done.segments_written) == (Outcome.PUBLISHED, 2, 0)
    assert done.commit.candidate.segments == plain.candidate.segments
    assert ids_of(sales, done.commit) == [1, 2]
    again = sales.ingest()
    assert (again.commit.number, again.commit.candidate.exports) == (3, ())
    assert again.commit.candidate.view_key == plain.candidate.view_key


def test_the_mode_error_forbids_other_rows_and_no_other_sink(sales: SalesHome) -> None:
    sales.drop(FIRST)
    sales.under(contract_of((), "error")).ingest()
    home = sales.under(contract_of((Sink.CSV,), "error"))
    done = home.ingest()
    assert (done.outcome, done.commit.number) == (Outcome.PUBLISHED, 2)
    assert ids_of(home, done.commit) == [1, 2]
    ((_, path),) = home.workspace.reader.open_exports([done.commit], Sink.CSV)
    Path(path).unlink()
    assert home.ingest(force=True).commit.number == 3
    assert ids_of(home, head_of(home)) == [1, 2]
    home.drop(RESTATED)
    with pytest.raises(CommitError, match="sink mode is `error`"):
        home.ingest()


def test_digests_of_a_table_in_parquet_alone_do_not_know_of_sinks(sales: SalesHome) -> None:
    sales.drop(FIRST)
    document = sales.ingest().commit.to_bytes().decode()
    assert '"exports"' not in document
    assert '"sinks"' not in document


def test_an_export_that_was_damaged_is_made_again_by_force(both: SalesHome) -> None:
    both.drop(FIRST)
    before = both.ingest().commit
    ((_, path),) = both.workspace.reader.open_exports([before], Sink.DUCKDB)
    Path(path).chmod(0o600)
    Path(path).write_bytes(b"not a database")
    again = both.ingest(force=True)
    assert (again.outcome, again.commit.number) == (Outcome.PUBLISHED, 2)
    assert again.commit.candidate.is_same_content(before.candidate)
    assert ids_of(both, again.commit) == [1, 2]


# ---- what gates and people decide ------------------------------------------------------------------------------------


def test_what_is_held_has_its_exports_and_shows_them_when_it_is_let_through(sales: SalesHome) -> None:
    too_strict = NOTHING_WRONG.model_copy(update={"threshold": (100.0,)})
    home = sales.under(contract_of(BESIDE["both"], set_rules=(too_strict,)))
    home.drop(FIRST)
    held = home.ingest()
    assert held.outcome is Outcome.HELD
    assert [r.gate for r in held.receipts if r.verdict is not Verdict.PASS] == ["quality"]
    assert home.workspace.reader.head("sales", DAY) is None
    once_more = home.ingest(force=True)
    assert (once_more.outcome, once_more.commit) == (Outcome.HELD, held.commit), "held since the first time"
    workspace = home.workspace
    released = release(workspace, find_held(workspace, "sales", DAY), ANA)
    assert ids_of(home, released) == [1, 2]


def test_a_held_candidate_whose_export_was_altered_is_not_let_through(sales: SalesHome) -> None:
    too_strict = NOTHING_WRONG.model_copy(update={"threshold": (100.0,)})
    home = sales.under(contract_of((Sink.CSV,), set_rules=(too_strict,)))
    home.drop(FIRST)
    home.ingest()
    (path,) = (home.folder / "home").rglob("sales.csv")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"1.50", b"1.51"))
    workspace = home.workspace
    with pytest.raises(publisher.StoreError, match="expected blake3:"):
        release(workspace, find_held(workspace, "sales", DAY), ANA)
    assert workspace.reader.head("sales", DAY) is None


def test_going_back_goes_back_in_every_sink(both: SalesHome) -> None:
    both.drop(FIRST)
    both.ingest()
    both.drop(RESTATED)
    both.ingest()
    workspace = both.workspace
    back = roll_back(workspace, find_return(workspace, "sales", DAY, 1), ANA)
    assert back.number == 3
    assert ids_of(both, head_of(both)) == [1, 2]


def test_a_wrong_export_holds_the_version_and_is_nowhere(both: SalesHome, monkeypatch: pytest.MonkeyPatch) -> None:
    both.drop(FIRST)
    good = both.ingest().commit
    there = exports_in_the_store(both)
    from resources import csv_sink, exports  # noqa: PLC0415

    def lose_a_row(store: Any, rows: Any, path: Path) -> None:
        csv_sink.write_csv(store, rows, path)
        path.write_bytes(path.read_bytes().rpartition(b"\r\n")[0].rpartition(b"\r\n")[0] + b"\r\n")

    monkeypatch.setattr(exports, "write_csv", lose_a_row)
    both.drop(RESTATED)
    held = both.ingest()
    assert held.outcome is Outcome.HELD
    assert [r.gate for r in held.receipts if r.verdict is not Verdict.PASS] == ["sinks"]
    assert held.commit.candidate.exports == ()
    assert (head_of(both), exports_in_the_store(both)) == (good, there)
    monkeypatch.undo()
    workspace = both.workspace
    released = release(workspace, find_held(workspace, "sales", DAY), ANA)
    assert (released.candidate.exports, released.candidate.valid_rows) == ((), 2)
    with pytest.raises(Exception, match="it was let through although the gate over its exports had stopped it"):
        workspace.reader.open_exports([released], Sink.CSV)
    assert ids_of(both, both.ingest(force=True).commit) == [1, 5], "mended, it is made again"


# ---- who reads meanwhile, and who is killed --------------------------------------------------------------------------


def test_who_has_a_database_open_reads_on_while_five_versions_come(sales: SalesHome) -> None:
    home = sales.under(contract_of((Sink.DUCKDB,)))
    home.drop(FIRST)
    first = home.ingest().commit
    ((_, path),) = home.workspace.reader.open_exports([first], Sink.DUCKDB)
    with duckdb.connect() as reader:
        reader.execute(f"ATTACH {literal(path)} AS d (READ_ONLY)")
        for number in range(2, 7):
            home.drop(HEADER + row(number))
            assert home.ingest().commit.number == number
            assert reader.execute("SELECT id FROM d.sales ORDER BY id").fetchall() == [(1,), (2,)]
    assert ids_of(home, head_of(home)) == [6]


STEPS = {
    "before the exports are placed": ("_Publishing._place", 2, True),
    "after the exports are placed": ("_Publishing._place", 2, False),
    "right before the commit": ("_Publishing._move_from_doomed", 1, False),
}


@pytest.mark.parametrize(("step", "calls", "before"), STEPS.values(), ids=STEPS.keys())
@pytest.mark.parametrize("published_before", [False, True], ids=["first version", "second version"])
def test_a_writer_killed_between_export_and_commit_leaves_what_was(
    step: str, calls: int, before: bool, published_before: bool, both: SalesHome
) -> None:
    both.drop(FIRST)
    was = both.ingest().commit if published_before else None
    both.drop(RESTATED)
    both.take_in()
    child = get_context("forkserver").Process(target=build_and_die, args=(both.folder, step, calls, before))
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    assert both.workspace.reader.head("sales", DAY) == was
    if was is not None:
        assert ids_of(both, was) == [1, 2]
    done = both.ingest()
    assert (done.outcome, done.commit.number) == (Outcome.PUBLISHED, 2 if was else 1)
    assert ids_of(both, done.commit) == [1, 5]


def build_and_die(folder: Path, step: str, calls: int, before: bool) -> None:
    """Build the newest selection, and be killed at a step."""
    owner, _, name = step.partition(".")
    kind = getattr(publisher, owner)
    true_step: Callable[..., Any] = getattr(kind, name)
    done = []

    def step_and_die(*arguments: Any) -> Any:
        done.append(name)
        if before and len(done) == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        result = true_step(*arguments)
        if len(done) == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(kind, name, step_and_die)
    home = SalesHome(folder, contract_of(BESIDE["both"]))
    build_partition(home.workspace, home.contract, DAY, run_id="killed")
    time.sleep(60)
