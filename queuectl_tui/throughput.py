"""How fast jobs end, over the last few seconds."""

from __future__ import annotations

from typing import Final

from queuectl_engine import Counts, JobState


class Throughput:
    """Jobs that ended per second, over the last few seconds of changes."""

    SPAN: Final = 5.0  # seconds looked back, and silence after which nothing is said
    STEP: Final = 1.0  # seconds between two readings

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []
        self._changed_at = 0.0
        self.value: float | None = None

    def note(self, counts: Counts, now: float) -> float | None:
        """Take a reading at monotonic time `now`, and say what is worth showing."""
        ended = counts.of(JobState.COMPLETED, JobState.DEAD, JobState.CANCELLED)
        if not self._samples or ended < self._samples[-1][1]:  # first, requeued, or pruned
            self._samples = [(now, ended)]
            return self.value
        if ended != self._samples[-1][1]:
            self._changed_at = now
        elif now - self._changed_at >= self.SPAN:
            self._samples, self.value = [(now, ended)], None
            return None
        if now - self._samples[-1][0] >= self.STEP:
            self._samples = [s for s in self._samples if now - s[0] <= self.SPAN] or [
                self._samples[-1]
            ]
            since, before = self._samples[0]
            self._samples.append((now, ended))
            self.value = (ended - before) / (now - since) or None
        return self.value

    def rest(self) -> None:
        """Nobody works: what ends or comes back now is a person's doing, and no speed."""
        self._samples, self.value = [], None
