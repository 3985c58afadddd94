"""Names that the authority gives: all functions of what they are about, so that whoever asks again gets the same.

SHA-256 in hex, as E1, E9 and E10 say, because engines and consumers in any language compute them, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

ID_DIGITS = 32


def sha256_text(text: str) -> str:
    """The SHA-256 of a text's UTF-8, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def run_id_of(equivalence_key: str) -> str:
    """The one run that a run-equivalence key stands for: the first 32 hex digits of the key's SHA-256."""
    return sha256_text(equivalence_key)[:ID_DIGITS]


def attempt_id_of(run_id: str, number: int, invoker: str) -> str:
    """The name of an attempt: the first 32 hex digits of the SHA-256 of `run_id|number|invoker`."""
    return sha256_text(f"{run_id}|{number}|{invoker}")[:ID_DIGITS]


def event_id_of(run_id: str, kind: str, about: str) -> str:
    """The name of a record event: the same happening gets the same, however often it is told."""
    return sha256_text(f"event|{run_id}|{kind}|{about}")[:ID_DIGITS]


def ready_message_id(platform_run_id: str, scenario_run_id: str, content_digest: str) -> str:
    """READY's message id (E9), over the bundle's digest, or the plan's where there is no bundle."""
    return sha256_text(f"ready|{platform_run_id}|{scenario_run_id}|{content_digest}")[:ID_DIGITS]


def terminal_message_id(run_id: str, state: str, status_digest: str) -> str:
    """The message id of the end of a run that is not READY (E10)."""
    return sha256_text(f"terminal|{run_id}|{state}|{status_digest}")


def scenario_run_id_of(engine: str, scenario_id: str, run_id: str) -> str:
    """The name of the scenario's run within the platform's: another engine or scenario has another."""
    return sha256_text(f"scenario_run|{engine}|{scenario_id}|{run_id}")[:ID_DIGITS]


def scenario_id_of_set(scenario_ids: Sequence[str]) -> str:
    """What stands for a set of scenarios where one scenario id is wanted; their order does not matter."""
    return f"set-{sha256_text('|'.join(sorted(scenario_ids)))[:16]}"
