from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import ContractError, UsageError
from resources.authority.pack_files import EngineRegistry, engine_folders, lint_pack, load_pack
from tests.engine_bundles import gate_document
from tests.engine_packs import write_pack

CARDS = Path(__file__).parents[3] / "examples" / "engine" / "cards"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pack(tmp_path / "engines" / "alpha")
    write_pack(tmp_path / "engines" / "beta")
    (tmp_path / "engines" / "notes").mkdir()
    return tmp_path / "engines"


def test_every_folder_with_a_pack_is_an_engine(folder: Path) -> None:
    assert engine_folders(folder) == [folder / "alpha", folder / "beta"]
    assert engine_folders(folder / "beta") == [folder / "beta"]
    assert engine_folders(folder / "gone") == []


def test_engines_by_name(folder: Path) -> None:
    registry = EngineRegistry.load([folder, folder / "gone"])
    assert list(registry.packs) == ["alpha", "beta"]
    assert registry.pack("beta").name == "beta"
    assert registry.folders["beta"] == folder / "beta"
    assert registry.problems == ()


def test_a_broken_pack_hides_no_other_and_is_told_when_it_is_asked_for(folder: Path) -> None:
    (folder / "alpha" / "gates.yaml").write_text("gates: 1\n")
    registry = EngineRegistry.load([folder])
    assert list(registry.packs) == ["beta"]
    with pytest.raises(ContractError, match=r"alpha/gates.yaml: line 1, gates: expected a list"):
        registry.pack("alpha")


def test_an_engine_that_is_not_there_is_told_with_those_that_are(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no engine 'gamma'. Engines: alpha, beta.*HASHGATE_ENGINES"):
        EngineRegistry.load([folder]).pack("gamma")


def test_an_engine_of_two_folders_is_declared_once(folder: Path, tmp_path: Path) -> None:
    write_pack(tmp_path / "more" / "beta")
    registry = EngineRegistry.load([folder, tmp_path / "more"])
    assert registry.folders["beta"] == folder / "beta"
    assert "engine beta is declared in" in str(registry.problems[0])


def test_a_folder_of_another_name_is_refused(folder: Path) -> None:
    (folder / "alpha").rename(folder / "omega")
    with pytest.raises(ContractError, match="the folder is called omega, and the engine alpha"):
        load_pack(folder / "omega")


def test_a_pack_with_a_dangling_reference_loads_and_lint_tells(folder: Path) -> None:
    write_pack(folder / "alpha", gates=[gate_document("g", authorizes=["o"], upstream=["gone"])])
    assert list(load_pack(folder / "alpha").gates) == ["g"]
    (told,) = lint_pack(folder / "alpha")
    assert told.file == "gates.yaml"
    assert "there is no gate gone" in told.problem.problem


def test_a_pack_without_its_gate_map_is_refused(folder: Path) -> None:
    (folder / "alpha" / "gates.yaml").unlink()
    with pytest.raises(ContractError, match="gates.yaml: the file: the file is missing"):
        load_pack(folder / "alpha")


def test_the_shipped_engine_is_sound() -> None:
    assert lint_pack(CARDS) == []
    pack = load_pack(CARDS)
    laws = {gate.law.name for gate in pack.gates.values()}
    assert len(laws) == 3
    assert {gate.flag.format for gate in pack.gates.values()} == {"text", "json"}
    assert {gate.law.ordering for gate in pack.gates.values()} == {"ascii_lex", "index_order"}
    assert {gate.law.path_base for gate in pack.gates.values()} == {"bundle_root", "run_root"}
