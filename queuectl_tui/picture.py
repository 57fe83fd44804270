"""What a screen asks for and what the feed answers: frozen values.

Two pictures that are equal look equal, so that the feed sends nothing when nothing changed. No
picture holds the time: ages are worked out when they are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from queuectl_engine import (
    Attempt,
    Cause,
    Context,
    Counts,
    Event,
    Filter,
    Job,
    JobState,
    Key,
    PoolInfo,
    QueueInfo,
    Stream,
    View,
)


class Table(StrEnum):
    """The tables of jobs that a screen has."""

    PENDING = "pending"
    PROCESSING = "processing"
    DEAD = "dead"
    FINISHED = "finished"
    CAUSE = "cause"  # the dead jobs of one cause

    @property
    def view(self) -> View:
        """The view of the queue that it shows a part of."""
        return View.DEAD if self is Table.CAUSE else View(self.value)

    @property
    def states(self) -> tuple[JobState, ...]:
        """The states of its jobs."""
        return _STATES[self]


_STATES: Final = {
    Table.PENDING: (JobState.PENDING, JobState.FAILED),
    Table.PROCESSING: (JobState.PROCESSING,),
    Table.DEAD: (JobState.DEAD,),
    Table.FINISHED: (JobState.COMPLETED, JobState.CANCELLED),
    Table.CAUSE: (JobState.DEAD,),
}


@dataclass(frozen=True, slots=True)
class Spot:
    """Which rows of a view are wanted: `rows` of them from `top` on, or the last with `last`.

    Only those of one cause, or that match a filter, where it is given. `top` None is the start of
    the table. `scroll` asks for rows further down, or up when negative. `serial` names the base
    that top and scroll count from; the answer repeats it. `cursor` is the job to stay with when
    rows move, `line` the row it stands on: they matter only at the next change, so two spots that
    differ in them alone are equal.
    """

    view: View
    rows: int
    cause: int | None = None
    filter: Filter = field(default_factory=Filter)
    top: Key | None = None
    scroll: int = 0
    last: bool = False
    serial: int = 0
    cursor: int | None = field(default=None, compare=False)
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Window:
    """The rows of a table that fit on the screen, each with its place.

    `scroll` is what was asked for, `missing` the part of it that the table's end did not allow.
    `at_start`: the first row is the first of the table. `more`: there are rows below the last one.
    `searching`: more matching rows may still be found.
    """

    jobs: tuple[Job, ...] = ()
    keys: tuple[Key, ...] = ()
    at_start: bool = True
    more: bool = False
    serial: int = 0
    scroll: int = 0
    missing: int = 0
    searching: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """How many jobs match a filter; a lower bound until all were looked at."""

    count: int = 0
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a job's output, made harmless. `stream` None marks a note of ours.

    `at` is when its first bytes were stored.
    """

    stream: Stream | None
    text: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobPicture:
    """All that the detail pane shows of a job; `job` None when it exists no more.

    `output` is of attempt number `shown`. `explained` says why it does not run, `advice` what to
    try after the shown attempt; `cause` is what it died of, counted.
    """

    id: int
    job: Job | None = None
    attempts: tuple[Attempt, ...] = ()
    events: tuple[Event, ...] = ()
    context: Context | None = None
    cause: Cause | None = None
    explained: str | None = None
    advice: str | None = None
    shown: int = 0
    output: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True)
class Speech:
    """Lines of text that were asked for."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the picture is old, and since when."""

    why: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is visible, and so has to be read.

    `detail` is a job, `attempt` the one whose output is shown, None for its last. `causes` says
    which causes of death, None for none.
    """

    spots: Mapping[Table, Spot] = field(default_factory=dict)
    detail: int | None = None
    attempt: int | None = None
    causes: Filter | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the queue looked like at one moment, as far as it was wanted.

    `found` counts what matches the filters, `known` holds the causes that visible jobs died of.
    `rate` is jobs that ended per second, None when none does. `trouble` is set when the database
    cannot be read; the rest is then the last picture there was.
    """

    counts: Counts = field(default_factory=Counts)
    windows: Mapping[Table, Window] = field(default_factory=dict)
    found: Mapping[Table, Tally] = field(default_factory=dict)
    known: Mapping[int, Cause] = field(default_factory=dict)
    causes: tuple[Cause, ...] = ()
    detail: JobPicture | None = None
    pools: tuple[PoolInfo, ...] = ()
    queues: tuple[QueueInfo, ...] = ()
    rate: float | None = None
    trouble: Trouble | None = None

    @property
    def live_pools(self) -> tuple[PoolInfo, ...]:
        """Pools that can start jobs: a pool elsewhere is believed."""
        return tuple(pool for pool in self.pools if pool.alive is not False)

    @property
    def waiting(self) -> int:
        """How many jobs a first worker would find to do."""
        return self.counts.of(JobState.PENDING, JobState.FAILED)

    def known_cause(self, cause_id: int | None) -> Cause | None:
        """A cause of the list, with its numbers, as far as it was read."""
        return next((cause for cause in self.causes if cause.id == cause_id), None)

    def moved_since(self, before: Snapshot) -> int:
        """How many jobs are in another state than they were, as far as the numbers tell."""
        then, now = before.counts.stored, self.counts.stored
        come = sum(max(count - then.get(state, 0), 0) for state, count in now.items())
        return max(come, sum(then.values()) - sum(now.values()))
