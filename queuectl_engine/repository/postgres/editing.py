"""Changing a job that does not run: in place, so that it keeps id, history and place in line."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final

from queuectl_engine.errors import KeyTaken, NoSuchJob, WrongState
from queuectl_engine.exit_codes import exit_codes_text
from queuectl_engine.job import OUTWARD, NewJob, State
from queuectl_engine.repository.postgres import needs
from queuectl_engine.repository.postgres.acts import note
from queuectl_engine.repository.postgres.adding import timeout_ms
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.postgres.locks import lock_jobs, lock_mutexes
from queuectl_engine.repository.postgres.needs import UNMET
from queuectl_engine.repository.postgres.storing import context_id, queue_id
from queuectl_engine.repository.rows import labels_text, ms
from queuectl_engine.safe_text import safe_text

EDITABLE: Final = (State.READY, State.SCHEDULED, State.BLOCKED, State.FAILED, State.DEAD)
_COLUMNS: Final = (
    "queue", "priority", "max_retries", "timeout_ms", "key", "log_file", "argv", "command",
    "allow_background", "context", "labels", "retry_on", "no_retry_on", "on_dead", "on_completed",
    "mutex",
)  # fmt: skip
_EDIT: Final = f"""
    UPDATE job SET {", ".join(f"{name} = %({name})s" for name in _COLUMNS)},
                   run_at_ms = %(run_at)s, state = %(state)s, waits = %(waits)s,
                   updated_ms = %(now)s
     WHERE id = %(id)s
"""
_PENDING: Final = (State.READY, State.SCHEDULED, State.BLOCKED)


def edit(db: Connection, job: int, to: NewJob, user: str, now: datetime, *, moved: bool) -> None:
    """Make a stored job what `to` says. With `moved`, `to.run_at` is when it shall run.

    What `to.after` names replaces what it waited for so far. Raises NoSuchJob, WrongState,
    KeyTaken, BadInput.
    """
    lock_jobs(db, [job])
    lock_mutexes(db, [] if to.mutex is None else [to.mutex])
    rows = db.run(f"SELECT state, run_at_ms, {', '.join(_COLUMNS)} FROM job WHERE id = %s", (job,))
    state = State(rows[0][0]) if rows else State.DELETED
    if state is State.DELETED:
        raise NoSuchJob(f"no job {job}; 'queuectl list --all' shows what is there")
    if state not in EDITABLE:
        raise WrongState(f"job {job} is {OUTWARD[state]} and cannot be edited")
    _refuse_taken_key(db, job, to.key)
    new = (
        queue_id(db, to.queue),
        to.priority,
        to.max_retries,
        timeout_ms(to),
        to.key,
        to.log_file,
        None if to.argv is None else json.dumps(to.argv),
        to.command,
        to.allow_background,
        context_id(db, to.context),
        labels_text(to.labels),
        exit_codes_text(to.retry_on) or None,
        exit_codes_text(to.no_retry_on) or None,
        to.on_dead,
        to.on_completed,
        to.mutex,
    )
    changed = [n for n, a, b in zip(_COLUMNS, rows[0][2:], new, strict=True) if a != b]
    run_at, waits = rows[0][1], None
    if state in _PENDING:
        if moved:
            run_at = ms(to.run_at or now)
            changed.append("run_at")
        needs.replace(db, job, to.after)
        state, waits = _state(db, job, run_at, now)
    elif to.after:
        raise WrongState(f"job {job} is {OUTWARD[state]}; only a pending one can wait for others")
    changed += [f"after_{after}" for after in to.after]
    values = dict(zip(_COLUMNS, new, strict=True))
    more = {"id": job, "run_at": run_at, "state": state.value, "waits": waits, "now": ms(now)}
    db.run(_EDIT, {**values, **more})
    note(db, [job], "edited", user, now, ", ".join(changed) or "nothing")


def _state(db: Connection, job: int, run_at: int, now: datetime) -> tuple[State, str | None]:
    """What a pending job is now. One that stood aside for a mutex is looked at again."""
    if db.value(f"SELECT {UNMET} FROM job WHERE id = %s", (job,)):
        return State.BLOCKED, "jobs"
    return (State.SCHEDULED if run_at > ms(now) else State.READY), None


def _refuse_taken_key(db: Connection, job: int, key: str | None) -> None:
    sql = "SELECT id FROM job WHERE key = %s AND state <> 'deleted' AND id <> %s"
    if key is not None and (holder := db.value(sql, (key, job))):
        raise KeyTaken(f"key {safe_text(key)} belongs to job {holder}; use another key")
