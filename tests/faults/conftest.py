"""The zygote of a module's tests, and a trial of each scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest

from tests.faults.bucket_trial import BucketTrial
from tests.faults.disk_trial import DiskTrial
from tests.faults.homes import Home, Place
from tests.faults.scenarios import Scenario, rehearse
from tests.faults.tracer import Tracer, untraceable_machine
from tests.faults.zygote import Zygote
from tests.servers.s3 import S3Server


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """A process that forks whatever the tests ask for, and traces it."""
    machine = untraceable_machine()
    if machine is not None:
        pytest.skip(machine)
    log = tmp_path_factory.mktemp("zygote") / "log"
    with Zygote(log) as forking:
        try:
            forking.trace(Tracer((log.parent,)), Home.enter, Home(log.parent))
        except EOFError:
            pytest.skip(f"no process can be traced here (ptrace and seccomp are needed): {log.read_text()[-500:]}")
        yield forking


@pytest.fixture(scope="module")
def trials(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for trials, of whose children the zygote knows by now what they import."""
    folder = tmp_path_factory.mktemp("trials")
    zygote.warm_up(rehearse, Home(folder / "rehearsal"))
    return folder


@pytest.fixture(scope="module")
def disk_trial_of(zygote: Zygote, trials: Path) -> Callable[[Scenario], DiskTrial]:
    """The trial of a scenario on the local store, prepared when it is first asked for."""

    @cache
    def find(scenario: Scenario) -> DiskTrial:
        return DiskTrial(zygote, scenario, Home(trials / uuid4().hex, "prepared"))

    return find


@pytest.fixture(scope="module")
def bucket_trial_of(zygote: Zygote, trials: Path, moto: S3Server) -> Callable[[Scenario], BucketTrial]:
    """The trial of a scenario on a store in a bucket."""

    @cache
    def find(scenario: Scenario) -> BucketTrial:
        place = Place(moto, f"faults/{uuid4().hex}")
        return BucketTrial(zygote, scenario, Home(trials / uuid4().hex, "prepared", place))

    return find
