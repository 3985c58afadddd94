"""The packages have plain names on purpose. This says so clearly when another installed package took one of them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

OURS = ("contracts", "resources", "platform_assets", "sensors")


def refuse_shadowing(home: Path, names: tuple[str, ...] = OURS) -> None:
    """Check that each package is the one that lies in `home`.

    Raises:
        ImportError: Another one of that name is found first, or none at all.
    """
    for name in names:
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).parent if spec is not None and spec.origin else None
        if found is None or found.resolve() != (home / name).resolve():
            where = f"the one at {found}" if found else "none with an __init__.py"
            msg = (
                f"hashgate's package `{name}` should come from {home / name}, but Python finds {where}. "
                "Uninstall or rename the other one, or run from the checkout with its folder first on the path."
            )
            raise ImportError(msg, name=name)
