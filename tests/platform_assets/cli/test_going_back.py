"""`rollback` and `repair`, as somebody types them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from resources.table_reader import numbered_key
from tests.damaging import flip, remove
from tests.installation import Installation
from tests.platform_assets.cli.answering import answering

DAY = "2024-01-01"
BY = ("--actor", "ana", "--reason", "wrong prices")


@pytest.fixture
def twice(installation: Installation) -> Installation:
    """One day, two versions."""
    for amount in (b"1", b"2"):
        installation.drop(DAY, b"id,item,amount\n1,pen," + amount + b"\n")
        installation.build()
    return installation


def amounts(installation: Installation) -> Any:
    return installation.hashgate("query", "SELECT amount FROM orders", "--json").json["rows"]


def status(installation: Installation) -> dict[str, Any]:
    (found,) = installation.hashgate("status", "orders", "--json").json["partitions"]
    return dict(found)


def versions(installation: Installation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = installation.hashgate("rollback", "orders", DAY, "--json").json["versions"]
    return found


def test_without_a_version_it_lists_those_there_are(twice: Installation) -> None:
    ran = twice.hashgate("rollback", "orders", DAY)
    assert ran.code == 0
    lines = [line.split() for line in ran.out.splitlines()]
    assert [line[:2] for line in lines] == [["version", "kind"], ["1", "publish"], ["2", "publish"]]
    assert [v["view_key"][7:19] for v in versions(twice)] == [line[6] for line in lines[1:]]


def test_a_rollback_stays_and_everybody_can_tell(twice: Installation) -> None:
    assert amounts(twice) == [[2.0]]
    ran = twice.hashgate("rollback", "orders", DAY, "--to", "1", *BY, "--yes")
    assert (ran.code, ran.err) == (0, "")
    assert f"orders[{DAY}] version 3 is version 1 again: readers see 1 row" in ran.out
    assert amounts(twice) == [[1.0]]
    assert twice.hashgate("ingest", "orders").code == 0
    assert twice.hashgate("ingest", "orders", "--force").code == 0, "what was declined is not among what is forced"
    assert amounts(twice) == [[1.0]]
    found = status(twice)
    about = ("state", "kind", "version", "decided_by", "because", "waived")
    assert [found[name] for name in about] == ["declined", "rollback", 3, "ana", "wrong prices", False]
    said = twice.hashgate("status", "--all").out
    assert "declined (rolled back)" in said
    assert "rolled back to version 1 by ana (wrong prices): waits for a new drop" in said
    assert "(version 3 stays readable)" in said
    plan = twice.hashgate("plan", "orders", "--json").json["tables"][0]["partitions"][0]
    assert (plan["action"], plan["why"]) == ("skip", found["why"])
    assert versions(twice)[-1]["goes_back_to"] == 1
    assert re.search(r"3 +rollback .* to 1, ana: wrong prices", twice.hashgate("rollback", "orders", DAY).out)


def test_asked_for_by_name_and_with_force_it_is_built_again(twice: Installation) -> None:
    twice.hashgate("rollback", "orders", DAY, "--to", "1", *BY, "--yes")
    ran = twice.hashgate("ingest", "orders", "--partition", DAY)
    assert "superseded" in ran.out
    assert f"{DAY}  rolled back to version 1 by ana" in ran.out
    assert amounts(twice) == [[1.0]]
    assert twice.hashgate("ingest", "orders", "--partition", DAY, "--force").code == 0
    assert amounts(twice) == [[2.0]]


def test_the_way_back_leads_back_to_identical_digests(twice: Installation) -> None:
    before = status(twice)
    ran = twice.hashgate("rollback", "orders", DAY, "--to", "1", *BY, "--yes")
    (way_back,) = re.findall(r"The way back: hashgate (rollback .*) --actor YOU", ran.out)
    assert twice.hashgate(*way_back.split(), *BY, "--yes").code == 0
    assert status(twice)["view_key"] == before["view_key"]
    assert status(twice)["state"] == "published"
    assert amounts(twice) == [[2.0]]


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("no\n", 1)])
def test_it_asks_first_and_shows_both_digests(
    answer: str, code: int, twice: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = versions(twice)
    with answering(monkeypatch, answer):
        ran = twice.hashgate("rollback", "orders", DAY, "--to", "1", *BY)
    assert ran.code == code
    assert f"readers see version 2 of {two['committed_at'][:10]}" in ran.err
    assert (two["commit"] in ran.err, one["commit"] in ran.err) == (True, True)
    assert amounts(twice) == [[1.0 if code == 0 else 2.0]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--to", "9", *BY, "--yes"], "has no version 9. There are: 1, 2.", id="no such version"),
        pytest.param(["--to", "2", *BY, "--yes"], "readers see the content of version 2 already", id="the current one"),
        pytest.param(["--to", "first", *BY], "'first' is not a whole number", id="no number"),
        pytest.param(["--to", "1", "--yes"], "recorded with who made it and why", id="by nobody"),
        pytest.param(["--to", "1", *BY], "There is no terminal to ask at: add --yes", id="nobody to ask"),
    ],
)
def test_a_rollback_that_cannot_be_made(arguments: list[str], said: str, twice: Installation) -> None:
    ran = twice.hashgate("rollback", "orders", DAY, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert len(versions(twice)) == 2


# ---- repair ----------------------------------------------------------------------------------------------------------


def link(number: int) -> str:
    return numbered_key("orders", "commits", DAY, number)


def test_a_chain_that_is_whole_is_not_repaired(twice: Installation) -> None:
    ran = twice.hashgate("repair", "orders", DAY, *BY, "--yes")
    assert ran.code == 2
    assert f"nothing is wrong with the chain of orders[{DAY}]: 2 links" in ran.err


def test_a_damaged_head_is_said_everywhere_and_repaired_by_what_is_said(twice: Installation) -> None:
    flip(twice.workspace.store, link(2))
    ran = twice.hashgate("query", "SELECT amount FROM orders")
    assert ran.code == 2
    assert f"hashgate repair orders {DAY} --actor YOU --reason WHY" in ran.err
    said = twice.hashgate("status")
    assert said.code == 1
    assert re.search(r"unreadable +1 ", said.out)
    repaired = twice.hashgate("repair", "orders", DAY, *BY, "--yes")
    assert repaired.code == 0
    assert f"orders[{DAY}] version 2: " in repaired.out
    assert "version 3 records it and can be read: 1 row" in repaired.out
    assert amounts(twice) == [[1.0]]
    assert status(twice)["state"] == "pending"
    assert twice.hashgate("ingest", "orders").code == 0
    assert amounts(twice) == [[2.0]]


def test_a_tail_that_was_cut_off_is_noticed_and_repaired(twice: Installation) -> None:
    remove(twice.workspace.store, link(2))
    assert "tail was cut off or replayed" in twice.hashgate("query", "SELECT amount FROM orders").err
    document = twice.hashgate("repair", "orders", DAY, *BY, "--yes", "--json").json
    assert (document["kind"], document["version"], document["goes_back_to"]) == ("repair", 3, 1)
    assert [(d["number"], d["observed"]) for d in document["damages"]] == [(2, None)]
    assert amounts(twice) == [[1.0]]


def test_where_nothing_is_whole_it_is_built_anew(twice: Installation) -> None:
    for number in (1, 2):
        flip(twice.workspace.store, link(number))
    ran = twice.hashgate("repair", "orders", DAY, *BY, "--yes")
    assert f"orders[{DAY}]: no version is whole, so none would be current" in ran.out
    assert "number 3 records it; build it anew: hashgate ingest orders" in ran.out
    assert twice.hashgate("ingest", "orders").code == 0
    assert amounts(twice) == [[2.0]]


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 1)])
def test_a_repair_asks_first_and_shows_what_was_found(
    answer: str, code: int, twice: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove(twice.workspace.store, link(1))
    with answering(monkeypatch, answer):
        ran = twice.hashgate("repair", "orders", DAY, *BY)
    assert ran.code == code
    assert f"orders[{DAY}] version 1: it is missing from the chain (found: nothing)" in ran.err
    assert "newest whole is version 2" in ran.err
    assert "Put up with it? [y/N]" in ran.err
