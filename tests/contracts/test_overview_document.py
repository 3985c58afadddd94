"""The overview as a document: what is written is read again, and nothing else is taken for one."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.distribution_drift import ColumnDrift
from contracts.overview_document import ColumnSeries, DriftSeries, Overview, PartitionLine, Totals
from contracts.refs import digest_bytes
from contracts.report_document import Profile
from tests.contracts.test_report_document import column

D = digest_bytes(b"any")
LINES = (
    PartitionLine(partition="2024-03-01", state="published", held=False, version=1, commit=D, records=3, valid_rows=3),
    PartitionLine(partition="2024-03-02", state="missing", held=False),
    PartitionLine(partition="2024-03-03", state="published", held=True, version=4, commit=D),
)
DRIFTS = DriftSeries.of([ColumnDrift(why="first"), ColumnDrift(why="no values", nulls_change=0.5)])


def overview(**changed: Any) -> Overview:
    numbers = ("partitions", "published", "held", "missing", "drops", "drop_bytes", "records", "valid_rows")
    totals = Totals(**dict.fromkeys((*numbers, "quarantined_rows", "segments", "reasons"), 1))
    series = ColumnSeries(
        name="x",
        null_share=(0.5, None),
        distinct=(1, None),
        low=(None, None),
        median=(None, None),
        high=(None, None),
        unit=None,
        against_previous=DRIFTS,
        against_baseline=DRIFTS,
    )
    facts: dict[str, Any] = {
        "table": "sales",
        "description": "",
        "cadence": "daily",
        "contract": None,
        "versions": D,
        "totals": totals,
        "partitions": LINES,
        "reasons": (),
        "gates": (),
        "profile": Profile(rows=3, columns=(column(),)),
        "series": (series,),
        "baseline": None,
    }
    return Overview(**(facts | changed))


def test_a_written_overview_is_read_again_and_written_alike() -> None:
    data = overview().to_bytes()
    assert Overview.from_bytes(data) == overview()
    assert Overview.from_bytes(data).to_bytes() == data


def test_the_series_go_with_the_published_lines() -> None:
    assert [line.partition for line in overview().published] == ["2024-03-01", "2024-03-03"]


def test_any_changed_byte_is_noticed() -> None:
    data = overview().to_bytes()
    for at in range(0, len(data), 7):
        with pytest.raises(ValueError, match=r"."):
            Overview.from_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"format": "hashgate/overview/v2"}, "format"),
        ({"basis": "modeled"}, "basis"),
        ({"cadence": "yearly"}, "cadence"),
        ({"author": "me"}, "author"),
        ({"versions": None}, "versions"),
    ],
    ids=["another version", "another basis", "an unknown cadence", "an unknown field", "no versions"],
)
def test_what_is_no_overview_is_refused(change: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError, match=where):
        overview(**change)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="committed_at"):
        PartitionLine(partition="a", state="held", held=True, committed_at=dt.datetime(2024, 3, 2))
