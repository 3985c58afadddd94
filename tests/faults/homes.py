"""A small installation that harness, writer and reader each open anew, in processes of their own.

Its store is in the home, or in a bucket; everything else is on the disk in both cases.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from contracts.table_contract import TableContract
from resources.settings import STORE_VARIABLE, S3Location, Settings
from resources.store_setting import open_store
from resources.workspace import Workspace
from tests.servers.s3 import BUCKET, S3Server

TABLE = "orders"
DAY = "2024-01-01"

CONTRACT = r"""
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
servers:
  - server: drops
    type: local
    path: orders/*.csv
    format: csv
schema:
  - name: orders
    properties:
      - name: id
        logicalType: integer
        primaryKey: true
      - name: item
        logicalType: string
        required: true
customProperties:
  - property: partitioning
    value:
      cadence: daily
      start: '2024-01-01'
      fileNamePattern: 'orders-(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2}).*\.csv'
  - property: quarantineBudget
    value: 0.5
  - property: sinkMode
    value: {sink_mode}
"""


@dataclass(frozen=True)
class Place:
    """A store in a bucket."""

    server: S3Server
    prefix: str
    way: str = ""
    """Where writers go instead of the server: an address at which requests may go wrong."""

    @property
    def location(self) -> S3Location:
        """As the settings name it."""
        return S3Location(BUCKET, self.prefix)

    @property
    def client(self) -> Any:
        """A writer's; an impatient one, because here servers hang on purpose."""
        return replace(self.server, endpoint=self.way or self.server.endpoint).client(read_timeout_s=1.0)

    def copied(self) -> Place:
        """The same objects at another place, where nobody wrote before."""
        copy = Place(self.server, f"faults/{uuid4().hex}")
        client = self.server.client()
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{self.prefix}/"):
            for found in page.get("Contents", ()):
                key = copy.prefix + found["Key"].removeprefix(self.prefix)
                client.copy_object(Bucket=BUCKET, Key=key, CopySource={"Bucket": BUCKET, "Key": found["Key"]})
        return copy


@dataclass(frozen=True)
class Home:
    """One installation, below one folder of a test."""

    folder: Path
    name: str = "home"
    place: Place | None = None
    """Of its store; without one it is in the home."""

    @property
    def home(self) -> Path:
        """HASHGATE_HOME: what a writer may change on the disk."""
        return self.folder / self.name

    @property
    def drops(self) -> Path:
        """HASHGATE_DROPS: what it only reads."""
        return self.folder / "drops"

    @property
    def settings(self) -> Settings:
        """As the environment would name them."""
        store = None if self.place is None else self.place.location
        contracts = (self.folder / "contracts",)
        return Settings(home=self.home, drops=self.drops, contracts=contracts, store_location=store)

    @property
    def workspace(self) -> Workspace:
        """Opened anew each time."""
        workspace = Workspace(self.settings)
        if self.place is not None:
            workspace.store = open_store(self.settings, client=self.place.client)
        return workspace

    @property
    def contract(self) -> TableContract:
        """The table's."""
        return self.workspace.contract(TABLE)

    def found(self, sink_mode: str = "replace") -> None:
        """Make the folders, and write the contract."""
        for folder in (self.home, self.drops / TABLE, self.folder / "contracts"):
            folder.mkdir(parents=True)
        text = CONTRACT.replace("{sink_mode}", sink_mode)
        (self.folder / "contracts" / f"{TABLE}.odcs.yaml").write_text(text)

    def drop(self, content: str, suffix: str = "") -> None:
        """Put a file of the day into the drop folder: written elsewhere, moved in whole."""
        staged = self.folder / "staged-drop"
        staged.write_text(content)
        staged.rename(self.drops / TABLE / f"orders-{DAY}{suffix}.csv")

    def enter(self) -> None:
        """Make this the installation that the environment names, for commands that ask there."""
        for name in [name for name in os.environ if name.startswith(("HASHGATE_", "DAGSTER_", "AWS_"))]:
            del os.environ[name]
        os.environ |= {
            "HASHGATE_HOME": str(self.home),
            "HASHGATE_DROPS": str(self.drops),
            "HASHGATE_CONTRACTS": str(self.folder / "contracts"),
            "DAGSTER_HOME": str(self.settings.dagster_home),
        }
        if self.place is not None:
            os.environ |= self.place.server.environment() | {STORE_VARIABLE: str(self.place.location)}

    def copied(self, name: str) -> Home:
        """A copy as it is now, over the same drops and contracts; an older one of that name goes."""
        copy = replace(self, name=name, place=None if self.place is None else self.place.copied())
        if copy.home.exists():
            shutil.rmtree(copy.home)
        shutil.copytree(self.home, copy.home)
        return copy

    def reached_by(self, way: str) -> Home:
        """The same home, whose writers go to the bucket by another way."""
        return self if self.place is None else replace(self, place=replace(self.place, way=way))
