"""The dataset catalogue's entries: which schema a version of a table's contract stands for.

A table's id is the same on any machine, and so is its schema's fingerprint. Registering the same again changes
nothing; another schema under the same version is a conflict, and changes nothing either.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self
from uuid import UUID

from contracts.errors import ContractError
from contracts.refs import Digest
from contracts.sealing import Sealed
from contracts.table_contract import TableContract


class DatasetEntry(Sealed):
    """What one version of a table's contract says the table's columns are."""

    UNSEALED: ClassVar[frozenset[str]] = frozenset({"hashgate/dataset/v1"})

    format: Literal["hashgate/dataset/v1", "hashgate/dataset/v2"] = "hashgate/dataset/v2"
    dataset_id: UUID
    table: str
    version: str
    schema_fingerprint: Digest
    columns: tuple[tuple[str, str], ...]
    """Name and DuckDB type, in order; nullability is no part of a schema."""

    @classmethod
    def of(cls, contract: TableContract) -> Self:
        """The entry that a contract asks for."""
        return cls(
            dataset_id=contract.dataset_id,
            table=contract.table,
            version=contract.version,
            schema_fingerprint=contract.schema_fingerprint,
            columns=tuple((column.name, column.type) for column in contract.columns),
        )


class SchemaConflictError(ContractError):
    """A contract's version is catalogued with other columns."""

    def __init__(self, *, contract: str, wanted: DatasetEntry, catalogued: DatasetEntry) -> None:
        there, here = dict(catalogued.columns), dict(wanted.columns)
        names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
        changed = ", ".join(f"{n} was {there.get(n, 'absent')} and is {here.get(n, 'absent')}" for n in names)
        super().__init__(
            contract=contract,
            where="version",
            problem=f"{wanted.table} {wanted.version} is catalogued with another schema: {changed or 'another order'}",
            fix="Raise the contract's version: a version stands for one schema.",
        )
