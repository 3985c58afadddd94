"""Profiles of segments: each segment is read once, whatever version it is in, and what is damaged is read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from contracts.commits import Commit
from contracts.report_document import Profile, SegmentProfile
from platform_assets.reports import segment_profiles as module
from platform_assets.reports.segment_profiles import profile_prefixes, segment_profiles
from resources.duckdb_session import open_session
from tests.sales import DAY, HEADER, SalesHome, row


def profiles(sales: SalesHome, commit: Commit) -> list[Profile]:
    workspace = sales.workspace
    (files,) = workspace.reader.open_commits([commit])
    columns = {name: type_ for name, type_ in commit.candidate.contract.table_schema if not name.startswith("_hg_")}
    with open_session(store=workspace.store) as session:
        return list(segment_profiles(session, workspace.store, files, columns))


def kept(sales: SalesHome) -> list[Path]:
    return sorted(sales.workspace.store.path("tables/sales/profiles").glob("*/profile.json"))


def drop_many(sales: SalesHome, numbers: range) -> Commit:
    for number in numbers:
        sales.drop(HEADER + row(number), f"{DAY}-{number:03d}.csv")
    return sales.ingest().commit


def test_a_version_with_one_more_drop_reads_its_own_segment_only(
    sales: SalesHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = drop_many(sales, range(1, 41))
    profiles(sales, first)
    before = {path: path.stat().st_mtime_ns for path in kept(sales)}
    assert len(before) == len(first.candidate.segments) > 1
    second = drop_many(sales, range(41, 42))
    read: list[str] = []
    original = module.profile_table

    def noting(session: duckdb.DuckDBPyConnection, relation: str, *more: Any) -> Profile:
        read.append(relation)
        return original(session, relation, *more)

    monkeypatch.setattr(module, "profile_table", noting)
    found = profiles(sales, second)
    shared = {entry.content for entry in first.candidate.segments} & {e.content for e in second.candidate.segments}
    assert shared
    assert len(read) == len(second.candidate.segments) - len(shared)
    assert sum(profile.rows for profile in found) == 41
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_what_the_overlay_excludes_is_not_in_it_and_it_is_kept_apart(sales: SalesHome) -> None:
    plain = drop_many(sales, range(1, 9))
    profiles(sales, plain)
    sales.drop(HEADER + row(1, note="again") + row(50), f"{DAY}-999.csv")
    overlaid = sales.ingest().commit
    assert overlaid.candidate.overlay is not None
    assert sum(profile.rows for profile in profiles(sales, overlaid)) == 9
    assert not set(profile_prefixes(plain.candidate)) & set(profile_prefixes(overlaid.candidate))
    for path in kept(sales):
        document = SegmentProfile.from_bytes(path.read_bytes())
        assert document.overlay in {None, overlaid.candidate.overlay.content}


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff"], ids=repr)
def test_what_is_damaged_is_computed_and_kept_again(sales: SalesHome, content: bytes) -> None:
    commit = drop_many(sales, range(1, 4))
    before, whole = profiles(sales, commit), kept(sales)[0].read_bytes()
    kept(sales)[0].write_bytes(content)
    assert profiles(sales, commit) == before
    assert kept(sales)[0].read_bytes() == whole


def test_the_profile_of_another_segment_is_not_taken_for_this_ones(sales: SalesHome) -> None:
    commit = drop_many(sales, range(1, 41))
    before, paths = profiles(sales, commit), kept(sales)
    contents = [path.read_bytes() for path in paths]
    paths[0].write_bytes(contents[1])
    assert profiles(sales, commit) == before
    assert [path.read_bytes() for path in paths] == contents
