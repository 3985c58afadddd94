"""A run's fingerprint: the same for the same work, another for any change."""

from __future__ import annotations

from platform_assets.ingest.ingesting import run_fingerprint, take_in
from tests.sales import DAY, HEADER, SALES, SalesHome, row


def fingerprint(sales: SalesHome, *, force: bool = False) -> str:
    return run_fingerprint(sales.contract, take_in(sales.workspace, sales.contract, [DAY]), force=force)


def test_the_same_work_has_the_same_fingerprint_in_another_home(sales: SalesHome) -> None:
    other = SalesHome(sales.folder / "other")
    for home in (sales, other):
        home.drop(HEADER + row(1))
    assert fingerprint(sales) == fingerprint(sales) == fingerprint(other)


def test_any_change_gives_another_fingerprint(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1))
    first = fingerprint(sales)
    forced = fingerprint(sales, force=True)
    stricter = fingerprint(sales.under(SALES.model_copy(update={"quarantine_budget": 0.1})))
    sales.drop(HEADER + row(2))
    assert len({first, forced, stricter, fingerprint(sales)}) == 4
