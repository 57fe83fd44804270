"""What people do to stored jobs. Each act is guarded by the states it may leave, and is recorded.

The guards are in the WHERE: what a screen showed a moment ago decides nothing.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from queuectl_engine.errors import BadInput, NoSuchJob, QueuectlError, WrongState
from queuectl_engine.job import OUTWARD, State
from queuectl_engine.lifecycle import CANCELLABLE, DELETABLE, REQUEUEABLE
from queuectl_engine.repository.sqlite.adding import queue_id
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.repository.sqlite.rows import moment, ms
from queuectl_engine.safe_text import safe_text


def _among(states: Collection[State]) -> str:
    return "state IN ({})".format(", ".join(f"'{state}'" for state in sorted(states)))


_FRESH: Final = """
    attempts = 0, deaths = 0, finished_ms = NULL, updated_ms = :now,
    state = :state, run_at_ms = :run_at
"""
_REQUEUE: Final = f"UPDATE job SET {_FRESH} WHERE id = :id AND {_among(REQUEUEABLE)}"
_REQUEUE_DEAD: Final = f"""
    UPDATE job SET {_FRESH} WHERE state = 'dead' AND id IN (
      SELECT id FROM job INDEXED BY job_list_dead
       WHERE state = 'dead' AND finished_ms <= :before
         AND (:queue IS NULL OR queue = (SELECT id FROM queue WHERE name = :queue))
       ORDER BY finished_ms, id LIMIT :limit)
    RETURNING id
"""
# A parked job has no worker that could end it: the person's word is enough.
_CANCEL: Final = f"""
    UPDATE job SET state = 'cancelled', finished_ms = :now, updated_ms = :now, reason = 'cancelled',
                   token = NULL, worker = NULL, cancel_ms = NULL, parked = NULL
     WHERE id = :id AND (({_among(CANCELLABLE - {State.PROCESSING})}) OR parked IS NOT NULL)
"""
_ASK_CANCEL: Final = """
    UPDATE job SET cancel_ms = coalesce(cancel_ms, :now), updated_ms = :now
     WHERE id = :id AND state = 'processing'
"""
_DELETE: Final = f"""
    UPDATE job SET was = state, state = 'deleted', deleted_ms = :now, updated_ms = :now
     WHERE id = :id AND {_among(DELETABLE)}
"""
_EVENT: Final = """
    INSERT INTO event (job, at_ms, kind, user, detail, nonce) VALUES (?, ?, ?, ?, ?, ?)
"""


def requeue(
    db: Connection, ids: Sequence[int], user: str, now: datetime, run_at: datetime | None
) -> None:
    """Back to pending with a fresh budget, all of them or an error."""
    fresh = _fresh(now, run_at)
    for job in ids:
        db.run(_REQUEUE, {**fresh, "id": job})
        if not db.changes():
            raise _refused(db, job, "requeued", "only ended and retrying jobs can be")
    _note(db, ids, "requeued", user, now, _until(run_at))


def requeue_dead(
    db: Connection, before: datetime, user: str, now: datetime, limit: int, queue: str | None
) -> int:
    """The next `limit` jobs that died up to `before`, oldest first; how many it were."""
    args = {**_fresh(now, None), "before": ms(before), "limit": limit, "queue": queue}
    ids = [row[0] for row in db.run(_REQUEUE_DEAD, args)]
    _note(db, ids, "requeued", user, now)
    return len(ids)


def cancel(db: Connection, ids: Sequence[int], user: str, now: datetime) -> list[int]:
    """Cancel what waits and ask it of what runs; the ids of the latter."""
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
    _note(db, ids, "cancelled", user, now)
    return running


def delete(db: Connection, ids: Sequence[int], user: str, now: datetime) -> None:
    """Hide them and free their keys; a later writer purges them."""
    for job in ids:
        db.run(_DELETE, {"id": job, "now": ms(now)})
        if not db.changes():
            raise _refused(db, job, "deleted", "cancel it first")
    _note(db, ids, "deleted", user, now)


def pause(db: Connection, names: Sequence[str] | None, *, paused: bool) -> list[str]:
    """One flag on a queue's row; its jobs stay where they are."""
    if names is None:
        db.run("UPDATE meta SET new_queues_paused = ?", (int(paused),))
        db.run("UPDATE queue SET paused = ?", (int(paused),))
        return [name for (name,) in db.run("SELECT name FROM queue ORDER BY name")]
    for name in names:
        if paused:
            queue_id(db, name)
        elif not db.run("SELECT 1 FROM queue WHERE name = ?", (name,)):
            raise BadInput(f"no queue {safe_text(name)}; 'queuectl queues' lists them")
        db.run("UPDATE queue SET paused = ? WHERE name = ?", (int(paused), name))
    return list(names)


def _fresh(now: datetime, run_at: datetime | None) -> dict[str, object]:
    later = run_at is not None and run_at > now
    state = State.SCHEDULED if later else State.READY
    return {"now": ms(now), "state": state.value, "run_at": ms(run_at or now)}


def _until(run_at: datetime | None) -> str | None:
    return None if run_at is None else f"to run at {moment(ms(run_at)).isoformat()}"


def _note(
    db: Connection,
    ids: Sequence[int],
    kind: str,
    user: str,
    now: datetime,
    detail: str | None = None,
) -> None:
    nonces = memoryview(os.urandom(8 * len(ids))).cast("q")
    at = ms(now)
    rows = [(job, at, kind, user, detail, nonce) for job, nonce in zip(ids, nonces, strict=True)]
    db.run_many(_EVENT, rows)


def _refused(db: Connection, job: int, done: str, why: str) -> QueuectlError:
    state = db.value("SELECT state FROM job WHERE id = ? AND state <> 'deleted'", (job,))
    if state is None:
        return NoSuchJob(f"no job {job}; 'queuectl list --all' shows what is there")
    return WrongState(f"job {job} is {OUTWARD[State(state)]} and cannot be {done}: {why}")
