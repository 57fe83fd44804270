"""Recurring jobs as frozen values, and the checks of what people ask for.

A schedule holds a job as it shall be added at each of its times. Each time is met once: whoever
fires it moves the schedule to its next time in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypedDict, Unpack

from queuectl_engine import cron
from queuectl_engine.errors import BadInput
from queuectl_engine.job import JobState, NewJob
from queuectl_engine.safe_text import safe_text

MISSED_AFTER: Final = timedelta(minutes=1)  # later than this, a time counts as missed


class Missed(StrEnum):
    """What becomes of times at which no pool ran."""

    RUN = "run"  # the job runs once for all of them, as soon as a pool runs
    SKIP = "skip"  # it waits for the next time


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """A schedule that is not stored yet. Make it with `new_schedule`, which checks every field."""

    expression: str
    zone: str
    job: NewJob
    first: datetime
    name: str | None = None
    missed: Missed = Missed.RUN
    overlap: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """A stored schedule as it was when read.

    `next_at` is when it fires next, None when it is paused or will never fire again. `last_at` is
    the last time that it met, `last_result` what it did then in words, `last_job` the last job it
    added and `last_state` what that is now, None when it is deleted. `skipped` counts the times
    since that job at which it added none.
    """

    id: int
    name: str | None
    expression: str
    zone: str
    job: NewJob
    paused: bool
    missed: Missed
    overlap: bool
    next_at: datetime | None
    last_at: datetime | None
    last_result: str | None
    last_job: int | None
    last_state: JobState | None
    skipped: int
    created_at: datetime

    @property
    def title(self) -> str:
        """What people call it: its name, else its number."""
        return self.name or str(self.id)

    def after(self, moment: datetime) -> datetime | None:
        """Its first time later than `moment`. Raises BadInput when its zone is unknown here."""
        return cron.next_after(self.expression, self.zone, moment)


@dataclass(frozen=True, slots=True)
class Fired:
    """What a time came to: the job that was added, None when it was skipped, and words for it."""

    job: int | None
    result: str


class Recurrence(TypedDict, total=False):
    """How a job recurs; every field has a default."""

    zone: str | None
    name: str | None
    missed: Missed | str
    overlap: bool


def new_schedule(
    expression: str, job: NewJob, *, now: datetime, **how: Unpack[Recurrence]
) -> NewSchedule:
    """Check every field and put them together; without a zone, the local one. Raises BadInput."""
    if job.key is not None or job.run_at is not None:
        raise BadInput("a schedule adds many jobs: it takes neither a key nor a start time")
    if (name := how.get("name")) is not None:
        _check_name(name)
    if (missed := how.get("missed", Missed.RUN)) not in tuple(Missed):
        raise BadInput("what was missed is either run or skipped: say 'run' or 'skip'")
    if (zone := how.get("zone")) is None:
        zone = cron.local_zone()
    first = cron.next_after(expression, zone, now)
    if first is None:
        raise BadInput(
            f"'{safe_text(expression)}' never comes; there is no such day within 50 years"
        )
    words = " ".join(expression.split())
    return NewSchedule(words, zone, job, first, name, Missed(missed), how.get("overlap", False))


def why_skipped(schedule: Schedule, now: datetime) -> str | None:
    """Why its due time is passed over when met so late; None when it is met."""
    assert schedule.next_at is not None
    late = now - schedule.next_at
    if schedule.missed is Missed.SKIP and late > MISSED_AFTER:
        return f"skipped: missed by {late // timedelta(minutes=1)} min"
    return None


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= 100 or not name.isprintable() or " " in name:
        raise BadInput("a schedule's name must be 1 to 100 printable characters without spaces")
    if name.isdigit():
        raise BadInput(f"name {name} looks like an id; add a letter to it")
