"""Whatever this process creates from now on is for its user alone, also what libraries create."""

from __future__ import annotations

import os

OTHERS = 0o077
"""The rights of group and others."""


def keep_private() -> None:
    """Take the rights of group and others from every file and folder that is created later."""
    os.umask(os.umask(OTHERS) | OTHERS)
