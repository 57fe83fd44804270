"""Who owns a job when hosts share a store: the pool does, for as long as it renews its lease there.

A host that the network has cut off cannot be asked. So a pool holds its jobs until its lease is
over by the store's clock, and whoever cannot renew it ends its own jobs before that:

    part of the lease since the last renewal was sent, by CLOCK_BOOTTIME (it counts suspend)
    1/9   the supervisor renews it, for all that its workers hold
    1/3   workers do so themselves: their supervisor may be stopped, or dead
    1/2   nothing is claimed any more, and nothing that was claimed is started
    2/3   the worker ends its jobs: SIGTERM first
    5/6   what is left of them is killed, by a thread of its own
    1     others may run the jobs

Counted from when the renewal was sent, so whatever the network did to it, the store counts later.
"""

from __future__ import annotations

import os
import signal
import struct
import threading
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from random import uniform
from typing import Final

from queuectl_engine import private
from queuectl_engine.errors import StorageError
from queuectl_engine.pool import processes
from queuectl_engine.repository.protocol import PoolRow

RENEW: Final = 1 / 9
STEP_IN: Final = 1 / 3
CLAIM: Final = 1 / 2
END: Final = 2 / 3
KILL: Final = 5 / 6

_FILE: Final = "lease"
_FORMAT: Final = struct.Struct("=qq")  # nanoseconds since boot, and their complement
_ALL_ONES: Final = -1
_READS: Final = 100
_NEVER: Final = -(2**62)  # before any machine was started, even one that was just now
_PAUSE: Final = (0.5, 1.5)  # seconds before another try
_LONGEST_SLEEP: Final = 1.0


class Lease:
    """The lease of our pool, shared by its processes through a file in its directory.

    Of a pool without one it has no end: `is_past` is never true.
    """

    def __init__(self, pool: PoolRow, directory: Path) -> None:
        """Take part. The supervisor has published its first renewal before it starts workers."""
        self.forgotten = False  # the store knows this pool no more: what it held is not its own
        self._pool = pool.id
        self.ends = pool.lease is not None  # so that it has to be renewed at all
        self._seconds = inf if pool.lease is None else pool.lease.seconds
        self._try_after = 0.0
        self._file = -1
        if pool.lease is not None:
            self._file = private.open_file(directory / _FILE, os.O_RDWR)

    def publish(self, sent: float) -> None:
        """Tell the pool of a renewal that succeeded: when it was sent, by `boot_time`."""
        if self.ends:
            moment = max(int(sent * 1e9), self._published())
            os.pwrite(self._file, _FORMAT.pack(moment, moment ^ _ALL_ONES), 0)

    def is_past(self, part: float) -> bool:
        """Whether so much of it has gone by since the last renewal."""
        return self.ends and self.age() >= part * self._seconds

    def lasts(self, part: float) -> float:
        """Seconds that so much of it takes."""
        return part * self._seconds

    def until(self, part: float) -> float:
        """Seconds until so much of it has gone by; negative when it has."""
        return part * self._seconds - self.age() if self.ends else inf

    def age(self) -> float:
        """Seconds since the last renewal was sent."""
        return boot_time() - self._published() / 1e9

    def renew(self, renew: Callable[[int], bool], *, after: float) -> None:
        """Renew it when that part of it has gone by. Raises StorageError; then it waits a little.

        `renew` is the repository's.
        """
        now = time.monotonic()
        if self.forgotten or now < self._try_after or not self.is_past(after):
            return
        sent = boot_time()
        try:
            if renew(self._pool):
                self.publish(sent)
            else:
                self.forgotten = True
        except StorageError:
            self._try_after = time.monotonic() + uniform(*_PAUSE)
            raise

    def _published(self) -> int:
        """Nanoseconds since boot; long ago when nothing was published."""
        for _ in range(_READS):
            found = os.pread(self._file, _FORMAT.size, 0)
            if len(found) == _FORMAT.size:
                moment, complement = _FORMAT.unpack(found)
                if moment ^ complement == _ALL_ONES:  # else somebody was just writing it
                    return int(moment)
        return _NEVER

    def close(self) -> None:
        """Give back the descriptor."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Fence(threading.Thread):
    """Kills what a worker runs before the lease is over, though the worker may hang in a call.

    A thread, for the one thing that must not wait. The worker names what it runs with `guard`, and
    takes it back with `release` before it reaps it, so that no number is used by another by then.
    """

    def __init__(self, lease: Lease) -> None:
        """Begin with `start`; it ends with `stop`."""
        super().__init__(name="queuectl-fence", daemon=True)
        self._lease = lease
        self._lock = threading.Lock()
        self._guarded: dict[str, int] = {}  # leader by token
        self._over = threading.Event()

    def guard(self, token: str, leader: int) -> None:
        """This runs now."""
        with self._lock:
            self._guarded[token] = leader

    def release(self, token: str) -> None:
        """This has ended."""
        with self._lock:
            self._guarded.pop(token, None)

    def run(self) -> None:
        """Wait for the end of the lease."""
        while not self._over.wait(min(_LONGEST_SLEEP, max(0.05, self._lease.until(KILL)))):
            if self._lease.is_past(KILL):
                self._kill()

    def stop(self) -> None:
        """Nothing runs any more."""
        self._over.set()
        self.join()

    def _kill(self) -> None:
        with self._lock:
            for leader in self._guarded.values():
                processes.kill_group(leader, signal.SIGKILL)
            processes.kill_each(dict.fromkeys(self._guarded), patience=_LONGEST_SLEEP)


def boot_time() -> float:
    """Seconds since boot, those that were slept through as well."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
