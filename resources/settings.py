"""Where things are: the platform's settings, all from the environment, all with defaults.

A setting that makes no sense is refused with the variable's name, what is wrong and what to write instead. It may hold
a password, in its place or out of it, so the value itself is not repeated.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from contracts.durations import parse_duration
from contracts.errors import ConfigurationError
from resources.private_files import keep_private

STORE_VARIABLE = "HASHGATE_STORE"
DATABASE_VARIABLE = "HASHGATE_DATABASE"
GRACE_VARIABLE = "HASHGATE_GRACE"
BUS_VARIABLE = "HASHGATE_BUS"
POSTGRESQL_DRIVER = "postgresql+psycopg2"
"""Named in full: what `postgresql` alone stands for depends on SQLAlchemy's version."""

SHORTEST_GRACE = dt.timedelta(hours=1)

_SCHEME = re.compile(r"([a-zA-Z][\w+.-]*):/")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_STREAM = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_PREFIX_PART = re.compile(r"(?!\.{1,2}$)[^/\\\x00-\x1f\x7f]+")
_SECRETS_IN_QUERY = frozenset({"password", "sslpassword"})
_STORE_FIX = "Write s3://bucket/prefix or an absolute folder, or leave it unset for $HASHGATE_HOME/store"
_DATABASE_FIX = "Write postgresql://user:password@host:5432/database or sqlite:////folder/file, or leave it unset"


@dataclass(frozen=True, slots=True)
class S3Location:
    """A place for a store in S3."""

    bucket: str
    prefix: str = ""
    """Names joined by `/`, none at the ends; empty: the whole bucket."""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


@dataclass(frozen=True, slots=True)
class KinesisStream:
    """A stream of Kinesis that carries the control bus."""

    name: str

    def __str__(self) -> str:
        return f"kinesis://{self.name}"


@dataclass(frozen=True)
class Settings:
    """Where one installation keeps what. Folders are absolute."""

    home: Path
    """`HASHGATE_HOME` (`./.hashgate`): store, catalogue, staging and Dagster's instance, unless they are elsewhere."""
    drops: Path
    """`HASHGATE_DROPS` (`$HASHGATE_HOME/drops`): what contracts' relative paths start from."""
    contracts: tuple[Path, ...]
    """`HASHGATE_CONTRACTS` (`contracts/odcs`): one or more folders, separated like `PATH`."""
    store_location: Path | S3Location | None = None
    """`HASHGATE_STORE`; None: in the home."""
    database_url: sa.URL | None = None
    """`HASHGATE_DATABASE`; None: a file in the home. Its text and representation hide the password."""
    grace: dt.timedelta = dt.timedelta(hours=24)
    """`HASHGATE_GRACE` (`24h`): longer than any run or read takes; what is doomed is removed no sooner."""
    engines: tuple[Path, ...] = ()
    """`HASHGATE_ENGINES` (`contracts/engine`): folders with a folder an engine, separated like `PATH`."""
    requests_folder: Path | None = None
    """`HASHGATE_REQUESTS`; None: in the home."""
    bus_location: Path | KinesisStream | None = None
    """`HASHGATE_BUS`; None: in the home."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the variables; an empty one counts as unset.

        Raises:
            ConfigurationError: A value names no place that a store or a database could have.
        """
        env = os.environ if environment is None else environment
        home = Path(env.get("HASHGATE_HOME") or ".hashgate").absolute()
        drops = Path(env.get("HASHGATE_DROPS") or home / "drops").absolute()
        folders = (env.get("HASHGATE_CONTRACTS") or "contracts/odcs").split(os.pathsep)
        engines = (env.get("HASHGATE_ENGINES") or "contracts/engine").split(os.pathsep)
        requests = env.get("HASHGATE_REQUESTS")
        store, database, grace, bus = (
            env.get(name) for name in (STORE_VARIABLE, DATABASE_VARIABLE, GRACE_VARIABLE, BUS_VARIABLE)
        )
        return cls(
            home=home,
            drops=drops,
            contracts=tuple(Path(f).absolute() for f in folders if f),
            store_location=parse_store(store) if store else None,
            database_url=parse_database(database) if database else None,
            grace=parse_grace(grace) if grace else cls.grace,
            engines=tuple(Path(f).absolute() for f in engines if f),
            requests_folder=Path(requests).absolute() if requests else None,
            bus_location=parse_bus(bus) if bus else None,
        )

    @property
    def store(self) -> Path | S3Location:
        """The object store's root."""
        return self.home / "store" if self.store_location is None else self.store_location

    @property
    def requests(self) -> Path:
        """Where run requests are dropped."""
        return self.requests_folder or self.home / "requests"

    @property
    def bus(self) -> Path | KinesisStream:
        """Where the control bus's envelopes go."""
        return self.home / "bus" if self.bus_location is None else self.bus_location

    @property
    def engine_runs(self) -> Path:
        """Where an engine writes that nobody named another place for."""
        return self.home / "engine-runs"

    @property
    def staging(self) -> Path:
        """Where candidates are written, a folder a run; always local."""
        return self.home / "staging"

    @property
    def incoming(self) -> Path:
        """Where single files are staged for a store that is not on this disk."""
        return self.home / "incoming"

    @property
    def database(self) -> sa.URL:
        """The catalogue and the leases."""
        return sqlite_url(self.home / "catalogue.db") if self.database_url is None else self.database_url

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance."""
        return self.home / "dagster"

    def prepare(self) -> None:
        """Create the local folders, private to the user as all that comes later; ConfigurationError if that fails."""
        keep_private()
        folders = [self.home, self.staging, self.dagster_home]
        if isinstance(self.store, Path):
            folders.insert(1, self.store)
        for folder in folders:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                variable = STORE_VARIABLE if folder == self.store_location else "HASHGATE_HOME"
                msg = f"{folder}: {error.strerror}. Set {variable} to a folder that can be written."
                raise ConfigurationError(msg, path=str(folder), setting=variable) from error
        if isinstance(self.store, Path) and self.store.stat().st_dev != self.staging.stat().st_dev:
            msg = (
                f"{STORE_VARIABLE}: {self.store} is on another file system than {self.staging}, and what is staged is "
                f"moved there in one step. Put both on one: set HASHGATE_HOME, or leave {STORE_VARIABLE} unset."
            )
            raise ConfigurationError(msg, setting=STORE_VARIABLE, path=str(self.store))


def parse_store(value: str) -> Path | S3Location:
    """Read `HASHGATE_STORE`: `s3://bucket/prefix`, or an absolute folder.

    Raises:
        ConfigurationError: It is neither. The message does not repeat it: somebody may have put a key into it.
    """
    if value.startswith("/"):
        return Path(value)
    scheme, _, rest = value.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3":
        problem = "it is neither an absolute folder nor a place in S3"
    elif not _BUCKET.fullmatch(bucket):
        problem = "it names no bucket (3 to 63 of a-z, 0-9, `.` and `-`)"
    elif not all(_PREFIX_PART.fullmatch(part) for part in prefix.rstrip("/").split("/") if prefix):
        problem = "its prefix has an empty name, `.`, `..`, `\\` or a control character"
    else:
        return S3Location(bucket, prefix.rstrip("/"))
    msg = f"{STORE_VARIABLE}: {problem}. {_STORE_FIX}."
    raise ConfigurationError(msg, setting=STORE_VARIABLE)


def parse_database(value: str) -> sa.URL:
    """Read `HASHGATE_DATABASE`: `postgresql://...` or `sqlite:////folder/file`.

    Raises:
        ConfigurationError: It is neither. The message repeats the scheme at most.
    """
    scheme = found[1] if (found := _SCHEME.match(value)) else ""
    url = _parsed(value)
    if url is None:
        problem = "it is no database URL (it is not shown here: it may hold a password)"
    elif url.drivername == "sqlite":
        if url.database and url.database.startswith("/") and not url.query and not url.host:
            return url
        problem = "a SQLite file is named by its absolute path and nothing else"
    elif url.drivername not in {"postgresql", POSTGRESQL_DRIVER}:
        problem = f"{scheme} is neither postgresql nor sqlite"
    elif not url.database:
        problem = "it names no database"
    elif _SECRETS_IN_QUERY & url.query.keys():
        problem = "a password stands behind the `?`, where it would be shown. Its place is before the `@`"
    else:
        return url.set(drivername=POSTGRESQL_DRIVER)
    msg = f"{DATABASE_VARIABLE}: {problem}. {_DATABASE_FIX}."
    raise ConfigurationError(msg, setting=DATABASE_VARIABLE)


def parse_bus(value: str) -> Path | KinesisStream:
    """Read `HASHGATE_BUS`: an absolute folder, or `kinesis://stream`.

    Raises:
        ConfigurationError: It is neither.
    """
    if value.startswith("/"):
        return Path(value)
    scheme, _, stream = value.partition("://")
    if scheme == "kinesis" and _STREAM.fullmatch(stream):
        return KinesisStream(stream)
    msg = (
        f"{BUS_VARIABLE}: it is neither an absolute folder nor kinesis:// and the name of a stream. Write one of them, "
        "or leave it unset for $HASHGATE_HOME/bus."
    )
    raise ConfigurationError(msg, setting=BUS_VARIABLE)


def parse_grace(value: str) -> dt.timedelta:
    """Read `HASHGATE_GRACE`: a duration of an hour at least.

    Raises:
        ConfigurationError: It is none, or so short that a run may take longer.
    """
    try:
        grace = parse_duration(value)
    except ValueError as error:
        problem = str(error)
    else:
        if grace >= SHORTEST_GRACE:
            return grace
        problem = f"{value} is shorter than a run may take. Write 1h or more"
    msg = f"{GRACE_VARIABLE}: {problem}, or leave it unset for 24h."
    raise ConfigurationError(msg, setting=GRACE_VARIABLE, value=value)


def sqlite_url(path: Path) -> sa.URL:
    """The URL of a SQLite file."""
    return sa.URL.create("sqlite", database=str(path))


def _parsed(value: str) -> sa.URL | None:
    """The URL; None, and no word of why, when it is none: SQLAlchemy quotes parts of it."""
    try:
        return sa.make_url(value)
    except (sa.exc.ArgumentError, ValueError):
        return None
