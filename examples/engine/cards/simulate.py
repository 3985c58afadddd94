"""A small engine: card transactions with labelled fraud in three segments, seeded and deterministic.

    python simulate.py --out RUN_ROOT --manifest M --parameters P --seed 42 --scenario baseline --run-id R

It knows nothing of the platform that reads it: like any engine it writes Parquet files, bundles with their indexes, and
a passed flag for each bundle, the flag last. The same arguments write the same bytes, whoever calls it, whenever.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

RELEASE = "cards 1.0.0"
SEGMENTS = ("online", "retail", "travel")
SCENARIOS = {"baseline": 0.004, "card_testing": 0.02, "holiday": 0.008}
"""The share of fraud; a scenario of another name is calm."""

CALM = 0.001
START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 28
CARDS, MERCHANTS = 400, 60
COUNTRIES = ("DE", "ES", "FR", "IT", "NL", "PL")
TYPICAL_CENTS = {"online": 4_200, "retail": 2_600, "travel": 21_000}
CHANNELS = {"online": ("web", "app"), "retail": ("chip", "contactless"), "travel": ("web", "chip")}
ROWS_A_FILE = 2_500

MERCHANT_SCHEMA = pa.schema([("merchant_id", pa.string()), ("segment", pa.string()), ("country", pa.string())])
CARD_SCHEMA = pa.schema([("card_id", pa.string()), ("country", pa.string()), ("limit_cents", pa.int64())])
TRANSACTION_SCHEMA = pa.schema(
    [
        ("transaction_id", pa.int64()),
        ("happened_at", pa.timestamp("us", tz="UTC")),
        ("segment", pa.string()),
        ("card_id", pa.string()),
        ("merchant_id", pa.string()),
        ("country", pa.string()),
        ("channel", pa.string()),
        ("amount_cents", pa.int64()),
        ("is_fraud", pa.bool_()),
        ("fraud_kind", pa.string()),
    ]
)
CASE_SCHEMA = pa.schema(
    [("case_id", pa.string()), ("card_id", pa.string()), ("fraud_kind", pa.string()), ("transaction_id", pa.int64())]
)


@dataclass(frozen=True)
class Arguments:
    """What is simulated, and where to."""

    out: Path
    manifest: str
    parameters: str
    seed: int
    scenario: str
    run_id: str
    rows: int
    trace: bool

    @property
    def world(self) -> Path:
        """What all runs under one manifest share."""
        return self.out / "worlds" / self.manifest

    @property
    def run(self) -> Path:
        """What belongs to this run alone."""
        return self.out / "runs" / self.manifest / self.parameters / f"seed={self.seed}" / self.scenario

    def chance(self, about: str, *parts: str) -> random.Random:
        """A source of chance of its own for each thing, so that one more draw here changes nothing there."""
        text = "|".join([about, *parts])
        return random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]))  # noqa: S311 - a simulation


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate one run."""
    given = _arguments(sys.argv[1:] if argv is None else argv)
    cards, merchants = _write_world(given)
    transactions = list(_transactions(given, cards, merchants))
    _write_transactions(given, transactions)
    _write_cases(given, transactions)
    _write_summary(given, transactions)
    _write_draws(given)
    if given.trace:
        _write_trace(given, transactions)
    _write_receipt(given)
    print(f"{len(transactions)} transactions, {sum(row['is_fraud'] for row in transactions)} of them fraud")
    return 0


def _arguments(argv: Sequence[str]) -> Arguments:
    parser = argparse.ArgumentParser(description="Simulate card transactions with labelled fraud.")
    parser.add_argument("--out", type=Path, required=True, help="the run root")
    parser.add_argument("--manifest", required=True, help="the world's fingerprint")
    parser.add_argument("--parameters", required=True, help="the parameters' hash")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--scenario", required=True, help=f"such as {', '.join(SCENARIOS)}")
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--rows", type=int, default=6_000, help="transactions in each segment (6000)")
    parser.add_argument("--trace", action="store_true", help="write the optional trace as well")
    return Arguments(**vars(parser.parse_args(argv)))


# --- what is simulated ---


def _write_world(given: Arguments) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Cards and merchants, and a flag over the bytes of both files."""
    chance = given.chance("world", given.manifest)
    merchants = [
        {"merchant_id": f"M{at:04d}", "segment": SEGMENTS[at % 3], "country": chance.choice(COUNTRIES)}
        for at in range(MERCHANTS)
    ]
    cards = [
        {
            "card_id": f"C{at:05d}",
            "country": chance.choice(COUNTRIES),
            "limit_cents": 50_000 * chance.randint(1, 20),
        }
        for at in range(CARDS)
    ]
    files = [
        _write_table(given.world / "cards.parquet", cards, CARD_SCHEMA),
        _write_table(given.world / "merchants.parquet", merchants, MERCHANT_SCHEMA),
    ]
    _write_text(given.world / "_passed.flag", f"sha256_hex = {_sha256(path.read_bytes() for path in files)}\n")
    return cards, merchants


def _transactions(
    given: Arguments, cards: list[dict[str, Any]], merchants: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    number = 0
    share = SCENARIOS.get(given.scenario, CALM)
    for segment in SEGMENTS:
        chance = given.chance(
            "transactions", given.manifest, given.parameters, str(given.seed), given.scenario, segment
        )
        shops = [merchant for merchant in merchants if merchant["segment"] == segment]
        for _ in range(given.rows):
            number += 1
            card, shop = chance.choice(cards), chance.choice(shops)
            is_fraud = chance.random() < share
            kind = chance.choice(("card_testing", "stolen_card", "takeover")) if is_fraud else None
            amount = max(1, round(TYPICAL_CENTS[segment] * chance.lognormvariate(0, 0.7)))
            yield {
                "transaction_id": number,
                "happened_at": START + timedelta(seconds=chance.randrange(DAYS * 86_400)),
                "segment": segment,
                "card_id": card["card_id"],
                "merchant_id": shop["merchant_id"],
                "country": shop["country"] if not is_fraud else chance.choice(COUNTRIES),
                "channel": chance.choice(CHANNELS[segment]),
                "amount_cents": chance.randint(1, 199) if kind == "card_testing" else amount * (4 if is_fraud else 1),
                "is_fraud": is_fraud,
                "fraud_kind": kind,
            }


# --- what is written, each bundle in its own way, as engines that grew do ---


def _write_transactions(given: Arguments, rows: list[dict[str, Any]]) -> None:
    """Files below the run; an index with digests, its paths from the run root; a JSON flag over the digests."""
    folder = given.run / "transactions"
    files = []
    for segment in SEGMENTS:
        mine = [row for row in rows if row["segment"] == segment]
        for part, start in enumerate(range(0, len(mine), ROWS_A_FILE)):
            path = folder / f"segment={segment}" / f"part-{part:04d}.parquet"
            files.append(_write_table(path, mine[start : start + ROWS_A_FILE], TRANSACTION_SCHEMA))
    gate = given.run / "gates" / "transactions"
    entries = [_entry(path, given.out) for path in files]
    _write_json(gate / "index.json", {"files": entries})
    stated = _sha256(entry["sha256_hex"].encode() for entry in entries)
    _write_json(gate / "passed.json", {"passed": True, "bundle_digest_sha256": stated})


def _write_cases(given: Arguments, rows: list[dict[str, Any]]) -> None:
    """The labels by case; an index beside them, and a flag over their bytes."""
    folder = given.run / "cases"
    fraud = [row for row in rows if row["is_fraud"]]
    files = []
    for segment in SEGMENTS:
        cases = [
            {
                "case_id": f"{row['card_id']}-{row['fraud_kind']}",
                "card_id": row["card_id"],
                "fraud_kind": row["fraud_kind"],
                "transaction_id": row["transaction_id"],
            }
            for row in fraud
            if row["segment"] == segment
        ]
        files.append(_write_table(folder / f"{segment}.parquet", cases, CASE_SCHEMA))
    _write_json(folder / "index.json", {"entries": [{"path": path.name} for path in files]})
    _write_text(folder / "_passed.flag", _sha256(path.read_bytes() for path in files) + "\n")


def _write_summary(given: Arguments, rows: list[dict[str, Any]]) -> None:
    """Two small documents in the index's order, which is not that of their names."""
    folder = given.run / "summary"
    totals = {
        segment: {
            "transactions": sum(row["segment"] == segment for row in rows),
            "fraud": sum(row["segment"] == segment and row["is_fraud"] for row in rows),
            "amount_cents": sum(row["amount_cents"] for row in rows if row["segment"] == segment),
        }
        for segment in SEGMENTS
    }
    texts = {
        "totals.json": json.dumps(totals, indent=1, sort_keys=True) + "\n",
        "README.txt": f"Simulated by {RELEASE} in scenario {given.scenario}.\n",
    }
    files = [_write_text(folder / name, text) for name, text in texts.items()]
    _write_json(folder / "index.json", {"members": [{"name": path.name} for path in files]})
    stated = _sha256(path.read_bytes() for path in files)
    _write_json(folder / "_passed.flag", {"bundle_digest_sha256": f"sha256:{stated}"})


def _write_draws(given: Arguments) -> None:
    """How chance was seeded, for auditors; the index is a bare list, and the flag follows its order."""
    folder = given.run / "draws"
    files = [
        _write_text(folder / f"{segment}.jsonl", json.dumps({"segment": segment, "seed": given.seed}) + "\n")
        for segment in reversed(SEGMENTS)
    ]
    _write_json(folder / "index.json", [path.name for path in files])
    _write_text(folder / "_passed.flag", f"{_sha256(path.read_bytes() for path in files)}  draws\n")


def _write_trace(given: Arguments, rows: list[dict[str, Any]]) -> None:
    """The first rows of each segment in words; nobody needs it."""
    folder = given.run / "trace"
    files = [
        _write_text(
            folder / f"{segment}.txt",
            "".join(f"{row['transaction_id']} {row['card_id']}\n" for row in rows if row["segment"] == segment)[:1_000],
        )
        for segment in SEGMENTS
    ]
    entries = [{"file": path.name, "digest": f"sha256:{_sha256([path.read_bytes()])}"} for path in files]
    _write_json(folder / "index.json", {"items": entries})
    _write_text(folder / "_passed.flag", _sha256(entry["digest"].encode() for entry in entries))


def _write_receipt(given: Arguments) -> None:
    """Which pack this is, and last of all what was run."""
    pins = {
        "manifest_fingerprint": given.manifest,
        "parameter_hash": given.parameters,
        "seed": given.seed,
        "scenario_id": given.scenario,
    }
    pack_id = _sha256([json.dumps(pins, sort_keys=True).encode()])[:32]
    manifest = {"oracle_pack_id": pack_id, "engine_release": RELEASE, "pins": pins}
    _write_json(given.out / "_oracle_pack_manifest.json", manifest)
    _write_json(given.out / "run_receipt.json", {"run_id": given.run_id, **pins, "engine_release": RELEASE})


def _entry(path: Path, base: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"path": path.relative_to(base).as_posix(), "sha256_hex": _sha256([data]), "size_bytes": len(data)}


def _write_table(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path, compression="zstd")
    return path


def _write_json(path: Path, document: Any) -> Path:
    return _write_text(path, json.dumps(document, indent=1) + "\n")


def _write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _sha256(pieces: Iterable[bytes]) -> str:
    law = hashlib.sha256()
    for piece in pieces:
        law.update(piece)
    return law.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
