"""A real feed as it was really published: every day, every version, every mistake.

The final files are ingested at once; then the publications come one by one, in their order, and must end in the same
place, byte for byte, with nothing that was readable becoming unreadable on the way.
"""

from __future__ import annotations

import csv
import datetime as dt
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from contracts.commits import Candidate, Commit
from contracts.odcs_reader import parse_contract
from contracts.table_contract import TableContract
from platform_assets.ingest.building import PartitionResult, build_partition
from platform_assets.ingest.planning import PartitionState, partition_statuses
from platform_assets.ingest.selecting import capture, scan, select
from resources import segment_writer
from resources.duckdb_session import open_session, parquet_source
from resources.publisher import Outcome
from resources.settings import Settings
from resources.workspace import Workspace

ODCS = Path(__file__).parents[3] / "examples" / "pcm-regioni" / "pcm_regioni.odcs.yaml"
EVERY_PUBLICATION = bool(os.environ.get("HASHGATE_EVERY_PUBLICATION"))
"""By default the days that were published once, whose stream is their final file, are left out of the stream."""

WITHDRAWN = "20200223"
"""Published for four hours, the day before the calendar begins."""


@dataclass
class Feed:
    """A home with the feed's table and its drop folder."""

    folder: Path
    workspace: Workspace = field(init=False)
    contract: TableContract = field(init=False)

    def __post_init__(self) -> None:
        self.drops.mkdir(parents=True)
        self.workspace = Workspace(Settings(home=self.folder / "home", drops=self.folder / "drops", contracts=()))
        self.contract = parse_contract(ODCS.read_bytes(), source=str(ODCS))

    @property
    def drops(self) -> Path:
        return self.folder / "drops" / "pcm-regioni"

    def publish(self, source: Path, day: str) -> None:
        staged = self.folder / "staged-drop"
        shutil.copyfile(source, staged)
        staged.rename(self.drops / f"dpc-covid19-ita-regioni-{day}.csv")

    def ingest_new(self) -> list[PartitionResult]:
        scan(self.workspace, self.contract)
        capture(self.workspace, self.contract)
        keys = sorted(self.workspace.catalogue.captures(self.contract.table))
        select(self.workspace, self.contract, keys)
        return [build_partition(self.workspace, self.contract, key, run_id="test") for key in keys]

    def ingest_day(self, key: str) -> PartitionResult:
        scan(self.workspace, self.contract)
        capture(self.workspace, self.contract, [key])
        select(self.workspace, self.contract, [key])
        return build_partition(self.workspace, self.contract, key, run_id="test")

    def head(self, key: str) -> Commit:
        head = self.workspace.reader.head(self.contract.table, key)
        assert head is not None
        return head


def key_of(day: str) -> str:
    return dt.datetime.strptime(day, "%Y%m%d").date().isoformat()  # noqa: DTZ007 - a date alone


@pytest.fixture(scope="module")
def regioni(corpora: Path) -> Path:
    return corpora / "pcm-regioni"


@pytest.fixture(scope="module")
def final(regioni: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Feed, list[PartitionResult]]]:
    feed = Feed(tmp_path_factory.mktemp("final"))
    for path in sorted((regioni / "daily").iterdir()):
        feed.publish(path, path.stem[-8:])
    yield feed, feed.ingest_new()
    shutil.rmtree(feed.folder)


def query(feed: Feed, sql: str) -> list[tuple[object, ...]]:
    heads = [feed.head(key) for key in feed.workspace.reader.partitions(feed.contract.table)]
    paths = [path for files in feed.workspace.reader.open_commits(heads) for path in files.valid]
    with open_session() as session:
        return session.execute(sql.format(table=parquet_source(paths))).fetchall()


def totals(results: list[PartitionResult]) -> tuple[int, int, int]:
    candidates: list[Candidate] = [r.commit.candidate for r in results]
    return (
        sum(c.records for c in candidates),
        sum(c.valid_rows for c in candidates),
        sum(c.quarantined_rows for c in candidates),
    )


def test_every_final_day_is_published_and_every_record_accounted_for(final: tuple[Feed, list[PartitionResult]]) -> None:
    _, results = final
    assert Counter(r.outcome for r in results) == {Outcome.PUBLISHED: 1781}
    records, valid, quarantined = totals(results)
    assert records == valid + quarantined == 37_401
    assert quarantined == 0


def test_the_broken_rules_are_counted_rule_by_rule(final: tuple[Feed, list[PartitionResult]]) -> None:
    counts: Counter[str] = Counter()
    for result in final[1]:
        for warning in result.receipts[3].warnings:
            counts[warning.subject.removeprefix("rule ")] += int(warning.observed.split()[0])
    assert counts == {
        "positive_figures_add_up": 1,
        "case_figures_add_up": 15,
        "cases_by_test_add_up": 10,
        "new_cases_are_not_negative": 14,
        "admissions_are_not_negative": 5,
        "tested_people_are_at_most_swabs": 2,
    }


def test_both_headers_and_the_zeros_of_the_codes_arrive(final: tuple[Feed, list[PartitionResult]]) -> None:
    ((rows, codes, short, with_nuts),) = query(
        final[0],
        "SELECT count(*), count(DISTINCT codice_regione), count(*) FILTER (WHERE length(codice_regione) <> 2), "
        "count(codice_nuts_1) FILTER (WHERE data >= '2021-01-16') FROM {table}",
    )
    assert (rows, codes, short) == (37_401, 21, 0)
    assert with_nuts == 21 * 1454


def test_every_published_cell_is_what_the_file_says(final: tuple[Feed, list[PartitionResult]], regioni: Path) -> None:
    published = {
        (row[0], row[1]): row[2:]
        for row in query(
            final[0],
            "SELECT CAST(data AS DATE)::VARCHAR, codice_regione, denominazione_regione, totale_casi, "
            "tamponi, note FROM {table}",
        )
    }
    compared = 0
    for path in (regioni / "daily").iterdir():
        with path.open(encoding="utf-8-sig", newline="") as file:
            for record in csv.DictReader(file):
                expected = (
                    record["denominazione_regione"],
                    int(record["totale_casi"]),
                    int(record["tamponi"]),
                    record["note"] or None,
                )
                assert published[record["data"][:10], record["codice_regione"]] == expected
                compared += 1
    assert compared == 37_401


def test_running_everything_again_parses_and_publishes_nothing(
    final: tuple[Feed, list[PartitionResult]], monkeypatch: pytest.MonkeyPatch
) -> None:
    feed, results = final
    monkeypatch.setattr(segment_writer, "read_records", None)  # whoever parses now, fails
    again = feed.ingest_new()
    assert Counter(r.outcome for r in again) == {Outcome.REUSED: 1781}
    assert [r.commit.digest for r in again] == [r.commit.digest for r in results]


def publications(regioni: Path) -> list[dict[str, str]]:
    with (regioni / "events.csv").open(encoding="utf-8", newline="") as file:
        events = list(csv.DictReader(file))
    times = Counter(event["day"] for event in events)
    return [event for event in events if EVERY_PUBLICATION or times[event["day"]] > 1]


@pytest.fixture(scope="module")
def stream(
    regioni: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Feed, dict[str, list[tuple[str, PartitionResult]]]]]:
    """Each publication in its turn, ingested before the next one comes; what was readable stays so."""
    feed = Feed(tmp_path_factory.mktemp("stream"))
    history: dict[str, list[tuple[str, PartitionResult]]] = defaultdict(list)
    readable: set[str] = set()
    for event in publications(regioni):
        if event["op"] == "D":
            (feed.drops / f"dpc-covid19-ita-regioni-{event['day']}.csv").unlink()
            continue
        feed.publish(regioni / event["file"], event["day"])
        if event["day"] == WITHDRAWN:
            (problem,) = scan(feed.workspace, feed.contract).problems
            assert problem.problem == "OUTSIDE_CALENDAR"
            continue
        key = key_of(event["day"])
        history[key].append((event["seq"], feed.ingest_day(key)))
        if history[key][-1][1].outcome is Outcome.PUBLISHED:
            readable.add(key)
        if key in readable:
            feed.workspace.reader.open(feed.contract.table, key)
    yield feed, history
    shutil.rmtree(feed.folder)


def test_the_stream_ends_where_the_final_files_do(
    final: tuple[Feed, list[PartitionResult]], stream: tuple[Feed, dict[str, list[tuple[str, PartitionResult]]]]
) -> None:
    at_once, (streamed, history) = final[0], stream
    assert len(history) == (1781 if EVERY_PUBLICATION else 367)
    for key in history:
        one, other = at_once.head(key).candidate, streamed.head(key).candidate
        assert (one.view_key, one.snapshot, one.segments, one.overlay) == (
            other.view_key,
            other.snapshot,
            other.segments,
            other.overlay,
        )
    states = Counter(s.state for s in partition_statuses(streamed.workspace, streamed.contract) if s.key in history)
    assert states == {PartitionState.PUBLISHED: len(history)}


HELD = {
    "13": "a file with other dates and unpadded codes",
    "87": "a dragged date column",
    "213": "a row one field short",
    "243": "a row one field short",
    "280": "a file with semicolons",
}


def test_each_real_mishap_ends_where_a_user_would_expect(
    stream: tuple[Feed, dict[str, list[tuple[str, PartitionResult]]]],
) -> None:
    by_sequence = {seq: result for results in stream[1].values() for seq, result in results}
    for sequence, mishap in HELD.items():
        assert by_sequence[sequence].outcome is Outcome.HELD, mishap
    for sequence in ("139", "175", "176", "376", "1060"):  # renamed columns, a missing last line end, a blank line
        result = by_sequence[sequence]
        assert result.outcome is Outcome.PUBLISHED
        assert result.commit.candidate.quarantined_rows == 0


def test_the_rows_that_lost_a_field_say_so(stream: tuple[Feed, dict[str, list[tuple[str, PartitionResult]]]]) -> None:
    feed, history = stream
    results = {seq: result for found in history.values() for seq, result in found}
    for sequence in ("213", "243"):
        candidate = results[sequence].commit.candidate
        assert (candidate.valid_rows, candidate.quarantined_rows) == (20, 1)
        segment = candidate.segments[0]
        folder = feed.workspace.store.path(f"tables/pcm_regioni/segments/{segment.view_key[7:]}/{segment.content[7:]}")
        with open_session() as session:
            source = parquet_source([folder / "quarantine.parquet"])
            ((reasons,),) = session.execute(f"SELECT reasons FROM {source}").fetchall()
        assert [r["code"] for r in reasons] == ["FIELD_COUNT"]
