"""The toy engine, installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine_home import EngineHome


@pytest.fixture
def engine_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> EngineHome:
    """A home with the toy engine."""
    return EngineHome(home, monkeypatch)
