"""The sales home that people decide about."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sales import SalesHome


@pytest.fixture
def sales(tmp_path: Path) -> SalesHome:
    (tmp_path / "drops" / "sales").mkdir(parents=True)
    return SalesHome(tmp_path)
