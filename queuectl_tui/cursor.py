"""The cursor of a short list, and the rows that the lists of pools and of queues have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from queuectl_engine import PoolInfo, QueueInfo, Schedule, WorkerInfo


@dataclass(slots=True)
class Cursor:
    """A cursor in a short list whose rows have names, so that it stays on its row."""

    line: int = 0
    name: str = ""

    def settle(self, names: list[str]) -> None:
        """The rows changed: stay on the named one, else on the line."""
        if self.name in names:
            self.line = names.index(self.name)
        else:
            self.line = max(min(self.line, len(names) - 1), 0)
            self.name = names[self.line] if names else ""

    def move(self, by: int, names: list[str]) -> None:
        """Move, and stop at the ends."""
        self.line = max(min(self.line + by, len(names) - 1), 0)
        self.name = names[self.line] if names else ""


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A row of the pools list: a pool, or one of its workers."""

    pool: PoolInfo
    worker: WorkerInfo | None = None

    @property
    def name(self) -> str:
        """What the cursor remembers it by."""
        return f"{self.pool.id}/{self.worker.id if self.worker else ''}"


def pool_rows(pools: Sequence[PoolInfo]) -> list[PoolRow]:
    """Each pool, with its workers below it."""
    rows: list[PoolRow] = []
    for pool in pools:
        rows.append(PoolRow(pool))
        rows += [PoolRow(pool, worker) for worker in pool.workers]
    return rows


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A row of the queues list: a queue or, below them, a schedule."""

    queue: QueueInfo | None = None
    schedule: Schedule | None = None

    @property
    def name(self) -> str:
        """What the cursor remembers it by; no queue's name has a blank."""
        if self.schedule is not None:
            return f"schedule {self.schedule.id}"
        return self.queue.name if self.queue else ""


def lane_rows(queues: Sequence[QueueInfo], schedules: Sequence[Schedule]) -> list[LaneRow]:
    """All queues, then all schedules."""
    rows = [LaneRow(queue=queue) for queue in queues]
    return rows + [LaneRow(schedule=schedule) for schedule in schedules]
