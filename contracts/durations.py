"""Durations as people write them in settings: a number and a unit."""

from __future__ import annotations

import datetime as dt
import re

_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_duration(text: str) -> dt.timedelta:
    """Read `90s`, `15m`, `24h` or `7d`.

    Raises:
        ValueError: It is none of these, with what to write instead.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        msg = f"{text!r} is no duration: write a whole number and s, m, h or d, as in 24h"
        raise ValueError(msg)
    return dt.timedelta(**{_UNITS[found[2]]: int(found[1])})


def spoken_duration(duration: dt.timedelta) -> str:
    """`24h`, `90s`: the shortest way to write it so that it reads back the same, to the second."""
    seconds = int(duration.total_seconds())
    sizes = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
    unit = next(unit for unit, size in sizes.items() if seconds % size == 0 and (seconds >= size or unit == "s"))
    return f"{seconds // sizes[unit]}{unit}"
