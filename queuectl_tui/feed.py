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
from queuectl_tui.picture import Snapshot, Trouble, Wanted
from queuectl_tui.reading import JobReader, Source, Throughput, read_window

Show = Callable[[Snapshot], object]

POLL: Final = 0.25  # seconds between two looks at the change counter
POOLS: Final = 1.0  # seconds between two looks at the pools: a dead one changes no database
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


class Looker:
    """Takes the next picture from the last one: reads what is wanted and may have changed."""

    def __init__(self) -> None:
        self._seen: Wanted | None = None
        self._pools_at = -POOLS
        self._job = JobReader()
        self._throughput = Throughput()

    def forget(self) -> None:
        """Read everything at the next look."""
        self._seen = None

    def look(self, source: Source, wanted: Wanted, last: Snapshot, now: float) -> Snapshot:
        """The queue as it is; `now` is monotonic. Raises what the source raises."""
        before, self._seen = self._seen, wanted  # first: a `forget` meanwhile must not be lost
        picture = replace(last, trouble=None)
        changed = source.changed()
        if changed or wanted != before:
            picture = self._read(source, wanted, picture)
        if changed or before is None or now - self._pools_at >= POOLS:
            self._pools_at = now
            picture = replace(picture, pools=tuple(source.pools()))
        return replace(picture, rate=self._throughput.note(picture.counts, now))

    def _read(self, source: Source, wanted: Wanted, picture: Snapshot) -> Snapshot:
        windows = {view: read_window(source, view, spot) for view, spot in wanted.spots.items()}
        detail = None if wanted.detail is None else self._job.read(source, wanted.detail)
        queues = tuple(source.queues()) if wanted.queues else picture.queues
        return replace(
            picture, counts=source.counts(), windows=windows, detail=detail, queues=queues
        )


class EngineFeed:
    """A feed from an engine of its own, which it opens, and opens again after trouble."""

    def __init__(self, open_source: Callable[[], Source]) -> None:
        self._open = open_source
        self._source: Source | None = None
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
                self._source = self._source or self._open()
                snapshot = self._looker.look(
                    self._source, self._wanted, self._last, time.monotonic()
                )
                wait = POLL
            except QueuectlError as error:
                snapshot = self._troubled(error)
                wait = min(wait * 2, LONGEST_RETRY)
            if snapshot != self._last and not self._stopping:
                self._last = snapshot
                self._show(snapshot)
            self._wake.wait(wait)
            self._wake.clear()
        self._close()

    def _troubled(self, error: QueuectlError) -> Snapshot:
        self._looker.forget()
        self._close()
        since = self._last.trouble.since if self._last.trouble else datetime.now(UTC)
        return replace(self._last, trouble=Trouble(safe_text(str(error)), since))

    def _close(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            try:
                source.close()
            except QueuectlError:
                return  # it is gone already; that is all that was wanted
