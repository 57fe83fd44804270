"""What people do to stored jobs. Each act is guarded by the states it may leave, and is recorded.

The guards are in the WHERE: what a screen showed a moment ago decides nothing. What is otherwise
than on SQLite: the jobs are locked first, as who waits for a row would see old needs beside it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from queuectl_engine.errors import BadInput, NoSuchJob, QueuectlError, WrongState
from queuectl_engine.job import OUTWARD, State
from queuectl_engine.lifecycle import CANCELLABLE, DELETABLE, REQUEUEABLE, UNDO
from queuectl_engine.plan import Act, Was
from queuectl_engine.repository.postgres import telling
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.postgres.locks import lock_jobs
from queuectl_engine.repository.postgres.needs import UNMET
from queuectl_engine.repository.postgres.storing import queue_id
from queuectl_engine.repository.rows import Row, moment, ms
from queuectl_engine.safe_text import safe_text


def _among(states: Collection[State]) -> str:
    return "state IN ({})".format(", ".join(f"'{state}'" for state in sorted(states)))


# One that was cancelled while it waited for others waits again.
_FRESH: Final = f"""
    attempts = 0, deaths = 0, finished_ms = NULL, updated_ms = %(now)s, run_at_ms = %(run_at)s,
    state = CASE WHEN {UNMET} THEN 'blocked' ELSE %(state)s END,
    waits = CASE WHEN {UNMET} THEN 'jobs' END
"""
_REQUEUE: Final = f"UPDATE job SET {_FRESH} WHERE id = %(id)s AND {_among(REQUEUEABLE)}"
# A parked job has no worker that could end it: the person's word is enough.
_CANCEL: Final = f"""
    UPDATE job SET state = 'cancelled', finished_ms = %(now)s, updated_ms = %(now)s,
                   reason = 'cancelled', token = NULL, worker = NULL, cancel_ms = NULL,
                   parked = NULL, waits = NULL
     WHERE id = %(id)s
       AND (({_among(CANCELLABLE - {State.PROCESSING})}) OR parked IS NOT NULL)
"""
_ASK_CANCEL: Final = """
    UPDATE job SET cancel_ms = coalesce(cancel_ms, %(now)s), updated_ms = %(now)s
     WHERE id = %(id)s AND state = 'processing'
"""
_DELETE: Final = f"""
    UPDATE job SET was = state, state = 'deleted', deleted_ms = %(now)s, updated_ms = %(now)s,
                   waits = NULL
     WHERE id = %(id)s AND {_among(DELETABLE)}
"""
_EVENT: Final = """
    INSERT INTO event (job, at_ms, kind, who, detail, nonce)
    SELECT job, %(at)s, %(kind)s, %(user)s, %(detail)s, nonce
      FROM unnest(%(jobs)s::bigint[], %(nonces)s::bigint[]) AS each (job, nonce)
    RETURNING id
"""


def requeue(
    db: Connection, ids: Sequence[int], user: str, now: datetime, run_at: datetime | None
) -> None:
    """Back to pending with a fresh budget, all of them or an error."""
    lock_jobs(db, ids)
    fresh = _fresh(now, run_at)
    for job in ids:
        db.run(_REQUEUE, {**fresh, "id": job})
        if not db.changes():
            raise _refused(db, job, "requeued", "only ended and retrying jobs can be")
    note(db, ids, "requeued", user, now, _until(run_at))


def cancel(db: Connection, ids: Sequence[int], user: str, now: datetime) -> list[int]:
    """Cancel what waits and ask it of what runs; the ids of the latter."""
    lock_jobs(db, ids)
    running = []
    for job in ids:
        args = {"id": job, "now": ms(now)}
        db.run(_CANCEL, args)
        if db.changes():
            continue
        db.run(_ASK_CANCEL, args)
        if not db.changes():
            raise _refused(db, job, "cancelled", "it has ended")
        running.append(job)
    note(db, ids, "cancelled", user, now)
    return running


def delete(db: Connection, ids: Sequence[int], user: str, now: datetime) -> None:
    """Hide them and free their keys; a later writer purges them."""
    lock_jobs(db, ids)
    for job in ids:
        db.run(_DELETE, {"id": job, "now": ms(now)})
        if not db.changes():
            raise _refused(db, job, "deleted", "cancel it first")
    note(db, ids, "deleted", user, now)


_BEFORE: Final = """
    SELECT state, attempts, deaths, run_at_ms, finished_ms, reason FROM job
     WHERE id = %(id)s AND updated_ms <= %(asked)s AND state <> 'deleted'
"""
# One that waited for others does so again, unless they have ended meanwhile.
_UNDO: Final = f"""
    UPDATE job SET state = CASE WHEN %(was)s <> 'blocked' OR {UNMET} THEN %(was)s
                                WHEN %(run_at_ms)s > %(at)s THEN 'scheduled' ELSE 'ready' END,
                   waits = CASE WHEN %(was)s = 'blocked' AND {UNMET} THEN 'jobs' END,
                   was = NULL, deleted_ms = NULL, attempts = %(attempts)s,
                   deaths = %(deaths)s, run_at_ms = %(run_at_ms)s, finished_ms = %(finished_ms)s,
                   reason = %(reason)s, updated_ms = %(at)s
     WHERE id = %(id)s AND state = %(now)s AND updated_ms = %(mark)s
       AND NOT EXISTS (SELECT 1 FROM job AS other WHERE other.key = job.key
                        AND other.id <> job.id AND other.state <> 'deleted')
"""
_DONE: Final = {Act.REQUEUE: "requeued", Act.CANCEL: "cancelled", Act.DELETE: "deleted"}


def act(
    db: Connection,
    what: Act,
    ids: Sequence[int],
    asked: datetime,
    user: str,
    now: datetime,
    run_at: datetime | None,
) -> tuple[list[Was], list[int]]:
    """Do it to those that have not moved since `asked` and can be; what they were, who runs on."""
    args = {**_fresh(now, run_at), "asked": ms(asked)}
    lock_jobs(db, ids)
    done, running = [], []
    for job in ids:
        args["id"] = job
        if not (before := db.run(_BEFORE, args)):
            continue
        if what is Act.REQUEUE:
            db.run(_REQUEUE, args)
        else:
            db.run(_CANCEL if what is Act.CANCEL else _DELETE, {"id": job, "now": args["now"]})
        if db.changes():
            done.append(_was(job, before[0], db, ms(now)))
        elif what is Act.CANCEL and before[0][0] == State.PROCESSING:
            db.run(_ASK_CANCEL, {"id": job, "now": args["now"]})
            running.append(job)
    note(db, [was.id for was in done] + running, _DONE[what], user, now, _until(run_at))
    return done, running


def undo(db: Connection, jobs: Sequence[Was], user: str, now: datetime) -> int:
    """Make them what they were, unless they have moved on or their key was taken; how many."""
    lock_jobs(db, [was.id for was in jobs])
    undone = []
    for was in jobs:
        if was.was not in UNDO.get(was.now, frozenset()):
            continue
        args = {
            "id": was.id,
            "was": was.was.value,
            "now": was.now.value,
            "mark": was.mark,
            "attempts": was.attempts,
            "deaths": was.deaths,
            "run_at_ms": was.run_at_ms,
            "finished_ms": was.finished_ms,
            "reason": was.reason,
            "at": ms(now),
        }
        db.run(_UNDO, args)
        if db.changes():
            undone.append(was.id)
    note(db, undone, "undone", user, now)
    return len(undone)


def _was(job: int, before: Row, db: Connection, mark: int) -> Was:
    state, attempts, deaths, run_at, finished, reason = before
    now = State(db.value("SELECT state FROM job WHERE id = %s", (job,)))
    return Was(job, State(state), now, mark, attempts, deaths, run_at, finished, reason)


def pause(db: Connection, names: Sequence[str] | None, *, paused: bool) -> list[str]:
    """One flag on a queue's row; its jobs stay where they are."""
    if names is None:
        db.run("UPDATE meta SET new_queues_paused = %s", (paused,))
        db.run("UPDATE queue SET paused = %s", (paused,))
        return [name for (name,) in db.run("SELECT name FROM queue ORDER BY name")]
    for name in names:
        if paused:
            queue_id(db, name)
        elif not db.run("SELECT 1 FROM queue WHERE name = %s", (name,)):
            raise BadInput(f"no queue {safe_text(name)}; 'queuectl queues' lists them")
        db.run("UPDATE queue SET paused = %s WHERE name = %s", (paused, name))
    return list(names)


def _fresh(now: datetime, run_at: datetime | None) -> dict[str, object]:
    later = run_at is not None and run_at > now
    state = State.SCHEDULED if later else State.READY
    return {"now": ms(now), "state": state.value, "run_at": ms(run_at or now)}


def _until(run_at: datetime | None) -> str | None:
    return None if run_at is None else f"to run at {moment(ms(run_at)).isoformat()}"


def note(
    db: Connection,
    ids: Sequence[int],
    kind: str,
    user: str,
    now: datetime,
    detail: str | None = None,
) -> None:
    """Record what a person did to these jobs."""
    if not ids:
        return
    about = {"kind": kind, "user": user, "detail": detail, "at": ms(now)}
    nonces = list(memoryview(os.urandom(8 * len(ids))).cast("q"))
    rows = db.run(_EVENT, {**about, "jobs": list(ids), "nonces": nonces})
    telling.acted(db, sorted(event for (event,) in rows))


def _refused(db: Connection, job: int, done: str, why: str) -> QueuectlError:
    state = db.value("SELECT state FROM job WHERE id = %s AND state <> 'deleted'", (job,))
    if state is None:
        return NoSuchJob(f"no job {job}; 'queuectl list --all' shows what is there")
    return WrongState(f"job {job} is {OUTWARD[State(state)]} and cannot be {done}: {why}")
