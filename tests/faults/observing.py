"""What readers see of a home, found out as a reader does: by the command line, and by the table reader."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.canonical import parse_json
from contracts.errors import HashgateError
from platform_assets.cli.main import main
from resources.doomed_lists import FOLDER as DOOMED
from resources.duckdb_session import open_session, parquet_source
from resources.object_store import INCOMING
from tests.faults.homes import DAY, TABLE, Home

_ROWS = f"SELECT * EXCLUDE (_hg_segment) FROM {TABLE} ORDER BY ALL"


@dataclass(frozen=True)
class Seen:
    """The partition as readers see it."""

    version: int
    """The number of the current version; 0 when there is none."""
    kinds: tuple[str, ...]
    """Of every version, oldest first."""
    rows: tuple[tuple[Any, ...], ...]
    """Every row that a query gives, with the drop and the record it comes from."""
    quarantined: tuple[tuple[Any, ...], ...]
    """Drop, record and text of everything in quarantine."""
    records: int
    """What the current version says it is made of."""

    @property
    def content(self) -> tuple[object, ...]:
        """What is there, in whichever version."""
        return self.rows, self.quarantined, self.records


NOTHING = Seen(0, (), (), (), 0)
"""What readers see who see nothing."""


@dataclass(frozen=True)
class Observed:
    """What readers see, and what is wrong with what they do not see."""

    seen: Seen
    unsound: tuple[str, ...]
    """What `hashgate verify` found, and every contradiction between one way of reading and another."""
    leftovers: tuple[str, ...]
    """Staging and half-made objects that lie about."""
    objects: tuple[str, ...]
    """The keys of everything in the store that readers, writers or auditors look at."""


def observe(home: Home) -> Observed:
    """Look at a home, in a process that has nothing to do with the writer's."""
    home.enter()
    try:
        seen, unsound = _read(home)
    except HashgateError as error:
        seen, unsound = NOTHING, [f"it cannot be read: {error}"]
    code, verified = command("verify", TABLE)
    for table in verified["tables"]:
        unsound += [f"{c['subject']}: expected {c['expected']}, observed {c['observed']}" for c in table["corruptions"]]
    if code and not unsound:
        unsound.append(f"verify ended with {code}: {verified}")
    return Observed(seen, tuple(unsound), tuple(_leftovers(home)), tuple(_objects(home)))


def _read(home: Home) -> tuple[Seen, list[str]]:
    workspace = home.workspace
    reader = workspace.reader
    head = reader.head(TABLE, DAY)
    if head is None:
        code, answer = command("query", f"SELECT * FROM {TABLE}")
        rows = answer.get("rows", [])
        return NOTHING, [f"rows of a partition without a version: {rows}"] if rows else []
    code, answer = command("query", _ROWS)
    if code:
        return NOTHING, [f"query ended with {code}: {answer}"]
    rows = tuple(tuple(row) for row in answer["rows"])
    files = reader.open(TABLE, DAY)
    paths = [*files.quarantine, *files.overlay]
    with open_session(store=workspace.store) as session:
        query = f"SELECT _hg_source, _hg_record, raw FROM {parquet_source(paths)} ORDER BY ALL"
        quarantined = tuple(session.execute(query).fetchall()) if paths else ()
    said = head.candidate
    seen = Seen(head.number, tuple(c.kind for c in reader.history(TABLE, DAY)), rows, quarantined, said.records)
    unsound = []
    if (said.valid_rows, said.quarantined_rows) != (len(rows), len(quarantined)):
        unsound.append(
            f"the commit says {said.valid_rows} + {said.quarantined_rows}, {len(rows)} + {len(quarantined)} are there"
        )
    if len(rows) + len(quarantined) != said.records:
        unsound.append(f"{said.records} records became {len(rows)} rows and {len(quarantined)} quarantined")
    return seen, unsound


def command(*arguments: str) -> tuple[int, Any]:
    """A command of `hashgate` with `--json`: exit code and answer, or the error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*arguments, "--json"])
    return code, parse_json(out.getvalue() or err.getvalue())


def _leftovers(home: Home) -> Iterable[str]:
    for folder in (home.settings.staging, home.workspace.store.scratch):
        for path in sorted(Path(folder).rglob("*")):
            yield str(path.relative_to(home.home))


def _objects(home: Home) -> Iterable[str]:
    """All but the collector's own notes, which are as many as it was interrupted.

    A report's folder is named after its version's number and digest, which the hour of its commit is part of.
    """
    keys = (key for key in home.workspace.store.walk("") if not key.startswith((f"{DOOMED}/", f"{INCOMING}/")))
    return (re.sub(r"(/reports/[^/]+/[0-9]+)-[0-9a-f]{12}/", r"\1/", key) for key in keys)
