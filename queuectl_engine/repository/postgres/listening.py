"""News across hosts: one session of a pool hears NOTIFY and rings the pool's own FIFO.

So workers sleep on a FIFO on every store, one byte wakes one of them, and a pool has one listening
session however many workers it has. Notifying is left out while no pool runs elsewhere: each
NOTIFY is a commit more, and commits that notify wait for each other in the server. It is a hint;
workers look by themselves every few seconds.
"""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Final

import psycopg

from queuectl_engine.repository import bell
from queuectl_engine.repository.postgres.address import connection_parameters
from queuectl_engine.repository.postgres.connection import Connection

_CHANNEL: Final = "queuectl"
_REST: Final = 0.02  # seconds between two notices of one process
_BELIEVED: Final = 2.0  # seconds that the list of pools is believed
_LOOK: Final = 1.0  # seconds between two looks whether to stop
_LONGEST: Final = 10.0  # seconds between two tries to connect


class Listener(threading.Thread):
    """Rings one pool of this host whenever a pool or a person elsewhere makes work for it."""

    def __init__(self, url: str, pool: int, directory: Path) -> None:
        """Start it with `start`; it ends with `stop`, or with the process."""
        super().__init__(name="queuectl-listener", daemon=True)
        self._parameters = connection_parameters(url)
        self._pool = str(pool)
        self._directory = str(directory)
        self._stop = threading.Event()
        self.hears = threading.Event()  # set once it is connected

    def run(self) -> None:
        """Listen for as long as it takes; the connection is made again when it is lost."""
        wait = 0.1
        while not self._stop.is_set():
            try:
                with psycopg.connect(**self._parameters, autocommit=True) as raw:  # type: ignore[arg-type]
                    raw.execute(f"LISTEN {_CHANNEL}".encode())
                    bell.ring(self._directory)  # what was told while we were deaf
                    self.hears.set()
                    wait = 0.1
                    self._hear(raw)
            except psycopg.Error:  # polling goes on meanwhile
                self._stop.wait(random.uniform(wait / 2, wait))
                wait = min(_LONGEST, wait * 2)

    def stop(self) -> None:
        """End within a second or so."""
        self._stop.set()

    def _hear(self, raw: psycopg.Connection[tuple[object, ...]]) -> None:
        while not self._stop.is_set():
            for notice in raw.notifies(timeout=_LOOK):
                if notice.payload in ("", self._pool):
                    bell.ring(self._directory)


class Others:
    """The pools of other hosts, as far as one who rings has to know of them."""

    def __init__(self, db: Connection, run_directory: Path) -> None:
        """Pools whose directory is not below `run_directory` are elsewhere."""
        self._db = db
        self._root = run_directory
        self._elsewhere = False
        self._looked_at = -_BELIEVED
        self._told_at = -_REST

    def ring(self) -> None:
        """Tell them that there may be work, unless they were told just now."""
        now = time.monotonic()
        if now - self._told_at >= _REST and self._any(now):
            self._told_at = now
            self._db.notify(_CHANNEL, "")

    def ring_one(self, pool: int) -> None:
        """Tell one pool."""
        self._db.notify(_CHANNEL, str(pool))

    def _any(self, now: float) -> bool:
        if now - self._looked_at >= _BELIEVED:
            rows = self._db.look(lambda db: db.run("SELECT directory FROM pool"))
            self._elsewhere = any(not (self._root / name).is_dir() for (name,) in rows)
            self._looked_at = now
        return self._elsewhere
