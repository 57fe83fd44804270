"""Storing new jobs: one at a time or thousands, with or without keys."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from queuectl_engine.errors import KeyTaken
from queuectl_engine.exit_codes import exit_codes_text
from queuectl_engine.intake import Added, Context, NewJob
from queuectl_engine.repository.sqlite import alike, mutexes, needs, telling
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.repository.sqlite.needs import OF_LABEL
from queuectl_engine.repository.values import body_of, ids_text, labels_text, ms
from queuectl_engine.safe_text import safe_text
from queuectl_engine.states import OUTWARD, JobState, State

_NEXT_ID: Final = "SELECT seq + 1 FROM sqlite_sequence WHERE name = 'job'"

_CAME_AS: Final = """
    SELECT origin.job, job.state
      FROM origin LEFT JOIN job ON job.id = origin.job AND job.state <> 'deleted'
     WHERE origin.name = ?
"""
_HOLDER: Final = "SELECT id, state, command, argv FROM job WHERE key = ? AND state <> 'deleted'"


def add(db: Connection, jobs: Sequence[NewJob], now: datetime) -> list[Added]:
    """Store them in order, all or none; see `JobRepository.add`. Inside a write transaction."""
    batch = _Batch(db, now)
    nonces = memoryview(os.urandom(8 * len(jobs))).cast("q")
    added = [batch.add(job, nonce) for job, nonce in zip(jobs, nonces, strict=True)]
    batch.store()
    if new := [(one.id, nonce) for one, nonce in zip(added, nonces, strict=True) if one.created]:
        _prove(db, new[0][0], new[-1][0], new[0][1])
    return added


def add_lines(db: Connection, first: NewJob, lines: Sequence[str], now: datetime) -> Sequence[int]:
    """Store a job, and one like it for each of the lines; see `JobRepository.add_lines`."""
    if first.mutex is not None or first.labels or first.after:  # they are not all alike
        jobs = [first, *(first._replace(command=line) for line in lines)]
        return [added.id for added in add(db, jobs, now)]
    number = db.value(_NEXT_ID) or 1
    state = State.SCHEDULED if first.run_at and first.run_at > now else State.READY
    queue, context = queue_id(db, first.queue), context_id(db, first.context)
    (nonce,) = memoryview(os.urandom(8)).cast("q")
    values = _values(first, number, state, None, queue, context, now, nonce)
    alike.insert_lines(db, values, lines)
    telling.added(db, number, 1 + len(lines))
    _prove(db, number, number + len(lines), nonce)
    return range(number, number + 1 + len(lines))


def _prove(db: Connection, first: int, last: int, nonce: int) -> None:
    # By the first: copies of it have nonces of `alike`.
    done = f"stored {ids_text(first, last)}"
    db.prove("SELECT 1 FROM job WHERE id = ? AND nonce = ?", (first, nonce), done)


class _Batch:
    """The jobs of one transaction, which know of each other before they are stored.

    Ids are handed out here, from the sequence that AUTOINCREMENT keeps: never used before.
    """

    def __init__(self, db: Connection, now: datetime) -> None:
        self._db = db
        self._now = now
        self._first = self._next = db.value(_NEXT_ID) or 1
        self._queues: dict[str, int] = {}
        self._contexts: dict[int, int] = {}  # by identity: jobs of a bulk add share one
        self._keys: dict[str, NewJob] = {}
        self._ids: dict[str, int] = {}  # by key
        self._fronts: dict[tuple[str, int], int] = {}  # mutex and queue: best priority made ready
        self._rows: list[alike.Values] = []
        self._needs: list[tuple[int, needs.Found]] = []

    def add(self, job: NewJob, nonce: int) -> Added:
        """Take a job in, unless its key is there already. Raises KeyTaken, NoSuchJob."""
        if old := _imported(self._db, job):
            return old
        if job.key is not None and (old := self._holder(job)):
            return old
        if any(str(name).startswith(OF_LABEL) for names in job.after.values() for name in names):
            self.store()  # the jobs before it may have the label
        number = self._next
        found = needs.find(self._db, job.after, self._ids, range(self._first, number))
        self._next += 1
        if job.origin is not None:
            self._db.run("INSERT INTO origin (name, job) VALUES (?, ?)", (job.origin, number))
        if job.queue not in self._queues:
            self._queues[job.queue] = queue_id(self._db, job.queue)
        if id(job.context) not in self._contexts:
            self._contexts[id(job.context)] = context_id(self._db, job.context)
        state, waits = self._state(job, found)
        queue, context = self._queues[job.queue], self._contexts[id(job.context)]
        self._rows.append(_values(job, number, state, waits, queue, context, self._now, nonce))
        if job.key is not None:
            self._keys[job.key], self._ids[job.key] = job, number
        if found:
            self._needs.append((number, found))
        return Added(number, created=True, state=JobState.PENDING)

    def store(self) -> None:
        """Write what was taken in so far."""
        alike.insert(self._db, self._rows)
        needs.add(self._db, self._needs)
        telling.added(self._db, self._first, len(self._rows))
        self._rows, self._needs, self._first = [], [], self._next

    def _state(self, job: NewJob, found: needs.Found) -> tuple[State, str | None]:
        if needs.unmet(found):
            return State.BLOCKED, "jobs"
        if job.run_at and job.run_at > self._now:
            return State.SCHEDULED, None
        if job.mutex is not None and self._is_behind(job, job.mutex):
            return State.BLOCKED, "mutex"
        return State.READY, None

    def _is_behind(self, job: NewJob, mutex: str) -> bool:
        """Whether one with the same mutex goes first: then claims need not come upon this one."""
        queue = self._queues[job.queue]
        front = self._fronts.get((mutex, queue))
        if front is not None and front >= job.priority:
            return True
        if mutexes.is_behind(self._db, mutex, queue, job.priority):
            return True
        self._fronts[mutex, queue] = job.priority
        return False

    def _holder(self, job: NewJob) -> Added | None:
        assert job.key is not None
        if same := self._keys.get(job.key):
            held_by = self._ids[job.key]
            if (same.command, same.argv) != (job.command, job.argv):
                raise _taken(job.key, held_by)
            return Added(held_by, created=False, state=JobState.PENDING)
        return _stored_holder(self._db, job)


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
    job: NewJob,
    job_id: int,
    state: State,
    waits: str | None,
    queue: int,
    context: int,
    now: datetime,
    nonce: int,
) -> alike.Values:
    """In the order of `alike.COLUMNS`."""
    at = ms(now)
    return (
        job_id,
        nonce,
        job.command,
        None if job.argv is None else json.dumps(job.argv),
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
        job.key,
        job.log_file,
        labels_text(job.labels),
        exit_codes_text(job.retry_on) or None,
        exit_codes_text(job.no_retry_on) or None,
        job.schedule,
        job.on_dead,
        job.on_completed,
        waits,
        job.mutex,
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


def _stored_holder(db: Connection, job: NewJob) -> Added | None:
    assert job.key is not None
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
