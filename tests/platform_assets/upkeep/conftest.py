"""The home that upkeep is done in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kept_sales import KeptHome


@pytest.fixture
def kept(tmp_path: Path) -> KeptHome:
    (tmp_path / "drops" / "sales").mkdir(parents=True)
    return KeptHome(tmp_path)
