from __future__ import annotations

import pytest
from pydantic import ValidationError

from contracts.authority.pins import PIN_NAMES, PathPattern, PathTemplate, Pins, is_instance_scoped

PINS = Pins(manifest_fingerprint="m", parameter_hash="p", seed=7, scenario_id="s")


def test_pins_of_a_scope_stand_in_the_order_of_paths_whatever_order_the_scope_has() -> None:
    assert list(PINS.within(["scenario_id", "seed", "manifest_fingerprint"]).items()) == [
        ("manifest_fingerprint", "m"),
        ("seed", "7"),
        ("scenario_id", "s"),
    ]


def test_a_pin_that_nobody_knows_is_missing_and_not_empty_text() -> None:
    assert PINS.missing(PIN_NAMES) == ("run_id",)
    assert "run_id" not in PINS.within(PIN_NAMES)


@pytest.mark.parametrize("value", ["", "a/b", "..", ".hidden", "a b", "a\n", "a\0", "ä", "x" * 129, "-x", "a\\b"])
def test_a_pin_is_one_plain_name(value: str) -> None:
    with pytest.raises(ValidationError):
        Pins(manifest_fingerprint="m", parameter_hash=value, seed=7, scenario_id="s")


@pytest.mark.parametrize("seed", [-1, 2**53 + 1, 1.5])
def test_a_seed_is_a_whole_number_that_json_keeps(seed: float) -> None:
    with pytest.raises(ValidationError):
        Pins.model_validate({"manifest_fingerprint": "m", "parameter_hash": "p", "seed": seed, "scenario_id": "s"})


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (["manifest_fingerprint"], False),
        (["manifest_fingerprint", "seed"], True),
        (["parameter_hash"], True),
        (["scenario_id"], True),
        (["run_id"], True),
    ],
)
def test_what_belongs_to_one_instance(scope: list[str], expected: bool) -> None:
    assert is_instance_scoped(scope) is expected


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("  a/{seed}/b  ", "a/{seed}/b"),
        ("a/{ seed }/b", "a/{seed}/b"),
        ("a / {seed}\n/ b", "a/{seed}/b"),
        ("a b/c", "a b/c"),
        ("./", "./"),
    ],
)
def test_stray_whitespace_in_templates_is_tolerated(text: str, clean: str) -> None:
    assert PathTemplate.parse(text).text == clean


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("/a", "absolute"),
        ("s3://bucket/a", "absolute"),
        ("a/../b", "leaves the run root"),
        ("..", "leaves the run root"),
        ("a//b", "empty name"),
        ("a/./b", "empty name"),
        ("a/{seed", "brace"),
        ("a/seed}", "brace"),
        ("a/{{seed}}", "brace"),
        ("a/{}", "names nothing"),
        ("a/{Seed}", "names nothing"),
        ("a\\b", "backslash"),
        ("a\tb/c", "control"),
        ("a/**", "stands for folders"),
        ("a/x**/b", "stands for folders"),
    ],
)
def test_a_template_that_could_leave_the_run_root_or_says_nothing_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        PathTemplate.parse(text)


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("a/x.parquet", "a/x.parquet", {}),
        ("a/x.parquet", "a/xzparquet", None),
        ("a/", "a/b/c", {}),
        ("a/", "a", None),
        ("a/", "ab/c", None),
        ("a/*.csv", "a/x.csv", {}),
        ("a/*.csv", "a/b/x.csv", None),
        ("a/**/x.csv", "a/x.csv", {}),
        ("a/**/x.csv", "a/b/c/x.csv", {}),
        ("a/seg={segment}/*.csv", "a/seg=web/x.csv", {"segment": "web"}),
        ("a/seg={segment}/*.csv", "a/seg=/x.csv", None),
        ("a/{d}/{d}.csv", "a/1/1.csv", {"d": "1"}),
        ("a/{d}/{d}.csv", "a/1/2.csv", None),
        ("a/x+(1).csv", "a/x+(1).csv", {}),
        ("./", "a/b", {}),
    ],
)
def test_which_paths_a_pattern_means(pattern: str, path: str, found: dict[str, str] | None) -> None:
    assert PathPattern(pattern).matched(path) == found


@pytest.mark.parametrize(
    ("pattern", "folder", "one"),
    [
        ("a/b/x.csv", "a/b", True),
        ("x.csv", "", True),
        ("a/b/", "a/b", False),
        ("a/b*/x.csv", "a", False),
        ("a/{p}/x.csv", "a", False),
        ("./", "", False),
    ],
)
def test_where_to_look_for_a_pattern(pattern: str, folder: str, one: bool) -> None:
    assert (PathPattern(pattern).folder, PathPattern(pattern).is_one_file) == (folder, one)


def test_only_pins_are_filled_in_and_other_holes_stay() -> None:
    template = PathTemplate.parse("{manifest_fingerprint}/seed={seed}/{segment}/{run_id}.csv")
    assert template.filled(PINS.within(PIN_NAMES)).text == "m/seed=7/{segment}/{run_id}.csv"
    assert template.holes == ("manifest_fingerprint", "seed", "segment", "run_id")
