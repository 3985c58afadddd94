"""Published tables as a DuckDB connection: the current versions and nothing else, for reading, while others write."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from contracts.errors import HashgateError, NotExportedError, StoreError, UsageError
from contracts.sinks import Sink
from resources.dagster_resources import WorkspaceResource
from resources.gated_io_manager import GatedIOManager
from resources.published_duckdb import PublishedDuckDB
from tests.installation import CONTRACT, Installation
from tests.servers.s3 import S3Server

WITH_DUCKDB = f"{CONTRACT}  - property: sinks\n    value: [duckdb]\n"
OTHERS = WITH_DUCKDB.replace("orders", "returns")


@pytest.fixture
def installation(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Installation:
    installed = Installation(home, monkeypatch, capsys)
    installed.write_contract(WITH_DUCKDB)
    return installed


@contextmanager
def connected(*tables: str, **more: object) -> Iterator[duckdb.DuckDBPyConnection]:
    published = PublishedDuckDB(workspace=WorkspaceResource())
    with published.get_connection(*tables, **more) as connection:  # type: ignore[arg-type]
        yield connection


def ids(connection: duckdb.DuckDBPyConnection, table: str = "orders") -> list[int]:
    return [number for (number,) in connection.execute(f"SELECT id FROM {table} ORDER BY ALL").fetchall()]


def drop_ids(installation: Installation, day: str, *numbers: int) -> None:
    lines = "".join(f"{number},pen,1\n" for number in numbers)
    installation.drop(day, f"id,item,amount\n{lines}".encode())


def export_of(installation: Installation, day: str) -> Path:
    head = installation.workspace.reader.head("orders", day)
    assert head is not None
    export = head.candidate.export(Sink.DUCKDB)
    assert export is not None
    return Path(installation.workspace.reader.export_place(head.candidate, export).source(export.file.name))


def test_a_table_is_a_view_over_its_current_partitions(installation: Installation) -> None:
    drop_ids(installation, "2024-01-01", 1, 2)
    drop_ids(installation, "2024-01-02", 3)
    installation.build()
    drop_ids(installation, "2024-01-01", 4)
    installation.build()
    with connected("orders") as connection:
        assert ids(connection) == [3, 4]
        described = connection.execute("DESCRIBE orders").fetchall()
        schema = installation.workspace.contract("orders").table_schema
        assert [(name, kind) for name, kind, *_ in described] == list(schema.items())


def test_some_partitions_alone(installation: Installation) -> None:
    drop_ids(installation, "2024-01-01", 1)
    drop_ids(installation, "2024-01-02", 2)
    installation.build()
    with connected("orders", partitions={"orders": ["2024-01-02"]}) as connection:
        assert ids(connection) == [2]
    with (
        pytest.raises(UsageError, match=r"orders\[2024-01-09\] has no version"),
        connected("orders", partitions={"orders": ["2024-01-09"]}),
    ):
        pass


@pytest.mark.usefixtures("installation")
def test_nothing_published_is_an_empty_table() -> None:
    with connected("orders") as connection:
        assert ids(connection) == []
        assert connection.execute("SELECT amount, _hg_source FROM orders").fetchall() == []


@pytest.mark.usefixtures("installation")
def test_no_table_of_that_name() -> None:
    with pytest.raises(UsageError, match="orderz"), connected("orderz"):
        pass


def test_nothing_attached_can_be_written_to(installation: Installation) -> None:
    drop_ids(installation, "2024-01-01", 1)
    installation.build()
    before = export_of(installation, "2024-01-01").read_bytes()
    with connected("orders") as connection:
        for statement in (
            "INSERT INTO orders SELECT * FROM orders",
            'DELETE FROM "orders.2024-01-01.duckdb".orders',
            'CREATE TABLE "orders.2024-01-01.duckdb".more AS SELECT 1 AS x',
            'DROP TABLE "orders.2024-01-01.duckdb".orders',
        ):
            with pytest.raises(duckdb.Error, match="."):
                connection.execute(statement)
        connection.execute("CREATE TABLE mine AS SELECT * FROM orders")  # in memory, one's own
    assert export_of(installation, "2024-01-01").read_bytes() == before


def test_an_own_database_gets_nothing_of_what_is_attached(installation: Installation, tmp_path: Path) -> None:
    drop_ids(installation, "2024-01-01", 1)
    installation.build()
    mine = tmp_path / "mine.duckdb"
    published = PublishedDuckDB(workspace=WorkspaceResource(), database=str(mine), tables=["orders"])
    with published.get_connection() as connection:
        connection.execute("CREATE TABLE counted AS SELECT count(*) AS n FROM orders")
    with duckdb.connect(str(mine), read_only=True) as connection:
        assert connection.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("counted",)]
        assert connection.execute("SELECT count(*) FROM duckdb_views() WHERE NOT internal").fetchall() == [(0,)]


def test_an_altered_file_is_not_attached(installation: Installation) -> None:
    drop_ids(installation, "2024-01-01", 1)
    installation.build()
    path = export_of(installation, "2024-01-01")
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match="expected blake3:"), connected("orders"):
        pass


def test_a_missing_file_says_how_to_get_it_back(installation: Installation) -> None:
    drop_ids(installation, "2024-01-01", 1)
    installation.build()
    export_of(installation, "2024-01-01").unlink()
    with pytest.raises(StoreError, match="is missing. Restore the store, or ingest the part"), connected("orders"):
        pass


def test_a_version_from_before_the_sink_is_not_left_out_in_silence(installation: Installation) -> None:
    installation.write_contract(CONTRACT)
    drop_ids(installation, "2024-01-01", 1)
    installation.build()
    installation.write_contract(WITH_DUCKDB)
    with pytest.raises(NotExportedError) as refused, connected("orders"):
        pass
    assert (refused.value.table, refused.value.partition, refused.value.number) == ("orders", "2024-01-01", 1)
    assert str(refused.value) == (
        "orders[2024-01-01] version 1 has no duckdb file: its contract did not name that sink. Add duckdb to `sinks` "
        "there, and ingest orders again."
    )
    installation.build()
    with connected("orders") as connection:
        assert ids(connection) == [1]


def test_versions_of_two_contracts_are_one_table(installation: Installation) -> None:
    drop_ids(installation, "2024-01-01", 1)
    installation.build()
    wider = WITH_DUCKDB.replace("version: 1.0.0", "version: 2.0.0").replace(
        "      - name: amount\n", "      - name: shop\n        logicalType: string\n      - name: amount\n"
    )
    with connected("orders", partitions={"orders": ["2024-01-01"]}):
        installation.write_contract(wider)
    with connected("orders") as connection:
        assert connection.execute("SELECT id, shop, amount FROM orders").fetchall() == [(1, None, 1.0)]


def test_a_reader_sees_what_was_current_when_it_asked_while_others_write(installation: Installation) -> None:
    drop_ids(installation, "2024-01-01", 1)
    installation.build()
    problems: list[BaseException] = []

    def restate() -> None:
        try:
            for number in range(2, 7):
                drop_ids(installation, "2024-01-01", number)
                installation.build()
        except BaseException as error:  # noqa: BLE001 - it fails the test
            problems.append(error)

    with connected("orders") as connection:
        writer = threading.Thread(target=restate)
        writer.start()
        looks = 0
        while writer.is_alive():
            assert ids(connection) == [1]
            looks += 1
        assert looks > 5
        writer.join()
    assert problems == []
    with connected("orders") as connection:
        assert ids(connection) == [6]


def test_two_connections_of_one_process_attach_the_same_files(installation: Installation) -> None:
    drop_ids(installation, "2024-01-01", 1)
    installation.build()
    with connected("orders") as one, connected("orders") as other:
        assert ids(one) == ids(other) == [1]


def test_more_files_than_may_be_open_is_said_as_such(installation: Installation) -> None:
    for day in range(1, 10):
        drop_ids(installation, f"2024-01-{day:02d}", day)
    installation.build()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 8, hard))  # room for what else is opened, not for nine files
    try:
        with pytest.raises(HashgateError, match="9 files are more than this process may open"), connected("orders"):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_asset_asks_published_tables_in_sql(installation: Installation) -> None:
    drop_ids(installation, "2024-01-01", 1, 2)
    installation.build()

    @dg.asset
    def how_many(published: PublishedDuckDB) -> dg.MaterializeResult:
        with published.get_connection("orders") as connection:
            ((count,),) = connection.execute("SELECT count(*) FROM orders").fetchall()
        return dg.MaterializeResult(metadata={"count": count})

    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize(
            [how_many], resources={"published": PublishedDuckDB(workspace=WorkspaceResource())}, instance=instance
        )
    assert done.asset_materializations_for_node("how_many")[0].metadata["count"].value == 2


def test_the_example_of_the_documentation_works(installation: Installation) -> None:
    drop_ids(installation, "2024-01-01", 1, 2)
    installation.build()
    page = (Path(__file__).parents[2] / "docs" / "sinks.md").read_text()
    code = page.partition("```python\nimport dagster")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(f"import dagster{code}", names)  # noqa: S102 - it is the documentation's own
    workspace = WorkspaceResource()
    resources = {"published": PublishedDuckDB(workspace=workspace), "gated": GatedIOManager(workspace=workspace)}
    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize([names["totals"]], resources=resources, instance=instance).success
    files = installation.workspace.reader.open("asset.totals", "all")
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT * FROM read_parquet({list(files.valid)})").fetchall() == [("pen", 2.0)]


def test_the_readers_of_csv_that_the_documentation_names_tell_null_from_empty_text(tmp_path: Path) -> None:
    (tmp_path / "orders.2024-01-31.csv").write_bytes(b'id,item,note\r\n1,"a ""b"", c",\r\n2,"","x\r\ny"\r\n')
    expected = [("1", 'a "b", c', None), ("2", "", "x\r\ny")]
    page = (Path(__file__).parents[2] / "docs" / "sinks.md").read_text()
    query = page.partition("```sql\n")[2].partition(";")[0].replace("'orders.", f"'{tmp_path}/orders.")
    with duckdb.connect() as connection:
        assert connection.execute(query).fetchall() == expected
    code = page.partition("```python\nfrom pyarrow")[2].partition("```")[0].replace('"orders.', f'"{tmp_path}/orders.')
    names: dict[str, Any] = {}
    exec(f"from pyarrow{code}", names)  # noqa: S102 - it is the documentation's own
    assert [tuple(row.values()) for row in names["cells"].to_pylist()] == [(int(i), *rest) for i, *rest in expected]


# ---- from a bucket ---------------------------------------------------------------------------------------------------


@pytest.fixture
def in_a_bucket(installation: Installation, moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> Installation:
    for name, value in {**moto.environment(), "HASHGATE_STORE": moto.setting}.items():
        monkeypatch.setenv(name, value)
    return installation


def cached(installation: Installation) -> list[Path]:
    return sorted(path for path in (installation.home / "cache").iterdir() if len(path.name) == 64)


def test_files_of_a_bucket_are_attached_from_a_verified_copy(in_a_bucket: Installation) -> None:
    drop_ids(in_a_bucket, "2024-01-01", 1)
    drop_ids(in_a_bucket, "2024-01-02", 2)
    in_a_bucket.build()
    with connected("orders") as connection:
        assert ids(connection) == [1, 2]
        copies = cached(in_a_bucket)
        assert len(copies) == 2
    stamps = [path.stat().st_ctime_ns for path in copies]
    with connected("orders") as connection:
        assert ids(connection) == [1, 2]
    assert [path.stat().st_ctime_ns for path in copies] == stamps, "they are not fetched again"


def test_a_copy_that_was_altered_is_fetched_again(in_a_bucket: Installation) -> None:
    drop_ids(in_a_bucket, "2024-01-01", 1)
    in_a_bucket.build()
    with connected("orders"):
        (copy,) = cached(in_a_bucket)
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-1] + b"x")
    with connected("orders") as connection:
        assert ids(connection) == [1]
    assert cached(in_a_bucket)[0].read_bytes() == whole


def test_an_altered_object_of_a_bucket_is_not_attached_and_leaves_no_copy(in_a_bucket: Installation) -> None:
    drop_ids(in_a_bucket, "2024-01-01", 77)  # rows that this process has not read from a bucket before
    in_a_bucket.build()
    store = in_a_bucket.workspace.store
    (key,) = (key for key in store.walk("tables/orders/exports") if key.endswith(".duckdb"))
    data = bytearray(store.get(key))
    data[-100] ^= 1
    store.forget(key)
    store.put_if_absent(key, bytes(data))
    with pytest.raises(StoreError, match="block 0 of"), connected("orders"):
        pass
    assert not (in_a_bucket.home / "cache").exists() or list((in_a_bucket.home / "cache").iterdir()) == []
