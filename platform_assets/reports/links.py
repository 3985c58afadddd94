"""Where pages are to be found, for links: the address at which `hashgate report --serve` answers."""

from __future__ import annotations

import os
from urllib.parse import quote, urlsplit

REPORTS_VARIABLE = "HASHGATE_REPORTS"
LISTENS = "127.0.0.1:3070"


def listening_address() -> str:
    """Where the server listens if nobody says otherwise: what the setting names, unless that is a proxy's address."""
    configured = os.environ.get(REPORTS_VARIABLE) or LISTENS
    return LISTENS if "://" in configured else configured


def public_name() -> str | None:
    """The host, and port, of the proxy in front of the server, if the setting names one."""
    configured = os.environ.get(REPORTS_VARIABLE) or ""
    return urlsplit(configured).netloc or None if "://" in configured else None


def page_url(table: str, partition: str | None = None, version: int | str | None = None) -> str:
    """The address of a table's or a version's page.

    Args:
        table: Its name.
        partition: None: the table's overview.
        version: A number or `held`; None: what is current.
    """
    base = os.environ.get(REPORTS_VARIABLE) or LISTENS
    base = base if "://" in base else f"http://{base}"
    parts = [quote(str(part), safe="") for part in (table, partition, version) if part is not None]
    return "/".join([base.rstrip("/"), *parts, ""])
