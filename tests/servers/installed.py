"""What a test needs of the machine: without it the test is skipped, with a reason, and in CI it fails."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def require_programs(*names: str, package: str) -> None:
    """Go on when the programs are there; `package` is what to install otherwise."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        lacking(f"{', '.join(missing)} not found: apt-get install {package}")


def lacking(reason: str) -> NoReturn:
    """End the test: at a desk it is skipped and the closing summary says why, in CI nothing may be lacking."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
