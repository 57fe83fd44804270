"""What a worker has claimed ahead: jobs that wait in it until those before them have ended.

Only while its jobs are so short that a transaction for each takes about as long as they do: then
some share one. A job that takes longer than that gives back what waits behind it.

Which of them have begun is noted in a file of the worker, just before each begins. After a SIGKILL
whoever takes over reads it: what has not begun is given back, and nothing is charged for it.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Final

from queuectl_engine import private
from queuectl_engine.pool.runner import Run

_MOST: Final = 31  # more of them gain little
_SHORT_FOR_ONE: Final = 4  # short jobs in a row, for each that is claimed ahead
_PATIENCE: Final = 0.1  # seconds that one may take to make room for the next
_LONGEST: Final = 0.25  # seconds that any may wait
_NAME: Final = "worker-{}.begun"
_TOKEN: Final = 32  # bytes


class Ahead:
    """The jobs that wait in a worker, in their order; of each that begins it is known.

    `waiting` are they, and only looked at by others; `until` is when, by the monotonic clock, they
    have waited too long for the one before them. Owns its file, which is removed with `close`.
    """

    def __init__(self, directory: Path, worker: int) -> None:
        """Nothing waits. `directory` is that of the worker's pool."""
        self.waiting: deque[Run] = deque()
        self.until = self._latest = inf
        self._short = 0
        self._path = begun_file(directory, worker)
        self._descriptor = -1
        self._places: dict[str, int] = {}  # in the file, of those that are not settled
        self._free: list[int] = []

    def wanted(self) -> int:
        """How many jobs to claim for which there is no room yet.

        Zero while it cannot be noted which of them begin.
        """
        wanted = 0 if self.waiting else self._short // _SHORT_FOR_ONE
        if wanted and self._descriptor < 0:
            try:
                self._descriptor = private.open_file(self._path, os.O_WRONLY)
            except OSError:
                return 0
        return wanted

    def ended(self, *, soon: bool) -> None:
        """A job that ran here has ended, soon after its start or not."""
        self._short = min(self._short + 1, _MOST * _SHORT_FOR_ONE) if soon else self._short // 2

    def wait(self, runs: Sequence[Run]) -> None:
        """Let these wait for room."""
        if runs:
            self.waiting.extend(runs)
            self._latest = time.monotonic() + _LONGEST
            self._look_at_the_time()

    def next(self) -> Run:
        """The first that waits, which begins now."""
        run = self.waiting.popleft()
        self._look_at_the_time()
        return run

    def give_up(self) -> list[Run]:
        """All that waits, as it will not begin here."""
        given_up = list(self.waiting)
        self.waiting.clear()
        self._short, self.until = 0, inf
        return given_up

    def begin(self, token: str) -> None:
        """Note that it begins. Raises OSError: then it must not begin."""
        place = self._free.pop() if self._free else len(self._places)
        self._places[token] = place
        os.pwrite(self._descriptor, token.encode("ascii"), place * _TOKEN)

    def settled(self, token: str) -> None:
        """Nobody will ask any more whether it began."""
        if (place := self._places.pop(token, None)) is not None:
            self._free.append(place)

    def close(self) -> None:
        """Everything is settled, or a rescuer needs the file no more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._path.unlink(missing_ok=True)

    def _look_at_the_time(self) -> None:
        soon = time.monotonic() + _PATIENCE
        self.until = min(soon, self._latest) if self.waiting else inf


def begun_file(directory: Path, worker: int) -> Path:
    """Where a worker of the pool in this directory notes what begins, of what it claimed ahead."""
    return directory / _NAME.format(worker)


def begun_by(directory: Path, worker: int) -> frozenset[str] | None:
    """The tokens that a worker noted, long settled ones among them; None without its file."""
    try:
        noted = begun_file(directory, worker).read_text(encoding="ascii", errors="replace")
    except OSError:  # it has claimed none ahead, or its directory went with the database
        return None
    return frozenset(noted[at : at + _TOKEN] for at in range(0, len(noted), _TOKEN))
