"""What a hook is told of the job that it follows: the same in every store."""

from __future__ import annotations

from typing import Final

from queuectl_engine.job import OUTWARD, State
from queuectl_engine.lifecycle import Ending, Exited, Signalled
from queuectl_engine.repository.rows import Row

_LONGEST_VALUE: Final = 8_192  # characters of one variable


def fields_of(job: int, row: Row, state: State, ending: Ending) -> dict[str, str]:
    """As things are now: when the hook runs, the job may have been requeued or deleted.

    `row` is the job's key, command, number of the attempt and reason.
    """
    key, command, number, reason = row
    told = {
        "QUEUECTL_JOB_ID": str(job),
        "QUEUECTL_KEY": key or "",
        "QUEUECTL_STATE": OUTWARD[state].value,
        "QUEUECTL_REASON": reason or "",
        "QUEUECTL_EXIT_CODE": str(ending.code) if isinstance(ending, Exited) else "",
        "QUEUECTL_SIGNAL": str(ending.signal) if isinstance(ending, Signalled) else "",
        "QUEUECTL_ATTEMPT": str(number),
        "QUEUECTL_COMMAND": command,
    }
    return {name: value[:_LONGEST_VALUE] for name, value in told.items()}
