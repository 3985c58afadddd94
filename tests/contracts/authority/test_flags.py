from __future__ import annotations

import json

import pytest

from contracts.authority.flags import stated_digest
from contracts.authority.pack import Flag, FlagFormat

DIGEST = "0123456789abcdef" * 4
OTHER = "f" * 64
TEXT = Flag(path="f")
JSON = Flag(path="f", format=FlagFormat.JSON)


@pytest.mark.parametrize(
    "written",
    [
        DIGEST,
        f"{DIGEST}\n",
        f"\ufeff{DIGEST}\r\n",
        DIGEST.upper(),
        f"sha256:{DIGEST}",
        f"sha256_hex = {DIGEST}\n",
        f"bundle_digest_sha256: {DIGEST}\nrun: 1\n",
        f"{DIGEST}  bundle\n",
        f"{DIGEST}\n{DIGEST}\n",
        f"manifest_fingerprint = {OTHER}\nsha256_hex = {DIGEST}\n",
    ],
)
def test_text_flags_as_engines_write_them(written: str) -> None:
    assert stated_digest(written.encode(), TEXT) == DIGEST


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (b"", "no SHA-256"),
        (b"passed\n", "no SHA-256"),
        (DIGEST[:-1].encode(), "no SHA-256"),
        ((DIGEST + "0").encode(), "no SHA-256"),
        (f"{DIGEST}\n{OTHER}\n".encode(), "2 digests"),
        (f"sha256_hex = {DIGEST}\nsha256_hex = {OTHER}".encode(), "2 digests"),
        (b"\xff" + DIGEST.encode(), "byte 1 is not UTF-8"),
    ],
)
def test_a_text_flag_that_states_no_one_digest_is_refused(written: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        stated_digest(written, TEXT)


@pytest.mark.parametrize("stated", [DIGEST, DIGEST.upper(), f"sha256:{DIGEST}", f" {DIGEST} "])
def test_json_flags_as_engines_write_them(stated: str) -> None:
    assert stated_digest(json.dumps({"passed": True, "bundle_digest_sha256": stated}).encode(), JSON) == DIGEST


def test_a_json_flag_may_have_its_digest_under_another_name() -> None:
    flag = Flag(path="f", format=FlagFormat.JSON, field="digest")
    assert stated_digest(json.dumps({"digest": DIGEST, "bundle_digest_sha256": OTHER}).encode(), flag) == DIGEST


@pytest.mark.parametrize(
    "written",
    [
        "{}",
        "[]",
        "null",
        '{"bundle_digest_sha256": null}',
        '{"bundle_digest_sha256": true}',
        f'{{"bundle_digest_sha256": "{DIGEST[1:]}"}}',
        f'{{"bundle_digest_sha256": "{DIGEST}", "bundle_digest_sha256": "{OTHER}"}}',
        DIGEST,
        "{",
        "[" * 60_000,
    ],
)
def test_a_json_flag_without_one_digest_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        stated_digest(written.encode(), JSON)
