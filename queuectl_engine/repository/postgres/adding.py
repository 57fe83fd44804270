"""Storing new jobs: one at a time or thousands, with or without keys. See `sqlite/adding.py`.

What is otherwise: numbers come from a sequence, so a batch may have gaps in its numbers when others
add at once; two who add the same key at once collide, and the second one tries again and finds it.
All rows of a batch go in one statement, so that triggers and round trips are paid once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from queuectl_engine.errors import KeyTaken
from queuectl_engine.exit_codes import exit_codes_text
from queuectl_engine.job import OUTWARD, Added, JobState, NewJob, State
from queuectl_engine.repository.postgres import mutexes, needs, telling
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.postgres.locks import lock_mutexes
from queuectl_engine.repository.postgres.needs import OF_LABEL
from queuectl_engine.repository.postgres.storing import context_id, queue_id
from queuectl_engine.repository.rows import labels_text, ms
from queuectl_engine.safe_text import safe_text

_COLUMNS: Final = {
    "id": "bigint", "queue": "bigint", "state": "text", "priority": "bigint",
    "run_at_ms": "bigint", "max_retries": "bigint", "timeout_ms": "bigint",
    "allow_background": "boolean", "created_ms": "bigint", "updated_ms": "bigint",
    "context": "bigint", "nonce": "bigint", "key": "text", "log_file": "text", "argv": "text",
    "command": "text", "labels": "text", "retry_on": "text", "no_retry_on": "text",
    "schedule": "bigint", "on_dead": "text", "on_completed": "text", "waits": "text",
    "mutex": "text",
}  # fmt: skip
_INSERT: Final = f"""
    INSERT INTO job ({", ".join(_COLUMNS)})
    SELECT * FROM unnest({", ".join(f"%s::{kind}[]" for kind in _COLUMNS.values())})
"""
_NUMBERS: Final = "SELECT nextval('job_id') FROM generate_series(1, %s)"
_CAME_AS: Final = """
    SELECT origin.job, job.state
      FROM origin LEFT JOIN job ON job.id = origin.job AND job.state <> 'deleted'
     WHERE origin.name = %s
"""
_HOLDER: Final = "SELECT id, state, command, argv FROM job WHERE key = %s AND state <> 'deleted'"
_AT_ONCE: Final = 1_000  # numbers taken from the sequence


def add(db: Connection, jobs: Sequence[NewJob], now: datetime) -> list[Added]:
    """Store them in order, all or none; see `JobRepository.add`. Inside a write transaction."""
    lock_mutexes(db, {job.mutex for job in jobs if job.mutex is not None})
    batch = _Batch(db, now, len(jobs))
    nonces = memoryview(os.urandom(8 * len(jobs))).cast("q")
    added = [batch.add(job, nonce) for job, nonce in zip(jobs, nonces, strict=True)]
    batch.store()
    return added


def add_lines(db: Connection, first: NewJob, lines: Sequence[str], now: datetime) -> list[int]:
    """Store a job, and one like it for each of the lines; see `JobRepository.add_lines`."""
    jobs = [first, *(first._replace(command=line) for line in lines)]
    return [added.id for added in add(db, jobs, now)]


class _Batch:
    """The jobs of one transaction, which know of each other before they are stored."""

    def __init__(self, db: Connection, now: datetime, most: int) -> None:
        self._db = db
        self._now = now
        self._left = most  # jobs that may still come
        self._numbers: list[int] = []
        self._mine: set[int] = set()
        self._queues: dict[str, int] = {}
        self._contexts: dict[int, int] = {}  # by identity: jobs of a bulk add share one
        self._keys: dict[str, NewJob] = {}
        self._ids: dict[str, int] = {}  # by key
        self._fronts: dict[tuple[str, int], int] = {}  # mutex and queue: best priority made ready
        self._rows: list[tuple[object, ...]] = []
        self._needs: list[tuple[int, needs.Found]] = []

    def add(self, job: NewJob, nonce: int) -> Added:
        """Take a job in, unless its key is there already. Raises KeyTaken, NoSuchJob."""
        self._left -= 1
        if old := _imported(self._db, job):
            return old
        if job.key is not None and (old := self._holder(job)):
            return old
        if any(str(name).startswith(OF_LABEL) for names in job.after.values() for name in names):
            self.store()  # the jobs before it may have the label
        found = needs.find(self._db, job.after, self._ids, self._mine)
        number = self._next()
        if job.origin is not None:
            self._db.run("INSERT INTO origin (name, job) VALUES (%s, %s)", (job.origin, number))
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
        if not self._rows:
            return
        columns = [list(column) for column in zip(*self._rows, strict=True)]
        self._db.run(_INSERT, columns)
        needs.add(self._db, self._needs)
        telling.added(self._db, columns[0])
        self._rows, self._needs = [], []

    def _next(self) -> int:
        if not self._numbers:
            rows = self._db.run(_NUMBERS, (min(self._left + 1, _AT_ONCE),))
            self._numbers = [number for (number,) in reversed(rows)]
        number = self._numbers.pop()
        self._mine.add(number)
        return number

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
        job.allow_background,
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
