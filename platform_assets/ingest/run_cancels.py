"""Cancels of a run that works in this very process, rather than in one that Dagster started for it.

Ctrl-C counts as a request to cancel: Dagster takes an interruption that nobody asked for through itself as a failure.
The other way, whoever terminates the run in Dagster means this process, of which Dagster knows no address: so the
process looks, every second, whether it is still wanted.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.execution.plan.objects import ErrorSource

_LOOK_S = 1.0
_UNWANTED = (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED)


@contextmanager
def heeding_cancels(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """While a run is executed in here.

    Raises:
        KeyboardInterrupt: Ctrl-C came at a moment in which Dagster does not heed it, and would have been lost.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are not heard here
        return
    cancel = _Cancel(instance, run_id)
    instance.add_event_listener(run_id, cancel.hear)
    watching = threading.Thread(target=cancel.watch, name="cancels", daemon=True)
    with _heard_signals() as heard:
        watching.start()
        try:
            yield
        except DagsterExecutionInterruptedError:
            raise KeyboardInterrupt from None
        finally:
            cancel.over.set()
            watching.join(2 * _LOOK_S)
    if signal.SIGINT in heard and not cancel.begun:
        raise KeyboardInterrupt


class _Cancel:
    """The cancel of one run, whoever begins it."""

    def __init__(self, instance: dg.DagsterInstance, run_id: str) -> None:
        self._instance, self._run_id = instance, run_id
        self.begun = False
        self.over = threading.Event()

    def hear(self, event: dg.EventLogEntry) -> None:
        """An event was stored. If it says that the step was interrupted, the run's word on that comes next."""
        dagster_event = event.dagster_event
        if dagster_event is None or not dagster_event.is_step_failure:
            return
        if dagster_event.step_failure_data.error_source is ErrorSource.INTERRUPT:
            self.begun = True
            self.over.set()
            run = self._instance.get_run_by_id(self._run_id)
            if run is not None and run.status not in _UNWANTED:
                self._instance.report_run_canceling(run, "Interrupted where it runs (Ctrl-C).")

    def watch(self) -> None:
        """Pass on to the main thread what somebody asked Dagster for."""
        while not self.over.wait(_LOOK_S):
            run = self._instance.get_run_by_id(self._run_id)
            if run is not None and run.status in _UNWANTED and not self.over.is_set():
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                return


@contextmanager
def _heard_signals() -> Iterator[bytearray]:
    """The numbers of the signals that come meanwhile, whoever handles them; complete when the context is left."""
    heard = bytearray()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        theirs.settimeout(0)
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        try:
            yield heard
        finally:
            signal.set_wakeup_fd(before)
            with suppress(BlockingIOError):
                heard += ours.recv(1 << 10)
