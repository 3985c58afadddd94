"""Which runs Dagster takes for alive; asked only when nothing else can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

from resources.settings import Settings


@contextmanager
def active_runs(settings: Settings) -> Iterator[Callable[[str], bool]]:
    """Whether a run of an id is queued or in progress. Dagster is imported, and its instance opened, when asked."""
    with ExitStack() as opened:

        @cache
        def is_active(run_id: str) -> bool:
            home = settings.dagster_home
            if not home.is_dir() or not any(home.iterdir()):
                return False  # opening an instance that is not there would make one
            from platform_assets.ingest.runs import open_instance  # noqa: PLC0415 - it takes seconds

            run = opened.enter_context(open_instance(settings)).get_run_by_id(run_id)
            return run is not None and not run.is_finished

        yield is_active
