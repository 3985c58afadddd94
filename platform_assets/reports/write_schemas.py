"""Write `contracts/schemas/` anew: `python -m platform_assets.reports.write_schemas`, after a document changed."""

from __future__ import annotations

from pathlib import Path

import contracts
from contracts.authority.document_schemas import engine_schema_texts
from contracts.document_schemas import DOCUMENTS, schema_text, written_version

SCHEMAS = Path(contracts.__file__).parent / "schemas"


def schema_path(name: str) -> Path:
    """Where a document's schema lies; the number is the document's format version."""
    return SCHEMAS / f"{name}.v{written_version(name)}.json"


def main() -> None:
    """Write every schema; one that says the same stays as it is."""
    SCHEMAS.mkdir(exist_ok=True)
    for name in DOCUMENTS:
        schema_path(name).write_text(schema_text(name), encoding="utf-8")
    for file_name, text in engine_schema_texts().items():
        (SCHEMAS / file_name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
