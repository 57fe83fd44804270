"""What a settlement writes, as columns: the same in every store."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from queuectl_engine.lifecycle import (
    FINAL,
    Completed,
    Ending,
    Exited,
    GivenBack,
    Outcome,
    RetryAt,
    Signalled,
    WorkerDied,
    if_cancelled,
    result_of,
    state_after,
    words,
)
from queuectl_engine.repository.protocol import AttemptId, Ended
from queuectl_engine.repository.rows import ms


def args_of(attempt: AttemptId) -> dict[str, Any]:
    """What names an attempt and proves its ownership."""
    return {"job": attempt.job, "number": attempt.number, "token": attempt.token}


def columns_of(
    outcome: Outcome, ending: Ending, ended_at: datetime, now: datetime
) -> dict[str, Any]:
    """What a settlement makes of the job, and what if a cancel was asked meanwhile."""
    cancelled = if_cancelled(outcome)
    return {
        "state": state_after(outcome).value,
        "state_if_cancelled": state_after(cancelled).value,
        "reason": _reason(outcome),
        "reason_if_cancelled": _reason(cancelled),
        "finished": _finished(outcome, ended_at),
        "finished_if_cancelled": _finished(cancelled, ended_at),
        "due": ms(outcome.at) if isinstance(outcome, RetryAt) else None,
        "refund": int(isinstance(outcome, GivenBack)),
        "deaths": int(isinstance(ending, WorkerDied) and ending.counts),
        "now": ms(now),
    }


def _reason(outcome: Outcome) -> str | None:
    return None if isinstance(outcome, Completed) else outcome.reason


def _finished(outcome: Outcome, ended_at: datetime) -> int | None:
    return ms(ended_at) if state_after(outcome) in FINAL else None


def history_of(ended: Ended) -> dict[str, Any]:
    """What it leaves in the history of attempts."""
    ending, usage = ended.ending, ended.usage
    peak = usage.peak_memory if usage else None
    return {
        "ended": ms(ended.ended_at),
        "result": result_of(ending),
        "exit_code": int(ending.code) if isinstance(ending, Exited) else None,
        "signal": ending.signal if isinstance(ending, Signalled) else None,
        "words": words(ending),
        "cpu": usage.cpu // timedelta(milliseconds=1) if usage else None,
        "peak": None if peak is None else peak // 1024,
    }
