"""What a sensor remembers from one tick to the next, as Dagster keeps it: text."""

from __future__ import annotations

from typing import Self

from contracts.canonical import canonical_bytes, parse_json
from contracts.refs import Frozen


class SensorCursor(Frozen):
    """The root of all cursors; each sensor's own has fields with defaults, which stand for knowing nothing."""

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read a cursor; one of another make counts as none, which costs one look at everything."""
        try:
            return cls.model_validate(parse_json(text)) if text else cls()
        except ValueError:
            return cls()

    def text(self) -> str:
        """The cursor as Dagster keeps it."""
        return canonical_bytes(self.model_dump(mode="json")).decode()
