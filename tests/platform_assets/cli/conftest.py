"""The installation that the command line's tests work on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.installation import Installation

REFUSED = b"id,item,amount\n1,pen,2.5\n2,ink,many\n1,cap,3\n4,\x1b[31mred\x1b[0m,-1\n9,b,1\n10,v,1\n"
"""Three sound records, three that are not: no number, a repeated key, a negative amount with terminal escapes."""


@pytest.fixture
def installation(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Installation:
    return Installation(home, monkeypatch, capsys)


@pytest.fixture
def seeded(installation: Installation) -> Installation:
    """Two sound days, one with a gap behind it and refused records, one that is held."""
    installation.drop("2024-01-01")
    installation.drop("2024-01-02")
    installation.drop("2024-01-04", REFUSED)
    installation.drop("2024-01-05", b"id,thing,amount\n1,pen,2.5\n")
    installation.build()
    return installation
