"""Storing new jobs: one at a time or thousands, with or without keys."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from queuectl_engine.errors import KeyTaken
from queuectl_engine.exit_codes import exit_codes_text
from queuectl_engine.job import OUTWARD, Added, Context, JobState, NewJob, State
from queuectl_engine.repository.sqlite import telling
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.repository.sqlite.rows import body_of, labels_text, ms
from queuectl_engine.safe_text import safe_text

_NEXT_ID: Final = "SELECT seq + 1 FROM sqlite_sequence WHERE name = 'job'"

_INSERT: Final = """
    INSERT INTO job (id, queue, state, priority, run_at_ms, max_retries, timeout_ms,
                     allow_background, created_ms, updated_ms, context, nonce, key, log_file, argv,
                     command, labels, retry_on, no_retry_on, schedule, on_dead, on_completed)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_CAME_AS: Final = """
    SELECT origin.job, job.state
      FROM origin LEFT JOIN job ON job.id = origin.job AND job.state <> 'deleted'
     WHERE origin.name = ?
"""
_HOLDER: Final = "SELECT id, state, command, argv FROM job WHERE key = ? AND state <> 'deleted'"


def add(db: Connection, jobs: Sequence[NewJob], now: datetime) -> list[Added]:
    """Store them in order, all or none; see `JobRepository.add`. Inside a write transaction.

    Ids are handed out here, from the sequence that AUTOINCREMENT keeps: never used before.
    """
    next_id = db.value(_NEXT_ID) or 1
    queues: dict[str, int] = {}
    contexts: dict[int, int] = {}  # by identity: jobs of a bulk add share one
    mine: dict[str, tuple[int, NewJob]] = {}
    added: list[Added] = []
    rows: list[tuple[object, ...]] = []
    nonces = memoryview(os.urandom(8 * len(jobs))).cast("q")
    for job, nonce in zip(jobs, nonces, strict=True):
        old = _imported(db, job) or (_holder(db, job, mine) if job.key is not None else None)
        if old is not None:
            added.append(old)
            continue
        if job.origin is not None:
            db.run("INSERT INTO origin (name, job) VALUES (?, ?)", (job.origin, next_id))
        if job.queue not in queues:
            queues[job.queue] = queue_id(db, job.queue)
        if id(job.context) not in contexts:
            contexts[id(job.context)] = context_id(db, job.context)
        state = State.SCHEDULED if job.run_at and job.run_at > now else State.READY
        rows.append(
            _values(job, next_id, state, queues[job.queue], contexts[id(job.context)], now, nonce)
        )
        if job.key is not None:
            mine[job.key] = next_id, job
        added.append(Added(next_id, created=True, state=JobState.PENDING))
        next_id += 1
    db.run_many(_INSERT, rows)
    telling.added(db, next_id - len(rows), len(rows))
    return added


def queue_id(db: Connection, name: str) -> int:
    """The queue's number; a queue is made when it is first named."""
    found = db.value("SELECT id FROM queue WHERE name = ?", (name,))
    if found is None:
        sql = "INSERT INTO queue (name, paused) SELECT ?, new_queues_paused FROM meta RETURNING id"
        found = db.value(sql, (name,))
    return int(found)


def timeout_ms(job: NewJob) -> int | None:
    """A timeout as stored, at least 1 ms."""
    return None if job.timeout is None else max(1, round(job.timeout.total_seconds() * 1000))


def _values(
    job: NewJob, job_id: int, state: State, queue: int, context: int, now: datetime, nonce: int
) -> tuple[object, ...]:
    at = ms(now)
    return (
        job_id,
        queue,
        state.value,
        job.priority,
        at if job.run_at is None else ms(job.run_at),
        job.max_retries,
        timeout_ms(job),
        int(job.allow_background),
        at,
        at,
        context,
        nonce,
        job.key,
        job.log_file,
        None if job.argv is None else json.dumps(job.argv),
        job.command,
        labels_text(job.labels),
        exit_codes_text(job.retry_on) or None,
        exit_codes_text(job.no_retry_on) or None,
        job.schedule,
        job.on_dead,
        job.on_completed,
    )


def _imported(db: Connection, job: NewJob) -> Added | None:
    """What the same job elsewhere became here, when it was imported before."""
    if job.origin is None:
        return None
    rows = db.run(_CAME_AS, (job.origin,))
    if not rows:
        return None
    job_id, state = rows[0]
    return Added(job_id, created=False, state=None if state is None else OUTWARD[State(state)])


def _holder(db: Connection, job: NewJob, mine: dict[str, tuple[int, NewJob]]) -> Added | None:
    assert job.key is not None
    if job.key in mine:
        held_by, same = mine[job.key]
        if (same.command, same.argv) != (job.command, job.argv):
            raise _taken(job.key, held_by)
        return Added(held_by, created=False, state=JobState.PENDING)
    rows = db.run(_HOLDER, (job.key,))
    if not rows:
        return None
    held_by, state, command, argv = rows[0]
    if (command, argv) != (job.command, None if job.argv is None else json.dumps(job.argv)):
        raise _taken(job.key, held_by)
    return Added(held_by, created=False, state=OUTWARD[State(state)])


def _taken(key: str, held_by: int) -> KeyTaken:
    return KeyTaken(
        f"key {safe_text(key)} belongs to job {held_by}, which runs another command; "
        f"use another key or delete that job"
    )


def context_id(db: Connection, context: Context) -> int:
    """The number of a context, which is stored when it is new."""
    body = body_of(context)
    found = db.value("SELECT id FROM context WHERE body = ?", (body,))
    if found is None:
        found = db.value("INSERT INTO context (body) VALUES (?) RETURNING id", (body,))
    return int(found)
