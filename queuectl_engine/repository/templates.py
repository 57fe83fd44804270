"""Schedules as they are stored. Of the job every field that is not as by default, but its context.

So a new field of a job is carried without a word here.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from queuectl_engine.job import OUTWARD, Context, NewJob, State
from queuectl_engine.repository.rows import Row, moment, moment_or_none
from queuectl_engine.schedule import Missed, Schedule


def template_of(job: NewJob) -> str:
    """The job as text."""
    given = job._asdict()
    del given["context"]
    defaults = job._field_defaults
    changed = {name: value for name, value in given.items() if value != defaults.get(name)}
    return json.dumps(changed, default=_packed)


def _packed(value: object) -> dict[str, object]:
    if isinstance(value, timedelta):
        return {"seconds": value.total_seconds()}
    if isinstance(value, set | frozenset):
        return {"set": sorted(value)}
    raise TypeError(f"a schedule cannot keep a {type(value).__name__}")


def job_of_template(template: str, context: Context, number: int) -> NewJob:
    """The inverse, for schedule `number`."""
    given = {name: _unpacked(value) for name, value in json.loads(template).items()}
    return NewJob(**{**given, "context": context, "schedule": number})


def _unpacked(value: Any) -> Any:
    match value:
        case {"seconds": seconds}:
            return timedelta(seconds=seconds)
        case {"set": members}:
            return frozenset(_unpacked(members))
        case list():
            return tuple(_unpacked(each) for each in value)
    return value


def schedule_of(row: Row, context: Context) -> Schedule:
    """A schedule from the columns of a store; the last is the number of this context."""
    job = job_of_template(row[14], context, row[0])
    return Schedule(
        id=row[0],
        name=row[1],
        expression=row[2],
        zone=row[3],
        job=job,
        paused=bool(row[4]),
        missed=Missed(row[5]),
        overlap=bool(row[6]),
        next_at=moment_or_none(row[7]),
        last_at=moment_or_none(row[8]),
        last_result=row[9],
        last_job=row[10],
        last_state=OUTWARD.get(State(row[11])) if row[11] else None,
        skipped=row[12],
        created_at=moment(row[13]),
    )
