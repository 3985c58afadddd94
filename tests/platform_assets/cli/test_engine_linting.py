"""`engine lint`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine_bundles import gate_document
from tests.engine_packs import output_document, write_pack
from tests.installation import Installation

CARDS = Path(__file__).parents[3] / "examples" / "engine" / "cards"


def test_the_shipped_engine_is_fine(installation: Installation) -> None:
    ran = installation.hashgate("engine", "lint", str(CARDS))
    assert ran.code == 0, ran.out
    assert ran.out.splitlines() == [f"{CARDS}: fine", "1 engine, 0 problems"]


def test_lint_says_what_dangles_with_file_line_and_remedy(installation: Installation, tmp_path: Path) -> None:
    gate = gate_document("g", authorizes=["o", "nope"], upstream=["gone"])
    folder = write_pack(tmp_path / "alpha", [output_document(schema="rows.json")], [gate])
    (folder / "policy.yaml").write_text("traffic_outputs: [o, rows]\n")
    ran = installation.hashgate("engine", "lint", str(tmp_path), "--json")
    assert ran.code == 2
    told = {(p["file"], p["problem"]) for p in ran.json["problems"]}
    assert told == {
        ("catalogue.yaml", "there is no file 'rows.json' in the pack"),
        ("gates.yaml", "there is no output nope in catalogue.yaml"),
        ("gates.yaml", "there is no gate gone in gates.yaml"),
        ("policy.yaml", "there is no output rows in catalogue.yaml"),
    }
    assert all(p["fix"] and p["engine"] == str(folder) for p in ran.json["problems"])
    assert all(p["line"] for p in ran.json["problems"] if p["file"] != "policy.yaml")
    said = installation.hashgate("engine", "lint", str(tmp_path))
    assert f"{folder}: broken" in said.out
    assert "1 engine, 4 problems" in said.out


def test_lint_says_what_breaks_a_schema(installation: Installation, tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "alpha")
    (folder / "gates.yaml").write_text("gates: []\n")
    (folder / "policy.yaml").write_text("comand: [a]\n")
    ran = installation.hashgate("engine", "lint", str(tmp_path))
    assert ran.code == 2
    assert "gates.yaml, line 1, gates: it is empty" in ran.out
    assert "policy.yaml, line 1, comand: " in ran.out


def test_the_engines_of_the_setting_are_meant_when_none_is_named(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pack(tmp_path / "one" / "alpha")
    write_pack(tmp_path / "two" / "beta")
    monkeypatch.setenv("HASHGATE_ENGINES", f"{tmp_path / 'one'}:{tmp_path / 'two'}")
    ran = installation.hashgate("engine", "lint")
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == "2 engines, 0 problems"


def test_lint_of_nothing(installation: Installation, tmp_path: Path) -> None:
    missing = installation.hashgate("engine", "lint", str(tmp_path / "gone"))
    assert missing.code == 2
    assert "does not exist. Name an engine's folder" in missing.err
    (tmp_path / "empty").mkdir()
    empty = installation.hashgate("engine", "lint", str(tmp_path / "empty"))
    assert empty.code == 2
    assert "there is no engine (a folder with catalogue.yaml and gates.yaml)" in empty.err
