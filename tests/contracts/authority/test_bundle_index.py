from __future__ import annotations

import json
from typing import Any

import pytest

from contracts.authority.bundle_index import parse_index
from tests.engine_bundles import SHAPES, indexed

DIGEST = "AB" * 32


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_items(shape: str) -> None:
    items = parse_index(indexed([{"path": "b"}, {"path": "./a", "sha256_hex": DIGEST, "size_bytes": 3}], shape))
    assert [(i.path, i.digest_text, i.sha256, i.size_bytes) for i in items] == [
        ("b", None, None, None),
        ("a", DIGEST, DIGEST.lower(), 3),
    ]


@pytest.mark.parametrize("name", ["path", "relative_path", "file", "name"])
@pytest.mark.parametrize("digest", ["sha256_hex", "sha256", "sha256_digest", "digest"])
def test_paths_and_digests_under_the_names_that_engines_give_them(name: str, digest: str) -> None:
    (item,) = parse_index(json.dumps([{name: "a", digest: f"sha256:{DIGEST}"}]).encode())
    assert (item.path, item.digest_text, item.sha256) == ("a", f"sha256:{DIGEST}", DIGEST.lower())


def test_bare_paths_are_items() -> None:
    assert [item.path for item in parse_index(b'["b", "a/c"]')] == ["b", "a/c"]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({}, "none of files, entries"),
        ({"Files": ["a"]}, "none of files, entries"),
        ({"files": ["a"], "members": ["a"]}, "files and members stand side by side"),
        ({"files": {"a": DIGEST}}, "not a list"),
        ("a", "not a list"),
        ([], "lists no file"),
        ({"items": []}, "lists no file"),
        ([1], "item 0 is neither"),
        ([["a"]], "item 0 is neither"),
        ([""], "item 0 has no path"),
        ([{"path": 1}], "item 0 has no path"),
        ([{"sha256": DIGEST}], "item 0 has no path"),
        (["a\ud800"], "item 0: its path is no text"),
        ([{"path": "a", "sha256": "abc"}], "no SHA-256"),
        ([{"path": "a", "sha256": 7}], "no SHA-256"),
    ],
)
def test_what_is_no_index_is_refused(document: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_index(json.dumps(document).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"files": ["a"], "files": ["b"]}', b"[NaN]", b"[" * 100_000])
def test_what_is_no_strict_json_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_index(data)
