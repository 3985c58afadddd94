"""Files read in verified blocks: exactly the bytes that were registered, few requests, and nothing else to open."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.duckdb_syntax import literal
from contracts.errors import DigestMismatchError, StoreError
from contracts.refs import Digest, digest_bytes
from contracts.segments import BLOCK_BYTES
from resources.object_store import LocalObjectStore, ObjectStore
from resources.verified_files import VerifiedFiles
from tests.servers.fault_proxy import Fault, FaultProxy
from tests.servers.s3 import BUCKET, S3Server

ROWS, COLUMNS = 400_000, 20


def blocks_of(content: bytes) -> tuple[Digest, ...]:
    return tuple(digest_bytes(content[at : at + BLOCK_BYTES]) for at in range(0, len(content), BLOCK_BYTES))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet file of 20 columns, some 30 MB of it, which do not compress."""
    path = tmp_path_factory.mktemp("wide") / "wide.parquet"
    columns = ", ".join(f"hash(range * {number} + 1) AS c{number}" for number in range(COLUMNS))
    with duckdb.connect() as session:
        session.execute(f"COPY (SELECT {columns} FROM range({ROWS})) TO {literal(str(path))} (ROW_GROUP_SIZE 65536)")
    return path


class CountingStore(LocalObjectStore):
    """A local store that counts what is read from it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.ranges: list[tuple[int, int]] = []

    def read_range(self, key: str, start: int, length: int) -> bytes:
        self.ranges.append((start, length))
        return super().read_range(key, start, length)

    @property
    def fetched_bytes(self) -> int:
        return sum(length for _, length in self.ranges)


@dataclass
class Reading:
    """A file in a store, registered for reading."""

    store: CountingStore
    files: VerifiedFiles
    address: str
    content: bytes


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Reading]:
    """Put content into a store and register it."""

    def reading(content: bytes, **options: Any) -> Reading:
        store = CountingStore(tmp_path / "store")
        store.put_if_absent("tables/t/valid.parquet", content)
        files = VerifiedFiles(**options)
        return Reading(
            store, files, files.register(store, "tables/t/valid.parquet", len(content), blocks_of(content)), content
        )

    return reading


@pytest.fixture
def session() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"enable_external_file_cache": "false", "threads": "4"}) as session:
        yield session


def relation(*addresses: str) -> str:
    return f"read_parquet([{', '.join(literal(address) for address in addresses)}], hive_partitioning = false)"


CONTENTS = {
    "empty": b"",
    "one byte": b"x",
    "a block": random.Random(1).randbytes(BLOCK_BYTES),  # noqa: S311 - any bytes
    "a block and a byte": random.Random(2).randbytes(BLOCK_BYTES + 1),  # noqa: S311
    "five blocks and a half": random.Random(3).randbytes(11 * BLOCK_BYTES // 2),  # noqa: S311
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_any_part_of_a_file_is_what_it_was(read: Callable[..., Reading], content: bytes) -> None:
    reading = read(content)
    with reading.files.open(reading.address) as file:
        assert file.read() == content
        assert file.read() == file.read(10) == b""
        dice = random.Random(4)  # noqa: S311
        for _ in range(100):
            start, length = dice.randrange(len(content) + 2), dice.choice([0, 1, 1000, BLOCK_BYTES, 3 * BLOCK_BYTES])
            assert file.seek(start) == start
            assert file.read(length) == content[start : start + length]
            assert file.tell() == max(start, min(start + length, len(content)))
        assert file.seek(-1, os.SEEK_END) == len(content) - 1 if content else True
        buffer = bytearray(5)
        file.seek(0)
        assert file.readinto(buffer) == len(content[:5])
        assert bytes(buffer[: len(content[:5])]) == content[:5]
        with pytest.raises(ValueError, match="before the start"):
            file.seek(-1)


def test_neighbouring_blocks_come_in_one_request_and_known_ones_are_not_asked_for_again(
    read: Callable[..., Reading],
) -> None:
    reading = read(CONTENTS["five blocks and a half"])
    with reading.files.open(reading.address) as file:
        file.seek(2 * BLOCK_BYTES + 7)
        file.read(10)
        assert reading.store.ranges == [(2 * BLOCK_BYTES, BLOCK_BYTES)]
        file.seek(1)
        file.read(5 * BLOCK_BYTES)
    block = BLOCK_BYTES
    assert reading.store.ranges[1:] == [(0, 2 * block), (3 * block, 5 * block // 2)]
    with reading.files.open(reading.address) as file:
        assert file.read() == reading.content
    assert len(reading.store.ranges) == 3


def test_what_is_kept_is_bounded(read: Callable[..., Reading]) -> None:
    reading = read(CONTENTS["five blocks and a half"], cache_bytes=2 * BLOCK_BYTES)
    for _ in range(2):
        with reading.files.open(reading.address) as file:
            assert file.read() == reading.content
    assert reading.store.fetched_bytes > 1.5 * len(reading.content)
    assert reading.files._kept_bytes == sum(map(len, reading.files._kept.values())) <= 2 * BLOCK_BYTES


def test_equal_blocks_are_kept_once(read: Callable[..., Reading]) -> None:
    reading = read(bytes(5 * BLOCK_BYTES))
    with reading.files.open(reading.address) as file:
        assert file.read() == reading.content
    assert reading.files._kept_bytes == sum(map(len, reading.files._kept.values())) == BLOCK_BYTES


def test_each_thread_has_a_position_of_its_own(read: Callable[..., Reading]) -> None:
    reading = read(CONTENTS["five blocks and a half"])
    together = threading.Barrier(4)
    with reading.files.open(reading.address) as file:

        def look(thread: int) -> list[bool]:
            dice, found = random.Random(thread), []  # noqa: S311
            for _ in range(100):
                start = dice.randrange(len(reading.content) - 100)
                file.seek(start)
                together.wait(30)  # every thread has gone elsewhere before anyone reads
                found.append(file.read(100) == reading.content[start : start + 100])
            return found

        with ThreadPoolExecutor(4) as threads:
            assert all(all(found) for found in threads.map(look, range(4)))


def test_what_two_threads_want_is_fetched_once(read: Callable[..., Reading]) -> None:
    reading = read(CONTENTS["five blocks and a half"])

    def whole(_: int) -> bool:
        with reading.files.open(reading.address) as file:
            return file.read() == reading.content

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(whole, range(8)))
    assert reading.store.fetched_bytes == len(reading.content)


def test_an_error_reaches_everybody_who_waited_for_the_block(
    read: Callable[..., Reading], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = read(CONTENTS["five blocks and a half"])
    fetching, goes_on = threading.Event(), threading.Event()

    def refuse(*_: Any) -> bytes:
        fetching.set()
        goes_on.wait(30)
        msg = "the disk is gone"
        raise StoreError(msg)

    monkeypatch.setattr(reading.store, "read_range", refuse)

    def whole() -> str:
        with pytest.raises(StoreError) as refused, reading.files.open(reading.address) as file:
            file.read()
        return str(refused.value)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(whole)
        fetching.wait(30)
        second = threads.submit(whole)
        goes_on.set()
        assert first.result(30) == second.result(30) == "the disk is gone"
    monkeypatch.undo()
    with reading.files.open(reading.address) as file:
        assert file.read() == reading.content


# ---- DuckDB ----------------------------------------------------------------------------------------------------------

QUESTIONS = {
    "count(*)": ("SELECT count(*) FROM {}", 0.02),
    "one column of 20": ("SELECT sum(c7) FROM {}", 0.30),
    "one column, filtered by another": ("SELECT sum(c7) FROM {} WHERE c3 % 1000 = 7", 0.50),
    "everything": (f"SELECT {', '.join(f'sum(c{number})' for number in range(COLUMNS))} FROM {{}}", 1.05),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_fetches_little_more_than_what_it_reads(
    read: Callable[..., Reading],
    session: duckdb.DuckDBPyConnection,
    wide: Path,
    record_property: Callable[[str, object], None],
    question: str,
) -> None:
    reading = read(wide.read_bytes())
    reading.files.attach(session)
    sql, share = QUESTIONS[question]
    answer = session.execute(sql.format(relation(reading.address))).fetchall()
    with duckdb.connect() as plain:
        assert answer == plain.execute(sql.format(relation(str(wide)))).fetchall()
    fetched = reading.store.fetched_bytes / len(reading.content)
    record_property("fetched", f"{fetched:.1%} of the file in {len(reading.store.ranges)} requests")
    assert 0 < fetched <= share
    assert len(reading.store.ranges) <= len(blocks_of(reading.content))


def test_a_question_streams_from_any_store(
    any_store: ObjectStore, session: duckdb.DuckDBPyConnection, wide: Path
) -> None:
    content = wide.read_bytes()
    assert any_store.adopt_file("t/valid.parquet", _staged(any_store, content))
    files = VerifiedFiles()
    address = files.register(any_store, "t/valid.parquet", len(content), blocks_of(content))
    files.attach(session)
    ours, theirs = (session.sql(f"FROM {relation(place)} ORDER BY c1, c2") for place in (address, str(wide)))
    assert ours.to_arrow_table().equals(theirs.to_arrow_table())


def test_files_of_several_stores_are_told_apart(
    moto: S3Server, session: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    files, addresses = VerifiedFiles(), []
    stores: list[ObjectStore] = [
        LocalObjectStore(tmp_path / "one"),
        LocalObjectStore(tmp_path / "two"),
        moto.store(tmp_path / "scratch"),
        moto.store(tmp_path / "scratch"),
    ]
    for number, store in enumerate(stores):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table({"number": [number]}), path)
        store.put_if_absent("t/x.parquet", path.read_bytes())
        addresses.append(files.register(store, "t/x.parquet", path.stat().st_size, blocks_of(path.read_bytes())))
    files.attach(session)
    files.attach(session.cursor())
    assert session.execute(f"SELECT number FROM {relation(*addresses)} ORDER BY 1").fetchall() == [
        (0,),
        (1,),
        (2,),
        (3,),
    ]


def test_only_what_was_registered_can_be_opened(
    read: Callable[..., Reading], session: duckdb.DuckDBPyConnection, wide: Path
) -> None:
    reading = read(wide.read_bytes())
    reading.store.put_if_absent("tables/t/other.parquet", reading.content)
    reading.files.attach(session)
    other = reading.address.replace("valid", "other")
    pattern = reading.address.replace("valid", "*")
    for address in (other, pattern, "hashgate://x/y.parquet", "hashgate://"):
        with pytest.raises(duckdb.Error, match="No files found"):
            session.execute(f"SELECT * FROM {relation(address)}")
        with pytest.raises(FileNotFoundError, match="not registered for reading"):
            reading.files.open(address)
        assert (reading.files.exists(address), reading.files.glob(address)) == (False, [])


def test_nothing_can_be_written(read: Callable[..., Reading], session: duckdb.DuckDBPyConnection, wide: Path) -> None:
    reading = read(wide.read_bytes())
    reading.files.attach(session)
    for address in (reading.address, "hashgate://new/file.parquet"):
        with pytest.raises((duckdb.Error, NotImplementedError)):
            session.execute(f"COPY (SELECT 1 AS x) TO {literal(address)} (FORMAT parquet)")
        with pytest.raises(PermissionError, match="read only"):
            reading.files.open(address, "wb")
    assert reading.store.get("tables/t/valid.parquet") == reading.content


def test_a_locked_session_reads_what_it_was_allowed_and_nothing_else(
    read: Callable[..., Reading], session: duckdb.DuckDBPyConnection, wide: Path
) -> None:
    reading = read(wide.read_bytes())
    reading.store.put_if_absent("tables/t/other.parquet", reading.content)
    other = reading.files.register(
        reading.store, "tables/t/other.parquet", len(reading.content), blocks_of(reading.content)
    )
    reading.files.attach(session)
    session.execute(f"SET allowed_paths = [{literal(reading.address)}]")
    session.execute("SET enable_external_access = false")
    session.execute("SET lock_configuration = true")
    assert session.execute(f"SELECT count(*) FROM {relation(reading.address)}").fetchall() == [(ROWS,)]
    for address in (other, str(wide)):
        with pytest.raises(duckdb.PermissionException):
            session.execute(f"SELECT count(*) FROM {relation(address)}")


# ---- what is not what it was -----------------------------------------------------------------------------------------


def altered(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]


ALTERED: dict[str, Callable[[bytes], bytes]] = {
    "a bit at the start": lambda content: altered(content, 0),
    "a bit in the middle": lambda content: altered(content, len(content) // 2),
    "the last bit": lambda content: altered(content, len(content) - 1),
    "cut off": lambda content: content[:-1],
    "cut off at a block": lambda content: content[: len(content) // BLOCK_BYTES * BLOCK_BYTES],
    "empty": lambda _: b"",
    "two blocks exchanged": lambda content: (
        content[BLOCK_BYTES : 2 * BLOCK_BYTES] + content[:BLOCK_BYTES] + content[2 * BLOCK_BYTES :]
    ),
}


@pytest.mark.parametrize("damage", ALTERED)
def test_an_altered_file_is_never_read(
    read: Callable[..., Reading], session: duckdb.DuckDBPyConnection, wide: Path, damage: str
) -> None:
    reading = read(wide.read_bytes())
    reading.store.path("tables/t/valid.parquet").write_bytes(ALTERED[damage](reading.content))
    reading.files.attach(session)
    sql = QUESTIONS["everything"][0].format(relation(reading.address))
    with pytest.raises(DigestMismatchError) as told, reading.files.telling_why([reading.address]):
        session.execute(sql).fetchall()
    assert "of tables/t/valid.parquet: expected blake3:" in str(told.value)
    assert told.value.evidence["expected"] in blocks_of(reading.content)
    with pytest.raises(DigestMismatchError), reading.files.open(reading.address) as file:
        file.read()
    with pytest.raises(DigestMismatchError):
        pq.read_table(reading.address, filesystem=reading.files, use_threads=False)


def test_bytes_added_at_the_end_are_not_read(
    read: Callable[..., Reading], session: duckdb.DuckDBPyConnection, wide: Path
) -> None:
    reading = read(wide.read_bytes())
    with reading.store.path("tables/t/valid.parquet").open("ab") as file:
        file.write(b"more")
    with reading.files.open(reading.address) as registered:
        assert registered.read() == reading.content
    reading.files.attach(session)
    assert session.execute(f"SELECT count(*) FROM {relation(reading.address)}").fetchall() == [(ROWS,)]


def test_a_missing_file_says_how_to_get_it_back(
    read: Callable[..., Reading], session: duckdb.DuckDBPyConnection, wide: Path
) -> None:
    reading = read(wide.read_bytes())
    reading.store.forget("tables/t/valid.parquet")
    reading.files.attach(session)
    with (
        pytest.raises(StoreError, match="tables/t/valid.parquet is missing. Restore the store"),
        reading.files.telling_why([reading.address]),
    ):
        session.execute(f"SELECT count(*) FROM {relation(reading.address)}")


def test_the_servers_refusal_is_what_the_reader_is_told(
    faults: FaultProxy, session: duckdb.DuckDBPyConnection, wide: Path, tmp_path: Path
) -> None:
    store = S3Server(faults.endpoint).store(tmp_path / "scratch", max_attempts=1)
    content = wide.read_bytes()
    store.put_if_absent("t.parquet", content)
    files = VerifiedFiles()
    address = files.register(store, "t.parquet", len(content), blocks_of(content))
    files.attach(session)
    faults.fail(Fault.REFUSED, 403, method="GET", matching=f"{BUCKET}/", at=(2,))
    with pytest.raises(StoreError, match="AccessDenied, HTTP 403"), files.telling_why([address]):
        session.execute(QUESTIONS["everything"][0].format(relation(address))).fetchall()
    with files.telling_why([address]):
        assert session.execute(f"SELECT count(*) FROM {relation(address)}").fetchall() == [(ROWS,)]


def test_other_errors_stay_what_they_are_also_after_a_refusal(
    read: Callable[..., Reading], session: duckdb.DuckDBPyConnection, wide: Path
) -> None:
    reading = read(wide.read_bytes())
    reading.store.forget("tables/t/valid.parquet")
    with pytest.raises(StoreError), reading.files.open(reading.address) as file:
        file.read()
    with pytest.raises(duckdb.CatalogException), reading.files.telling_why([reading.address]):
        session.execute("SELECT * FROM nothing")


# ---- registering -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("surplus", [-1, 1], ids=["too few", "too many"])
def test_blocks_that_do_not_cover_the_file_are_refused(tmp_path: Path, surplus: int) -> None:
    content = CONTENTS["five blocks and a half"]
    blocks = blocks_of(content)
    wrong = blocks[:-1] if surplus < 0 else (*blocks, blocks[0])
    with pytest.raises(StoreError, match="block digests do not cover") as refused:
        VerifiedFiles().register(LocalObjectStore(tmp_path / "store"), "a", len(content), wrong)
    assert refused.value.evidence["blocks"] == len(blocks) + surplus


def test_a_file_cannot_be_registered_as_two(read: Callable[..., Reading]) -> None:
    reading = read(CONTENTS["a block"])
    other = blocks_of(CONTENTS["five blocks and a half"])[:1]
    with pytest.raises(StoreError, match="is being read as another file under the same name"):
        reading.files.register(reading.store, "tables/t/valid.parquet", BLOCK_BYTES, other)


def test_a_file_stays_registered_as_long_as_anybody_needs_it(read: Callable[..., Reading]) -> None:
    reading = read(CONTENTS["a block"])
    again = reading.files.register(reading.store, "tables/t/valid.parquet", BLOCK_BYTES, blocks_of(CONTENTS["a block"]))
    assert again == reading.address
    reading.files.unregister(again)
    assert reading.files.exists(again)
    reading.files.unregister(again)
    assert not reading.files.exists(again)
    with pytest.raises(FileNotFoundError):
        reading.files.open(again)


def test_what_was_kept_of_one_file_is_not_taken_for_another(read: Callable[..., Reading]) -> None:
    reading = read(CONTENTS["a block"])
    with reading.files.open(reading.address) as file:
        file.read()
    reading.files.unregister(reading.address)
    other = CONTENTS["five blocks and a half"][:BLOCK_BYTES]
    reading.store.path("tables/t/valid.parquet").write_bytes(other)
    reading.files.register(reading.store, "tables/t/valid.parquet", BLOCK_BYTES, blocks_of(other))
    with reading.files.open(reading.address) as file:
        assert file.read() == other


def test_pyarrow_reads_the_columns_it_wants(read: Callable[..., Reading], wide: Path) -> None:
    reading = read(wide.read_bytes())
    with reading.files.open(reading.address) as file:
        table = pq.ParquetFile(file, pre_buffer=False).read(["c7"], use_threads=False)
    assert table.equals(pq.read_table(wide, columns=["c7"]))
    assert reading.store.fetched_bytes < 0.3 * len(reading.content)


def _staged(store: ObjectStore, content: bytes) -> Path:
    path = store.scratch / "staged"
    path.write_bytes(content)
    return path
