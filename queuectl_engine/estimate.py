"""When the queues will be empty, as far as the last runs tell. Pure.

The speed is that of the last busy period: runs that follow one another without a pause. What came
before a pause says nothing about now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from queuectl_engine.job import PoolInfo, QueueInfo, Ran, State

SAMPLE: Final = 500  # of the last runs are looked at
FEWEST: Final = 5  # runs that say something about the next ones
_PAUSE: Final = timedelta(seconds=2)
_LONGEST: Final = timedelta(days=1000)
# What stands in line now; what is scheduled comes later, and is not waited for.
_LEFT: Final = (State.READY, State.BLOCKED, State.FAILED, State.PROCESSING)


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long until all is done, and each queue by name; None and left out where nobody knows."""

    total: timedelta | None = None
    queues: Mapping[str, timedelta] = field(default_factory=dict)


def estimate(
    ran: Sequence[Ran], queues: Sequence[QueueInfo], pools: Sequence[PoolInfo], now: datetime
) -> Estimate:
    """Divide what is left by how fast jobs ended of late. `ran` is newest first.

    Only queues that are served count, and none without jobs that are ready or run.
    """
    served = [queue for queue in queues if _is_served(queue, pools)]
    busy = _busy_period([run for run in ran if run.queue in {queue.name for queue in served}])
    moving = any(queue.counts.get(State.PROCESSING) for queue in served)
    if len(busy) < FEWEST or (now - busy[0].finished_at > _PAUSE and not moving):
        return Estimate()
    span = now - busy[-1].finished_at
    ended = Counter(run.queue for run in busy[:-1])
    total = _time(sum(map(_left, served)), ended.total(), span)
    found = {
        queue.name: min(time, total or time)
        for queue in served
        if ended[queue.name] >= FEWEST
        and (time := _time(_left(queue), ended[queue.name], span)) is not None
    }
    return Estimate(total, found)


def about(span: timedelta) -> str:
    """An estimate in words: `under 1 min`, `about 12 min`, `about 3 h`, `about 2 days`."""
    minutes = -(-span // timedelta(minutes=1))  # rounded up
    if minutes <= 1:
        return "under 1 min"
    if minutes < 100:
        return f"about {minutes} min"
    hours = round(minutes / 60)
    return f"about {hours} h" if hours < 48 else f"about {round(hours / 24)} days"


def _left(queue: QueueInfo) -> int:
    """How many jobs stand in line; none if all wait for a retry or for one another."""
    if not any(queue.counts.get(state) for state in (State.READY, State.PROCESSING)):
        return 0
    return sum(queue.counts.get(state, 0) for state in _LEFT)


def _time(left: int, ended: int, span: timedelta) -> timedelta | None:
    if not left or not ended or span <= timedelta(0):
        return None
    return min(left * (span / ended), _LONGEST)


def _is_served(queue: QueueInfo, pools: Collection[PoolInfo]) -> bool:
    return not queue.paused and any(
        pool.alive is not False
        and not pool.stopping
        and (not pool.queues or queue.name in pool.queues)
        for pool in pools
    )


def _busy_period(ran: Sequence[Ran]) -> list[Ran]:
    """The newest runs, back to the last pause between two of them."""
    if not ran:
        return []
    busy, earliest = [ran[0]], ran[0].started_at
    for run in ran[1:]:
        if run.finished_at < earliest - _PAUSE:
            break
        busy.append(run)
        earliest = min(run.started_at, earliest)
    return busy
