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

DESCRIPTION = """\
Files are dropped; typed, queryable tables come out, and for every row one can prove where it came from and that
nothing was lost. What did not pass its gates, nobody reads."""

EPILOG = """\
settings, from the environment:
  HASHGATE_HOME       store, catalogue, staging and Dagster's instance (./.hashgate)
  HASHGATE_DROPS      the drop folder ($HASHGATE_HOME/drops)
  HASHGATE_CONTRACTS  folders with table contracts, separated by `:` (contracts/odcs)
  HASHGATE_WEBSERVER  host:port of Dagster's webserver, to reload when contract files change
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
    _add_quarantine(commands)
    _add_verify(commands)
    _add_contract(commands)
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


def _add_verify(commands: _Commands) -> None:
    parser = _add(
        commands,
        "verify",
        "verifying",
        does="read everything again and compare it with what was published",
        details=(
            "The chain of versions, receipts, indexes, every file, and the captured drops, which are framed "
            "again and judged by every gate. Takes nothing from earlier verifications. Ends with 1 when "
            "something is not what it was."
        ),
        examples=["hashgate verify flights", "hashgate verify flights --partition 2013-01-15"],
    )
    parser.add_argument("table", nargs="?", metavar="TABLE", help="a table (default: all)")
    parser.add_argument("--partition", action="append", metavar="K", help="this partition; may be given several times")


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


def _natural(text: str) -> int:
    if not text.isdecimal():
        msg = f"{text!r} is not a whole number of 0 or more"
        raise argparse.ArgumentTypeError(msg)
    return int(text)
