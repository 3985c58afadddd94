"""Every error the platform raises on purpose: one root, one branch per concern, evidence on the instance.

A bad *record* is not an error but a value: it goes to quarantine with its reasons. An error means that a promise
(a contract, a digest, a setting, a query's limits) cannot be kept. Each message says what, where and how to fix it.
All of them survive pickling, because they cross processes.
"""

from __future__ import annotations

from typing import Any


class HashgateError(Exception):
    """The root. `exit_code` is what the command line ends with when this error reaches it."""

    exit_code = 1

    def __init__(self, message: str, **evidence: Any) -> None:
        super().__init__(message)
        self.evidence = evidence
        self.__dict__.update(evidence)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args, self.evidence))


def _rebuild(kind: type[HashgateError], args: tuple[Any, ...], evidence: dict[str, Any]) -> HashgateError:
    error = kind.__new__(kind)
    Exception.__init__(error, *args)
    error.evidence = evidence
    error.__dict__.update(evidence)
    return error


class UsageError(HashgateError):
    """The command, table, partition or column that was asked for does not exist or does not make sense."""

    exit_code = 2


class ConfigurationError(HashgateError):
    """A setting, folder or database is missing, unreadable or of another version."""

    exit_code = 2


class ContractError(HashgateError):
    """A contract is broken, or asks for something the platform would not enforce."""

    exit_code = 2

    def __init__(self, *, contract: str, where: str, problem: str, fix: str) -> None:
        super().__init__(
            f"{contract}: {where}: {problem}. {fix}", contract=contract, where=where, problem=problem, fix=fix
        )


class QueryError(HashgateError):
    """A query is not one plain SELECT over published tables, or it failed."""

    exit_code = 2


class DropError(HashgateError):
    """A dropped file cannot be taken as it is: what, where and what to do."""


class StoreError(HashgateError):
    """The store refused, lost or altered an object."""


class UnansweredError(StoreError):
    """A create was sent, and no answer says what became of it: the object is there, comes later, or never does."""

    def __init__(self, *, key: str, problem: str) -> None:
        hint = (
            "Whether it was created is unknown, and it may still appear. Run the same command again when the store "
            "answers: it looks before it writes. Remove nothing by hand."
        )
        super().__init__(f"store object {key}: {problem}. {hint}", key=key, problem=problem)


class GateError(HashgateError):
    """A gate met something that it can give no verdict on."""


class DigestMismatchError(StoreError):
    """Content does not have the digest it was frozen under."""

    def __init__(self, *, subject: str, expected: str, observed: str) -> None:
        hint = "It changed after it was frozen: restore it, or ingest the partition again from an intact drop."
        super().__init__(
            f"{subject}: expected {expected}, observed {observed}. {hint}",
            subject=subject,
            expected=expected,
            observed=observed,
        )


class CommitError(HashgateError):
    """A commit could not be made, or the chain of commits is not whole."""


class NotPublishedError(HashgateError):
    """Somebody asked to read a partition that no gate has let through."""

    def __init__(self, *, table: str, partition: str, state: str, fix: str) -> None:
        super().__init__(
            f"{table}[{partition}] cannot be read: its state is {state}, and only what passed every gate is readable. "
            f"{fix}",
            table=table,
            partition=partition,
            state=state,
            fix=fix,
        )


class NotExportedError(HashgateError):
    """Somebody asked for a version in a format that it was not published in."""

    def __init__(self, *, table: str, partition: str, number: int, sink: str, fix: str) -> None:
        super().__init__(
            f"{table}[{partition}] version {number} has no {sink} file: {fix}",
            table=table,
            partition=partition,
            number=number,
            sink=sink,
            fix=fix,
        )
