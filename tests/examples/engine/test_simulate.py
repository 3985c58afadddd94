"""The example's engine: the same bytes each time, golden rows, and evidence that is complete locally and in S3."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq
import pytest

from contracts.authority.evidence import Evidence, EvidenceState
from contracts.authority.pins import Pins
from contracts.authority.reasons import ReasonCode
from contracts.canonical import canonical_bytes
from contracts.refs import digest_bytes
from examples.engine.cards.simulate import main
from resources.authority.evidence_reader import assemble_evidence
from resources.authority.pack_files import load_pack
from resources.authority.run_roots import RunRoot, open_run_root
from resources.object_store import LocalObjectStore
from tests.servers.s3 import BUCKET, S3Server

CARDS = Path(__file__).parents[3] / "examples" / "engine" / "cards"
RUN = Path("runs/m1/p1/seed=42/baseline")
PINS = Pins(manifest_fingerprint="m1", parameter_hash="p1", seed=42, scenario_id="baseline", run_id="r1")

GOLDEN = {
    "worlds/m1/cards.parquet": "blake3:579cc5f1199c748346e625560ca84fd78bd547bb6c0576df071b3e19c9c5f3bc",
    "worlds/m1/merchants.parquet": "blake3:517859bf23baefacfc3659bf48791d56856c6404fd09c3575304a0a0a2339653",
    "transactions": "blake3:694f573861707e80c8d7874c1a24c7b549e477382669b76a612a909deaaaee1b",
    "cases": "blake3:ebc58455af6e27bf236e005746e191dfc6711260a4d812e97e6c983d4895d62b",
}
"""Digests of rows as canonical JSON: they do not depend on the version that wrote the Parquet files."""


def simulate(root: Path, *more: str, rows: int = 300) -> Path:
    pins = ["--manifest", "m1", "--parameters", "p1", "--seed", "42", "--scenario", "baseline", "--run-id", "r1"]
    assert main(["--out", str(root), *pins, "--rows", str(rows), *more]) == 0
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("root"), "--trace")


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def evidence(root: RunRoot, tmp_path: Path, pins: Pins = PINS) -> Evidence:
    pack = load_pack(CARDS)
    store = LocalObjectStore(tmp_path / "store")
    return assemble_evidence(pack, list(pack.outputs), pins, root, policy_revision="r", store=store)


def test_the_same_arguments_write_the_same_bytes(root: Path, tmp_path: Path) -> None:
    assert contents(simulate(tmp_path, "--trace")) == contents(root)


@pytest.mark.parametrize("where", list(GOLDEN))
def test_its_rows_are_the_golden_ones(root: Path, where: str) -> None:
    paths = [root / where] if where.endswith(".parquet") else sorted((root / RUN / where).rglob("*.parquet"))
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    assert rows
    plain = [{k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in row.items()} for row in rows]
    assert digest_bytes(canonical_bytes(plain)) == GOLDEN[where]


def test_it_knows_nothing_of_the_platform() -> None:
    tree = ast.parse((CARDS / "simulate.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names | {"pyarrow"}
    assert "hashgate" not in (CARDS / "simulate.py").read_text()


@pytest.mark.parametrize("scenario", ["baseline", "card_testing", "calm"])
def test_scenarios_differ_in_their_share_of_fraud(tmp_path: Path, scenario: str) -> None:
    pins = ["--manifest", "m1", "--parameters", "p1", "--seed", "7", "--scenario", scenario, "--run-id", "r1"]
    main(["--out", str(tmp_path), *pins, "--rows", "1000"])
    folder = tmp_path / "runs/m1/p1/seed=7" / scenario / "transactions"
    fraud = sum(pq.read_table(path)["is_fraud"].to_pylist().count(True) for path in folder.rglob("*.parquet"))
    low, high = {"baseline": (4, 30), "card_testing": (30, 100), "calm": (0, 9)}[scenario]
    assert low <= fraud <= high


def test_its_evidence_is_complete_under_every_law(root: Path, tmp_path: Path) -> None:
    found = evidence(open_run_root(str(root)), tmp_path)
    assert (found.state, found.reasons, found.missing) == (EvidenceState.COMPLETE, (), ())
    assert len(found.locators) == 7
    assert {receipt.law for receipt in found.gate_receipts} == {
        "sha256_bundle_digest",
        "sha256_member_digest_concat",
        "sha256_index_json_ascii_lex_raw_bytes",
    }
    assert found.oracle_pack is not None
    assert found.oracle_pack.engine_release == "cards 1.0.0"


def test_its_evidence_in_s3_is_the_same(root: Path, tmp_path: Path, moto: S3Server) -> None:
    prefix, client = f"runs/{uuid4().hex}", moto.client()
    for path, data in contents(root).items():
        client.put_object(Bucket=BUCKET, Key=f"{prefix}/{path}", Body=data)
    there = evidence(open_run_root(f"s3://{BUCKET}/{prefix}", client=client), tmp_path)
    here = evidence(open_run_root(str(root)), tmp_path)
    assert there.state is EvidenceState.COMPLETE
    assert there.bundle_digest == here.bundle_digest


def test_the_trace_is_optional(tmp_path: Path) -> None:
    found = evidence(open_run_root(str(simulate(tmp_path / "root"))), tmp_path)
    assert found.state is EvidenceState.COMPLETE
    assert {missing.subject for missing in found.missing} == {"trace"}


@pytest.mark.parametrize(
    "file",
    [
        "transactions/segment=retail/part-0000.parquet",
        "cases/travel.parquet",
        "summary/README.txt",
        "draws/online.jsonl",
        "trace/retail.txt",
    ],
)
def test_one_flipped_bit_is_a_conflict(root: Path, tmp_path: Path, file: str) -> None:
    copy = tmp_path / "root"
    for path, data in contents(root).items():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_bytes(data)
    flipped = bytearray((copy / RUN / file).read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (copy / RUN / file).write_bytes(flipped)
    found = evidence(open_run_root(str(copy)), tmp_path)
    assert found.state is EvidenceState.CONFLICT
    assert {reason.code for reason in found.reasons} == {ReasonCode.EVIDENCE_CONFLICT}


def test_other_pins_than_the_pack_s_are_a_mismatch(root: Path, tmp_path: Path) -> None:
    found = evidence(open_run_root(str(root)), tmp_path, PINS.model_copy(update={"seed": 43}))
    assert [reason.code for reason in found.reasons] == [ReasonCode.ORACLE_PACK_MISMATCH]
