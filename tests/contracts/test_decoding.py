"""Decoding: what goes in compressed and in any encoding comes out as UTF-8, and what is broken stays where it was."""

from __future__ import annotations

import gzip
import pickle

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import decoding, table_contract
from contracts.decoding import Compression, UndecodableError, decode_chunks, text_encoding
from contracts.errors import DropError
from contracts.reasons import Reason
from contracts.table_contract import Expansion

TEXT = 'name,note\n"Zoë","a\r\nb"\nŁódź,日本\n'
PLAIN = TEXT.encode() * 5000
GZIP = gzip.compress(PLAIN, mtime=0)
ZSTD: bytes = pa.compress(PLAIN, codec="zstd", asbytes=True)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def decoded(data: bytes, compression: Compression = "none", encoding: str = "utf-8", size: int = 1000) -> bytes:
    return b"".join(decode_chunks(cut(data, size), compression, encoding))


@pytest.mark.parametrize("size", [1, 3, 1000, 10_000_000], ids="chunks of {}".format)
@pytest.mark.parametrize(
    ("data", "compression", "expected"),
    [
        pytest.param(PLAIN, "auto", PLAIN, id="plain by magic"),
        pytest.param(PLAIN, "none", PLAIN, id="plain"),
        pytest.param(GZIP, "none", GZIP, id="gzip that the contract calls plain"),
        pytest.param(GZIP, "auto", PLAIN, id="gzip by magic"),
        pytest.param(ZSTD, "auto", PLAIN, id="zstd by magic"),
        pytest.param(GZIP + GZIP, "gzip", PLAIN + PLAIN, id="two gzip members"),
        pytest.param(GZIP + bytes(700), "gzip", PLAIN, id="gzip and zero padding"),
        pytest.param(GZIP + bytes(70) + GZIP, "auto", PLAIN + PLAIN, id="padding between gzip members"),
        pytest.param(ZSTD + ZSTD, "zstd", PLAIN + PLAIN, id="two zstd frames"),
        pytest.param(b"", "auto", b"", id="an empty file"),
        pytest.param(b"", "gzip", b"", id="an empty file that should be gzip"),
        pytest.param(b"", "zstd", b"", id="an empty file that should be zstd"),
        pytest.param(b"\x1f", "auto", b"\x1f", id="half a magic number"),
    ],
)
def test_compression_comes_off(data: bytes, compression: Compression, expected: bytes, size: int) -> None:
    if size < 1000:
        data, expected = (data, expected) if len(data) < 3000 else (data[:0], expected[:0])
    assert decoded(data, compression, size=size) == expected


@pytest.mark.parametrize(
    ("data", "compression", "problem"),
    [
        pytest.param(GZIP[:-9], "auto", "the file ends inside compressed member 1", id="gzip cut short"),
        pytest.param(GZIP + GZIP[:5], "auto", "the file ends inside compressed member 2", id="second member cut short"),
        pytest.param(GZIP[:10], "auto", "the file ends inside", id="nothing but a gzip header"),
        pytest.param(GZIP[:-5] + bytes([GZIP[-5] ^ 1]) + GZIP[-4:], "gzip", "incorrect data check", id="a wrong CRC"),
        pytest.param(GZIP + b"more", "gzip", "incorrect header check", id="text after gzip"),
        pytest.param(PLAIN, "gzip", "incorrect header check", id="plain text that should be gzip"),
        pytest.param(ZSTD[:-9], "auto", "Truncated compressed stream", id="zstd cut short"),
        pytest.param(ZSTD + b"more", "zstd", "ZSTD decompress failed", id="text after zstd"),
        pytest.param(PLAIN, "zstd", "ZSTD decompress failed", id="plain text that should be zstd"),
    ],
)
def test_broken_compression_refuses_the_file(data: bytes, compression: Compression, problem: str) -> None:
    with pytest.raises(UndecodableError, match=problem) as caught:
        decoded(data, compression)
    error = caught.value
    assert isinstance(error, DropError)
    assert error.evidence["reason"] is Reason.UNDECODABLE_COMPRESSION
    assert error.evidence["fix"] == Reason.UNDECODABLE_COMPRESSION.fix
    assert "data, before compressed byte" in error.evidence["where"]
    assert str(error).startswith("UNDECODABLE_COMPRESSION: ")
    assert str(error).endswith("Compress the file anew from its source and drop it again.")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_what_lies_before_a_break_comes_out_first() -> None:
    chunks = decode_chunks([gzip.compress(b"first"), b"then this"], "gzip", "utf-8")
    assert next(chunks) == b"first"
    with pytest.raises(UndecodableError):
        next(chunks)


def test_a_bomb_is_unpacked_in_blocks() -> None:
    sizes = [len(chunk) for chunk in decode_chunks([gzip.compress(bytes(100 << 20))], "gzip", "utf-8")]
    assert sum(sizes) == 100 << 20
    assert max(sizes) <= 4 << 20


ZEROS = bytes(1 << 20)
SMALL = Expansion(max_bytes=10 << 20)
BOMBS = {
    "gzip": gzip.compress(ZEROS, mtime=0) * 11,
    "zstd": pa.compress(ZEROS, codec="zstd", asbytes=True) * 11,
}


def limited(data: bytes, limit: Expansion, *, size_bytes: int | None, cuts: int = 1000) -> bytes:
    return b"".join(decode_chunks(cut(data, cuts), "auto", "utf-8", limit=limit, size_bytes=size_bytes))


@pytest.mark.parametrize("cuts", [7, 1000, 10_000_000])
@pytest.mark.parametrize("knows_size", [True, False], ids=["its size is known", "its size is not known"])
@pytest.mark.parametrize("codec", BOMBS)
def test_a_file_that_becomes_too_large_is_refused_however_it_is_cut(codec: str, cuts: int, *, knows_size: bool) -> None:
    bomb = BOMBS[codec]
    with pytest.raises(UndecodableError, match="DECOMPRESSED_TOO_LARGE") as caught:
        limited(bomb, SMALL, size_bytes=len(bomb) if knows_size else None, cuts=cuts)
    assert caught.value.evidence["reason"] is Reason.DECOMPRESSED_TOO_LARGE
    assert caught.value.evidence["where"] == f"{codec} data"
    assert caught.value.evidence["problem"] == "decompressed it is larger than 10,485,760 bytes: maxBytes is 10,485,760"
    assert str(caught.value).endswith("raise maxBytes or maxRatio of `decompression` in the contract; or split it.")


@pytest.mark.parametrize("codec", BOMBS)
def test_a_file_of_just_the_size_passes(codec: str) -> None:
    assert len(limited(BOMBS[codec], Expansion(max_bytes=11 << 20), size_bytes=len(BOMBS[codec]))) == 11 << 20


@pytest.mark.parametrize("knows_size", [True, False], ids=["its size is known", "its size is not known"])
def test_a_file_that_grows_too_many_times_is_refused(monkeypatch: pytest.MonkeyPatch, *, knows_size: bool) -> None:
    monkeypatch.setattr(table_contract, "RATIO_FROM_BYTES", 1 << 20)
    monkeypatch.setattr(decoding, "RATIO_FROM_BYTES", 1 << 20)
    bomb = BOMBS["gzip"]
    most = 100 * len(bomb)
    with pytest.raises(UndecodableError, match=f"larger than {most:,} bytes: maxRatio is 100 to the file's size, from"):
        limited(bomb, Expansion(max_ratio=100), size_bytes=len(bomb) if knows_size else None)
    assert limited(bomb, Expansion(max_ratio=1100), size_bytes=len(bomb)) == ZEROS * 11


def test_what_is_too_large_is_refused_before_all_of_it_is_there() -> None:
    given = iter(cut(BOMBS["gzip"] * 1000, 4096))
    with pytest.raises(UndecodableError):
        list(decode_chunks(given, "gzip", "utf-8", limit=SMALL))
    assert len(list(given)) > 2000


def test_plain_files_are_as_large_as_they_are() -> None:
    assert len(limited(ZEROS * 11, SMALL, size_bytes=11 << 20)) == 11 << 20


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030", "UTF8", "U16"], ids=str
)
def test_encodings_become_utf8(encoding: str, size: int) -> None:
    assert decoded(TEXT.encode(encoding), encoding=encoding, size=size) == TEXT.encode()


@pytest.mark.parametrize(
    ("encoding", "data"), [("cp1252", b"\x80 \xe9"), ("latin-1", b"\xa4 \xe9"), ("cp850", b"\x82")]
)
def test_single_byte_encodings_become_utf8(encoding: str, data: bytes) -> None:
    assert decoded(data, encoding=encoding) == data.decode(encoding).encode()


def test_a_byte_order_mark_survives_where_it_is_not_part_of_the_encoding() -> None:
    bom = "\ufeff"
    assert decoded(f"{bom}a".encode(), encoding="utf-8") == f"{bom}a".encode()
    assert decoded(f"{bom}a".encode(), encoding="utf-8-sig") == f"{bom}a".encode()
    assert decoded(f"{bom}a".encode("utf-16-le"), encoding="utf-16-le") == f"{bom}a".encode()
    assert decoded("a".encode("utf-16"), encoding="utf-16") == b"a"


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("width", [16, 32])
def test_the_mark_says_the_byte_order_and_without_one_it_is_little(width: int, size: int) -> None:
    for order in ("le", "be"):
        data = f"\ufeff{TEXT}".encode(f"utf-{width}-{order}")
        assert decoded(data, encoding=f"utf-{width}", size=size) == TEXT.encode()
    assert decoded(TEXT.encode(f"utf-{width}-le"), encoding=f"utf-{width}", size=size) == TEXT.encode()


def test_utf8_passes_through_untouched_even_when_it_is_none() -> None:
    assert decoded(b"a\xff\xc3\nb", encoding="utf-8") == b"a\xff\xc3\nb"


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        pytest.param("cp1252", b"a\nb\x81c\nd", id="a byte cp1252 leaves open"),
        pytest.param("ascii", b"a\nb\xe9c\nd", id="no ASCII"),
        pytest.param("shift_jis", b"a\nb\x81\nd", id="half a character before a line end"),
        pytest.param(
            "utf-16-le", "a\nb".encode("utf-16-le") + b"\x00\xd8" + "c\nd".encode("utf-16-le"), id="half a pair"
        ),
        pytest.param("utf-16-le", "a\nbc".encode("utf-16-le") + b"x", id="half a unit at the end"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_what_cannot_be_decoded_spoils_its_own_line_only(encoding: str, data: bytes, size: int) -> None:
    lines = decoded(data, encoding=encoding, size=size).split(b"\n")
    assert lines[0] == b"a"
    with pytest.raises(UnicodeDecodeError):
        lines[1].decode()
    assert lines[2:] in ([], [b"d"])


@given(
    data=st.binary(max_size=60),
    encoding=st.sampled_from(["utf-16", "utf-32", "cp1252", "shift_jis", "gb18030", "big5hkscs", "johab"]),
)
def test_any_bytes_in_any_encoding_come_out_alike_however_they_are_cut(data: bytes, encoding: str) -> None:
    assert decoded(data, encoding=encoding, size=1) == decoded(data, encoding=encoding)


@pytest.mark.parametrize(
    "name",
    [
        "base64",
        "rot13",
        "idna",
        "punycode",
        "unicode_escape",
        "utf-7",
        "iso2022_jp",
        "hz",
        "undefined",
        "utf-ate",
        "",
        "\0",
    ],
)
def test_what_is_no_text_encoding_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no text encoding this platform reads"):
        text_encoding(name)
    with pytest.raises(ValueError, match="use utf-8, utf-16, cp1252"):
        decode_chunks([], "none", name)


def test_names_of_encodings_are_normal() -> None:
    assert [text_encoding(name) for name in ("UTF8", "utf-8-sig", "Latin-1", "windows-1252")] == [
        "utf-8",
        "utf-8",
        "iso8859-1",
        "cp1252",
    ]
