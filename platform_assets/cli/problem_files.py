"""Why a file in the drop folder cannot be taken: the codes that a scan leaves, what they mean, the way out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType

from contracts.partitions import NoKey, partition_key_of
from contracts.table_contract import TableContract
from resources.file_catalogue import MAXIMUM_PATH_BYTES, PATH_TOO_LONG, KnownFile

_WORDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "LINK_LEAVES_FOLDER": (
            "it is a symbolic link that leaves the drop folder",
            "Put the file itself into the drop folder.",
        ),
        "BROKEN_LINK": ("it is a symbolic link to nothing", "Put the file itself into the drop folder."),
        "UNREADABLE": ("this user may not read it", "Give this user access to it."),
        "NOT_A_FILE": ("it is a FIFO, a socket or a device, and is never opened", "Drop a plain file."),
        "NAME_NOT_UTF8": ("its name is not UTF-8", "Rename the file."),
        PATH_TOO_LONG: (f"its path has more than {MAXIMUM_PATH_BYTES:,} bytes", "Give its folders shorter names."),
    }
)


def spoken_problem(contract: TableContract, file: KnownFile, now: dt.datetime) -> tuple[str, str]:
    """What is wrong with a file, and how to fix it."""
    name = file.path.rpartition("/")[2]
    if file.problem is not None and file.problem in _WORDS:
        return _WORDS[file.problem]
    key = partition_key_of(name, contract.partitioning, now=now)
    if isinstance(key, NoKey):
        return key.problem, key.fix
    return f"it cannot be taken ({file.problem})", "Scan again."


def problem_document(contract: TableContract, file: KnownFile, now: dt.datetime) -> dict[str, str]:
    """The same for machines."""
    problem, fix = spoken_problem(contract, file, now)
    return {"table": contract.table, "path": file.path, "code": file.problem or "", "problem": problem, "fix": fix}
