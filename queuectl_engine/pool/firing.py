"""Adding the jobs of schedules when their times come. Every supervisor may; each time is met once.

The next time is worked out before, outside of any transaction; that nobody else has met the time
meanwhile is checked where it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from queuectl_engine.errors import BadInput, QueuectlError, StorageError
from queuectl_engine.pool import failpoints
from queuectl_engine.repository.protocol import JobRepository
from queuectl_engine.schedule import Schedule, why_skipped

Tell = Callable[..., None]  # a pool's log: an event, and its fields


def fire_due(repository: JobRepository, now: datetime, log: Tell) -> datetime | None:
    """Meet the times that have come; when the next one is due."""
    upcoming = repository.next_firing()
    if upcoming is None or upcoming > now:
        return upcoming
    for schedule in repository.due_schedules(now=now):
        _fire(repository, schedule, now, log)
    return repository.next_firing()


def _fire(repository: JobRepository, schedule: Schedule, now: datetime, log: Tell) -> None:
    assert schedule.next_at is not None
    # Not from the due time on: what was missed meanwhile is met together, once. And never back: a
    # clock that was set back must not meet a time again.
    then, trouble = _after(schedule, max(now, schedule.next_at))
    failpoints.reach(failpoints.FIRING)
    skip = why_skipped(schedule, now)
    try:
        fired = repository.fire(schedule, then, now=now, skip=skip, trouble=trouble)
    except StorageError:
        raise  # it comes round again
    except QueuectlError as error:  # its job cannot be added as things are now
        skip = f"skipped: {error}"
        fired = repository.fire(schedule, then, now=now, skip=skip, trouble=trouble)
    failpoints.reach(failpoints.FIRED)
    if fired is not None:
        due = schedule.next_at.isoformat(timespec="seconds")
        log("fired", schedule=schedule.title, job=fired.job, due=due, result=fired.result)


def _after(schedule: Schedule, moment: datetime) -> tuple[datetime | None, str | None]:
    try:
        then = schedule.after(moment)
    except BadInput as error:  # its zone is not known here any more
        return None, str(error)
    return then, "no such day within 50 years" if then is None else None
