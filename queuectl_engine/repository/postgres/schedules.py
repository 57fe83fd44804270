"""Schedules: the jobs that recur, and the one transaction in which a time is met.

The guard is in the WHERE of `_MOVE`: of all that want to meet a time, one still finds it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from queuectl_engine.errors import KeyTaken, NoSuchSchedule, WrongState
from queuectl_engine.job import OUTWARD, NewJob, State
from queuectl_engine.repository.postgres import reading
from queuectl_engine.repository.postgres.adding import add
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.postgres.storing import context_id
from queuectl_engine.repository.rows import Row, moment_or_none, ms
from queuectl_engine.repository.templates import schedule_of, template_of
from queuectl_engine.safe_text import safe_text
from queuectl_engine.schedule import Fired, NewSchedule, Schedule

FIRED_AT_ONCE: Final = 100

_COLUMNS: Final = """
    schedule.id, name, expression, zone, schedule.paused, missed, overlap, next_ms, last_ms,
    last_result, last_job, (SELECT state FROM job WHERE job.id = last_job), skipped,
    schedule.created_ms, template, schedule.context
"""
_ADD: Final = """
    INSERT INTO schedule (name, expression, zone, missed, overlap, next_ms, created_ms, template,
                          context)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id
"""
DUE: Final = f"""
    SELECT {_COLUMNS} FROM schedule
     WHERE NOT schedule.paused AND next_ms <= %s ORDER BY next_ms, id LIMIT %s
"""
NEXT: Final = """
    SELECT next_ms FROM schedule
     WHERE NOT paused AND next_ms IS NOT NULL ORDER BY next_ms LIMIT 1
"""
_MOVE: Final = """
    UPDATE schedule SET next_ms = %(then)s, last_ms = %(due)s
     WHERE id = %(id)s AND next_ms = %(due)s AND NOT paused
"""
_MET: Final = """
    UPDATE schedule SET last_result = %(result)s, last_job = coalesce(%(job)s::bigint, last_job),
                        skipped = CASE WHEN %(job)s::bigint IS NULL THEN skipped + 1 ELSE 0 END
     WHERE id = %(id)s
"""
_UNENDED: Final = """
    SELECT job.id, state FROM schedule JOIN job ON job.id = last_job
     WHERE schedule.id = %s AND state NOT IN ('completed', 'dead', 'cancelled', 'deleted')
"""


def add_schedule(db: Connection, new: NewSchedule, now: datetime) -> tuple[int, bool]:
    """Store it; its number, and whether it is new. Raises KeyTaken for the name of another."""
    if new.name is not None and (found := _find(db, new.name)):
        same = (found.expression, found.zone, found.job.command, found.job.argv)
        if same != (new.expression, new.zone, new.job.command, new.job.argv):
            raise KeyTaken(
                f"schedule {safe_text(new.name)} is another one (number {found.id}); use another"
                " name or delete that one"
            )
        return found.id, False
    row = (
        new.name,
        new.expression,
        new.zone,
        new.missed.value,
        new.overlap,
        ms(new.first),
        ms(now),
        template_of(new.job),
        context_id(db, new.job.context),
    )
    return int(db.value(_ADD, row)), True


def schedules(db: Connection) -> list[Schedule]:
    """Every schedule, oldest first."""
    return [_schedule_of(db, row) for row in db.run(f"SELECT {_COLUMNS} FROM schedule ORDER BY id")]


def schedule(db: Connection, name: int | str) -> Schedule:
    """One by number or name. Raises NoSuchSchedule."""
    if (found := _find(db, name)) is None:
        shown = safe_text(str(name))
        raise NoSuchSchedule(f"no schedule {shown}; 'queuectl schedule list' shows what is there")
    return found


def due(db: Connection, now: datetime) -> list[Schedule]:
    """Those that have a time to meet, the longest due first; a bounded number."""
    return [_schedule_of(db, row) for row in db.run(DUE, (ms(now), FIRED_AT_ONCE))]


def next_firing(db: Connection) -> datetime | None:
    """When the next one is due."""
    return moment_or_none(db.value(NEXT))


def fire(
    db: Connection,
    which: Schedule,
    then: datetime | None,
    now: datetime,
    skip: str | None,
    trouble: str | None,
) -> Fired | None:
    """Meet a schedule's time and move it to the next one; None when somebody else has met it."""
    assert which.next_at is not None
    at = {"id": which.id, "due": ms(which.next_at), "then": None if then is None else ms(then)}
    db.run(_MOVE, at)
    if not db.changes():
        return None
    if skip is None and (unended := _unended(db, which)):
        skip = f"skipped: {unended}"
    job = None if skip else _add(db, which.job._replace(run_at=which.next_at), now)
    result = (skip or "added") + (f"; it stops here: {trouble}" if trouble else "")
    db.run(_MET, {"id": which.id, "job": job, "result": result})
    return Fired(job, result)


def run_now(db: Connection, which: Schedule, now: datetime) -> int:
    """Add its job besides its times. Raises WrongState while its last job has not ended."""
    db.run("SELECT 1 FROM schedule WHERE id = %s FOR UPDATE", (which.id,))  # one at a time
    if unended := _unended(db, which):
        raise WrongState(
            f"schedule {safe_text(which.title)} allows no overlap, and {unended}; wait for that job"
            " or cancel it"
        )
    job = _add(db, which.job, now)
    db.run(_MET, {"id": which.id, "job": job, "result": "added by hand"})
    return job


def pause(db: Connection, number: int, then: datetime | None) -> None:
    """Fire no more, or go on with the first time after the pause."""
    values = (then is None, None if then is None else ms(then), number)
    db.run("UPDATE schedule SET paused = %s, next_ms = %s WHERE id = %s", values)


def delete(db: Connection, number: int) -> None:
    """Forget it; the jobs that it added stay."""
    db.run("DELETE FROM schedule WHERE id = %s", (number,))


def _add(db: Connection, job: NewJob, now: datetime) -> int:
    return add(db, [job], now)[0].id


def _unended(db: Connection, which: Schedule) -> str | None:
    if which.overlap or not (rows := db.run(_UNENDED, (which.id,))):
        return None
    job, state = rows[0]
    return f"job {job} is {OUTWARD[State(state)]}"


def _find(db: Connection, name: int | str) -> Schedule | None:
    is_id = isinstance(name, int) or (name.isdecimal() and len(name) < 19)
    where, value = ("schedule.id", int(name)) if is_id else ("name", name)
    if isinstance(value, int) and not 0 < value < 2**63:
        return None
    rows = db.run(f"SELECT {_COLUMNS} FROM schedule WHERE {where} = %s", (value,))
    return _schedule_of(db, rows[0]) if rows else None


def _schedule_of(db: Connection, row: Row) -> Schedule:
    return schedule_of(row, reading.context(db, row[15]))
