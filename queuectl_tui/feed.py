"""The one thread that reads the engine for the screen, off the event loop.

It looks a few times a second whether anything changed, re-reads only what is visible, and sends a
snapshot only if it differs from the last. The screen wakes it when it wants something else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Protocol

from queuectl_engine import QueuectlError, safe_text
from queuectl_tui.door import Door
from queuectl_tui.looker import Looker
from queuectl_tui.picture import Snapshot, Trouble, Wanted
from queuectl_tui.reading import Source

Show = Callable[[Snapshot], object]

POLL: Final = 0.25  # seconds between two looks at the change counter
LONGEST_RETRY: Final = 5.0


class Feed(Protocol):
    """Whoever has snapshots to show."""

    def start(self, show: Show) -> None:
        """Begin; `show` may be called from any thread."""

    def stop(self) -> None:
        """End; `show` is not called any more after it returns."""

    def want(self, wanted: Wanted) -> None:
        """From now on, snapshots are of this."""

    def wake(self) -> None:
        """Something was done: look at once."""


class EngineFeed:
    """A feed from an engine of its own, which it opens, and opens again after trouble."""

    def __init__(self, door: Door[Source]) -> None:
        self._door = door
        self._looker = Looker()
        self._wanted = Wanted()
        self._last = Snapshot()
        self._show: Show = lambda snapshot: None
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="queuectl-feed", daemon=True)

    def start(self, show: Show) -> None:
        """Begin reading in a daemon thread, which cannot keep the process alive."""
        self._show = show
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a read that hangs on a locked database is left behind."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def want(self, wanted: Wanted) -> None:
        """Read this from now on, at once unless it is what was read last."""
        same = wanted == self._wanted
        self._wanted = wanted  # also when it is equal: where the cursor is does not compare
        if not same:
            self._wake.set()

    def wake(self) -> None:
        """Read everything visible again, now."""
        self._looker.forget()
        self._wake.set()

    def _run(self) -> None:
        wait = POLL
        while not self._stopping:
            try:
                snapshot = self._looker.look(
                    self._door.enter(), self._wanted, self._last, time.monotonic()
                )
                wait = 0.0 if self._looker.busy else POLL
            except QueuectlError as error:
                snapshot = self._troubled(error)
                wait = min(max(wait, POLL) * 2, LONGEST_RETRY)
            is_new = snapshot is not self._last and snapshot != self._last
            if is_new and not self._stopping:
                self._last = snapshot
                self._show(snapshot)
            self._wake.wait(wait)
            self._wake.clear()
        self._door.shut()

    def _troubled(self, error: QueuectlError) -> Snapshot:
        self._looker.forget()
        self._door.shut()
        since = self._last.trouble.since if self._last.trouble else datetime.now(UTC)
        return replace(self._last, trouble=Trouble(safe_text(str(error)), since))
