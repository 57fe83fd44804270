"""What a screen asks for and what the feed answers: frozen values.

Two pictures that are equal look equal, so that the feed sends nothing when nothing changed. No
picture holds the time: ages are worked out when they are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from queuectl_engine import (
    Attempt,
    Context,
    Counts,
    Job,
    Key,
    PoolInfo,
    QueueInfo,
    Stream,
    View,
)


@dataclass(frozen=True, slots=True)
class Spot:
    """Which rows of a table are wanted: `rows` of them from `top` on, or the last with `last`.

    `top` None is the start of the table. `scroll` asks for rows further down, or up when negative.
    `serial` names the base that top and scroll count from; the answer repeats it. `cursor` is the
    job to stay with when rows move, `line` the row it stands on: they matter only at the next
    change, so two spots that differ in them alone are equal.
    """

    rows: int
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
    """

    jobs: tuple[Job, ...] = ()
    keys: tuple[Key, ...] = ()
    at_start: bool = True
    more: bool = False
    serial: int = 0
    scroll: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a job's output, made harmless. `stream` None marks a note of ours."""

    stream: Stream | None
    text: str


@dataclass(frozen=True, slots=True)
class JobPicture:
    """All that the detail pane shows of a job; `job` None when it exists no more."""

    id: int
    job: Job | None = None
    attempts: tuple[Attempt, ...] = ()
    context: Context | None = None
    output: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the picture is old, and since when."""

    why: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is visible, and so has to be read."""

    spots: Mapping[View, Spot] = field(default_factory=dict)
    detail: int | None = None
    queues: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the queue looked like at one moment, as far as it was wanted.

    `rate` is jobs that ended per second, None when none does. `trouble` is set when the database
    cannot be read; the rest is then the last picture there was.
    """

    counts: Counts = field(default_factory=Counts)
    windows: Mapping[View, Window] = field(default_factory=dict)
    detail: JobPicture | None = None
    pools: tuple[PoolInfo, ...] = ()
    queues: tuple[QueueInfo, ...] = ()
    rate: float | None = None
    trouble: Trouble | None = None
