"""A filtered table: its rows and how many match, found a slice at a time.

A search that was long is not repeated at every change of the queue: until it is due again, rows
that left the table are dropped and the rest stands.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Final

from queuectl_tui.picture import Spot, Tally, Window
from queuectl_tui.reading import HOLDS, Reading, Source, read_window

PATIENCE: Final = 0.025  # seconds of rest for each slice that the last search took
_QUICK: Final = 12  # slices; a search this short is repeated at every change


class Search:
    """What one table with a filter shows. `step` does a slice of work while `busy`."""

    def __init__(self, spot: Spot) -> None:
        self.window: Window | None = None
        self.tally = Tally()
        self._spot = spot
        self._rows: Reading | None = None
        self._count: Generator[None, None, None] | None = None
        self._is_new = True
        self._is_stale = False
        self._slices = 0  # of the search at hand, or the last one
        self._due = 0.0

    @property
    def busy(self) -> bool:
        """Whether there is work at once."""
        return self._is_new or self._rows is not None or self._count is not None

    def is_for(self, spot: Spot) -> bool:
        """Whether these are other rows of the same search."""
        mine = (self._spot.view, self._spot.cause, self._spot.filter)
        return mine == (spot.view, spot.cause, spot.filter)

    def want(self, source: Source, spot: Spot) -> None:
        """Look for these rows; what was counted stays."""
        moved, self._spot = spot != self._spot, spot
        if moved and not self._is_new:
            self._rows = read_window(source, spot)

    def changed(self, source: Source) -> None:
        """The queue has changed: search again when it is time, and drop what left meanwhile."""
        self._is_stale = True
        if self._slices > _QUICK and self.window is not None:
            found = source.find([job.id for job in self.window.jobs])
            kept = [
                (found[job.id], key)
                for job, key in zip(self.window.jobs, self.window.keys, strict=True)
                if job.id in found and found[job.id].state in HOLDS[self._spot.view]
            ]
            self.window = replace(
                self.window, jobs=tuple(job for job, _ in kept), keys=tuple(key for _, key in kept)
            )

    def step(self, source: Source, now: float) -> None:
        """Do one slice of what is to be done; `now` is monotonic."""
        if self._is_new or (self._is_stale and not self.busy and now >= self._due):
            self._is_new = self._is_stale = False
            self._rows = read_window(source, self._spot)
            self._count = self._counting(source)
            self._slices = 0
        if not self.busy:
            return
        self._slices += 1
        self._advance()
        if not self.busy:
            self._due = now if self._slices <= _QUICK else now + PATIENCE * self._slices

    def _advance(self) -> None:
        if self._rows is not None:
            try:
                window = next(self._rows)
                if window.serial == self._spot.serial:
                    self.window = window
            except StopIteration as end:
                self.window, self._rows = end.value, None
        elif self._count is not None and next(self._count, self) is self:
            self._count = None

    def _counting(self, source: Source) -> Generator[None, None, None]:
        """A second count replaces the first when it is complete, so that the number stands."""
        count, at = 0, None
        while True:
            more, at = source.matching(self._spot.view, self._spot.filter, at=at)
            count += more
            if at is None or not self.tally.complete:
                self.tally = Tally(count, at is None)
            if at is None:
                return
            yield
