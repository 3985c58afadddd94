"""What is damaged is moved aside, by an ingest or when asked; and ingesting an intact drop again brings it all back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import DigestMismatchError, HashgateError, StoreError
from contracts.refs import hex_of
from platform_assets.evidence.corruptions import Concern, Depth
from platform_assets.evidence.verifying import verify
from platform_assets.reports import partition_report
from platform_assets.reports.partition_report import write_report
from platform_assets.reports.table_overview import write_overview
from resources.publisher import Outcome
from tests.faults.homes import DAY, TABLE, Home
from tests.tamper.published import Rows, build, read_rows

ROWS: Rows = [(1, "pen"), (2, "ink")]
CONTENT = "id,item\n1,pen\n2,ink\n"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """One published day."""
    made = Home(tmp_path)
    made.found()
    made.drop(CONTENT)
    assert build(made) is Outcome.PUBLISHED
    return made


def store(home: Home) -> Path:
    return home.home / "store"


def only(home: Home, pattern: str) -> Path:
    (path,) = store(home).glob(pattern)
    return path


def drop_blob(home: Home) -> Path:
    return next(path for path in store(home).glob("blobs/*/*/*") if path.read_bytes()[:3] == b"id,")


def snapshot_blob(home: Home) -> Path:
    return next(path for path in store(home).glob("blobs/*/*/*") if path.read_bytes()[:1] == b"{")


def flip(path: Path) -> None:
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def findings(home: Home, **options: Any) -> dict[str, Concern]:
    done = verify(home.workspace, depth=Depth.DEEP, **options)
    return {found.subject: found.concern for found in done.corruptions}


def put_aside(home: Home) -> set[str]:
    """What lies in `damaged/`, by the keys that it had."""
    return {
        path.relative_to(store(home) / "damaged").as_posix().partition("/")[2]
        for path in store(home).glob("damaged/**/*")
        if path.is_file()
    }


def key_of(home: Home, path: Path) -> str:
    return path.relative_to(store(home)).as_posix()


@pytest.mark.parametrize("file", ["valid.parquet", "index.json"])
@pytest.mark.parametrize("damage", [flip, Path.unlink], ids=["flipped", "gone"])
def test_a_damaged_segment_stops_readers_and_the_same_drop_heals_it(
    damage: Callable[[Path], None], file: str, home: Home
) -> None:
    path = only(home, f"tables/*/segments/*/*/{file}")
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}
    damage(path)
    if file == "valid.parquet":
        with pytest.raises(HashgateError, match=file):
            read_rows(home)
    assert findings(home) == {key_of(home, path): Concern.READERS}

    home.drop(CONTENT)  # the same content again: without it nothing would be done
    assert build(home) is Outcome.REUSED

    assert read_rows(home) == ROWS
    assert findings(home) == {}
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before
    assert key_of(home, path.parent / "valid.parquet") in put_aside(home) or file == "valid.parquet"


def test_a_new_drop_beside_a_damaged_segment_relies_on_nothing_damaged(home: Home) -> None:
    flip(only(home, "tables/*/segments/*/*/valid.parquet"))
    home.drop("id,item\n3,cap\n", suffix="-b")
    assert build(home) is Outcome.PUBLISHED
    assert read_rows(home) == [*ROWS, (3, "cap")]


def test_a_damaged_drop_leaves_the_version_readable_and_the_same_drop_heals_it(home: Home) -> None:
    path = drop_blob(home)
    key, content = key_of(home, path), path.read_bytes()
    flip(path)
    (found,) = verify(home.workspace, depth=Depth.DEEP).corruptions
    assert (found.subject, found.concern) == (key, Concern.EVIDENCE)
    assert found.fix.startswith(f"Drop orders/orders-{DAY}.csv again with the same content and ingest its partition")
    assert read_rows(home) == ROWS
    assert build(home) is Outcome.REUSED, "nothing was dropped: nothing is looked at"
    assert findings(home) == {key: Concern.EVIDENCE}

    home.drop(CONTENT)
    assert build(home) is Outcome.REUSED
    assert findings(home) == {}
    assert path.read_bytes() == content
    assert put_aside(home) == {key}


def test_nothing_is_made_of_a_drop_that_was_damaged_before_it_was_read(tmp_path: Path) -> None:
    """Not even a segment that a later ingest, of the intact drop, would take for one of its own."""
    home = Home(tmp_path)
    home.found()
    home.drop(CONTENT)
    build(home, take_in_only=True)
    path = drop_blob(home)
    key = key_of(home, path)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"pen", b"pan"))  # as many records, all of them valid

    with pytest.raises(DigestMismatchError, match=key):
        build(home)
    assert put_aside(home) == {key}
    assert not (store(home) / "tables" / TABLE / "segments").exists()
    assert not (store(home) / "tables" / TABLE / "held").exists()
    with pytest.raises(StoreError, match="is missing from the store. Drop the file again"):
        build(home)

    home.drop(CONTENT)
    assert build(home) is Outcome.PUBLISHED
    assert read_rows(home) == ROWS
    assert findings(home) == {}


@pytest.mark.parametrize("damage", [flip, Path.unlink], ids=["flipped", "gone"])
def test_frozen_inputs_are_written_down_again(damage: Callable[[Path], None], home: Home) -> None:
    path = snapshot_blob(home)
    content = path.read_bytes()
    damage(path)
    assert findings(home) == {key_of(home, path): Concern.EVIDENCE}
    assert read_rows(home) == ROWS
    build(home, force=True)
    assert findings(home) == {}
    assert path.read_bytes() == content


def test_a_damaged_report_is_drawn_again(home: Home) -> None:
    head = home.workspace.reader.head(TABLE, DAY)
    assert head is not None
    report = Path(write_report(home.workspace, home.contract, head).place)
    content = report.read_bytes()
    flip(report)
    assert findings(home, put_aside=True) == {key_of(home, report): Concern.EVIDENCE}
    assert not report.exists()
    write_report(home.workspace, home.contract, head)
    assert report.read_bytes() == content
    assert findings(home) == {}


def test_a_damaged_overview_is_computed_again(home: Home) -> None:
    overview = Path(write_overview(home.workspace, home.contract).place)
    content = overview.read_bytes()
    assert findings(home) == {}
    flip(overview)
    assert findings(home, put_aside=True) == {key_of(home, overview): Concern.EVIDENCE}
    assert not overview.exists()
    assert Path(write_overview(home.workspace, home.contract).place).read_bytes() == content
    assert findings(home) == {}


def test_a_damaged_profile_of_a_segment_is_computed_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_report, "LOADED_BYTES", 0)
    head = home.workspace.reader.head(TABLE, DAY)
    assert head is not None
    report = Path(write_report(home.workspace, home.contract, head).place)
    profile, content = only(home, "tables/*/profiles/*/profile.json"), report.read_bytes()
    flip(profile)
    assert findings(home, put_aside=True) == {key_of(home, profile): Concern.EVIDENCE}
    report.unlink()
    write_report(home.workspace, home.contract, head)
    assert report.read_bytes() == content
    assert findings(home) == {}


@pytest.mark.parametrize("kind", ["overviews", "profiles"])
def test_what_stands_under_the_name_of_another_is_found(home: Home, kind: str) -> None:
    if kind == "overviews":
        key = key_of(home, Path(write_overview(home.workspace, home.contract).place))
        other = f"tables/{TABLE}/overviews/{'0' * 64}/overview.json"
        home.workspace.store.put_if_absent(other, home.workspace.store.get(key))
        assert findings(home) == {other: Concern.EVIDENCE}
    else:
        stray = f"tables/{TABLE}/profiles/notes.txt"
        home.workspace.store.put_if_absent(stray, b"mine")
        assert findings(home) == {stray: Concern.STRAY}


def test_verifying_changes_nothing_unless_it_is_asked_to(home: Home) -> None:
    segment, blob = only(home, "tables/*/segments/*/*/valid.parquet"), drop_blob(home)
    for path in (segment, blob):
        flip(path)
    before = {path: path.stat().st_ctime_ns for path in store(home).rglob("*")}
    assert len(findings(home)) == 2
    assert {path: path.stat().st_ctime_ns for path in store(home).rglob("*")} == before


def test_what_is_damaged_is_put_aside_on_request_and_ingesting_again_brings_it_back(home: Home) -> None:
    segment, blob = only(home, "tables/*/segments/*/*/valid.parquet"), drop_blob(home)
    folder, key = key_of(home, segment.parent), key_of(home, blob)
    for path in (segment, blob):
        flip(path)
    done = verify(home.workspace, depth=Depth.DEEP, put_aside=True)
    assert done.moved == sorted([key, folder])
    assert put_aside(home) == {key, f"{folder}/valid.parquet", f"{folder}/index.json"}
    with pytest.raises(HashgateError, match="is missing"):
        read_rows(home)
    assert {found.observed for found in verify(home.workspace).corruptions} == {"nothing"}

    home.drop(CONTENT)
    build(home)
    assert read_rows(home) == ROWS
    done = verify(home.workspace, depth=Depth.JUDGED)
    assert list(done.corruptions) == []
    assert done.store is not None
    assert done.store.put_aside == 2


def test_links_of_chains_are_never_moved(home: Home) -> None:
    commit = only(home, f"tables/*/commits/{DAY}/*.json")
    batch = only(home, "captures/*/*.json")
    for path in (commit, batch):
        flip(path)
    done = verify(home.workspace, depth=Depth.DEEP, put_aside=True)
    assert done.moved == []
    assert commit.exists()
    assert batch.exists()


def test_a_damaged_held_candidate_is_built_again(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.found()
    home.drop("id,item\n1,pen\n2,\n3,\n")
    assert build(home) is Outcome.HELD
    path = only(home, f"tables/*/held/{DAY}/*.json")
    flip(path)
    assert findings(home, put_aside=True) == {key_of(home, path): Concern.HISTORY}
    assert build(home) is Outcome.HELD
    assert findings(home) == {}


def test_a_version_in_a_folder_that_lost_its_name_is_whole_in_the_next_generation(home: Home) -> None:
    """A collector's list makes a writer take another place: readers and verification follow."""
    head = home.workspace.reader.head(TABLE, DAY)
    assert head is not None
    (entry,) = head.candidate.segments
    folder = store(home) / "tables" / TABLE / "segments" / hex_of(entry.view_key) / hex_of(entry.content)
    folder.rename(folder.with_name(f"{folder.name}.1"))
    assert findings(home) == {}
    assert read_rows(home) == ROWS
    flip(folder.with_name(f"{folder.name}.1") / "valid.parquet")
    assert findings(home) == {key_of(home, folder.with_name(f"{folder.name}.1") / "valid.parquet"): Concern.READERS}
