"""`hashgate forget`: asks first, shows what is at stake, says what is left to do."""

from __future__ import annotations

import pytest

from contracts.refs import digest_bytes
from tests.installation import SOUND, Installation
from tests.platform_assets.cli.answering import answering

PATH = "orders/orders-2024-01-01.csv"
WHO = ("--actor", "ann", "--reason", "asked to")
DIGEST = digest_bytes(SOUND)
COUNT = "SELECT count(*) FROM orders"


@pytest.fixture
def two(installation: Installation) -> Installation:
    """A day of two files."""
    installation.drop("2024-01-01")
    installation.drop("2024-01-01", b"id,item,amount\n7,cap,1\n", suffix="-b.csv")
    installation.build()
    return installation


def count(installation: Installation) -> str:
    return installation.hashgate("query", COUNT).out.splitlines()[2]


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, "1"), ("no\n", 1, "3"), ("\n", 1, "3")])
def test_it_shows_the_digests_at_stake_and_asks(
    answer: str, code: int, left: str, two: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(monkeypatch, answer):
        done = two.hashgate("forget", PATH, *WHO)
    assert done.code == code
    assert f"orders: {PATH}: {DIGEST}" in done.err
    head = two.workspace.reader.commit("orders", "2024-01-01", 1)
    assert f"orders[2024-01-01] version 1: {head.digest}" in done.err
    assert count(two) == left


def test_where_nobody_can_be_asked_yes_is_said_beforehand(two: Installation) -> None:
    done = two.hashgate("forget", PATH, *WHO)
    assert (done.code, count(two)) == (2, "3")
    assert "There is no terminal to ask at: add --yes if this is what you want." in done.err


def test_what_was_forgotten_is_said_with_the_way_back(two: Installation) -> None:
    done = two.hashgate("forget", PATH, *WHO, "--yes")
    assert done.code == 0
    assert done.out.startswith("orders: forgotten, and 2024-01-01 built anew without it\n")
    assert "erased by the first `hashgate gc` after 1d" in done.out
    assert f"The way back until then: hashgate forget {PATH} --undo" in done.out
    assert f"The file is still in the drop folder, and is not taken again: {PATH}" in done.out
    assert count(two) == "1"
    back = two.hashgate("forget", PATH, "--undo", "--actor", "bob", "--reason", "the wrong file", "--yes")
    assert (back.code, back.out) == (0, "orders: it counts again, and 2024-01-01 built anew with it\n")
    assert count(two) == "3"


def test_at_once_there_is_no_way_back(two: Installation) -> None:
    done = two.hashgate("forget", DIGEST, *WHO, "--yes", "--now", "--json")
    assert (done.code, done.json["erased"], done.json["versions"]) == (0, True, 1)
    assert done.json["tables"] == [
        {"table": "orders", "drops": [{"path": PATH, "digest": DIGEST}], "partitions": ["2024-01-01"]}
    ]
    assert {doomed["why"] for doomed in done.json["doomed"]} == {"forgotten"}
    back = two.hashgate("forget", DIGEST, "--undo", *WHO, "--yes", "--json")
    assert back.code == 1
    assert (back.error["kind"], back.error["evidence"]["cause"]) == ("PurgedError", "forgotten")
    assert two.hashgate("verify").code == 0


def test_runs_whose_logs_may_show_its_records_are_named(installation: Installation) -> None:
    installation.drop("2024-01-01", SOUND + b"8,x,-1\n")
    installation.build()
    done = installation.hashgate("forget", PATH, *WHO, "--yes", "--now", "--json")
    assert done.json["runs"] == ["test"]


def test_what_cannot_be_built_anew_is_told(two: Installation) -> None:
    for path in two.contracts.iterdir():
        path.unlink()
    done = two.hashgate("forget", PATH, *WHO, "--yes")
    assert done.code == 1
    assert "there is no table 'orders'" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([PATH], "required: --actor, --reason", id="nobody decides"),
        pytest.param([PATH, "--actor", " ", "--reason", "x", "--yes"], "name both, with --actor", id="a blank name"),
        pytest.param(["orders/never.csv", *WHO, "--yes"], "nothing was captured as 'orders/never.csv'", id="no drop"),
        pytest.param([PATH, *WHO, "--now", "--undo"], "not allowed with argument --now", id="both ways"),
        pytest.param([PATH, *WHO, "--undo", "--yes"], "There is nothing to take back", id="never forgotten"),
    ],
)
def test_wrong_usage_changes_nothing(arguments: list[str], said: str, two: Installation) -> None:
    done = two.hashgate("forget", *arguments)
    assert done.code == 2
    assert said in done.err
    assert count(two) == "3"
