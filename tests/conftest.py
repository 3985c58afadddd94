"""What every test may ask for: the real data, a home of its own, and properties that fail the same way twice."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# before they are imported: what they assert is explained as in any test
pytest.register_assert_rewrite("tests.servers", "tests.profile")

from tests.profile import GROWN, set_profile  # noqa: E402

pytest_plugins = ["tests.servers.postgres", "tests.servers.s3", "tests.profile", "tests.faults.summary", "tests.claims"]

# In CI the examples are the same every time, so that a red run can be repeated; at a desk they are new every time.
settings.register_profile(
    "ci", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("desk", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "desk"))


@atexit.register
def pytest_configure() -> None:
    """Let Ctrl-C be heard: a shell's background job ignores it, and so would every process that tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _let_pytest_have_the_last_word() -> None:
    """Silence DuckDB's binding at the exit: it lists types that Hypothesis keeps alive, after pytest's closing line.

    nanobind prints from C when the interpreter is gone (https://nanobind.readthedocs.io/en/latest/refleaks.html), so
    only the descriptor can be turned away. By then pytest has said all it had to say.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real data, which is not part of the project."""
    folder = os.environ.get("HASHGATE_CORPORA")
    if not folder:
        pytest.skip("HASHGATE_CORPORA is not set: it names the folder with the real data (pcm-regioni, jcs)")
    if not Path(folder).is_dir():
        pytest.fail(f"HASHGATE_CORPORA is {folder}, which is no folder")
    return Path(folder)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HASHGATE_HOME with its drop folder; no setting of the person who runs the tests shines through."""
    for name in [name for name in os.environ if name.startswith(("HASHGATE_", "DAGSTER_"))]:
        if name != "HASHGATE_CORPORA":
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    (folder / "drops").mkdir(parents=True)
    (folder / "dagster").mkdir()
    monkeypatch.setenv("HASHGATE_HOME", str(folder))
    monkeypatch.setenv("DAGSTER_HOME", str(folder / "dagster"))
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "yes")
    set_profile(monkeypatch, folder)
    return folder


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    """What the platform creates is private, and it makes that so for its whole process: each test starts anew."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the grown profile, leave out what speaks of a local store's files; pytest counts it as deselected."""
    if GROWN:
        theirs = [item for item in items if item.get_closest_marker("embedded")]
        config.hook.pytest_deselected(items=theirs)
        items[:] = [item for item in items if not item.get_closest_marker("embedded")]
