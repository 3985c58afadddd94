"""The gates: break the writer on purpose, in more ways than it is likely to break, and see each gate go red.

The writer's own documents are made to agree with the damage, so that only somebody who looks at storage can notice.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import duckdb
import pytest

from contracts.commits import Candidate, SegmentEntry
from contracts.errors import DigestMismatchError
from contracts.gates import GateReceipt, Verdict
from contracts.refs import digest_bytes
from contracts.segments import SegmentIndex
from contracts.selection import Selection, SelectionSnapshot
from platform_assets.ingest import building
from resources import gatekeeper
from resources.captures import blob_key
from resources.gatekeeper import StagedCandidate
from resources.publisher import Outcome
from resources.segment_places import StagedFolder
from resources.segment_writer import stored_file
from resources.workspace import Workspace
from tests.sales import DAY, HEADER, SalesHome, row

Sabotage = Callable[[StagedCandidate], StagedCandidate]


@pytest.fixture
def sales(tmp_path: Path) -> SalesHome:
    home = SalesHome(tmp_path)
    home.drop(HEADER + row(1) + row(2) + row(3) + row(4, amount="x"))
    return home


def ingest_with(sales: SalesHome, monkeypatch: pytest.MonkeyPatch, sabotage: Sabotage) -> dict[str, GateReceipt]:
    judge = building.judge
    monkeypatch.setattr(building, "judge", lambda staged, store, counts: judge(sabotage(staged), store, counts))
    result = sales.ingest()
    assert result.outcome is Outcome.HELD, "a broken writer was published"
    assert sales.workspace.reader.head("sales", DAY) is None
    return {receipt.gate: receipt for receipt in result.receipts}


def rewrite(staged: StagedCandidate, name: str, select: str) -> StagedCandidate:
    """Write a file of the only segment anew, and let index and candidate tell the same story."""
    (entry,) = staged.candidate.segments
    folder = cast("StagedFolder", staged.places[entry.content]).path
    data = folder / name
    query = select.format(table=f"read_parquet('{data}')")
    rows = duckdb.connect().execute(f"COPY ({query}) TO '{folder}/new' (FORMAT parquet)").fetchall()[0][0]
    (folder / "new").rename(data)
    files = tuple(stored_file(folder / f.name, rows if f.name == name else f.rows) for f in entry.files)
    index = SegmentIndex.from_bytes((folder / "index.json").read_bytes()).model_copy(update={"files": files})
    (folder / "index.json").write_bytes(index.to_bytes())
    new_entry = entry.model_copy(update={"content": index.content, "files": index.stored_files})
    return replace(staged, new_entry, folder)


def replace(staged: StagedCandidate, entry: SegmentEntry, folder: Path) -> StagedCandidate:
    candidate: Candidate = staged.candidate.model_copy(update={"segments": (entry,)})
    # the gates judge what the publisher would then publish
    object.__setattr__(staged, "candidate", candidate)
    object.__setattr__(staged, "places", {**staged.places, entry.content: StagedFolder(folder)})
    return staged


def failed(receipts: dict[str, GateReceipt]) -> set[str]:
    return {gate for gate, receipt in receipts.items() if receipt.verdict is not Verdict.PASS}


def test_a_sound_writer_passes_every_gate(sales: SalesHome) -> None:
    assert {r.verdict for r in sales.ingest().receipts} == {Verdict.PASS}


def test_a_bit_that_flips_after_the_index_was_written_fails_integrity(
    sales: SalesHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flip(staged: StagedCandidate) -> StagedCandidate:
        path = Path(staged.files("valid.parquet")[0])
        data = bytearray(path.read_bytes())
        data[8] ^= 1
        path.write_bytes(bytes(data))
        return staged

    integrity = ingest_with(sales, monkeypatch, flip)["integrity"]
    assert integrity.verdict is Verdict.FAIL
    assert integrity.findings[0].expected.startswith("blake3:")
    assert integrity.findings[0].expected != integrity.findings[0].observed


def test_a_file_the_index_does_not_name_fails_integrity(sales: SalesHome, monkeypatch: pytest.MonkeyPatch) -> None:
    def smuggle(staged: StagedCandidate) -> StagedCandidate:
        (Path(staged.files("valid.parquet")[0]).parent / "more.parquet").write_bytes(b"x")
        return staged

    finding = ingest_with(sales, monkeypatch, smuggle)["integrity"].findings[0]
    assert (finding.expected, finding.observed) == (
        "quarantine.parquet, valid.parquet",
        "more.parquet, quarantine.parquet, valid.parquet",
    )


@pytest.mark.parametrize(
    ("select", "observed"),
    [
        ("SELECT * FROM {table} WHERE id <> 2", "1 lost, first record 2"),
        ("SELECT * FROM {table} UNION ALL SELECT * FROM {table} WHERE id = 3", "1 there twice, first record 3"),
        ("SELECT * REPLACE (_hg_record + 10 AS _hg_record) FROM {table}", "3 lost, first record 1"),
        (
            "SELECT * REPLACE (if(id = 1, 4, _hg_record)::BIGINT AS _hg_record) FROM {table}",
            "1 lost, first record 1",
        ),
    ],
    ids=["a row dropped", "a row repeated", "records misnumbered", "a row under a quarantined record"],
)
def test_a_writer_that_loses_or_repeats_fails_conservation(
    sales: SalesHome, monkeypatch: pytest.MonkeyPatch, select: str, observed: str
) -> None:
    receipts = ingest_with(sales, monkeypatch, lambda staged: rewrite(staged, "valid.parquet", select))
    assert receipts["integrity"].verdict is Verdict.PASS
    assert receipts["conservation"].verdict is Verdict.FAIL
    assert receipts["conservation"].findings[0].observed == observed


def test_a_quarantine_that_forgets_fails_conservation(sales: SalesHome, monkeypatch: pytest.MonkeyPatch) -> None:
    receipts = ingest_with(
        sales, monkeypatch, lambda staged: rewrite(staged, "quarantine.parquet", "SELECT * FROM {table} LIMIT 0")
    )
    assert receipts["conservation"].findings[0].observed == "1 lost, first record 4"


def test_rows_of_a_drop_that_was_not_selected_fail_conservation(
    sales: SalesHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = digest_bytes(b"stranger")
    select = "SELECT * FROM {table} UNION ALL SELECT * REPLACE ('" + stranger + "' AS _hg_source) FROM {table}"
    receipts = ingest_with(sales, monkeypatch, lambda staged: rewrite(staged, "valid.parquet", select))
    assert receipts["conservation"].findings[0].subject == f"rows of {stranger}"


@pytest.mark.parametrize(
    ("select", "expected", "observed"),
    [
        ("SELECT * REPLACE (id::VARCHAR AS id) FROM {table}", "id BIGINT", "id VARCHAR"),
        ("SELECT * EXCLUDE (note) FROM {table}", "note VARCHAR", "_hg_source VARCHAR"),
        ("SELECT *, 1 AS more FROM {table}", "no column", "more INTEGER"),
        ("SELECT * REPLACE (NULL::VARCHAR AS _hg_segment) FROM {table}", "lineage on every row", "3 rows without"),
    ],
    ids=["another type", "a column gone", "a column more", "no lineage"],
)
def test_a_writer_of_another_schema_fails_the_contract(
    sales: SalesHome, monkeypatch: pytest.MonkeyPatch, select: str, expected: str, observed: str
) -> None:
    receipts = ingest_with(sales, monkeypatch, lambda staged: rewrite(staged, "valid.parquet", select))
    finding = receipts["contract"].findings[0]
    assert (finding.expected, finding.observed) == (expected, observed)


def test_rows_without_a_record_number_are_never_a_pass(sales: SalesHome, monkeypatch: pytest.MonkeyPatch) -> None:
    select = "SELECT * REPLACE (NULL::BIGINT AS _hg_record) FROM {table}"
    receipts = ingest_with(sales, monkeypatch, lambda staged: rewrite(staged, "valid.parquet", select))
    assert receipts["conservation"].verdict is Verdict.UNKNOWN
    assert receipts["contract"].findings[0].observed == "3 rows without"


def test_a_writer_that_lets_a_key_through_twice_fails_quality(
    sales: SalesHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    select = "SELECT * REPLACE (1::BIGINT AS id) FROM {table}"
    receipts = ingest_with(sales, monkeypatch, lambda staged: rewrite(staged, "valid.parquet", select))
    assert failed(receipts) == {"quality"}
    assert (receipts["quality"].findings[0].subject, receipts["quality"].findings[0].observed) == (
        "key id",
        "1 values stand more than once",
    )


def test_a_drop_that_rots_before_it_is_read_is_never_published(
    sales: SalesHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_snapshot = building.load_snapshot

    def rot(workspace: Workspace, selection: Selection) -> SelectionSnapshot:
        snapshot = load_snapshot(workspace, selection)
        path = sales.folder / "home" / "store" / blob_key(snapshot.inputs[0].digest)
        path.write_bytes(path.read_bytes() + b"5,south,1,,\n")
        return snapshot

    monkeypatch.setattr(building, "load_snapshot", rot)
    with pytest.raises(DigestMismatchError, match=r"drop blobs/.*: expected blake3:"):
        sales.ingest()
    assert sales.workspace.reader.head("sales", DAY) is None


def test_a_missing_file_is_never_a_pass(sales: SalesHome, monkeypatch: pytest.MonkeyPatch) -> None:
    def remove(staged: StagedCandidate) -> StagedCandidate:
        Path(staged.files("valid.parquet")[0]).unlink()
        return staged

    assert failed(ingest_with(sales, monkeypatch, remove)) == {"integrity", "conservation", "contract", "quality"}


@pytest.mark.parametrize("gate", ["_integrity", "_conservation", "_contract", "_quality"])
def test_a_gate_that_cannot_look_says_unknown_and_holds(
    sales: SalesHome, monkeypatch: pytest.MonkeyPatch, gate: str
) -> None:
    def blind(*_: object) -> GateReceipt:
        msg = "the disk does not answer"
        raise OSError(msg)

    monkeypatch.setattr(gatekeeper, gate, blind)
    result = sales.ingest()
    assert result.outcome is Outcome.HELD
    receipt = next(r for r in result.receipts if r.gate == gate[1:])
    assert (receipt.verdict, receipt.observed) == (Verdict.UNKNOWN, "OSError: the disk does not answer")


def test_the_gates_count_for_themselves(sales: SalesHome, monkeypatch: pytest.MonkeyPatch) -> None:
    def boast(staged: StagedCandidate) -> StagedCandidate:
        object.__setattr__(
            staged, "candidate", staged.candidate.model_copy(update={"valid_rows": 999, "records": 1000})
        )
        return staged

    judge = building.judge
    monkeypatch.setattr(building, "judge", lambda staged, store, counts: judge(boast(staged), store, counts))
    receipts = {r.gate: r for r in sales.ingest().receipts}
    assert receipts["conservation"].measures["valid_rows"] == receipts["quality"].measures["valid_rows"] == 3
    assert receipts["conservation"].verdict is Verdict.FAIL
