"""`held`, `release` and `discard`, as somebody types them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.installation import SOUND, Installation
from tests.platform_assets.cli.answering import answering

DAY = "2024-01-05"
"""The day that is held in the seeded installation; it was never published."""
BY = ("--actor", "ana", "--reason", "the airport was closed")
BAD = b"id,thing,amount\n1,pen,2.5\n"


def held(installation: Installation, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = installation.hashgate("held", *arguments, "--json").json["held"]
    return found


def states(installation: Installation) -> dict[str, Any]:
    ran = installation.hashgate("status", "orders", "--json")
    return {p["key"]: p for p in ran.json["partitions"]}


# ---- held ------------------------------------------------------------------------------------------------------------


def test_held_lists_what_waits_for_a_person(seeded: Installation) -> None:
    ran = seeded.hashgate("held")
    assert ran.code == 1
    header, line, _, hint = ran.out.splitlines()
    assert header.split() == [
        "table",
        "partition",
        "candidate",
        "held",
        "since",
        "rows",
        "quarantined",
        "stopped",
        "by",
    ]
    assert re.fullmatch(
        rf"orders +{DAY} +[0-9a-f]{{12}} +\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\dZ +0 +1 +quality FAIL: quarantine budget: "
        r"100.00% \(1 of 1\)",
        line,
    )
    assert hint == f"look closer: hashgate held orders {DAY}"


def test_held_shows_one_in_detail(seeded: Installation) -> None:
    ran = seeded.hashgate("held", "orders", DAY)
    assert ran.code == 1
    (document,) = held(seeded)
    assert f"orders[{DAY}]  held since" in ran.out
    assert document["candidate"] in ran.out
    assert "built on      nothing, contract 1.0.0" in ran.out
    assert "readers       see nothing meanwhile" in ran.out
    for gate, verdict in (("integrity", "PASS"), ("conservation", "PASS"), ("contract", "PASS"), ("quality", "FAIL")):
        assert re.search(rf"  {gate} +{verdict} ", ran.out)
    assert "quarantine budget: expected at most 50.00% of the records, observed 100.00% (1 of 1)" in ran.out
    assert f"hashgate release orders {DAY} --actor YOU --reason WHY" in ran.out
    assert f"hashgate discard orders {DAY} --actor YOU --reason WHY" in ran.out


def test_held_in_json(seeded: Installation) -> None:
    (document,) = held(seeded, "orders", DAY)
    about = ("table", "partition", "records", "valid_rows", "quarantined_rows", "base", "version", "superseded")
    assert [document[name] for name in about] == ["orders", DAY, 1, 0, 1, None, None, None]
    assert [gate["gate"] for gate in document["gates"] if gate["verdict"] != "PASS"] == ["quality"]
    assert document["since"].endswith("+00:00")


def test_where_nothing_is_held_it_ends_with_0(installation: Installation) -> None:
    installation.drop("2024-01-01")
    installation.build()
    for arguments, said in (((), "nothing is held"), (("orders", DAY), f"nothing is held of orders[{DAY}]")):
        ran = installation.hashgate("held", *arguments)
        assert (ran.code, ran.out.strip()) == (0, said)
    assert held(installation) == []


def test_what_something_newer_has_superseded_is_listed_when_asked_for(seeded: Installation) -> None:
    seeded.drop(DAY)
    seeded.build()
    ran = seeded.hashgate("held")
    assert (ran.code, ran.out.splitlines()) == (0, ["nothing is held", "and 1 superseded one: --all shows them, too"])
    assert "(superseded: version 1 was selected at sequence" in seeded.hashgate("held", "--all").out
    assert "superseded    version 1 was selected" in seeded.hashgate("held", "orders", DAY).out


@pytest.mark.embedded
def test_looking_at_what_is_held_changes_nothing(seeded: Installation) -> None:
    before = seeded.tree()
    seeded.hashgate("held")
    seeded.hashgate("held", "orders", DAY)
    seeded.hashgate("rollback", "orders", "2024-01-01")
    assert seeded.tree() == before


# ---- release ---------------------------------------------------------------------------------------------------------


def test_release_publishes_and_everybody_can_tell(seeded: Installation) -> None:
    ran = seeded.hashgate("release", "orders", DAY, *BY, "--yes")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"orders[{DAY}] version 1 is released: readers see 0 rows, let through by ana\n"
    status = states(seeded)[DAY]
    about = ("state", "kind", "waived", "decided_by", "because", "version")
    assert [status[name] for name in about] == ["published", "release", True, "ana", BY[3], 1]
    said = seeded.hashgate("status", "--all").out
    assert re.search(rf"{DAY}  published \(waived\) +1 ", said)
    assert f"let through\n  {DAY}  version 1, by ana (the airport was closed)" in said
    assert held(seeded) == []
    assert seeded.hashgate("ingest", "orders").code == 0
    assert states(seeded)[DAY]["version"] == 1


def test_release_says_the_way_back_and_it_leads_back(installation: Installation) -> None:
    installation.drop(DAY)
    installation.build()
    before = states(installation)[DAY]
    installation.drop(DAY, BAD)
    installation.build()
    ran = installation.hashgate("release", "orders", DAY, *BY, "--yes")
    (way_back,) = re.findall(r"The way back: hashgate (rollback .*) --actor YOU", ran.out)
    assert installation.hashgate(*way_back.split(), *BY, "--yes").code == 0
    after = states(installation)[DAY]
    assert (after["view_key"], after["valid_rows"]) == (before["view_key"], before["valid_rows"])


def test_release_in_json(seeded: Installation) -> None:
    document = seeded.hashgate("release", "orders", DAY, *BY, "--yes", "--json").json
    assert (document["kind"], document["version"], document["waived"]) == ("release", 1, True)
    assert (document["actor"], document["reason"]) == ("ana", BY[3])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(["orders", "2024-01-01"], 2, "nothing is held of orders[2024-01-01]", id="nothing held"),
        pytest.param(["parcels", DAY], 2, "there is nothing of a table 'parcels'", id="no such table"),
        pytest.param(["orders", DAY, "--candidate", "zz"], 2, "0 held candidates", id="no such candidate"),
        pytest.param(["orders", DAY, "--actor", ""], 2, "recorded with who made it and why", id="nobody"),
    ],
)
@pytest.mark.parametrize("command", ["release", "discard"])
def test_a_decision_that_cannot_be_made(
    command: str, arguments: list[str], code: int, said: str, seeded: Installation
) -> None:
    ran = seeded.hashgate(command, *BY, "--yes", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err
    assert states(seeded)[DAY]["state"] == "held"


@pytest.mark.parametrize("left_out", ["--actor", "--reason"])
@pytest.mark.parametrize("command", ["release", "discard", "repair"])
def test_nobody_decides_without_a_name_and_a_reason(command: str, left_out: str, seeded: Installation) -> None:
    at = BY.index(left_out)
    ran = seeded.hashgate(command, "orders", DAY, *BY[:at], *BY[at + 2 :], "--yes")
    assert (ran.code, left_out in ran.err) == (2, True)


def test_something_newer_is_not_released_over(seeded: Installation) -> None:
    seeded.drop(DAY)
    seeded.build()
    ran = seeded.hashgate("release", "orders", DAY, *BY, "--yes")
    assert ran.code == 1
    assert "cannot be released: version 1 was selected at sequence" in ran.err
    assert states(seeded)[DAY]["waived"] is False


# ---- asking first ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("YES\n", 0), ("n\n", 1), ("\n", 1), ("\x04", 1)])
def test_on_a_terminal_it_asks_first_and_shows_the_digest_at_stake(
    answer: str, code: int, seeded: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    (document,) = held(seeded)
    with answering(monkeypatch, answer):
        ran = seeded.hashgate("release", "orders", DAY, *BY)
    assert ran.code == code
    assert f"orders[{DAY}]: held candidate {document['candidate']}" in ran.err
    assert "quality FAIL: quarantine budget" in ran.err
    assert "Release it, so that readers see its 0 rows? [y/N]" in ran.err
    assert ("nothing was changed" in ran.err) is (code == 1)
    assert states(seeded)[DAY]["state"] == ("published" if code == 0 else "held")


@pytest.mark.parametrize("command", ["release", "discard"])
def test_where_there_is_nobody_to_ask_it_refuses(command: str, seeded: Installation) -> None:
    ran = seeded.hashgate(command, "orders", DAY, *BY)
    assert ran.code == 2
    assert "There is no terminal to ask at: add --yes if this is what you want." in ran.err
    assert states(seeded)[DAY]["state"] == "held"


# ---- discard ---------------------------------------------------------------------------------------------------------


def test_discard_drops_the_candidate_and_the_way_back_leads_back(seeded: Installation) -> None:
    (before,) = held(seeded)
    ran = seeded.hashgate("discard", "orders", DAY, *BY, "--yes")
    assert ran.code == 0
    assert f"orders[{DAY}]: candidate {before['candidate'][7:19]} is discarded; its drops stay captured" in ran.out
    assert held(seeded) == []
    status = states(seeded)[DAY]
    assert (status["state"], status["version"]) == ("declined", None)
    assert status["why"].startswith("discarded by ana (the airport was closed): waits for a new drop")
    again = seeded.hashgate("ingest", "orders")
    assert again.code == 0
    assert f"not built, as somebody declined it: {DAY}" in again.out
    (way_back,) = re.findall(r"The way back: hashgate (ingest \S+ --partition \S+)", ran.out)
    assert seeded.hashgate(*way_back.split()).code == 1
    (after,) = held(seeded)
    assert after["candidate"] == before["candidate"]


def test_discard_in_json(seeded: Installation) -> None:
    (before,) = held(seeded)
    document = seeded.hashgate("discard", "orders", DAY, *BY, "--yes", "--json").json
    assert document == {
        "table": "orders",
        "partition": DAY,
        "number": 1,
        "candidate": before["candidate"],
        "actor": "ana",
        "reason": BY[3],
    }


def test_what_was_discarded_is_built_when_a_new_drop_comes(seeded: Installation) -> None:
    seeded.hashgate("discard", "orders", DAY, *BY, "--yes")
    seeded.drop(DAY, SOUND)
    assert seeded.hashgate("ingest", "orders").code == 0
    assert states(seeded)[DAY]["state"] == "published"


def test_one_of_several_candidates_is_named_by_its_first_digits(seeded: Installation) -> None:
    seeded.drop(DAY, BAD + b"2,ink,3\n")
    seeded.build()
    older, newer = held(seeded)
    ran = seeded.hashgate("discard", "orders", DAY, *BY, "--yes", "--candidate", older["candidate"][7:15])
    assert ran.code == 0
    assert [document["candidate"] for document in held(seeded)] == [newer["candidate"]]
