"""A session that does not wait for ever: the answer comes in time, or the session is lost.

The server's own time-outs end what it works on, and the kernel notices a cut cable. Neither helps
when what answers is alive and silent: a stopped server, a proxy whose other side is gone.
"""

from __future__ import annotations

import time
from math import inf
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen

from queuectl_engine.repository.rows import Row

T = TypeVar("T")
_LOOK: Final = 0.5  # seconds between two looks at the clock, and for Ctrl+C


class Session(psycopg.Connection[Row]):
    """psycopg's connection with `answers_within`: seconds for one exchange with the server."""

    answers_within: float = inf

    def wait(self, gen: PQGen[T], interval: float = _LOOK, timeout: float | None = None) -> T:
        """As in psycopg. Raises OperationalError, as for a lost session, when it takes longer."""
        in_time = _in_time(gen, self.answers_within)
        if timeout is None:  # which older ones do not know
            return super().wait(in_time, interval)
        return super().wait(in_time, interval, timeout)


def _in_time(steps: PQGen[T], seconds: float) -> PQGen[T]:
    """The same steps, until the time is up; psycopg takes one now and then with nothing ready."""
    deadline = time.monotonic() + seconds
    ready: Any = None
    while True:
        try:
            wanted = steps.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result
        ready = yield wanted
        if not ready and time.monotonic() > deadline:
            steps.close()
            raise psycopg.OperationalError("the server does not answer")
