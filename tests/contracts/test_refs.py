"""Names made of content: digests, references, views."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.refs import BlobRef, Digest, View, ViewRef, digest_bytes, digest_json, hex_of, parse_digest

DIGEST = digest_bytes(b"a")
URN = "urn:hashgate:split:1"


def blob(data: bytes) -> BlobRef:
    return BlobRef(digest=digest_bytes(data), size_bytes=len(data))


def test_the_digest_is_blake3_with_its_name() -> None:
    # The first vector of BLAKE3's own test suite: no input at all.
    assert digest_bytes(b"") == "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert hex_of(digest_bytes(b"a")) == blake3(b"a").hexdigest()


def test_a_digest_of_json_does_not_depend_on_how_it_was_written() -> None:
    assert digest_json({"b": 1.0, "a": [None]}) == digest_json({"a": (None,), "b": 1})
    assert digest_json({"a": 1}) != digest_json({"a": "1"})


NO_DIGESTS = {
    "nothing": "",
    "another algorithm": "sha256:" + "0" * 64,
    "too short": "blake3:" + "0" * 63,
    "too long": "blake3:" + "0" * 65,
    "capitals": "blake3:" + "A" * 64,
    "a line end": "blake3:" + "0" * 64 + "\n",
    "no prefix": "0" * 64,
}


@pytest.mark.parametrize("text", NO_DIGESTS.values(), ids=NO_DIGESTS.keys())
def test_texts_that_are_no_digest(text: str) -> None:
    with pytest.raises(ValueError, match="is not a digest: expected blake3: and 64 lower-case hex digits"):
        parse_digest(text)
    with pytest.raises(ValidationError):
        BlobRef(digest=Digest(text), size_bytes=1)
    with pytest.raises(ValidationError):
        ViewRef(key=Digest(text))


def test_a_reference_is_what_it_refers_to_and_nothing_else() -> None:
    assert blob(b"a").key == DIGEST
    for more in ({"path": "drops/a.csv"}, {"owner": "me"}, {"state": "published"}):
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            BlobRef.model_validate({"digest": DIGEST, "size_bytes": 1} | more)
    with pytest.raises(ValidationError):
        BlobRef(digest=DIGEST, size_bytes=-1)
    with pytest.raises(ValidationError, match="frozen"):
        blob(b"a").size_bytes = 2  # type: ignore[misc]


def test_references_survive_json_and_processes() -> None:
    ref = blob(b"a")
    assert BlobRef.model_validate_json(ref.model_dump_json()) == ref
    assert pickle.loads(pickle.dumps(ref)) == ref


def test_the_key_of_a_view_is_the_digest_of_the_recipe_alone() -> None:
    view = View(transform=URN, parameters={"n": 1}, inputs=(blob(b"a"), blob(b"b")))
    assert view.key == digest_json(
        {
            "transform": URN,
            "parameters": {"n": 1},
            "inputs": [
                {"kind": "blob", "digest": digest_bytes(b"a"), "size_bytes": 1},
                {"kind": "blob", "digest": digest_bytes(b"b"), "size_bytes": 1},
            ],
        }
    )
    assert view.ref == ViewRef(key=view.key)


CHANGES: dict[str, dict[str, Any]] = {
    "another transform": {"transform": "urn:hashgate:join:1"},
    "another version of it": {"transform": "urn:hashgate:split:2"},
    "another parameter": {"parameters": {"n": 2}},
    "one more parameter": {"parameters": {"n": 1, "m": None}},
    "another input": {"inputs": (blob(b"a"), blob(b"c"))},
    "one more input": {"inputs": (blob(b"a"), blob(b"b"), blob(b"b"))},
    "one input less": {"inputs": (blob(b"a"),)},
    "another order": {"inputs": (blob(b"b"), blob(b"a"))},
    "a view in place of a blob": {"inputs": (ViewRef(key=digest_bytes(b"a")), blob(b"b"))},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_whatever_is_in_the_recipe_shows_in_the_key(change: dict[str, Any]) -> None:
    view = View(transform=URN, parameters={"n": 1}, inputs=(blob(b"a"), blob(b"b")))
    assert view.model_copy(update=change).key != view.key


@given(st.permutations([blob(b"a"), blob(b"b"), ViewRef(key=DIGEST), blob(b"c")]))
def test_inputs_without_order_are_put_in_order(inputs: list[BlobRef | ViewRef]) -> None:
    def key(refs: list[BlobRef | ViewRef], *, order_sensitive: bool) -> Digest:
        return View(transform=URN, parameters={}, inputs=tuple(refs), order_sensitive=order_sensitive).key

    ordered = sorted(inputs, key=lambda ref: (ref.kind, ref.key))
    assert key(inputs, order_sensitive=False) == key(ordered, order_sensitive=False)
    assert (key(inputs, order_sensitive=True) == key(ordered, order_sensitive=True)) is (inputs == ordered)


@given(
    st.dictionaries(st.text(max_size=3), st.integers(-9, 9) | st.text(max_size=3), max_size=4), st.binary(max_size=4)
)
def test_a_view_survives_json_with_its_key(parameters: dict[str, int | str], data: bytes) -> None:
    view = View(transform=URN, parameters=parameters, inputs=(blob(data), ViewRef(key=digest_bytes(data))))
    assert View.model_validate_json(view.model_dump_json()).key == view.key


BAD_VIEWS: dict[str, dict[str, Any]] = {
    "a transform without version": {"transform": "urn:hashgate:split"},
    "a transform of someone else": {"transform": "urn:other:split:1"},
    "a transform with capitals": {"transform": "urn:hashgate:Split:1"},
    "a parameter that JSON cannot hold": {"parameters": {"n": float("nan")}},
    "a parameter that readers would round": {"parameters": {"n": 2**53 + 1}},
    "a field that no recipe has": {"made_at": "2020-01-01"},
}


@pytest.mark.parametrize("change", BAD_VIEWS.values(), ids=BAD_VIEWS.keys())
def test_what_is_no_recipe(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        View.model_validate({"transform": URN, "parameters": {}, "inputs": ()} | change)
