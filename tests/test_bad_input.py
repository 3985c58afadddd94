"""What people and senders get wrong: each case with the message (what, where, how to fix) and the exit code."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation import CONTRACT, SOUND, Installation

ROOT = Path(__file__).parents[1]
NOBODY = 65534
IS_ROOT = os.geteuid() == 0


@pytest.fixture
def installation(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Installation:
    return Installation(home, monkeypatch, capsys)


def states(installation: Installation) -> dict[str, str]:
    found = installation.hashgate("status", "orders", "--json").json["partitions"]
    return {partition["key"]: partition["state"] for partition in found}


def items(installation: Installation) -> list[str]:
    answer = installation.hashgate("query", "SELECT item FROM orders ORDER BY item", "--json")
    assert answer.code == 0, answer.err
    return [row[0] for row in answer.json["rows"]]


# --- what is asked for ---


@pytest.mark.parametrize(
    "command",
    [
        ["status", "ordes"],
        ["scan", "ordes"],
        ["plan", "ordes"],
        ["ingest", "ordes"],
        ["quarantine", "ordes"],
        ["verify", "ordes"],
    ],
    ids=lambda command: command[0],
)
def test_an_unknown_table(command: list[str], installation: Installation) -> None:
    ran = installation.hashgate(*command)
    assert ran.code == 2
    assert ran.err.startswith("error: there is no table 'ordes'")
    assert "Tables: orders. Contracts are read from " in ran.err
    assert ran.out == ""


def test_an_unknown_table_in_sql(installation: Installation) -> None:
    ran = installation.hashgate("query", "SELECT * FROM ordes")
    assert ran.code == 2
    assert 'there is no table "ordes"' in ran.err
    assert "orders" in ran.err


@pytest.mark.parametrize(
    ("key", "said"),
    [
        pytest.param("2024-13-01", "'2024-13-01' is not a partition of this daily calendar", id="no such month"),
        pytest.param("yesterday", "Its keys look like 2024-01-01, which is the first", id="no date"),
        pytest.param("2023-12-31", "Its keys look like 2024-01-01, which is the first", id="before the calendar"),
        pytest.param("2999-01-01", "partition 2999-01-01 has not begun; the newest one is", id="after the calendar"),
    ],
)
@pytest.mark.parametrize("command", ["status", "quarantine", "verify", "ingest"])
def test_an_unknown_partition(command: str, key: str, said: str, installation: Installation) -> None:
    ran = installation.hashgate(command, "orders", "--partition", key)
    assert ran.code == 2
    assert said in ran.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("2024-01-05...2024-01-01", "Write 2024-01-01...2024-01-05", id="backwards"),
        pytest.param("2024-01-01..2024-01-05", "2024-01-01..2024-01-05", id="two dots"),
        pytest.param("2024-01-01...", "Write FIRST...LAST", id="no end"),
        pytest.param("2024-01-01...2999-01-01", "has not begun", id="into the future"),
    ],
)
def test_a_range_that_is_none(text: str, said: str, installation: Installation) -> None:
    ran = installation.hashgate("ingest", "orders", "--range", text)
    assert ran.code == 2
    assert said in ran.err


def test_an_unknown_column_names_those_there_are(installation: Installation) -> None:
    installation.drop("2024-01-01")
    installation.build()
    ran = installation.hashgate("query", "SELECT itm FROM orders")
    assert ran.code == 2
    assert 'Referenced column "itm" not found' in ran.err
    assert "orders: id, item, amount, _hg_source" in ran.err
    assert ran.err.count("\n") == 1


# --- contracts ---


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(CONTRACT + "\n  - [", "line 34: ", id="broken YAML"),
        pytest.param(CONTRACT + "\nfoo: 1\n", "foo", id="an unknown key"),
        pytest.param(CONTRACT.replace("minimum: 0", "minimun: 0"), "minimun", id="an unknown option"),
        pytest.param(
            CONTRACT + "slaProperties:\n  - {property: availability, value: 99}\n",
            "the service level 'availability' is not enforced by this version",
            id="a promise nobody keeps",
        ),
        pytest.param(CONTRACT.replace("logicalType: number", "logicalType: numbr"), "numbr", id="a type there is not"),
        pytest.param(CONTRACT.replace("minimum: 0", "minimum: nothing"), "nothing", id="a bound of another type"),
        pytest.param(
            CONTRACT.replace(
                "      - name: item",
                "      - name: item\n        quality:\n          - {name: r, type: custom, engine: hashgate, "
                "implementation: 'random() > 0.5'}",
            ),
            "random",
            id="a rule that is volatile",
        ),
        pytest.param(
            CONTRACT.replace("path: orders/", "path: ../orders/"), "leaves the drop folder", id="a path with two dots"
        ),
        pytest.param(CONTRACT.replace("path: orders/", "path: /etc/"), "is absolute", id="an absolute path"),
        pytest.param("", "", id="an empty file"),
    ],
)
def test_a_broken_contract(text: str, said: str, installation: Installation) -> None:
    path = installation.write_contract(text)
    lint = installation.hashgate("contract", "lint", str(path))
    assert lint.code == 2
    assert said in lint.out + str(path)
    used = installation.hashgate("status", "orders")
    assert used.code == 2
    assert used.err.startswith(f"error: {path}: ")
    assert "Traceback" not in used.err


def test_a_broken_contract_stops_no_other_table(installation: Installation) -> None:
    installation.write_contract("kind: [", "parcels")
    installation.drop("2024-01-01")
    ran = installation.hashgate("status")
    assert ran.code == 2
    assert "orders  1 partition" in ran.out
    assert "parcels.odcs.yaml" in ran.err
    assert installation.hashgate("status", "orders").code == 0


def test_contract_folders_that_are_missing_or_empty(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HASHGATE_CONTRACTS", str(installation.contracts / "no"))
    ran = installation.hashgate("status")
    assert ran.code == 2
    assert (
        f"contract folder {installation.contracts / 'no'} does not exist. Create it, or set HASHGATE_CONTRACTS"
        in ran.err
    )
    (installation.contracts / "no").mkdir()
    ran = installation.hashgate("status")
    assert ran.code == 2
    assert "there is no contract (*.odcs.yaml) in" in ran.err


@pytest.mark.parametrize("pattern", ["(?:a+)+!(?P<year>x)?", "(?:a|a)*(?:a|aa)+$"])
def test_a_file_name_pattern_that_would_backtrack_forever_takes_no_time(
    pattern: str, installation: Installation
) -> None:
    """RE2 has no backtracking; what it cannot do (back references) it refuses."""
    dates = r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})"
    pattern = pattern.replace("(?P<year>x)?", "")
    old = r"orders-(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2}).*\.csv.*"
    installation.write_contract(CONTRACT.replace(old, f"{pattern}{dates}.*"))
    for number in range(50):
        (installation.drops / "orders" / f"{'a' * 200}{number}.csv").touch()
    started = time.monotonic()
    ran = installation.hashgate("scan", "orders")
    assert time.monotonic() - started < 5
    assert ran.code == 1
    assert "50 files cannot be taken" in ran.out
    installation.write_contract(CONTRACT.replace(old, rf"(a)\1{dates}"))
    refused = installation.hashgate("contract", "lint")
    assert refused.code == 2
    assert "RE2 refuses the pattern" in refused.out


# --- folders ---


def test_a_drop_folder_that_is_missing(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHGATE_DROPS", str(installation.drops / "no"))
    ran = installation.hashgate("scan", "orders")
    assert ran.code == 2
    assert ran.err == (
        f"error: drop folder {installation.drops}/no/orders does not exist. "
        "Create it, or set HASHGATE_DROPS to where the drops arrive.\n"
    )


def test_a_drop_folder_that_is_a_file(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    path = installation.drop("2024-01-01")
    monkeypatch.setenv("HASHGATE_DROPS", str(path))
    ran = installation.hashgate("ingest", "orders")
    assert ran.code == 2
    assert "set HASHGATE_DROPS" in ran.err


def as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of a user without rights: it imports as ourselves, then gives all rights up."""
    drop_rights = f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})" if IS_ROOT else "pass"
    code = f"""
import contextlib, io, os, sys
from platform_assets.cli.main import main
import platform_assets.cli.looking
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    main(["plan"])  # imports all that is imported late, and changes nothing
{drop_rights}
sys.exit(main())
"""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def open_to_all(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Installation]:
    """An installation that every user can get at; pytest's own folders are closed to others."""
    assert home.is_dir()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        elsewhere = Path(folder) / "home"
        elsewhere.mkdir()
        elsewhere.chmod(0o777)
        monkeypatch.setenv("HASHGATE_HOME", str(elsewhere))
        made = Installation(elsewhere, monkeypatch, capsys)
        yield made
        for path in (made.contracts, made.drops / "orders"):
            path.chmod(0o755)


def test_a_drop_folder_this_user_may_not_read(open_to_all: Installation) -> None:
    drops = open_to_all.drops / "orders"
    drops.chmod(0o000)
    ran = as_nobody("scan", "orders")
    assert ran.returncode == 2
    assert f"error: drop folder {drops} cannot be read: Permission denied. Give this user access to it." in ran.stderr
    assert as_nobody("plan", "orders").returncode == 2


def test_a_file_this_user_may_not_read(open_to_all: Installation) -> None:
    open_to_all.drop("2024-01-01")
    open_to_all.drop("2024-01-02").chmod(0o000)
    ran = as_nobody("scan", "orders")
    assert ran.returncode == 1
    assert "orders/orders-2024-01-02.csv: this user may not read it. Give this user access to it." in ran.stdout
    assert "2024-01-01" not in ran.stdout


def test_contracts_this_user_may_not_read(open_to_all: Installation) -> None:
    (open_to_all.contracts / "orders.odcs.yaml").chmod(0o000)
    one = as_nobody("status", "orders")
    assert one.returncode == 2
    assert (
        "orders.odcs.yaml: the file: it cannot be read: Permission denied. Give this user access to it." in one.stderr
    )
    open_to_all.contracts.chmod(0o000)
    all_of_them = as_nobody("status")
    assert all_of_them.returncode == 2
    assert (
        f"contract folder {open_to_all.contracts}: Permission denied. Give this user access to it" in all_of_them.stderr
    )


def test_a_home_that_cannot_be_made(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    (installation.home / "file").touch()
    monkeypatch.setenv("HASHGATE_HOME", str(installation.home / "file" / "home"))
    ran = installation.hashgate("scan", "orders")
    assert ran.code == 2
    assert "Set HASHGATE_HOME to a folder that can be written." in ran.err


# --- files ---


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("readme.csv", "the name does not match the contract's fileNamePattern", id="no key"),
        pytest.param("orders-2024-02-30.csv", "there is no such day", id="no such day"),
        pytest.param(
            "orders-2023-12-31.csv",
            "partition 2023-12-31 is outside the calendar, which goes from 2024-01-01",
            id="too early",
        ),
        pytest.param("orders-2999-01-01.csv", "partition 2999-01-01 is outside the calendar", id="in the future"),
    ],
)
def test_a_file_name_without_a_partition(name: str, said: str, installation: Installation) -> None:
    installation.drop("2024-01-01")
    (installation.drops / "orders" / name).write_bytes(SOUND)
    scanned = installation.hashgate("scan", "orders")
    assert scanned.code == 1
    assert f"orders/{name}: {said}" in scanned.out
    assert scanned.out.rstrip().endswith(".")
    ran = installation.hashgate("ingest", "orders")
    assert ran.code == 1
    assert name in ran.out + ran.err
    assert states(installation) == {"2024-01-01": "published"}


def special(kind: str, path: Path) -> None:
    match kind:
        case "link that leaves":
            path.symlink_to("/etc/hostname")
        case "link to nothing":
            path.symlink_to("nothing")
        case "FIFO":
            os.mkfifo(path)
        case "device":
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            "link that leaves",
            "it is a symbolic link that leaves the drop folder. Put the file itself into the drop folder.",
        ),
        ("link to nothing", "it is a symbolic link to nothing. Put the file itself into the drop folder."),
        ("FIFO", "it is a FIFO, a socket or a device, and is never opened. Drop a plain file."),
        ("device", "it is a FIFO, a socket or a device, and is never opened. Drop a plain file."),
    ],
)
def test_what_is_no_plain_file_is_named_and_never_opened(kind: str, said: str, installation: Installation) -> None:
    if kind == "device" and not IS_ROOT:
        pytest.skip("only root can make a device")
    installation.drop("2024-01-01")
    special(kind, installation.drops / "orders" / "orders-2024-01-02.csv")
    ran = installation.hashgate("ingest", "orders")
    assert ran.code == 1
    assert f"orders/orders-2024-01-02.csv: {said}" in installation.hashgate("scan", "orders").out
    assert items(installation) == ["ink", "pen"]


def test_a_link_inside_the_drop_folder_is_a_drop_like_any_other(installation: Installation) -> None:
    path = installation.drop("2024-01-01")
    (installation.drops / "orders" / "orders-2024-01-02.csv").symlink_to(path)
    assert installation.hashgate("ingest", "orders").code == 0
    assert items(installation) == ["ink", "ink", "pen", "pen"]


def test_a_file_name_that_is_no_utf8_stops_nothing(installation: Installation) -> None:
    installation.drop("2024-01-01")
    (installation.drops / "orders" / os.fsdecode(b"orders-2024-01-02-\xff\x1b.csv")).write_bytes(SOUND)
    ran = installation.hashgate("ingest", "orders")
    assert ran.code == 1
    assert "\x1b" not in ran.out + ran.err
    scanned = installation.hashgate("scan", "orders")
    assert r"orders/orders-2024-01-02-\xff\x1b.csv: its name is not UTF-8. Rename the file." in scanned.out
    assert items(installation) == ["ink", "pen"]


def test_new_content_under_the_same_size_and_time_is_seen(installation: Installation) -> None:
    path = installation.drop("2024-01-01")
    before = path.stat()
    assert installation.hashgate("ingest", "orders").code == 0
    path.write_bytes(SOUND.replace(b"pen", b"pan"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert states(installation) == {"2024-01-01": "pending"}
    assert installation.hashgate("ingest", "orders").code == 0
    assert items(installation) == ["ink", "pan"]


def test_a_file_that_changes_while_it_is_captured_is_not_taken(installation: Installation) -> None:
    installation.drop("2024-01-01")
    path = installation.drop("2024-01-02")
    assert installation.hashgate("ingest", "orders").code == 0
    os.truncate(path, 192 << 20)  # takes a while to copy
    incoming, changed = installation.home / "store" / "incoming", threading.Event()

    def change_it() -> None:
        """As soon as a copy of some size lies in the store's way in, write to the original, once."""
        deadline = time.monotonic() + 60
        while not changed.is_set() and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if any(copy.stat().st_size > 1 << 20 for copy in incoming.iterdir()):
                    with path.open("ab") as file:
                        file.write(b"late")
                    changed.set()

    other = threading.Thread(target=change_it)
    other.start()
    ran = installation.hashgate("ingest", "orders")
    other.join()
    assert changed.is_set()
    assert ran.code == 1
    said = " ".join((ran.out + ran.err).split())
    assert "orders/orders-2024-01-02.csv changed while it was captured, so nothing was taken of it" in said
    assert "move it into the drop folder when it is complete" in said
    assert items(installation) == ["ink", "ink", "pen", "pen"]
    assert states(installation)["2024-01-02"] == "pending"


def test_a_file_that_somebody_is_writing_waits(installation: Installation) -> None:
    installation.drop("2024-01-01")
    path = installation.drops / "orders" / "orders-2024-01-02.csv"
    with path.open("wb") as file:
        file.write(SOUND)
        file.flush()
        ran = installation.hashgate("ingest", "orders")
    assert "orders-2024-01-02.csv" in ran.out + ran.err
    assert states(installation) == {"2024-01-01": "published", "2024-01-02": "pending"}
    assert installation.hashgate("ingest", "orders").code == 0
    assert states(installation) == {"2024-01-01": "published", "2024-01-02": "published"}


def test_an_input_column_with_a_reserved_name(installation: Installation) -> None:
    installation.drop("2024-01-01", b"id,item,amount,_hg_source\n1,pen,1,forged\n")
    planned = installation.hashgate("plan", "orders").out
    assert "COLUMN_RESERVED: _hg_ is reserved for lineage, but the file has the column '_hg_source'" in planned
    ran = installation.hashgate("ingest", "orders")
    assert ran.code == 1
    shown = installation.hashgate("quarantine", "orders", "--summary").out
    assert "COLUMN_RESERVED" in shown
    assert "Rename the column in the file; names that begin with _hg_ belong to lineage." in shown


NASTY = (
    "<script>alert(1)</script>",
    "[x](javascript:alert(1)) **bold** | # head",
    "\x1b]0;owned\x07\x1b[2J",
    "=HYPERLINK(1)",
    "\u202egnp.exe",
    "${jndi:ldap://x}",
    "{{ 7*7 }}",
)


def test_html_markdown_and_terminal_escapes_in_values(installation: Installation) -> None:
    rows = [f'{number},"{text}",1' for number, text in enumerate(NASTY, start=1)]
    bad = [f'{number},"{text}",-1' for number, text in enumerate(NASTY, start=100)]
    installation.drop("2024-01-01", "\n".join(["id,item,amount", *rows, *bad]).encode())
    assert installation.hashgate("ingest", "orders").code == 0
    assert items(installation) == sorted(NASTY)
    shown = [
        installation.hashgate("query", "SELECT item FROM orders").out,
        installation.hashgate("quarantine", "orders").out,
        installation.hashgate("quarantine", "orders", "--summary").out,
    ]
    for said in shown:
        assert all(sign.isprintable() or sign == "\n" for sign in said)
    assert r"\x1b[2J" in shown[0]
    raw = [record["raw"] for record in installation.hashgate("quarantine", "orders", "--json").json["records"]]
    assert all(any(text in line for line in raw) for text in NASTY)
    pages = [path for path in installation.home.rglob("*.html") if path.is_file()]
    for page in pages:
        assert "<script>alert" not in page.read_text()


# --- the machine ---


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A file system of that size at `folder`."""
    made = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"no small disk can be mounted here, so none can be filled: {made.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["/bin/umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize(
    "megabytes", [pytest.param(30, id="while the drop is captured"), pytest.param(14, id="while its rows are written")]
)
def test_a_full_disk_leaves_the_old_version_readable(
    megabytes: int, installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, 24):
        monkeypatch.setenv("HASHGATE_HOME", str(disk / "home"))
        monkeypatch.setenv("DAGSTER_HOME", str(disk / "home" / "dagster"))
        installation.drop("2024-01-01")
        first = installation.hashgate("ingest", "orders")
        assert first.code == 0, first.err
        noise = os.urandom(megabytes << 19).hex().encode()
        rows = (b"%d,%s,1" % (n, noise[n * 300 : n * 300 + 300]) for n in range(len(noise) // 300))
        installation.drop("2024-01-01", b"id,item,amount\n" + b"\n".join(rows))
        ran = installation.hashgate("ingest", "orders")
        said = ran.out + ran.err
        assert ran.code == 1, said
        assert "No space left on device" in said
        assert "Free some space and run it again: nothing was published." in said
        assert "Traceback" not in said
        assert items(installation) == ["ink", "pen"]
        installation.drop("2024-01-01", SOUND.replace(b"pen", b"pan"))
        again = installation.hashgate("ingest", "orders")
        assert again.code == 0, again.out + again.err
        assert items(installation) == ["ink", "pan"]
        assert installation.hashgate("verify", "orders").code == 0


@pytest.mark.parametrize(
    "command", [["scan"], ["status"], ["plan"], ["query", "SELECT 1 FROM orders"], ["ingest", "orders"]]
)
def test_a_database_of_a_newer_schema(command: list[str], installation: Installation) -> None:
    installation.drop("2024-01-01")
    installation.build()
    with contextlib.closing(sqlite3.connect(installation.home / "catalogue.db")) as database, database:
        database.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    ran = installation.hashgate(*command)
    assert ran.code == 2
    assert "has schema version 99, this hashgate knows" in ran.err
    assert "Upgrade hashgate, or point HASHGATE_HOME elsewhere." in ran.err


@pytest.mark.parametrize("command", ["scan", "status", "plan"])
def test_a_database_that_is_none(command: str, installation: Installation) -> None:
    (installation.home / "catalogue.db").write_bytes(b"this is no database" * 100)
    ran = installation.hashgate(command)
    assert ran.code == 2
    assert "file is not a database. It is only an index: `hashgate rebuild` keeps it aside" in ran.err


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("SELECT * FROM read_csv('/etc/passwd')", id="a file function"),
        pytest.param("SELECT * FROM '/etc/passwd'", id="a file as a table"),
        pytest.param("SELECT * FROM read_text('/etc/passwd')", id="a text file"),
        pytest.param("SELECT * FROM glob('/etc/*')", id="names of files"),
        pytest.param("SELECT getenv('HOME')", id="the environment"),
        pytest.param("COPY orders TO '{out}'", id="COPY TO"),
        pytest.param("COPY (SELECT 1) TO '{out}'", id="COPY of a query"),
        pytest.param("WITH x AS (SELECT 1) SELECT * FROM x; COPY x TO '{out}'", id="a second statement"),
        pytest.param("CREATE TABLE t AS SELECT 1", id="CREATE"),
        pytest.param("DELETE FROM orders", id="DELETE"),
        pytest.param("ATTACH '{out}' AS db", id="ATTACH"),
        pytest.param("EXPORT DATABASE '{out}'", id="EXPORT"),
        pytest.param("INSTALL httpfs", id="INSTALL"),
        pytest.param("LOAD httpfs", id="LOAD"),
        pytest.param("SET enable_external_access = true", id="SET"),
        pytest.param("PRAGMA database_list", id="PRAGMA"),
        pytest.param("CALL pragma_version()", id="CALL"),
        pytest.param("EXPLAIN ANALYZE COPY orders TO '{out}'", id="EXPLAIN ANALYZE of a COPY"),
        pytest.param("", id="nothing"),
        pytest.param("SELEC 1", id="no SQL"),
    ],
)
def test_sql_that_reads_a_file_or_writes(sql: str, installation: Installation, tmp_path: Path) -> None:
    installation.drop("2024-01-01")
    installation.build()
    out = tmp_path / "out.csv"
    before = installation.tree()
    ran = installation.hashgate("query", sql.format(out=out))
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert "root:" not in ran.err
    assert not out.exists()
    assert {k for k in installation.tree() if "catalogue" not in k} == {k for k in before if "catalogue" not in k}
