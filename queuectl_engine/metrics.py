"""What monitoring wants to know of each queue: sums since the database was made, and ages now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

# Upper bounds of the histograms, in seconds; the last bucket has none. Stored numbers count by
# these places, so a change needs a step in the schema.
BUCKETS: Final = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many durations fell into each bucket of `BUCKETS` (and beyond), and their sum."""

    counts: tuple[int, ...] = (0,) * (len(BUCKETS) + 1)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        """All of them."""
        return sum(self.counts)

    @classmethod
    def of(cls, bucket: int, n: int, seconds: float) -> Self:
        """A number of durations that fell into one bucket."""
        counts = tuple(n if place == bucket else 0 for place in range(len(BUCKETS) + 1))
        return cls(counts, seconds)

    def __add__(self, other: Histogram) -> Histogram:
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return Histogram(counts, self.seconds + other.seconds)


@dataclass(frozen=True, slots=True)
class QueueMetrics:
    """One queue. Sums never fall while the database lives; they outlive deleted jobs.

    `results` counts ended attempts by result, as in `Attempt`. `ran` is how long they took,
    `waited` how long jobs were due before an attempt began. `late` counts results that came after
    the job had moved on. `oldest_due` is since when the ready job that waits longest is due.
    """

    queue: str
    results: Mapping[str, int] = field(default_factory=dict)
    ran: Histogram = field(default_factory=Histogram)
    waited: Histogram = field(default_factory=Histogram)
    retries: int = 0
    late: int = 0
    oldest_due: datetime | None = None
