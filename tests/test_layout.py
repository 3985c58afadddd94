"""The house rules that no linter knows: where imports go, what the lock files promise, what may stand nowhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PACKAGES = ("contracts", "resources", "platform_assets", "sensors")
LOCKS = ("requirements-build.lock", "requirements.lock", "requirements-dev.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NOT_OURS = {".git", ".venv", ".hashgate", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", "data"}
NOT_OURS |= {".hypothesis", ".import_linter_cache", "build"}


def project_files() -> Iterator[Path]:
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS and not name.endswith(".egg-info")]
        yield from (Path(folder, name) for name in files)


def texts() -> Iterator[tuple[Path, str]]:
    for path in project_files():
        if path.suffix in {".py", ".md", ".yaml", ".toml", ".json", ".lock", ".sql", ".html", ".css", ".js", ""}:
            yield path.relative_to(ROOT), path.read_text("utf-8", "replace")


def locked(name: str) -> dict[str, list[tuple[Requirement, list[str]]]]:
    """Requirements of a lock file by name, each with its digests; one name may stand twice under two markers."""
    joined = re.sub(r"\\\n\s*", " ", (ROOT / name).read_text())
    found: dict[str, list[tuple[Requirement, list[str]]]] = {}
    for line in joined.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            requirement, *digests = re.split(r"\s+--hash=", line.strip())
            parsed = Requirement(requirement)
            found.setdefault(canonicalize_name(parsed.name), []).append((parsed, digests))
    return found


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


# ---- imports ---------------------------------------------------------------------------------------------------------


def copy_of_the_packages(folder: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_imports_run_one_way(tmp_path: Path) -> None:
    done = run(BIN / "lint-imports", "--no-cache", cwd=copy_of_the_packages(tmp_path), PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert "2 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "statement", "broken"),
    [
        pytest.param(
            "contracts/refs.py",
            "import resources",
            "contracts is not allowed to import resources",
            id="a contract knows a store",
        ),
        pytest.param(
            "resources/settings.py",
            "import sensors",
            "resources is not allowed to import sensors",
            id="a store knows a sensor",
        ),
        pytest.param(
            "contracts/refs.py", "import os", "contracts is not allowed to import os", id="contracts touch os"
        ),
        pytest.param(
            "contracts/refs.py",
            "from pathlib import Path",
            "contracts is not allowed to import pathlib",
            id="and paths",
        ),
        pytest.param(
            "contracts/refs.py", "import dagster", "contracts is not allowed to import dagster", id="and Dagster"
        ),
    ],
)
def test_an_import_the_other_way_is_found(tmp_path: Path, module: str, statement: str, broken: str) -> None:
    copy = copy_of_the_packages(tmp_path)
    with (copy / module).open("a") as source:
        source.write(f"\n{statement}\n")
    done = run(BIN / "lint-imports", "--no-cache", cwd=copy, PYTHONPATH=str(copy))
    assert done.returncode == 1
    assert "1 broken" in done.stdout
    assert f"{broken}:" in done.stdout


# ---- names and words -------------------------------------------------------------------------------------------------


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "base", "tools"}
    named_so = [path for path in project_files() if path.suffix == ".py" and {path.stem, path.parent.name} & drawers]
    assert named_so == []


def test_every_package_says_what_it_is_for() -> None:
    silent = [
        path.relative_to(ROOT)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if not path.read_text().startswith('"""')
    ]
    assert silent == []


# Each pattern is written so that it does not find itself.
FORBIDDEN = {
    "an unfinished thought": r"\b(?:TOD[O]|FIXM[E]|HAC[K])\b",
    "a path of one machine": r"(?<![\w.<}])/(?:wor[k]|roo[t]|op[t]|hom[e]/\w+)/",
    "a package index": r"pythonhoste[d]|pypi\.or[g]|-index-ur[l]|--find-link[s]",
}


@pytest.mark.parametrize("pattern", FORBIDDEN.values(), ids=FORBIDDEN)
def test_nowhere_stands(pattern: str) -> None:
    found = [
        f"{path}:{number}: {line.strip()[:80]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if re.search(pattern, line)
    ]
    assert found == []


# ---- the lock files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_pins_every_package_by_version_and_digest(name: str) -> None:
    for requirements in locked(name).values():
        for requirement, digests in requirements:
            assert re.fullmatch(r"==[\w.!+]+", str(requirement.specifier)), requirement
            assert requirement.url is None
            assert digests, f"{requirement} has no digest"
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in digests)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_names_no_host_and_no_option(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert re.findall(r"^\s*--(?!hash=)\S+", text, re.MULTILINE) == []


def test_the_tools_lock_is_the_platform_s_lock_and_more() -> None:
    platform, tools = locked("requirements.lock"), locked("requirements-dev.lock")
    differing = [
        name
        for name, requirements in platform.items()
        if {str(r.specifier) for r, _ in requirements} != {str(r.specifier) for r, _ in tools.get(name, [])}
    ]
    assert differing == []
    assert set(platform) < set(tools)


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        (PROJECT["project"]["dependencies"], "requirements.lock"),
        (PROJECT["project"]["optional-dependencies"]["demo"], "requirements.lock"),
        (PROJECT["project"]["optional-dependencies"]["polars"], "requirements-dev.lock"),
        (PROJECT["dependency-groups"]["dev"], "requirements-dev.lock"),
        (PROJECT["dependency-groups"]["build"], "requirements-build.lock"),
        (PROJECT["build-system"]["requires"], "requirements-build.lock"),
    ],
    ids=["dependencies", "demo", "polars", "dev", "build", "build backend"],
)
def test_what_pyproject_asks_for_is_locked_within_its_bounds(wanted: list[str], name: str) -> None:
    lock = locked(name)
    for requirement in map(Requirement, wanted):
        pinned = lock[canonicalize_name(requirement.name)]
        versions = [str(found.specifier).removeprefix("==") for found, _ in pinned]
        assert all(requirement.specifier.contains(v, prereleases=True) for v in versions), (requirement, versions)


def test_this_environment_is_what_the_lock_says() -> None:
    other = []
    for requirements in locked("requirements-dev.lock").values():
        for requirement, _ in requirements:
            if requirement.marker is None or requirement.marker.evaluate():
                try:
                    found = version(requirement.name)
                except PackageNotFoundError:
                    found = "nothing"
                if not requirement.specifier.contains(found if found != "nothing" else "0", prereleases=True):
                    other.append(f"{requirement.name}: locked {requirement.specifier}, found {found}")
    assert other == [], "run make setup"


# ---- commands --------------------------------------------------------------------------------------------------------


def test_every_console_command_exists() -> None:
    scripts = PROJECT["project"]["scripts"]
    installed = {point.name: point for point in entry_points(group="console_scripts") if point.name in scripts}
    for name, target in scripts.items():
        assert installed[name].value == target
        assert callable(installed[name].load())
        assert os.access(BIN / name, os.X_OK)


def test_make_alone_lists_what_it_can_do() -> None:
    done = run("make")
    assert done.returncode == 0
    listed = re.findall(r"^  make (\S+) +\S", done.stdout, re.MULTILINE)
    assert {"demo", "test", "lint", "types", "imports", "coverage", "bench", "lock", "clean", "setup"} <= set(listed)


@pytest.mark.parametrize(
    ("python", "message"),
    [
        pytest.param("", "hashgate needs Python 3.11, 3.12 or 3.13 and found none", id="no Python, or too old a one"),
        pytest.param("false", "false cannot create virtual environments: apt-get install python3-venv", id="no venv"),
    ],
)
def test_a_machine_that_lacks_something_says_what(tmp_path: Path, python: str, message: str) -> None:
    done = run("make", "--no-print-directory", "setup", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}")
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[0]
    assert not (tmp_path / "venv").exists()


def test_ci_runs_what_a_contributor_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert run("bash", "-n", script).returncode == 0
    lines = script.read_text().splitlines()
    assert "set -euo pipefail" in lines
    assert lines[-1] == "exec make test"


# ---- Dagster ---------------------------------------------------------------------------------------------------------


def test_dagster_accepts_the_instance_s_settings_and_nothing_leaves_the_machine(home: Path) -> None:
    shutil.copy(ROOT / "dagster.yaml", home / "dagster")
    with DagsterInstance.get() as instance:
        assert instance.telemetry_enabled is False
        assert instance.nux_enabled is False
        assert instance.run_monitoring_enabled is True
        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 2


def test_the_workspace_and_dg_load_the_same_definitions() -> None:
    (entry,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    assert entry["python_module"]["module_name"] == PROJECT["tool"]["dg"]["project"]["code_location_target_module"]


def test_no_package_of_ours_shadows_a_library() -> None:
    assert sorted(set(PACKAGES) & set(sys.stdlib_module_names)) == []
