"""One attempt of an engine: told before it begins and when it has ended, whatever became of it.

A leader that died leaves an attempt without an end. Whoever leads next ends what still runs of it on this host, says
that it was abandoned, and tries again as often as the plan allows; an attempt that ended with a reason is not repeated.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from contracts.authority.identities import attempt_id_of
from contracts.authority.invocations import EngineReceipt, invocation_of, parse_receipt, resolved_command
from contracts.authority.plans import RunPlan
from contracts.authority.policy import INVOCATION_VARIABLE
from contracts.authority.reasons import Reason, ReasonCode, ReasonError
from contracts.authority.record import EventKind, RunEvent
from contracts.authority.run_files import RunFileError
from contracts.authority.status import RunState
from contracts.refs import digest_bytes
from resources.authority.engine_process import (
    CommandNotStartedError,
    EngineEnd,
    cleaned_environment,
    end_marked,
    run_engine,
)
from resources.authority.engines import Engine
from resources.authority.run_roots import RunRoot, open_run_root
from resources.authority.run_writer import RunWriter
from resources.staging import staged

ABANDONED = "ABANDONED"
"""The outcome of an attempt whose leader was gone before it ended."""

SUCCEEDED = "SUCCEEDED"
MAXIMUM_RECEIPT_BYTES = 1 << 20
_KEPT_AT_EACH_END = 4 << 20
_SECRET_NAME = re.compile(r"(?i)secret|token|passw|credential|(^|_)key($|_)|dsn|database_url")


@dataclass(frozen=True)
class Attempts:
    """The attempts of one run, as its leader makes them."""

    writer: RunWriter
    plan: RunPlan
    engine: Engine
    staging: Path
    actor: str

    def succeeded(self) -> str:
        """The attempt that ended well; one is made if there is none.

        Returns:
            Its id.

        Raises:
            ReasonError: It did not end well: ENGINE_*, or ATTEMPT_LIMIT_EXCEEDED.
            LeaseLostError: Somebody else leads now; the engine was ended.
        """
        self._settle_abandoned()
        last = self._finished()[-1:]
        if last and last[0].details["outcome"] == SUCCEEDED:
            return str(last[0].details["attempt_id"])
        if last and last[0].details["outcome"] != ABANDONED:
            raise ReasonError(Reason.model_validate(last[0].details["reason"]))
        return self._attempt(len(self.writer.recorder.told(EventKind.ENGINE_ATTEMPT_LAUNCHED)) + 1)

    @property
    def any_launched(self) -> bool:
        """Whether the engine was invoked for this run."""
        return bool(self.writer.recorder.told(EventKind.ENGINE_ATTEMPT_LAUNCHED))

    def _finished(self) -> list[RunEvent]:
        return self.writer.recorder.told(EventKind.ENGINE_ATTEMPT_FINISHED)

    def _settle_abandoned(self) -> None:
        ended = {event.details["attempt_id"] for event in self._finished()}
        for event in self.writer.recorder.told(EventKind.ENGINE_ATTEMPT_LAUNCHED):
            attempt_id = event.details["attempt_id"]
            if attempt_id not in ended:
                end_marked(event.details["mark"])
                self._finish(attempt_id, event.details["number"], ABANDONED, None, {})

    def _attempt(self, number: int) -> str:
        attempt_id = attempt_id_of(self.plan.run_id, number, self.actor)
        if number > self.plan.attempt_limit:
            reason = Reason(
                code=ReasonCode.ATTEMPT_LIMIT_EXCEEDED,
                subject=self.plan.run_id,
                expected=f"at most {self.plan.attempt_limit} attempts",
                observed=f"{number - 1} abandoned",
                hint="See why the platform's processes died; submit the work under a new key.",
            )
            self._finish(attempt_id, number, reason.code.value, reason, {})
            raise ReasonError(reason)
        # another installation on this host may have an attempt of the same id
        launched = {"attempt_id": attempt_id, "number": number, "invoker": self.actor, "mark": uuid4().hex}
        mark = self.writer.tell(EventKind.ENGINE_ATTEMPT_LAUNCHED, attempt_id, launched).details["mark"]
        if self.writer.status is None or self.writer.status.state is not RunState.EXECUTING:
            self.writer.advance(RunState.EXECUTING, engine=self.plan.engine, plan_digest=self.plan.digest)
        details: dict[str, Any] = {}
        try:
            self._run(number, attempt_id, mark, details)
        except ReasonError as error:
            reason = error.evidence["reason"]
            self._finish(attempt_id, number, reason.code.value, reason, details)
            raise
        self._finish(attempt_id, number, SUCCEEDED, None, details)
        return attempt_id

    def _run(self, number: int, attempt_id: str, mark: str, details: dict[str, Any]) -> None:
        """Run the engine and read its receipt; `details` gains what is known of the attempt."""
        root = self.plan.root.root
        about = {
            "attempt_id": attempt_id,
            "attempt": number,
            "engine_run_root": root,
            "window": None if self.plan.window is None else self.plan.window.model_dump(mode="json"),
            "outputs": self.plan.outputs,
            "receipt": self.engine.policy.receipt,
        }
        invocation = invocation_of(
            engine=self.plan.engine, pins=self.plan.pins, requested=self.plan.requested, about=about
        ).text()
        command = resolved_command(self.engine.policy.command, self._values(attempt_id, invocation), self.engine.name)
        details["command_digest"] = digest_bytes("\0".join(command).encode())
        details["invocation_digest"] = digest_bytes(invocation.encode())
        _make_folder(root)
        with staged(self.staging, f"engine-{attempt_id}") as folder:
            environment = cleaned_environment(
                os.environ, self.engine.policy.environment, folder, {INVOCATION_VARIABLE: invocation}
            )
            try:
                end = run_engine(
                    command,
                    environment=environment,
                    folder=folder,
                    mark=mark,
                    timeout_s=self.plan.timeout_s,
                    attend=self.writer.confirm,
                )
            except CommandNotStartedError as error:
                raise ReasonError(
                    Reason(
                        code=ReasonCode.ENGINE_COMMAND_MISSING,
                        subject=self.engine.name,
                        expected="a program that this user may run",
                        observed=str(error),
                        hint="Install it, or mend the command in the engine's policy.",
                    )
                ) from None
            details |= {"exit_code": end.exit_code, "duration_s": round(end.duration_s, 3)}
            secrets = secret_values(environment, self.engine.policy.environment)
            details |= {name: self._keep(attempt_id, folder / name, secrets) for name in ("stdout", "stderr")}
        self._judge(end, details)

    def _judge(self, end: EngineEnd, details: dict[str, Any]) -> None:
        """Look at how the engine ended and at its receipt, before anybody looks at its evidence."""
        if end.timed_out:
            raise ReasonError(
                Reason(
                    code=ReasonCode.ENGINE_TIMEOUT,
                    subject=self.engine.name,
                    expected=f"an end within {self.plan.timeout_s:g} s",
                    observed=f"ended with all that it had started after {end.duration_s:.1f} s",
                    hint="See its output in the store; give it more time in the policy, and submit under a new key.",
                )
            )
        if end.exit_code != 0:
            raise ReasonError(
                Reason(
                    code=ReasonCode.ENGINE_EXIT_NONZERO,
                    subject=self.engine.name,
                    expected="exit code 0",
                    observed=f"{end.exit_code}",
                    hint=f"See what it said: {details['stderr']['key']} in the store.",
                )
            )
        receipt = read_receipt(open_run_root(self.plan.root.root), self.engine.policy.receipt)
        parse_receipt(receipt, self.plan.pins, self.engine.policy.receipt, ours=True)
        details["receipt_digest"] = digest_bytes(receipt or b"")

    def _values(self, attempt_id: str, invocation: str) -> Mapping[str, str]:
        """What the command's placeholders stand for."""
        pins = {name: str(value) for name, value in self.plan.pins.model_dump(mode="json").items()}
        window = self.plan.window
        moments = {} if window is None else {"window_start": window.start, "window_end": window.end}
        return {
            **pins,
            **{name: moment.isoformat() for name, moment in moments.items()},
            "attempt_id": attempt_id,
            "engine_folder": str(self.engine.folder),
            "engine_run_root": self.plan.root.root,
            "invocation_json": invocation,
            "python": sys.executable,
        }

    def _keep(self, attempt_id: str, path: Path, secrets: Sequence[bytes]) -> dict[str, Any]:
        """Put what the engine printed into the store, without the secrets that it was given; of much, both ends."""
        size = path.stat().st_size
        with path.open("rb") as file:
            data = file.read(2 * _KEPT_AT_EACH_END)
            if size > len(data):
                file.seek(size - _KEPT_AT_EACH_END)
                cut = f"\n[... {size - 2 * _KEPT_AT_EACH_END} bytes were left out ...]\n".encode()
                data = data[:_KEPT_AT_EACH_END] + cut + file.read()
        for secret in secrets:
            data = data.replace(secret, b"[REDACTED]")
        key = self.writer.documents.key(f"attempts/{attempt_id}/{path.name}")
        self.writer.confirm()
        self.writer.documents.store.put_if_absent(key, data)
        return {"key": key, "size_bytes": size, "digest": digest_bytes(data)}

    def _finish(
        self, attempt_id: str, number: int, outcome: str, reason: Reason | None, details: Mapping[str, Any]
    ) -> None:
        said = {"attempt_id": attempt_id, "number": number, "outcome": outcome, **details}
        if reason is not None:
            said["reason"] = reason.model_dump(mode="json")
        self.writer.tell(EventKind.ENGINE_ATTEMPT_FINISHED, attempt_id, said)


def secret_values(environment: Mapping[str, str], passed: Sequence[str]) -> list[bytes]:
    """The values of passed variables whose names say that they are secret, the longest first."""
    found = [environment[name] for name in passed if name in environment and _SECRET_NAME.search(name)]
    return [value.encode() for value in sorted(found, key=len, reverse=True) if value]


def read_receipt(root: RunRoot, path: str) -> bytes | None:
    """The receipt's bytes; None when there is none.

    Raises:
        ReasonError: ENGINE_RECEIPT_INVALID: what lies there is no plain, small file.
    """
    try:
        return root.read_document(path, MAXIMUM_RECEIPT_BYTES)
    except KeyError:
        return None
    except RunFileError as error:
        raise ReasonError(
            Reason(
                code=ReasonCode.ENGINE_RECEIPT_INVALID,
                subject=path,
                expected=f"a plain file of at most {MAXIMUM_RECEIPT_BYTES} bytes",
                observed=str(error.evidence["problem"]),
                member=path,
                hint="Mend the engine.",
            )
        ) from None


def reused_receipt(root: RunRoot, plan: RunPlan, path: str) -> EngineReceipt | None:
    """The receipt of whoever brought about the results that are there; None when there is none.

    Raises:
        ReasonError: ENGINE_RECEIPT_INVALID, or ENGINE_RECEIPT_MISMATCH: its pins, the run id aside, are others.
    """
    data = read_receipt(root, path)
    return None if data is None else parse_receipt(data, plan.pins, path, ours=False)


def _make_folder(root: str) -> None:
    """The engine finds its run root made, where that is a folder of this machine."""
    if not root.startswith("/"):
        return
    try:
        Path(root).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ReasonError(
            Reason(
                code=ReasonCode.ENGINE_ROOT_MISSING,
                subject=root,
                expected="a folder that can be written",
                observed=error.strerror or str(error),
                hint="Give this user access to it, or name another root.",
            )
        ) from None
