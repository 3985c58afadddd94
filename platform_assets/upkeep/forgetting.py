"""Forgetting: a captured drop and everything made of it goes, by somebody's recorded decision.

The withdrawal is logged with the captures, so that it has its place in the ingest sequence: every selection frozen
later does without the drop, and a version that a late run builds from an earlier selection counts as superseded. Then
the partitions are built anew, what was made of the drop is recorded as forgotten, and its objects are doomed. They are
removed when a grace is over, or at once. Every step can be taken again: whoever is interrupted runs it once more.

It does not reach what is outside the installation: the file in the drop folder, backups, tables that people's own
assets made of the rows, and the samples of quarantined records in Dagster's event log.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from contracts.collection import DoomedObject, base_name, in_order
from contracts.commits import Commit
from contracts.errors import HashgateError, UsageError
from contracts.refs import Digest, parse_digest
from contracts.segments import SegmentIndex
from contracts.selection import CapturedDrop, Decision, Selector, choose
from platform_assets.ingest.selecting import withdraw
from platform_assets.reports.partition_report import report_prefix
from platform_assets.reports.segment_profiles import profile_prefixes
from platform_assets.upkeep.collecting import doom, lying_aside, remove_object
from platform_assets.upkeep.expiring import forgotten_expiry, retention_of, write_expiry
from platform_assets.upkeep.roots import BLOBS, Roots, roots_of
from platform_assets.upkeep.table_documents import (
    Snapshots,
    TableDocuments,
    read_documents,
    tables_with_documents,
)
from resources.captures import blob_key, secure_blob
from resources.expirations import Expirations
from resources.object_store import ObjectStore
from resources.table_reader import INDEX, folders_of, held_key, table_prefix
from resources.workspace import Workspace

Rebuild = Callable[[str, Sequence[str]], Sequence[str]]
"""Build partitions of a table anew, from what is captured now; gives what went wrong, in words."""


@dataclass(frozen=True)
class Stake:
    """What a table has of the content that is to be forgotten, or that was."""

    table: str
    drops: tuple[CapturedDrop, ...]
    """Each path and content once, as it was captured."""
    versions: tuple[Commit, ...]
    """Made of it, and not expired."""
    held: tuple[Commit, ...]
    withdrawn: bool
    """Whether all of it is withdrawn already."""

    @property
    def digests(self) -> tuple[Digest, ...]:
        """The contents, each once."""
        return tuple(dict.fromkeys(drop.digest for drop in self.drops))

    @property
    def partitions(self) -> tuple[str, ...]:
        """The partitions for which it was captured."""
        return tuple(sorted({drop.partition for drop in self.drops}))


@dataclass
class Forgotten:
    """What was done."""

    versions: int = 0
    """That went."""
    doomed: list[DoomedObject] = field(default_factory=list)
    erased: bool = False
    """Whether the bytes are gone already."""
    problems: list[str] = field(default_factory=list)
    """What could not be built anew, or be read."""
    runs: list[str] = field(default_factory=list)
    """Dagster's runs whose logs may show samples of quarantined records."""


def find_stakes(workspace: Workspace, drop: str) -> list[Stake]:
    """What there is of a captured drop, by table.

    Args:
        workspace: The installation.
        drop: A path under the drop folder, which stands for every content captured under it, or a digest.

    Raises:
        UsageError: Nothing was captured under that path or digest.
        ChainError: The capture log is not whole.
    """
    asked = _asked(workspace, drop)
    expirations, snapshots = Expirations.read(workspace.store), Snapshots(workspace)
    stakes: list[Stake] = []
    for table in tables_with_documents(workspace):
        batches = workspace.capture_log.since(table, 0)
        digests = {found.digest for batch in batches for found in batch.drops if asked in {found.path, found.digest}}
        if digests:
            stakes.append(_stake(read_documents(workspace, table), digests, expirations, snapshots))
    if stakes:
        return stakes
    msg = (
        f"nothing was captured as {drop!r}. Write a path as `hashgate quarantine` shows it, relative to the drop "
        "folder, or a digest: blake3: and 64 hex digits."
    )
    raise UsageError(msg, drop=drop)


def forget(
    workspace: Workspace, stakes: Sequence[Stake], decision: Decision, rebuild: Rebuild, *, at_once: bool = False
) -> Forgotten:
    """Forget what is at stake.

    Args:
        workspace: The installation.
        stakes: As `find_stakes` found them.
        decision: Whose it is.
        rebuild: Builds partitions anew.
        at_once: Erase the bytes now: there is no way back, and a read that is on its way may fail.

    Raises:
        ChainError: A record is missing or altered.
        StoreError: The store refused.
    """
    done = Forgotten()
    for stake in stakes:
        if not stake.withdrawn:
            drops = [drop.model_copy(update={"withdrawn": True}) for drop in stake.drops]
            withdraw(workspace, stake.table, drops, decision)
        done.problems += rebuild(stake.table, stake.partitions)
    documents = _all_documents(workspace)
    expirations, snapshots = Expirations.read(workspace.store), Snapshots(workspace)
    for decided, expiry in forgotten_expiry(documents, expirations, snapshots):
        write_expiry(workspace.store, expiry, workspace.store.now(), "forgotten", decided)
        done.versions += len(expiry.versions)
    contents = {digest for stake in stakes for digest in stake.digests}
    made = [commit for table in documents for commit in table.candidates() if _is_made_of(commit, contents, snapshots)]
    done.runs = sorted({commit.candidate.run_id for commit in made if commit.candidate.quarantined_rows})
    for held in (commit for commit in made if commit.is_held):
        candidate = held.candidate
        workspace.store.forget(held_key(candidate.table, candidate.partition, candidate.view_key))
    roots = roots_of(_all_documents(workspace), Expirations.read(workspace.store), Snapshots(workspace))
    done.problems += roots.problems
    names = {name for commit in made for name in _names_of(commit)} | {blob_key(digest) for digest in contents}
    for stake in stakes:
        names |= set(_leftovers(workspace.store, stake, roots))
    done.doomed = [*_doomed(workspace.store, sorted(names), roots), *_damaged(workspace.store, names)]
    doom(workspace.store, done.doomed)
    if at_once:
        for doomed in done.doomed:
            remove_object(workspace.store, doomed.name)
        done.erased = not roots.problems
    return done


def take_back(workspace: Workspace, stakes: Sequence[Stake], decision: Decision, rebuild: Rebuild) -> list[str]:
    """Let what was forgotten count again, where nothing else has taken its place since.

    The partitions come back to the digests that they had. Superseded versions that were made of it do not.

    Returns:
        What could not be built anew.

    Raises:
        UsageError: Nothing of it is withdrawn, or other content has come since.
        PurgedError: Its bytes are gone.
    """
    expirations = Expirations.read(workspace.store)
    problems: list[str] = []
    taken_back = False
    for stake in stakes:
        drops = _to_take_back(workspace, stake)
        for digest in dict.fromkeys(drop.digest for drop in drops):
            try:
                secure_blob(workspace.store, digest)
            except HashgateError:
                expirations.check_drop(stake.table, digest)
                raise
        if drops:
            withdraw(workspace, stake.table, drops, decision)
            problems += rebuild(stake.table, stake.partitions)
            taken_back = True
    if not taken_back:
        names = ", ".join(sorted({drop.path for stake in stakes for drop in stake.drops}))
        msg = f"{names}: nothing that was forgotten would count now. There is nothing to take back."
        raise UsageError(msg, paths=names)
    return problems


def _asked(workspace: Workspace, drop: str) -> str:
    """A path as captures have it, or the digest."""
    try:
        return parse_digest(drop)
    except ValueError:
        path = Path(drop).absolute()
    drops = workspace.settings.drops
    return path.relative_to(drops).as_posix() if path.is_relative_to(drops) else drop


def _stake(documents: TableDocuments, digests: set[Digest], expirations: Expirations, snapshots: Snapshots) -> Stake:
    drops: dict[tuple[str, Digest], CapturedDrop] = {}
    standing: dict[Digest, bool] = {}
    for _, drop in documents.captures:
        if drop.digest in digests:
            drops[drop.path, drop.digest] = drop.model_copy(update={"withdrawn": False})
            standing[drop.digest] = drop.withdrawn
    made = [commit for commit in documents.candidates() if _is_made_of(commit, digests, snapshots)]
    return Stake(
        table=documents.table,
        drops=tuple(drops.values()),
        versions=tuple(
            commit
            for commit in made
            if not commit.is_held
            and (documents.table, commit.candidate.partition, commit.number) not in expirations.versions
        ),
        held=tuple(commit for commit in made if commit.is_held),
        withdrawn=all(standing.values()),
    )


def _is_made_of(commit: Commit, digests: set[Digest], snapshots: Snapshots) -> bool:
    """Whether a version has rows of one of these drops; one whose inputs are gone has no rows any more."""
    if commit.candidate.origin != "drops":
        return False
    try:
        return any(ref.digest in digests for ref in snapshots.inputs(commit.candidate.snapshot))
    except HashgateError:
        return False


def _names_of(commit: Commit) -> Iterator[str]:
    candidate = commit.candidate
    yield from (name for name, _ in folders_of(candidate))
    yield report_prefix(commit)
    yield from profile_prefixes(candidate)
    yield blob_key(candidate.snapshot)


def _leftovers(store: ObjectStore, stake: Stake, roots: Roots) -> Iterator[str]:
    """What was made of the drops and never came to a version, or whose candidate is gone: nothing names it."""
    contents = set(stake.digests)
    prefix = table_prefix(stake.table)
    for key in store.walk(f"{prefix}/segments"):
        folder, _, name = key.rpartition("/")
        if name != INDEX or roots.holds(folder):
            continue
        with suppress(KeyError, ValueError):  # gone, or of no use to anybody
            index = SegmentIndex.from_bytes(store.get(key))
            if any(account.source.digest in contents for account in index.drops):
                yield base_name(folder)
    # whose rows an export has only a document says: what no document names may have these
    exported = {base_name(key.rpartition("/")[0]) for key in store.walk(f"{prefix}/exports")}
    yield from (folder for folder in sorted(exported) if not roots.holds(folder))
    for folder in (f"{prefix}/{kind}" for kind in ("profiles", "overviews")):
        yield from (f"{folder}/{name}" for name in store.keys(folder) if not roots.holds(f"{folder}/{name}"))
    for partition in stake.partitions:
        folder = f"{prefix}/reports/{partition}"
        yield from (f"{folder}/{name}" for name in store.keys(folder) if not roots.holds(f"{folder}/{name}"))


def _damaged(store: ObjectStore, names: Collection[str]) -> Iterator[DoomedObject]:
    """What was put aside of these names."""
    for place, lying in lying_aside(store).items():
        was = [key.removeprefix(f"{place}/") for key in store.walk(place)]
        if any(base_name(name) in names for key in was for name in (key, key.rpartition("/")[0])):
            yield DoomedObject(name=place, size_bytes=lying.size_bytes, why="forgotten")


def _doomed(store: ObjectStore, names: Iterable[str], roots: Roots) -> Iterator[DoomedObject]:
    """Every copy that there is of the names that nothing needs."""
    for name in names:
        folder, _, last = name.rpartition("/")
        for copy in in_order(last, store.keys(folder)):
            place = f"{folder}/{copy}"
            if not roots.holds(place):
                is_blob = place.startswith(f"{BLOBS}/")
                size = store.size(place) if is_blob else sum(stored.size_bytes for stored in store.objects(place))
                yield DoomedObject(name=place, size_bytes=size, why="forgotten")


def _to_take_back(workspace: Workspace, stake: Stake) -> list[CapturedDrop]:
    """The drops that were chosen until they were withdrawn, under paths that nothing is chosen of now."""
    selector = retention_of(workspace, stake.table)[1]
    captures: dict[str, list[tuple[int, CapturedDrop]]] = {}
    for batch in workspace.capture_log.since(stake.table, 0):
        for drop in batch.drops:
            captures.setdefault(drop.partition, []).append((batch.sequence, drop))
    found: list[CapturedDrop] = []
    for drop in stake.drops:
        events = captures[drop.partition]
        withdrawals = [n for n, d in events if d.withdrawn and (d.path, d.digest) == (drop.path, drop.digest)]
        before, now = withdrawals[-1] - 1 if withdrawals else 0, events[-1][0]
        is_chosen_now = {d.digest for d in choose(selector, events, now) if d.path == drop.path}
        was_chosen = drop.digest in {d.digest for d in choose(selector, events, before) if d.path == drop.path}
        is_free = drop.digest not in is_chosen_now if selector is Selector.EVERY_CONTENT else not is_chosen_now
        if was_chosen and is_free:
            found.append(drop)
    return found


def _all_documents(workspace: Workspace) -> list[TableDocuments]:
    return [read_documents(workspace, table) for table in tables_with_documents(workspace)]
