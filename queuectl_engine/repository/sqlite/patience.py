"""Waiting for a lock that others hold: how long, and how often to look again."""

from __future__ import annotations

import time
from typing import Final

from queuectl_engine.repository.sqlite import watch

_FIRST_PAUSE: Final = 400e-6  # seconds, between two looks for a lock
_SHORT_WAIT: Final = 5e-3
_LONGEST_PAUSE: Final = 10e-3


class Patience:
    """How long and in what steps one connection waits for a lock: its busy handler.

    SQLite's own handler sleeps in fixed steps up to 100 ms; short random ones wake nobody in step
    with the others. Who has waited longer looks oftener, or newcomers would be first again and
    again. But only while others write: a lock that is held shall cost no time.
    """

    def __init__(self, path: str, seconds: float) -> None:
        """`seconds` is what it waits at most; it may be changed between two waits."""
        self.seconds = seconds
        self._log = f"{path}-wal"
        self._waiting_since = 0.0
        self._log_grew_at = 0.0
        self._log_seen: watch.Sight | None = None

    def keep_waiting(self, calls: int) -> bool:
        """Sleep before the next look for the lock; False when it is time to give up.

        `calls`: how often it was called in this wait.
        """
        import random

        now = time.monotonic()
        if calls == 0:
            self._waiting_since = self._log_grew_at = now
        waited = now - self._waiting_since
        if waited >= self.seconds:
            return False
        if (log := watch.look(self._log)) != self._log_seen:
            self._log_seen, self._log_grew_at = log, now
        often = _FIRST_PAUSE / (1 + waited / _SHORT_WAIT)
        seldom = min((now - self._log_grew_at) / 8, _LONGEST_PAUSE)
        time.sleep(random.uniform(0.5, 1.0) * max(often, seldom))
        return True
