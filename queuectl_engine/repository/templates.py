"""The job of a schedule as it is stored: every field that is not as by default, but its context.

So a new field of a job is carried without a word here.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from queuectl_engine.job import Context, NewJob


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
