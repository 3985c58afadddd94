"""Sealed documents: whatever is not what was written is refused, with a word of what differs."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from contracts.canonical import canonical_bytes, parse_json
from contracts.refs import digest_bytes
from contracts.sealing import Linked
from contracts.selection import CaptureBatch, CapturedDrop

NOON = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)


def batch(sequence: int, before: CaptureBatch | None = None, path: str = "t/a.csv") -> CaptureBatch:
    drop = CapturedDrop(path=path, partition="2020", digest=digest_bytes(path.encode()), size_bytes=7)
    parent = before.digest if before else None
    return CaptureBatch(table="t", sequence=sequence, parent=parent, captured_at=NOON, drops=(drop,))


def test_a_sealed_document_survives_storage() -> None:
    written = batch(1)
    assert CaptureBatch.from_bytes(written.to_bytes()) == written
    assert parse_json(written.to_bytes())["digest"] == written.digest


def test_every_flipped_bit_of_a_sealed_document_is_seen() -> None:
    stored = batch(2, batch(1), path="t/tab\t\x1f é.csv").to_bytes()
    survived = []
    for position in range(len(stored)):
        for bit in range(8):
            altered = bytearray(stored)
            altered[position] ^= 1 << bit
            try:
                CaptureBatch.from_bytes(bytes(altered))
            except ValueError:
                continue
            survived.append((position, bit))
    assert survived == []


def changed(**values: Any) -> bytes:
    document = parse_json(batch(1).to_bytes())
    return canonical_bytes({**document, **values})


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        pytest.param(b"", "Expecting value", id="nothing"),
        pytest.param(b"[]", "a JSON list, not an object", id="a list"),
        pytest.param(b"null", "a JSON NoneType, not an object", id="null"),
        pytest.param(b'{"format":"hashgate/captures/v2"}', "its self-digest is None", id="no seal"),
        pytest.param(changed(table="u"), "its self-digest is blake3:", id="another table"),
        pytest.param(changed(digest="blake3:" + "0" * 64), f"its self-digest is blake3:{'0' * 64}", id="another seal"),
        pytest.param(changed(format="hashgate/captures/v1"), "in canonical form", id="an earlier format"),
        pytest.param(batch(1).to_bytes() + b"\n", "in canonical form", id="a line end more"),
        pytest.param(batch(1).to_bytes().replace(b'":', b'": '), "in canonical form", id="spaces"),
        pytest.param(batch(1).to_bytes()[:-1], "", id="cut off"),
    ],
)
def test_what_was_not_written_so_is_refused(stored: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CaptureBatch.from_bytes(stored)


def test_a_link_follows_the_one_it_names_and_no_other() -> None:
    first, other = batch(1), batch(1, path="t/b.csv")
    second = batch(2, first)
    assert second.problem_after(first) is None
    assert second.problem_after(other) == f"its parent should be {other.digest}, but is {first.digest}"
    assert second.problem_after(None) == f"its parent should be None, but is {first.digest}"
    assert first.problem_after(second) == f"its parent should be {second.digest}, but is None"


def test_a_link_without_a_seal_follows_none_that_has_one() -> None:
    document = parse_json(batch(2).to_bytes())
    kept = {name: document[name] for name in ("table", "sequence", "captured_at")}
    drops = [{name: drop[name] for name in ("path", "partition", "digest", "size_bytes")} for drop in document["drops"]]
    early = CaptureBatch.from_bytes(canonical_bytes({**kept, "drops": drops, "format": "hashgate/captures/v1"}))
    assert early.problem_after(batch(1)) == "it has no seal (hashgate/captures/v1), and the one before it has"


def test_where_a_link_belongs_its_kind_says() -> None:
    with pytest.raises(NotImplementedError):
        _ = Linked(format="x").place
