"""The bench's arithmetic: which medians make which promise, and that a miss or a wrong result is said."""

from __future__ import annotations

from typing import Any

import pytest

from bench.run import CASES, Case, check_result, figures, measure, render

GIB = 1 << 30


def case(name: str, size: int, ours: dict[str, float], peer_s: float = 1.0) -> dict[str, Any]:
    stages = {"capture_s": 0.5, "frame_parse_judge_s": 0.0, "gates_s": 0.0, "commit_s": 0.0}
    peer = {"total_s": peer_s, "cpu_s": 1.0, "peak_bytes": GIB}
    stages |= {"cpu_s": 1.0, "peak_bytes": GIB / 2}
    medians = {"duckdb": peer, "hashgate": stages | ours, "hashgate, framed": stages | ours}
    return {"name": name, "size_bytes": size, "medians": medians}


def measured(**changed: dict[str, float]) -> list[dict[str, Any]]:
    return [
        case("wide, clean", 300, {"total_s": 1.5} | changed.get("wide", {})),
        case("wide, 1 % bad", 300, {"total_s": 2.5} | changed.get("bad", {})),
        case("narrow", 100, {"total_s": 1.0} | changed.get("narrow", {})),
        case("narrow, ten million rows", 2000, {"total_s": 20.0} | changed.get("large", {})),
    ]


def missed(cases: list[dict[str, Any]]) -> list[str]:
    return [figure.what for figure in figures(cases) if not figure.kept]


def test_a_run_within_every_limit_keeps_every_promise() -> None:
    assert missed(measured()) == []
    assert [round(figure.value, 3) for figure in figures(measured())] == [1.0, 1.5, 2.5, 1.0, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("changed", "promise"),
    [
        ({"wide": {"total_s": 2.01, "capture_s": 0.5}}, "parse, judge, stage, gates and commit / COPY"),
        ({"wide": {"total_s": 2.01, "capture_s": 0.6}}, "everything, capture and framing too / COPY"),
        ({"bad": {"total_s": 3.01}}, "everything, 1 % bad records / COPY of the clean file"),
        ({"large": {"total_s": 23.1}}, "time per byte, ten million rows / half a million"),
        ({"wide": {"peak_bytes": GIB + 1}}, "peak memory, half a million rows"),
        ({"bad": {"peak_bytes": GIB + 1}}, "peak memory, 1 % bad records"),
        ({"large": {"peak_bytes": 2 * GIB + 1}}, "peak memory, ten million rows"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_promise_that_is_missed_is_said(changed: dict[str, dict[str, float]], promise: str) -> None:
    assert promise in missed(measured(**changed))


def test_the_page_shows_a_miss_in_bold() -> None:
    cases = measured(bad={"total_s": 3.5})
    shown = [vars(figure) | {"kept": figure.kept} for figure in figures(cases)]
    page = render({"machine": {"cores": 2}, "counted_runs": 5, "cases": cases, "figures": shown})
    assert "| everything, 1 % bad records / COPY of the clean file | 3.50 x | 3.00 x | **missed** |" in page
    assert page.count("| kept |") == 6
    assert "Where: cores 2." in page


@pytest.mark.parametrize(
    "lost", [{"valid_rows": 989, "quarantined_rows": 10}, {"valid_rows": 1000, "quarantined_rows": 0}]
)
def test_a_wrong_result_is_no_measurement(lost: dict[str, float]) -> None:
    with pytest.raises(SystemExit, match="wide: expected"):
        check_result(Case("wide", "wide", 1000, bad=True), lost, 1000)


def test_the_peer_is_measured_in_a_process_of_its_own(tmp_path: Any) -> None:
    seen = measure(CASES[0], tmp_path, 1, 500, "duckdb")
    assert seen["rows"] == 1000
    assert [sorted(run) for run in seen["runs"]["duckdb"]] == [["cpu_s", "peak_bytes", "total_s"]]
    assert 10 << 20 < seen["medians"]["duckdb"]["peak_bytes"] < GIB
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wide-1000.csv"]
