"""Whose decision it is, about which table, and that it is carried over to nothing that was not looked at."""

from __future__ import annotations

import pytest

from contracts.commits import Commit
from contracts.errors import CommitError, UsageError
from platform_assets.decisions.deciding import commit, decided_by, stored_table
from tests.sales import DAY, HEADER, SalesHome, row


@pytest.mark.parametrize(("actor", "reason"), [("", "why"), ("who", ""), (" ", "why"), ("who", "\t\n")])
def test_a_decision_is_somebody_s_and_has_a_reason(actor: str, reason: str) -> None:
    with pytest.raises(UsageError, match="recorded with who made it and why") as refused:
        decided_by(actor, reason)
    assert refused.value.evidence == {"actor": actor, "reason": reason}


def test_names_and_reasons_are_kept_as_they_were_given() -> None:
    decision = decided_by("  Ana Ćosić ", "it's *fine* <really>\n")
    assert (decision.actor, decision.reason) == ("Ana Ćosić", "it's *fine* <really>")


def test_a_table_that_the_store_has_nothing_of_is_named_with_those_there_are(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1))
    sales.ingest()
    assert stored_table(sales.workspace, "sales") == "sales"
    with pytest.raises(UsageError, match="nothing of a table 'sale' in the store. Tables: sales.") as refused:
        stored_table(sales.workspace, "sale")
    assert refused.value.evidence["tables"] == ["sales"]


def test_an_asset_s_table_may_be_meant(sales: SalesHome) -> None:
    sales.workspace.store.put_if_absent("tables/asset.made/held/all/0.json", b"{}")
    with pytest.raises(UsageError, match="Did you mean asset.made?"):
        stored_table(sales.workspace, "made")


def test_a_decision_is_not_carried_over_to_what_somebody_else_commits(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1))
    head = sales.ingest().commit
    rival = Commit.model_validate(head.model_dump() | {"writer": "another"})
    with pytest.raises(CommitError, match="somebody else committed meanwhile: nothing was changed. Look again"):
        commit(sales.workspace, rival)
    assert sales.workspace.reader.head("sales", DAY) == head
