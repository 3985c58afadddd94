"""Gate laws (E3): how the digest of a bundle is computed, and what contradicts it.

SHA-256 as engines write it, over raw bytes or over digest strings, in ASCII order of the paths or in the index's order.
A law says what a digest covers; everything that it does not (where files end, files that it excludes) is in the
receipt all the same, by path, size and digest of each member.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.authority.bundle_index import IndexItem, parse_index
from contracts.authority.evidence import EngineGateReceipt, Member, Missing
from contracts.authority.flags import stated_digest
from contracts.authority.pack import DigestLaw, EngineGate, LawName, Ordering, PathBase
from contracts.authority.pins import PIN_NAMES, PinName
from contracts.authority.run_files import Ledger, RunFileError

FLAG_LIMIT_BYTES = 64 << 10
INDEX_LIMIT_BYTES = 64 << 20


@dataclass(frozen=True)
class _Listed:
    """A member before it is read."""

    path: str
    """Below the run root."""
    item: IndexItem | None
    """What the index says of it, if there is one."""


class _ContradictionError(Exception):
    """What is there contradicts itself. It never leaves this module."""

    def __init__(self, *, problem: str, member: str | None = None) -> None:
        super().__init__(problem)
        self.problem, self.member = problem, member


class _MissingError(Exception):
    """Something is not there yet. It never leaves this module."""

    def __init__(self, missing: Missing) -> None:
        super().__init__(missing.path)
        self.missing = missing


def check_gate(gate: EngineGate, pins: Mapping[PinName, str], ledger: Ledger) -> EngineGateReceipt | Missing:
    """Check a gate's flag against its bundle.

    Args:
        gate: What the gate map says.
        pins: A value for every pin that the gate's paths name.
        ledger: Reads the run root.

    Returns:
        A receipt, passed or not; or what is not there yet: the flag, or the bundle that it is about.
    """
    return _Check(gate, pins, ledger).made()


@dataclass
class _Check:
    """One gate being checked; what was found so far goes into the receipt, also of one that does not pass."""

    gate: EngineGate
    pins: Mapping[PinName, str]
    ledger: Ledger
    flag: Member | None = None
    index: Member | None = None
    expected: str | None = None
    observed: str | None = None
    members: list[Member] = field(default_factory=list)

    def made(self) -> EngineGateReceipt | Missing:
        try:
            self._compare()
        except _MissingError as error:
            return error.missing
        except _ContradictionError as error:
            return self._receipt(error.problem, error.member)
        except RunFileError as error:
            return self._receipt(str(error), error.evidence["path"])
        return self._receipt(None, None)

    @property
    def root(self) -> str:
        return self.gate.root_template.filled(self.pins).path

    def _compare(self) -> None:
        self.expected = self._stated()
        items = self._index_items()
        listed = self._listed(items)
        self.observed = self._digest(listed)
        if self.observed != self.expected:
            raise _ContradictionError(
                problem="the flag states another digest than the law gives", member=self._suspect(listed)
            )

    def _stated(self) -> str:
        path = self.gate.flag.template.filled(self.pins).path
        try:
            data, self.flag = self.ledger.document(path, FLAG_LIMIT_BYTES)
        except KeyError:
            raise _MissingError(Missing(kind="flag", subject=self.gate.id, path=path)) from None
        try:
            return stated_digest(data, self.gate.flag)
        except ValueError as error:
            problem = f"the flag cannot be read: {error}"
            raise _ContradictionError(problem=problem, member=path) from error

    def _index_items(self) -> list[IndexItem] | None:
        template = self.gate.law.index_template
        if template is None:
            return None
        path = template.filled(self.pins).path
        try:
            data, self.index = self.ledger.document(path, INDEX_LIMIT_BYTES)
        except KeyError:
            raise _MissingError(Missing(kind="bundle", subject=self.gate.id, path=path)) from None
        try:
            return parse_index(data)
        except ValueError as error:
            problem = f"the index cannot be read: {error}"
            raise _ContradictionError(problem=problem, member=path) from error

    def _listed(self, items: list[IndexItem] | None) -> list[_Listed]:
        """The members in the law's order."""
        law = self.gate.law
        if items is None:
            found = [_Listed(path, None) for path in self._in_folder()]
            if not found:
                raise _MissingError(Missing(kind="bundle", subject=self.gate.id, path=f"{self.root}/"))
            return found
        listed = [_Listed(self._resolved(item.path), item) for item in items if not _is_excluded(item.path, law)]
        if not listed:
            raise _ContradictionError(
                problem="the index lists excluded files only, and a gate over nothing shows nothing"
            )
        self._check_listing([one.path for one in listed])
        return _in_law_order(listed, law)

    def _in_folder(self) -> list[str]:
        """The paths below the bundle root that are members, in ASCII order."""
        return [path for path in self.ledger.files.listing(self.root) if not _is_excluded(path, self.gate.law)]

    def _resolved(self, path: str) -> str:
        """A listed path below the run root; one that is absolute or goes up leads nobody knows where."""
        if path.startswith("/") or "\\" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
            problem = "the index lists a path that is absolute, or leaves the run root, or is not plain"
            raise _ContradictionError(problem=problem, member=path)
        return path if self.gate.law.path_base is PathBase.RUN_ROOT else posixpath.join(self.root, path)

    def _check_listing(self, paths: Sequence[str]) -> None:
        if len(set(paths)) != len(paths):
            twice = next(path for at, path in enumerate(paths) if path in paths[:at])
            raise _ContradictionError(problem="the index lists a file twice", member=twice)
        if self.gate.law.name is LawName.BUNDLE or self.gate.law.covers_folder:
            known = set(paths)
            unlisted = next((path for path in self._in_folder() if path not in known), None)
            if unlisted is not None:
                raise _ContradictionError(
                    problem="a file lies in the bundle that the index does not list", member=unlisted
                )

    def _digest(self, listed: Sequence[_Listed]) -> str:
        """The law's digest over the members, each of which is read and noted."""
        law = hashlib.sha256()
        takes_bytes = self.gate.law.name is not LawName.MEMBER_DIGESTS
        for one in listed:
            member = self._read(one, law if takes_bytes else None)
            self.members.append(member)
            if not takes_bytes:
                law.update(_digest_text(one).encode())
            if one.item and one.item.sha256 not in {None, member.sha256}:
                problem = f"the index states SHA-256 {one.item.sha256}, and the file has {member.sha256}"
                raise _ContradictionError(problem=problem, member=one.path)
        return law.hexdigest()

    def _read(self, one: _Listed, law: Any) -> Member:
        try:
            return self.ledger.member(one.path) if law is None else self.ledger.read_into(one.path, law)
        except KeyError:
            raise _ContradictionError(problem="a listed file is missing", member=one.path) from None

    def _suspect(self, listed: Sequence[_Listed]) -> str | None:
        """The first file whose size is not the listed one; mostly nothing tells which file it is."""
        sizes = zip(listed, self.members, strict=True)
        return next((m.path for one, m in sizes if one.item and one.item.size_bytes not in {None, m.size_bytes}), None)

    def _receipt(self, problem: str | None, member: str | None) -> EngineGateReceipt:
        return EngineGateReceipt.model_construct(
            format=EngineGateReceipt.model_fields["format"].default,
            gate_id=self.gate.id,
            scope={name: self.pins[name] for name in PIN_NAMES if name in self.gate.scope},
            law=self.gate.law.name.value,
            ordering=self.gate.law.ordering.value,
            path_base=self.gate.law.path_base.value,
            bundle_root=self.root,
            passed=problem is None,
            expected=self.expected,
            observed=self.observed,
            flag=self.flag,
            index=self.index,
            members=tuple(self.members),
            failing_member=member,
            problem=problem,
        )


def _is_excluded(path: str, law: DigestLaw) -> bool:
    return posixpath.basename(path) in law.exclude_filenames


def _in_law_order(listed: list[_Listed], law: DigestLaw) -> list[_Listed]:
    return listed if law.ordering is Ordering.INDEX_ORDER else sorted(listed, key=lambda one: one.path)


def _digest_text(one: _Listed) -> str:
    if one.item is None or one.item.digest_text is None:
        raise _ContradictionError(problem="the index states no digest, and the law is over digests", member=one.path)
    return one.item.digest_text
