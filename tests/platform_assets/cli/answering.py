"""A person at a terminal, who answers what a command asks."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def answering(monkeypatch: pytest.MonkeyPatch, answer: str) -> Iterator[None]:
    """Within it, standard input is a terminal at which `answer` is typed."""
    master, slave = pty.openpty()
    with os.fdopen(slave) as typed, monkeypatch.context() as patched:
        os.write(master, answer.encode())
        patched.setattr(sys, "stdin", typed)
        yield
    os.close(master)
