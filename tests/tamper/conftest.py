"""One installation for all tests of a module: whoever tampers with it puts back what was there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.homes import Home
from tests.tamper.published import Published, publish_all


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    made = publish_all(Home(tmp_path_factory.mktemp("published")))
    assert list(made.verified().corruptions) == []
    assert made.misread() == []
    return made


@pytest.fixture
def copied(published: Published, tmp_path: Path) -> Published:
    """A copy of one's own."""
    return published.copied(tmp_path)
