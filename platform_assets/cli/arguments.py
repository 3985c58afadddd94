"""The command line's grammar: which commands there are, what they take, and an example of each.

It imports no part of the platform, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import difflib
import textwrap
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn, TypeAlias

from contracts.errors import UsageError

_HELP_COLUMNS = 100

QUERY_FORMATS = ("table", "csv", "json", "parquet")
SINKS = ("parquet", "csv", "duckdb")
RUN_STATES = (
    "ADMITTED",
    "DENIED",
    "PLANNED",
    "EXECUTING",
    "WAITING",
    "READY",
    "FAILED",
    "QUARANTINED",
    "SUPERSEDED",
    "UNREADABLE",
)

DESCRIPTION = """\
Files are dropped; typed, queryable tables come out, and for every row one can prove where it came from and that
nothing was lost. What did not pass its gates, nobody reads."""

EPILOG = """\
settings, from the environment:
  HASHGATE_HOME       store, catalogue, staging and Dagster's instance (./.hashgate)
  HASHGATE_DROPS      the drop folder ($HASHGATE_HOME/drops)
  HASHGATE_CONTRACTS  folders with table contracts, separated by `:` (contracts/odcs)
  HASHGATE_STORE      the store: s3://bucket/prefix or an absolute folder ($HASHGATE_HOME/store)
  HASHGATE_DATABASE   catalogue and leases: postgresql://... or sqlite:////file ($HASHGATE_HOME/catalogue.db)
  HASHGATE_ENGINES    folders with a folder an engine, separated by `:` (contracts/engine)
  HASHGATE_REQUESTS   the folder where run requests are dropped ($HASHGATE_HOME/requests)
  HASHGATE_BUS        the control bus: kinesis://stream or an absolute folder ($HASHGATE_HOME/bus)
  HASHGATE_GRACE      longer than any run or read takes; `gc` removes no sooner (24h)
  HASHGATE_WEBSERVER  host:port of Dagster's webserver, to reload when contract files change
  HASHGATE_REPORTS    where `report --serve` answers, and links lead (127.0.0.1:3070)
  HASHGATE_TOKENS     one token or two: whoever has one may see reports from other machines
  HASHGATE_ALLOW      addresses or networks that may, if not all
  HASHGATE_TRACEBACK  set: show where an error came from, as --traceback does
  NO_COLOR            set: no colour

exit codes: 0 done; 1 something is held, failed a gate or cannot be taken; 2 wrong usage, contract or configuration"""


class Arguments(argparse.Namespace):
    """What was asked for. Each command has those of the fields that its `add_argument`s name."""

    module: str
    function: str
    json: bool
    table: str | None
    partition: list[str] | None
    range: str | None
    new: bool
    force: bool
    explain: bool
    all: bool
    summary: bool
    limit: int
    sql: str
    format: str | None
    output: str | None
    path: str | None
    files: list[str]
    key: str | None
    candidate: str | None
    to: int | None
    dry_run: bool
    grace: str | None
    drop: str
    actor: str
    reason: str
    yes: bool
    now: bool
    undo: bool
    folder: str
    trust_store: bool
    deep: bool
    judge: bool
    put_aside: bool
    sink: str | None
    baseline: str | None
    open: bool
    serve: bool
    address: str | None
    run: str
    by: str
    engine: str | None
    state: str | None
    kind: str
    timeout: float
    detach: bool


class _Parser(argparse.ArgumentParser):
    """argparse, with wrong usage as an error like any other: what, where, how to fix."""

    def error(self, message: str) -> NoReturn:
        said = message.replace("argument ", "", 1) if message.startswith("argument ") else message
        text = f"{said}. See `{self.prog} --help`."
        raise UsageError(text, command=self.prog)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        near = difflib.get_close_matches(str(value), known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        name = "command" if action.dest == argparse.SUPPRESS else "/".join(action.option_strings)
        text = f"there is no {name} {value!r}.{hint} There are: {', '.join(known)}. See `{self.prog} --help`."
        raise UsageError(text, command=self.prog, value=value, known=known)


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str, **_: object) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        try:
            version = metadata.version("hashgate")
        except metadata.PackageNotFoundError:
            version = "from a checkout that is not installed"
        print(f"hashgate {version}")
        parser.exit(0)


def command_parser() -> argparse.ArgumentParser:
    """The grammar of the whole command line."""
    parser = _Parser(
        prog="hashgate",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    _add_scan(commands)
    _add_plan(commands)
    _add_ingest(commands)
    _add_status(commands)
    _add_query(commands)
    _add_sink(commands)
    _add_quarantine(commands)
    _add_held(commands)
    _add_release(commands)
    _add_discard(commands)
    _add_rollback(commands)
    _add_repair(commands)
    _add_report(commands)
    _add_verify(commands)
    _add_rebuild(commands)
    _add_migrate(commands)
    _add_contract(commands)
    _add_engine(commands)
    _add_gc(commands)
    _add_forget(commands)
    _add_backup(commands)
    _add_restore(commands)
    return parser


def wants_json(given: Sequence[str]) -> bool:
    """Whether errors are to be JSON, also when the rest of the line makes no sense."""
    return "--json" in given


_Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"  # noqa: SLF001
"""What `add_subparsers` gives; argparse has no public name for it."""


def _add(
    commands: _Commands,
    name: str,
    module: str,
    *,
    function: str | None = None,
    does: str,
    details: str,
    examples: Sequence[str],
) -> argparse.ArgumentParser:
    heading = "example" if len(examples) == 1 else "examples"
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=does,
        description=textwrap.fill(f"{does[0].upper()}{does[1:]}. {details}", _HELP_COLUMNS),
        epilog=f"{heading}:\n" + "\n".join(f"  {example}" for example in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(module=module, function=function or name)
    parser.add_argument("--json", action="store_true", help="answer in JSON, errors included")
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    return parser


def _add_scan(commands: _Commands) -> None:
    parser = _add(
        commands,
        "scan",
        "looking",
        does="look for new and changed files in the drop folder",
        details=("One stat a file; what was found is remembered. Ends with 1 when a file cannot be taken."),
        examples=["hashgate scan flights"],
    )
    parser.add_argument("table", nargs="?", metavar="TABLE", help="a table (default: all)")


def _add_plan(commands: _Commands) -> None:
    parser = _add(
        commands,
        "plan",
        "planning",
        does="show what `ingest` would do, and change nothing",
        details=(
            "Expected outputs with their versions, what is skipped and why, drift of new files against the "
            "contract, permissions."
        ),
        examples=["hashgate plan flights", "hashgate plan --json"],
    )
    parser.add_argument("table", nargs="?", metavar="TABLE", help="a table (default: all)")
    parser.add_argument("--all", action="store_true", help="every partition, one a line")


def _add_ingest(commands: _Commands) -> None:
    parser = _add(
        commands,
        "ingest",
        "ingesting",
        does="take new files in, and publish what passes its gates",
        details=(
            "Runs the table's Dagster assets in this process and records the run in the Dagster instance. Ends "
            "with 1 when a partition is held or a file cannot be taken."
        ),
        examples=[
            "hashgate ingest flights",
            "hashgate ingest flights --partition 2013-01-15",
            "hashgate ingest flights --range 2013-01-01...2013-01-31 --force",
        ],
    )
    parser.add_argument("table", metavar="TABLE")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--partition", action="append", metavar="K", help="this partition; may be given several times")
    what.add_argument("--range", metavar="A...B", help="the partitions from A to B, both included")
    what.add_argument("--new", action="store_true", help="the partitions with something to do (default)")
    parser.add_argument("--force", action="store_true", help="build anew even what is current")


def _add_status(commands: _Commands) -> None:
    parser = _add(
        commands,
        "status",
        "looking",
        does="show where every partition stands",
        details=(
            "published, held, pending or empty. Ends with 1 when something is held or a file cannot be taken. "
            "With --json, one entry a partition."
        ),
        examples=["hashgate status", "hashgate status flights --explain"],
    )
    parser.add_argument("table", nargs="?", metavar="TABLE", help="a table (default: all)")
    parser.add_argument("--partition", action="append", metavar="K", help="this partition; may be given several times")
    parser.add_argument("--explain", action="store_true", help="why something is pending, held or outdated, each")
    parser.add_argument("--all", action="store_true", help="every partition, one a line")


def _add_query(commands: _Commands) -> None:
    parser = _add(
        commands,
        "query",
        "querying",
        does="ask one SELECT over the published tables",
        details=(
            "Each table is a view with exactly the rows of its current, passed versions. Nothing else can be "
            "read, and nothing written."
        ),
        examples=[
            'hashgate query "SELECT carrier, count(*) AS flights FROM flights GROUP BY ALL ORDER BY 2 DESC"',
            'hashgate query "SELECT * FROM flights" --format parquet --output flights.parquet',
        ],
    )
    parser.add_argument("sql", metavar="SQL", help="one SELECT statement; `-` reads it from standard input")
    parser.add_argument(
        "--format", choices=QUERY_FORMATS, help="default: table; with --json json, with --output by its suffix"
    )
    parser.add_argument("--output", metavar="F", help="write into this new file, complete or not at all")


def _add_sink(commands: _Commands) -> None:
    parser = _add(
        commands,
        "sink",
        "sinking",
        does="name the files in which readers find a table, or copy them out",
        details=(
            "Of each current version its Parquet files, and its CSV or DuckDB file where the contract names such a "
            "sink; each verified before it is named. Ends with 1 when one is missing, or not what was published."
        ),
        examples=[
            "hashgate sink flights --partition 2013-01-15",
            "hashgate sink flights --sink csv --output flights-csv",
        ],
    )
    parser.add_argument("table", metavar="TABLE", help="a table; of a gated asset: asset.NAME")
    parser.add_argument("--partition", action="append", metavar="K", help="this partition; may be given several times")
    parser.add_argument("--sink", choices=SINKS, help="this one alone (default: those that each version has)")
    parser.add_argument("--output", metavar="FOLDER", help="copy the CSV and DuckDB files into this folder, verified")


def _add_quarantine(commands: _Commands) -> None:
    parser = _add(
        commands,
        "quarantine",
        "quarantining",
        does="show the records that were refused, with every reason",
        details="Also those of held partitions, whose\nrecords nobody can query.",
        examples=["hashgate quarantine flights --summary", "hashgate quarantine flights --partition 2013-01-05"],
    )
    parser.add_argument("table", metavar="TABLE")
    parser.add_argument("--partition", action="append", metavar="K", help="this partition; may be given several times")
    parser.add_argument("--summary", action="store_true", help="counts by reason, column, rule and partition")
    parser.add_argument("--limit", type=_natural, default=20, metavar="N", help="records shown (default: 20; 0: all)")


def _add_held(commands: _Commands) -> None:
    parser = _add(
        commands,
        "held",
        "holding",
        does="list what a gate stopped, or show it in detail",
        details="Since when, by which gate and why. Nobody reads it. Ends with 1 when anything is held.",
        examples=["hashgate held", "hashgate held flights 2013-01-06"],
    )
    parser.add_argument("table", nargs="?", metavar="TABLE", help="a table (default: all, gated assets' included)")
    parser.add_argument("key", nargs="?", metavar="PARTITION", help="show what is held of this partition in detail")
    parser.add_argument("--all", action="store_true", help="also what something newer has superseded")


def _add_release(commands: _Commands) -> None:
    parser = _add(
        commands,
        "release",
        "holding",
        does="publish a held candidate with a recorded waiver",
        details=(
            "Verifies its files first, and refuses when something newer was committed since it was built. Readers "
            "can tell that it was let through, by whom and why."
        ),
        examples=['hashgate release flights 2013-01-06 --actor ana --reason "the airport was closed"'],
    )
    _add_partition(parser)
    _add_candidate(parser)
    _add_decision(parser, required=True)


def _add_discard(commands: _Commands) -> None:
    parser = _add(
        commands,
        "discard",
        "holding",
        does="drop a held candidate, recorded",
        details="Readers see what they saw before. Its drops stay captured: it can be built again.",
        examples=['hashgate discard flights 2013-01-06 --actor ana --reason "an error page, not flights"'],
    )
    _add_partition(parser)
    _add_candidate(parser)
    _add_decision(parser, required=True)


def _add_rollback(commands: _Commands) -> None:
    parser = _add(
        commands,
        "rollback",
        "going_back",
        does="make an earlier version current again, recorded",
        details=(
            "Verifies its files first. It stays current until a new drop or another contract comes, or somebody "
            "ingests with --force. Without --to it lists the versions there are."
        ),
        examples=[
            "hashgate rollback flights 2013-01-05",
            'hashgate rollback flights 2013-01-05 --to 1 --actor ana --reason "wrong delays"',
        ],
    )
    _add_partition(parser)
    parser.add_argument("--to", type=_natural, metavar="VERSION", help="the version that becomes current again")
    _add_decision(parser, required=False)


def _add_repair(commands: _Commands) -> None:
    parser = _add(
        commands,
        "repair",
        "going_back",
        does="put up with damage in a partition's chain of versions, recorded",
        details=(
            "Adds a commit that names every damaged or missing link, and makes the newest version current whose "
            "link and files are whole, or none. Refuses when nothing is wrong."
        ),
        examples=['hashgate repair flights 2013-01-05 --actor ana --reason "disk 3 failed"'],
    )
    _add_partition(parser)
    _add_decision(parser, required=True)


def _add_partition(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", metavar="TABLE", help="a table; of a gated asset: asset.NAME")
    parser.add_argument("key", metavar="PARTITION")


def _add_candidate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--candidate", metavar="C", help="first digits of its name, if several are held (default: the newest)"
    )


def _add_decision(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("--actor", required=required, metavar="A", help="who decides; recorded")
    parser.add_argument("--reason", required=required, metavar="R", help="why; recorded")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _add_report(commands: _Commands) -> None:
    parser = _add(
        commands,
        "report",
        "reporting",
        does="show what a table or a partition is, as a page",
        details=(
            "What came in and what became of it, completeness and freshness, quarantine, gates, each column's "
            "profile, and its drift from the partition before and from a baseline. The page is one file that loads "
            "nothing. With --json, the document."
        ),
        examples=[
            "hashgate report flights --output flights.html",
            "hashgate report flights 2013-01-05 --open",
            "hashgate report --serve",
        ],
    )
    parser.add_argument("table", nargs="?", metavar="TABLE", help="its overview, over all partitions")
    parser.add_argument("key", nargs="?", metavar="PARTITION", help="the report of its current version")
    parser.add_argument("--version", dest="to", type=_natural, metavar="N", help="of an earlier version")
    parser.add_argument("--baseline", metavar="A...B", help="drift from these partitions (default: the first 28)")
    parser.add_argument("--output", metavar="F", help="write the page into this new file")
    parser.add_argument("--open", action="store_true", help="show it in a browser, until Ctrl-C")
    parser.add_argument("--serve", action="store_true", help="serve the pages of all tables, until Ctrl-C")
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="where to serve (default: HASHGATE_REPORTS, or 127.0.0.1:3070)"
    )


def _add_verify(commands: _Commands) -> None:
    parser = _add(
        commands,
        "verify",
        "verifying",
        does="look again at what lies in the store, and compare it with what was published",
        details=(
            "Quick: every document whole, every file there with its size, and hashed if somebody touched it; heads as "
            "database and Dagster remember them; nothing that nothing explains. --deep reads every byte of everything. "
            "--judge also frames the current versions' drops again and asks every gate. It changes nothing, unless "
            "told to put damaged objects aside. Ends with 1 when something is not what it was."
        ),
        examples=[
            "hashgate verify",
            "hashgate verify --deep",
            "hashgate verify flights --partition 2013-01-15 --judge",
        ],
    )
    parser.add_argument("table", nargs="?", metavar="TABLE", help="a table (default: all, and what else lies there)")
    parser.add_argument("--partition", action="append", metavar="K", help="this partition; may be given several times")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--deep", action="store_true", help="read every byte")
    how.add_argument("--judge", action="store_true", help="read every byte, and judge the current versions again")
    parser.add_argument(
        "--put-aside", action="store_true", help="move what is damaged and can be made again to damaged/"
    )


def _add_rebuild(commands: _Commands) -> None:
    parser = _add(
        commands,
        "rebuild",
        "rebuilding",
        does="build the database anew from the store",
        details=(
            "Captures, chains of versions, held candidates and records of removals are read and verified, the drop "
            "folders looked at, and the result takes the database's place in one step. Also where the database is "
            "damaged, lost or of a newer hashgate: it is kept aside then. Ends with 1 when something could not be "
            "read, or when the database remembers more than the store has."
        ),
        examples=["hashgate rebuild", "hashgate rebuild --trust-store"],
    )
    parser.add_argument(
        "--trust-store", action="store_true", help="also when the database remembers more than the store has"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before anything is forgotten")


def _add_migrate(commands: _Commands) -> None:
    parser = _add(
        commands,
        "migrate",
        "rebuilding",
        does="change the version of the database's schema",
        details=(
            "Every command brings the database up to date by itself; this goes back, for an older hashgate. A copy of "
            "what was there is made first."
        ),
        examples=["hashgate migrate --to 1"],
    )
    parser.add_argument(
        "--to", type=_natural, metavar="VERSION", help="the version to go to (default: this hashgate's)"
    )


def _add_contract(commands: _Commands) -> None:
    parser = commands.add_parser(
        "contract",
        help="check a table contract, or draft one",
        description="Check a table contract, or draft one.",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    lint = _add(
        actions,
        "lint",
        "contracting",
        does="say everything that is wrong with contracts",
        details=("Each problem with its line and its remedy. Ends with 2 when there is any."),
        examples=["hashgate contract lint", "hashgate contract lint contracts/odcs/flights.odcs.yaml"],
    )
    lint.add_argument("path", nargs="?", metavar="PATH", help="a file or folder (default: the contract folders)")
    infer = _add(
        actions,
        "infer",
        "contracting",
        does="draft a contract from sample files",
        details=(
            "Prints the YAML; a preview of the first 20 rows as they would be read, and how the files' schemas "
            "differ, go to standard error."
        ),
        examples=[
            "hashgate contract infer drops/flights/*.csv --table flights --output contracts/odcs/flights.odcs.yaml"
        ],
    )
    infer.add_argument("files", nargs="+", metavar="FILE", help="sample files of one table")
    infer.add_argument("--table", required=True, metavar="NAME", help="the table's name")
    infer.add_argument("--output", metavar="F", help="write the YAML into this new file")


def _add_engine(commands: _Commands) -> None:
    parser = commands.add_parser(
        "engine",
        help="submit runs of an engine, and look after them",
        description="Submit runs of an engine, and look after them.",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    lint = _add(
        actions,
        "lint",
        "engine_linting",
        does="check catalogues, gate maps and policies of engines",
        details="Everything that is wrong or leads nowhere is named, with its line and what to write instead.",
        examples=["hashgate engine lint", "hashgate engine lint examples/engine/cards --json"],
    )
    lint.add_argument("path", nargs="?", metavar="PATH", help="an engine's folder, or a folder of them (default: all)")
    _add_engine_submit(actions)
    runs = _add(
        actions,
        "runs",
        "engine_runs",
        does="list the runs",
        details="Each with its state and the codes of its reasons.",
        examples=["hashgate engine runs", "hashgate engine runs --state QUARANTINED --json"],
    )
    runs.add_argument("--engine", metavar="NAME", help="of this engine alone")
    runs.add_argument("--state", choices=RUN_STATES, metavar="S", help="in this state alone")
    show = _add(
        actions,
        "show",
        "engine_runs",
        does="show all that is known of a run",
        details=(
            "Its plan, how far it is, why, each gate with the digests that were expected and observed and the failing "
            "member, and its record."
        ),
        examples=["hashgate engine show 6ab9f1eb"],
    )
    _add_run(show)
    wait = _add(
        actions,
        "wait",
        "engine_runs",
        does="bring a run forward until it has ended",
        details="Ends with 0 when it is READY, else with 1, also when time is over.",
        examples=["hashgate engine wait 6ab9f1eb --timeout 600"],
    )
    _add_run(wait)
    wait.add_argument("--timeout", type=_seconds, default=300.0, metavar="S", help="so many seconds (300)")
    _add_engine_reemit(actions)
    _add_engine_decisions(actions)


def _add_engine_submit(actions: _Commands) -> None:
    submit = _add(
        actions,
        "submit",
        "engine_runs",
        does="submit a run request, and bring the run forward",
        details=(
            "The same key is the same run, however often it is submitted. Ends with 1 when the run failed or is in "
            "quarantine; a run that waits for evidence goes on with `wait`, or by itself in Dagster."
        ),
        examples=["hashgate engine submit request.yaml", "hashgate engine submit request.yaml --detach --json"],
    )
    submit.add_argument("path", metavar="FILE", help="a request, YAML or JSON; - for standard input")
    submit.add_argument("--actor", default="", metavar="WHO", help="who asks (default: as the request says)")
    submit.add_argument("--detach", action="store_true", help="admit it, and leave the rest to others")


def _add_engine_reemit(actions: _Commands) -> None:
    reemit = _add(
        actions,
        "reemit",
        "engine_runs",
        does="publish a run's end on the control bus again",
        details="The same fact under the same id, read from the store; nothing of the run is changed.",
        examples=[
            "hashgate engine reemit 6ab9f1eb --actor ann --dry-run",
            "hashgate engine reemit 6ab9f1eb --actor ann",
        ],
    )
    _add_run(reemit)
    kind = reemit.add_mutually_exclusive_group()
    for name, value, said in (
        ("ready", "READY_ONLY", "that it is READY"),
        ("terminal", "TERMINAL_ONLY", "that it failed or is in quarantine"),
        ("both", "BOTH", "whichever it is (default)"),
    ):
        kind.add_argument(f"--{name}", dest="kind", action="store_const", const=value, default="BOTH", help=said)
    reemit.add_argument("--actor", required=True, metavar="WHO", help="who asks: it stands in the record")
    reemit.add_argument("--dry-run", action="store_true", help="say what would be published")


def _add_engine_decisions(actions: _Commands) -> None:
    quarantine = _add(
        actions,
        "quarantine",
        "engine_runs",
        does="put a run into quarantine: nobody reads it any more",
        details="Also one that is READY. It is recorded, and not undone: the work is submitted again under a new key.",
        examples=["hashgate engine quarantine 6ab9f1eb --actor ann --reason 'a wrong parameter file' --yes"],
    )
    _add_run(quarantine)
    supersede = _add(
        actions,
        "supersede",
        "engine_runs",
        does="let a READY run take another's place",
        details="The earlier one is not read any more; its documents stay.",
        examples=["hashgate engine supersede 6ab9f1eb 0f3c22d1 --actor ann --reason 'restated' --yes"],
    )
    _add_run(supersede)
    supersede.add_argument("by", metavar="BY", help="the run that takes its place")
    for parser in (quarantine, supersede):
        _add_decision(parser, required=True)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's id, or its first digits")


def _add_gc(commands: _Commands) -> None:
    parser = _add(
        commands,
        "gc",
        "collecting",
        does="remove what nothing needs any more",
        details=(
            "Staging of dead runs, segments and blobs that no document names, and what is older than its contract's "
            "retention. In two phases, beside running ingests: what is doomed now is removed by the first gc after a "
            "grace, if nothing names it by then. Ends with 1 when a document cannot be read: then nothing of its table "
            "is removed."
        ),
        examples=["hashgate gc --dry-run", "hashgate gc"],
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and why; change nothing")
    parser.add_argument(
        "--grace", metavar="D", help="longer than any run or read takes, as in 90s, 15m, 24h (default: HASHGATE_GRACE)"
    )


def _add_forget(commands: _Commands) -> None:
    parser = _add(
        commands,
        "forget",
        "forgetting",
        does="erase a captured drop and everything made of it",
        details=(
            "Its partitions are built anew without it, and every version, report and candidate with its rows goes. "
            "The bytes go when a grace is over, and until then `--undo` takes it back; `--now` erases them at once. "
            "The same content is not taken again."
        ),
        examples=[
            "hashgate forget flights/flights-2013-01-03.csv --actor ann --reason 'asked to by the airline'",
            "hashgate forget flights/flights-2013-01-03.csv --undo --actor ann --reason 'the wrong day'",
        ],
    )
    parser.add_argument("drop", metavar="DROP", help="a path under the drop folder, or the digest of a content")
    _add_decision(parser, required=True)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--now", action="store_true", help="erase the bytes at once: there is no way back")
    how.add_argument("--undo", action="store_true", help="take back what was forgotten, while the bytes are there")


def _add_backup(commands: _Commands) -> None:
    parser = _add(
        commands,
        "backup",
        "backing_up",
        does="copy the installation into a folder, beside running ingests",
        details=(
            "Store and Dagster's SQLite databases, verified; into an earlier backup of the same home only what is new."
        ),
        examples=["hashgate backup /mnt/backup/hashgate"],
    )
    parser.add_argument("folder", metavar="FOLDER", help="a folder that is new, empty or an earlier backup")


def _add_restore(commands: _Commands) -> None:
    parser = _add(
        commands,
        "restore",
        "backing_up",
        does="bring a backup back into an empty home",
        details=(
            "Every digest is verified, the database is built anew from the store, and what is missing is named. Ends "
            "with 1 when something is."
        ),
        examples=["HASHGATE_HOME=/srv/new hashgate restore /mnt/backup/hashgate"],
    )
    parser.add_argument("folder", metavar="FOLDER", help="a backup")


def _seconds(text: str) -> float:
    if not text.replace(".", "", 1).isdecimal():
        msg = f"{text!r} is no number of seconds"
        raise argparse.ArgumentTypeError(msg)
    return float(text)


def _natural(text: str) -> int:
    if not text.isdecimal():
        msg = f"{text!r} is not a whole number of 0 or more"
        raise argparse.ArgumentTypeError(msg)
    return int(text)
