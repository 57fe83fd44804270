"""What keeping a database comes to, as frozen values: copies, restores, pruning, a checkup."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from queuectl_engine.job import JobState


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy of a database: where it is, its size in bytes, and its jobs by outward state."""

    path: str
    size: int
    jobs: Mapping[JobState, int]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore changed.

    `kept` is the copy of what was there before, None when nothing was; `kept_whole` is false for a
    copy of something damaged. `before` and `jobs` are numbers by outward state, `before` None where
    they could not be read. `lost` are ids of jobs that ran when the backup was made, by what became
    of them. `upgraded_from` is the older format of the backup, if it had one.
    """

    path: str
    kept: str | None
    kept_whole: bool
    before: Mapping[JobState, int] | None
    jobs: Mapping[JobState, int]
    lost: Mapping[int, JobState]
    generation: int
    upgraded_from: int | None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune removed, or would: jobs by outward state and bytes of their output.

    `returned` bytes of the file went back to the file system. `waited_for` jobs are old enough, but
    another job still waits for them, so they stay.
    """

    jobs: Mapping[JobState, int]
    output: int
    returned: int
    waited_for: int

    @property
    def count(self) -> int:
        """All jobs together."""
        return sum(self.jobs.values())


class Level(IntEnum):
    """How bad it is. The worst of a checkup decides its exit code."""

    OK = 0
    NOTE = 1  # worth knowing
    WARN = 2  # will become worse, or hinders work
    BAD = 3  # data or work is in danger


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, in a line, and what to do about it, if anything."""

    check: str
    level: Level
    text: str
    advice: str | None = field(default=None)
