"""Packs for tests, on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.engine_bundles import gate_document


def output_document(output_id: str = "o", path: str = "o.csv", **fields: Any) -> dict[str, Any]:
    """An output as catalogue.yaml has it."""
    return {"id": output_id, "path": path, "scope": ["manifest_fingerprint"], **fields}


def write_pack(folder: Path, outputs: Sequence[dict[str, Any]] = (), gates: Sequence[dict[str, Any]] = ()) -> Path:
    """An engine of the folder's name; by default with one output `o.csv` behind one gate over `bundle/`."""
    folder.mkdir(parents=True, exist_ok=True)
    catalogue = {
        "format": "hashgate/engine-catalogue/v1",
        "engine": folder.name,
        "outputs": list(outputs) or [output_document()],
    }
    gate_map = {"format": "hashgate/engine-gates/v1", "gates": list(gates) or [gate_document()]}
    (folder / "catalogue.yaml").write_text(yaml.safe_dump(catalogue, sort_keys=False))
    (folder / "gates.yaml").write_text(yaml.safe_dump(gate_map, sort_keys=False))
    return folder
