"""The gated IO manager: whatever an asset returns is staged, audited and published, and whatever it reads has passed.

`@dg.asset(io_manager_key="gated")` and a table as the return value are all it takes. An input annotated as a table is
verified file by file before the asset sees a row, whether it is `<table>/validated`, `<table>/quarantine` or another
gated asset; a partition that has not passed is refused, and one that somebody let through is named in the run's log.

An asset says in its metadata, under `hashgate/sink_mode`, what its table means where one is published already:
`replace` (default), `append` or `error`; and under `hashgate/sinks`, in which formats beside Parquet it is published:
a list of `csv` and `duckdb`.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of a resource's fields as they stand.

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast, get_args

import dagster as dg
import duckdb
from pydantic import PrivateAttr

from contracts.commits import Commit, let_through
from contracts.duckdb_syntax import quoted
from contracts.errors import HashgateError, NotPublishedError, UsageError
from contracts.produced import UNPARTITIONED, AssetPromise, PromisedColumn, SinkMode, produced_table
from contracts.sinks import Sink, in_order
from resources.dagster_resources import WorkspaceResource
from resources.duckdb_session import open_session, parquet_source
from resources.produced_table import publish_table
from resources.publisher import Outcome
from resources.segment_writer import QUARANTINE_SCHEMA
from resources.table_reader import PublishedFiles, held_prefix, numbered_key
from resources.table_streams import KINDS, taker_of
from resources.workspace import Workspace

QUARANTINE_ASSET = "quarantine"
VALIDATED = "validated"
SINK_MODE = "hashgate/sink_mode"
"""The metadata key under which an asset declares its sink mode."""

SINKS = "hashgate/sinks"
"""The metadata key under which it declares its sinks."""

_UNDECLARED_CODE = "undeclared"


class AlreadyPublished:
    """Yielded in place of a table by an operation that has published by itself: there is nothing left to do."""


class GatedIOManager(dg.ConfigurableIOManager):
    """Publishes through the gates, and reads only what came through them."""

    workspace: dg.ResourceDependency[WorkspaceResource]

    _sessions: ExitStack = PrivateAttr(default_factory=ExitStack)

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Publish what the asset returned, partition by partition.

        Raises:
            dg.Failure: A gate stopped something, or what came back is no table; what passed stays published.
        """
        if isinstance(obj, AlreadyPublished):
            return
        try:
            _publish(self.workspace.open(), context, obj)
        except HashgateError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None

    def load_input(self, context: dg.InputContext) -> Any:
        """The verified rows of the input's partitions, as the kind of table it is annotated as.

        Raises:
            NotPublishedError: A partition has not passed.
            UsageError: The annotation is no kind of table.
        """
        annotation = context.dagster_type.typing_type
        take = taker_of(annotation)
        if take is None:
            msg = f"input {context.name} is annotated as {annotation}. Annotate it as one of {KINDS}."
            raise UsageError(msg, input=context.name)
        workspace = self.workspace.open()
        rows = _published(workspace, context)
        for files in rows.files:
            if files.commit.waiver is not None:
                context.log.warning(let_through(files.commit))
        # a relation or a stream goes on reading while the asset runs: its session lives until the run ends
        session = self._sessions.enter_context(open_session("reader", store=workspace.store))
        return take(rows.relation(session))

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 - Dagster's signature
        """Close what inputs were read through."""
        self._sessions.close()


@dataclass(frozen=True)
class _PublishedRows:
    """The verified files of an input, and which of their rows are meant."""

    files: Sequence[PublishedFiles]
    quarantined: bool

    def relation(self, session: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
        """The rows, not read yet."""
        if self.quarantined:
            return self._quarantine(session)
        valid = [path for files in self.files for path in files.valid]
        if not valid:  # every drop was withdrawn
            columns = self.files[-1].commit.candidate.contract.table_schema
            empty = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in columns)
            return session.sql(f"SELECT {empty} WHERE false")
        rows = _parquet(valid)
        overlays = [path for files in self.files for path in files.overlay]
        if overlays:
            rows = f"{rows} ANTI JOIN {parquet_source(overlays)} AS overlay USING (_hg_source, _hg_record)"
        return session.sql(f"SELECT * FROM {rows}")

    def _quarantine(self, session: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
        paths = [path for files in self.files for path in (*files.quarantine, *files.overlay)]
        if not paths:
            return session.from_arrow(QUARANTINE_SCHEMA.empty_table())
        return session.sql(f"SELECT * FROM {_parquet(paths)}")


def _parquet(paths: Sequence[str]) -> str:
    """Versions made under different contracts may differ in columns: what one lacks is NULL."""
    return f"{parquet_source(paths).removesuffix(')')}, union_by_name=true) AS published"


def _published(workspace: Workspace, context: dg.InputContext) -> _PublishedRows:
    path = context.asset_key.path
    of_table = len(path) == 2 and path[0] in workspace.contracts.contracts
    if of_table and path[1] in {"selection", "report"}:
        msg = f"{context.asset_key.to_user_string()} holds no rows. Read {path[0]}/validated or {path[0]}/quarantine."
        raise UsageError(msg, asset=context.asset_key.to_user_string())
    is_table = of_table and path[1] in {VALIDATED, QUARANTINE_ASSET}
    table = path[0] if is_table else produced_table(path)
    partitions = list(context.asset_partition_keys) if context.has_asset_partitions else [UNPARTITIONED]
    if len(partitions) > 1:
        # a chain that has vanished since it was seen counts as something: it must be noticed
        published = set(workspace.reader.partitions(table))
        there = [key for key in partitions if key in published or _waits_for_something(workspace, table, key)]
        partitions = there or partitions[-1:]
    commits = [workspace.reader.head(table, key) or _refuse(workspace, table, key) for key in partitions]
    return _PublishedRows(workspace.reader.open_commits(commits), quarantined=is_table and path[1] == QUARANTINE_ASSET)


def _waits_for_something(workspace: Workspace, table: str, partition: str) -> bool:
    """Whether anything came for a partition without a version. Of many, those that nothing came for are no gap."""
    return bool(workspace.store.keys(held_prefix(table, partition)) or workspace.catalogue.captures(table, [partition]))


def _refuse(workspace: Workspace, table: str, partition: str) -> Commit:
    held = bool(workspace.store.keys(held_prefix(table, partition)))
    raise NotPublishedError(
        table=table,
        partition=partition,
        state="held" if held else "pending",
        fix="Its red checks in Dagster say why." if held else "Materialize it first.",
    )


def _publish(workspace: Workspace, context: dg.OutputContext, obj: Any) -> None:
    promise = _promise(context)
    done = {
        key: publish_table(workspace, promise, key, table, run_id=context.run_id)
        for key, table in _by_partition(context, obj).items()
    }
    held = [publication.commit for publication in done.values() if publication.outcome is Outcome.HELD]
    told = {key: version_metadata(workspace, publication.commit) for key, publication in done.items()}
    for key, publication in done.items():
        if publication.outcome is Outcome.SUPERSEDED:
            context.log.warning("%s[%s] stays as it is: %s", promise.table, key, publication.reason)
    if held:
        # the step fails, so Dagster records nothing of it by itself
        for key, publication in done.items():
            if publication.outcome is not Outcome.HELD:
                context.step_context.instance.report_runless_asset_event(
                    dg.AssetMaterialization(context.asset_key, partition=key, metadata=told[key])
                )
        raise dg.Failure(description="\n".join(_why_held(commit) for commit in held), allow_retries=False)
    if context.has_asset_partitions:
        for key, metadata in told.items():
            context.step_context.add_asset_metadata(metadata, asset_key=context.asset_key, partition_key=key)
    else:
        context.add_output_metadata(told[UNPARTITIONED])
    if len(done) == 1:
        only = next(iter(done.values()))
        version = dg.DataVersion(only.commit.candidate.view_key)
        context.step_context.set_data_version(context.asset_key, version)


def _by_partition(context: dg.OutputContext, obj: Any) -> Mapping[str, Any]:
    """The returned tables by partition key.

    Raises:
        UsageError: A run over several partitions returned something else than a table for each.
    """
    asset = context.asset_key.to_user_string()
    if not context.has_asset_partitions:
        return {UNPARTITIONED: obj}
    keys = list(context.asset_partition_keys)
    if not isinstance(obj, Mapping):
        if len(keys) == 1:
            return {keys[0]: obj}
        msg = (
            f"asset {asset} ran over {len(keys)} partitions and returned one table. "
            "Return a dict of tables by partition key."
        )
        raise UsageError(msg, asset=asset)
    if set(obj) != set(keys):
        missing, surplus = sorted(set(keys) - set(obj)), sorted(set(map(str, obj)) - set(keys))
        msg = (
            f"asset {asset} should return a table for each partition of the run: "
            f"missing {', '.join(missing) or 'none'}, not asked for {', '.join(surplus) or 'none'}."
        )
        raise UsageError(msg, asset=asset, missing=missing, surplus=surplus)
    return obj


def _promise(context: dg.OutputContext) -> AssetPromise:
    spec = context.asset_spec
    declared = spec.metadata.get("dagster/column_schema")
    schema = declared.schema if isinstance(declared, dg.TableSchemaMetadataValue) else declared
    columns = (
        tuple(
            PromisedColumn(name=c.name, type=c.type, nullable=c.constraints.nullable, unique=c.constraints.unique)
            for c in schema.columns
        )
        if isinstance(schema, dg.TableSchema)
        else None
    )
    return AssetPromise(
        key=tuple(context.asset_key.path),
        code_version=spec.code_version or _UNDECLARED_CODE,
        columns=columns,
        sink_mode=_sink_mode(context),
        sinks=_sinks(context),
    )


def _sink_mode(context: dg.OutputContext) -> SinkMode:
    declared = context.asset_spec.metadata.get(SINK_MODE, "replace")
    mode = declared.value if isinstance(declared, dg.TextMetadataValue) else declared
    for known in get_args(SinkMode):
        if mode == known:
            return cast("SinkMode", known)
    asset = context.asset_key.to_user_string()
    msg = f"asset {asset} declares {SINK_MODE} as {mode!r}. Write one of {', '.join(get_args(SinkMode))}."
    raise UsageError(msg, asset=asset, sink_mode=str(mode))


def _sinks(context: dg.OutputContext) -> tuple[Sink, ...]:
    declared = context.asset_spec.metadata.get(SINKS, [])
    named = declared.value if isinstance(declared, dg.JsonMetadataValue) else declared
    if isinstance(named, Sequence) and not isinstance(named, str) and set(named) <= set(Sink):
        return in_order(map(Sink, named))
    asset = context.asset_key.to_user_string()
    msg = f"asset {asset} declares {SINKS} as {named!r}. Write a list of some of {', '.join(Sink)}."
    raise UsageError(msg, asset=asset, sinks=str(named))


def version_metadata(workspace: Workspace, commit: Commit) -> dict[str, Any]:
    """What Dagster is told of a version of an asset's table."""
    candidate = commit.candidate
    place = numbered_key(candidate.table, "commits", candidate.partition, commit.number)
    return {
        "dagster/row_count": candidate.valid_rows,
        "dagster/partition_row_count": candidate.valid_rows,
        "dagster/uri": dg.MetadataValue.url(workspace.store.uri(place)),
        "version": commit.number,
        "commit": commit.digest,
        **({"waived_by": commit.waiver.actor} if commit.waiver is not None else {}),
    }


def _why_held(commit: Commit) -> str:
    candidate = commit.candidate
    said = [
        f"gate {receipt.gate}: {finding.subject}: expected {finding.expected}, "
        f"observed {finding.observed}. {finding.fix}"
        for receipt in commit.receipts
        for finding in receipt.findings[:3]
    ]
    return f"{candidate.table}[{candidate.partition}] is held, nobody can read it. " + "; ".join(said)
