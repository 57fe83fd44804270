"""Hooks of queues and jobs, and those that are due: written by the settlement that they tell of.

So none is lost, and a due hook stays until a pool has run it to its end. Jobs without hooks pay for
three more columns of the row that settling them reads anyway.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from queuectl_engine.errors import NoSuchHook
from queuectl_engine.hook import DEFAULT_TIMEOUT, DueHook, Hook, HookEvent
from queuectl_engine.job import State
from queuectl_engine.lifecycle import FINAL, Ending
from queuectl_engine.repository.hook_fields import fields_of
from queuectl_engine.repository.sqlite import reading
from queuectl_engine.repository.sqlite.acts import note
from queuectl_engine.repository.sqlite.adding import context_id, queue_id
from queuectl_engine.repository.sqlite.connection import Connection, Row
from queuectl_engine.repository.sqlite.rows import ms
from queuectl_engine.safe_text import safe_text

# What a settlement returns beside the state: the queue if it has hooks, and the job's own.
HOOKED: Final = """
    (SELECT hook.queue FROM hook WHERE hook.queue = job.queue LIMIT 1), on_dead, on_completed
"""
_EVENTS: Final = {State.DEAD: HookEvent.ON_DEAD, State.COMPLETED: HookEvent.ON_COMPLETED}
_MS: Final = timedelta(milliseconds=1)
_BY: Final = "queuectl"  # who is said to have told of a failed hook

_SET: Final = """
    INSERT INTO hook (queue, event, command, argv, timeout_ms, context) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET command = excluded.command, argv = excluded.argv,
                              timeout_ms = excluded.timeout_ms, context = excluded.context
"""
_HOOKS: Final = """
    SELECT queue.name, event, command, argv, timeout_ms, context
      FROM hook JOIN queue ON queue.id = hook.queue ORDER BY queue.name, event
"""
_TELL: Final = "SELECT key, command, runs, reason FROM job WHERE id = ?"
_DUE: Final = """
    INSERT INTO hook_due (event, queue, job, at_ms, fields, own, command, argv, timeout_ms, context)
"""
_DUE_OF_QUEUE: Final = f"""
    {_DUE} SELECT event, queue, :job, :now, :fields, 0, command, argv, timeout_ms, context
             FROM hook WHERE queue = :queue AND event = :event
"""
_DUE_OF_JOB: Final = f"""
    {_DUE} SELECT :event, queue, id, :now, :fields, 1, :command, NULL, :timeout, context
             FROM job WHERE id = :job
"""
# Anything that speaks against telling that a queue is drained; told once, if not told yet.
_NOT_DRAINED: Final = """
    SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM hook WHERE queue = :queue AND event = 'on_drained')
    UNION ALL
    SELECT 1 FROM counter WHERE queue = :queue AND state IN ('ready', 'failed', 'processing')
    UNION ALL
    SELECT 1 FROM job INDEXED BY job_due
     WHERE state IN ('scheduled', 'failed') AND run_at_ms <= :now AND queue = :queue
    UNION ALL
    SELECT 1 FROM hook_due INDEXED BY hook_due_drained
     WHERE queue = :queue AND event = 'on_drained' AND pool IS NULL
    LIMIT 1
"""
FREE: Final = """
    SELECT hook_due.id, token FROM hook_due
     WHERE pool IS NULL OR NOT EXISTS (SELECT 1 FROM pool WHERE pool.id = hook_due.pool)
     ORDER BY hook_due.id LIMIT ?
"""
_TAKE: Final = """
    UPDATE hook_due SET pool = ?, token = ? WHERE id = ?
    RETURNING (SELECT name FROM queue WHERE queue.id = hook_due.queue), event, command, argv,
              timeout_ms, context, job, fields
"""


def set_hook(db: Connection, hook: Hook) -> None:
    """Make it what its queue runs at its event from now on."""
    argv = None if hook.argv is None else json.dumps(hook.argv)
    where = (queue_id(db, hook.queue), hook.event.value)
    db.run(_SET, (*where, hook.command, argv, hook.timeout // _MS, context_id(db, hook.context)))


def hooks(db: Connection) -> list[Hook]:
    """Those of all queues, by name and event."""
    return [_hook_of(db, row) for row in db.run(_HOOKS)]


def delete_hook(db: Connection, queue: str, event: HookEvent) -> None:
    """Forget it, and what is due of it. Raises NoSuchHook."""
    which = "queue = (SELECT id FROM queue WHERE name = ?) AND event = ?"
    db.run(f"DELETE FROM hook WHERE {which}", (queue, event.value))
    if not db.changes():
        raise NoSuchHook(
            f"queue {safe_text(queue)} has no hook {event}; 'queuectl hook list' shows them all"
        )
    db.run(f"DELETE FROM hook_due WHERE {which} AND own = 0 AND pool IS NULL", (queue, event.value))


# -- when a job was settled


class Settled(NamedTuple):
    """A job that was just settled; `hooked` are the columns of `HOOKED`."""

    job: int
    state: State
    ending: Ending
    hooked: Row


def settled(db: Connection, jobs: Sequence[Settled], now: datetime) -> None:
    """Note which hooks are due, those of drained queues last. Ends the settlement."""
    queues: set[int] = set()
    for job, state, ending, (queue, on_dead, on_completed) in jobs:
        if state not in FINAL:
            continue
        own = on_dead if state is State.DEAD else on_completed
        if (event := _EVENTS.get(state)) and (own is not None or queue is not None):
            _note_end(db, event, job, state, queue, own, ending, now)
        if queue is not None:
            queues.add(queue)
    for queue in sorted(queues):
        if not db.run(_NOT_DRAINED, {"queue": queue, "now": ms(now)}):
            of_queue = {"queue": queue, "job": None, "now": ms(now), "fields": "{}"}
            db.run(_DUE_OF_QUEUE, {**of_queue, "event": HookEvent.ON_DRAINED.value})


def _note_end(
    db: Connection,
    event: HookEvent,
    job: int,
    state: State,
    queue: int | None,
    own: str | None,
    ending: Ending,
    now: datetime,
) -> None:
    told = fields_of(job, db.run(_TELL, (job,))[0], state, ending)
    fields = json.dumps(told)
    due = {"event": event.value, "job": job, "now": ms(now), "fields": fields}
    if own is not None:
        db.run(_DUE_OF_JOB, {**due, "command": own, "timeout": DEFAULT_TIMEOUT // _MS})
    if queue is not None:
        db.run(_DUE_OF_QUEUE, {**due, "queue": queue})


# -- pools


def waiting(db: Connection) -> bool:
    """Whether `take` would find one."""
    return bool(db.run(FREE, (1,)))


def take(db: Connection, pool: int, room: int) -> list[DueHook]:
    """The oldest due hooks that no living pool runs, now this pool's."""
    return [_taken(db, pool, number, left) for number, left in db.run(FREE, (room,))]


def still_taken(db: Connection, pool: int, taken: Sequence[DueHook]) -> list[DueHook]:
    """Those that are this pool's, though the COMMIT that took them was said to have failed."""
    sql = "SELECT 1 FROM hook_due WHERE id = ? AND pool = ? AND token = ?"
    return [due for due in taken if db.run(sql, (due.id, pool, due.token))]


def ended(db: Connection, due: DueHook, pool: int, failed: str | None, now: datetime) -> None:
    """It has run to its end: it is not due any more. A failure is noted on its job."""
    db.run("DELETE FROM hook_due WHERE id = ? AND pool = ?", (due.id, pool))
    ours = bool(db.changes())
    if not (ours and failed is not None and due.job is not None):
        return
    if db.run("SELECT 1 FROM job WHERE id = ?", (due.job,)):
        note(db, [due.job], "hook failed", _BY, now, f"{due.hook.event}: {failed}")


def give_back(db: Connection, pool: int) -> None:
    """What this pool did not run to its end is another's."""
    db.run("UPDATE hook_due SET pool = NULL WHERE pool = ?", (pool,))


def _taken(db: Connection, pool: int, number: int, left: str | None) -> DueHook:
    token = os.urandom(16).hex()
    *hook, job, fields = db.run(_TAKE, (pool, token, number))[0]
    told: Mapping[str, Any] = json.loads(fields)
    return DueHook(number, _hook_of(db, tuple(hook)), job, told, token, left)


def _hook_of(db: Connection, row: Row) -> Hook:
    queue, event, command, argv, timeout, context = row
    return Hook(
        queue=queue,
        event=HookEvent(event),
        command=command,
        argv=None if argv is None else tuple(json.loads(argv)),
        timeout=timeout * _MS,
        context=reading.context(db, context),
    )
