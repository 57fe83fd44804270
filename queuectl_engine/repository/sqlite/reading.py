"""What screens and listings read: jobs, pages of a view, counts, history, output."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Final

from queuectl_engine.filter import Filter
from queuectl_engine.job import (
    Attempt,
    Cause,
    Chunk,
    Context,
    Counts,
    Event,
    Job,
    QueueInfo,
    Ran,
    State,
)
from queuectl_engine.repository.paging import Paging
from queuectl_engine.repository.rows import (
    attempt_of,
    cause_of,
    chunk_of,
    context_of,
    job_of,
    moment,
)
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.repository.sqlite.filtering import FILTERING
from queuectl_engine.repository.sqlite.merging import merged
from queuectl_engine.repository.sqlite.rows import ATTEMPT, JOB

PAGING: Final = Paging(JOB, FILTERING, index="INDEXED BY {}", merged=merged)
MOST_CAUSES: Final = 1_000  # counted; beyond that the number says nothing to anyone


def get(db: Connection, ids: Collection[int]) -> dict[int, Job]:
    """The jobs that exist and are not deleted, by id."""
    sql = f"""SELECT {JOB} FROM json_each(?) AS wanted JOIN job ON job.id = wanted.value
              WHERE job.state <> 'deleted'"""
    return {row[0]: job_of(row) for row in db.run(sql, (json.dumps(list(ids)),))}


def find_keys(db: Connection, keys: Collection[str]) -> dict[str, int]:
    """The ids of the jobs that hold these keys."""
    sql = """SELECT job.key, job.id FROM json_each(?) AS wanted
             JOIN job ON job.key = wanted.value AND job.state <> 'deleted'"""
    return dict(db.run(sql, (json.dumps(list(keys)),)))


def keys_like(db: Connection, prefix: str, limit: int) -> dict[str, int]:
    """Keys that begin so, in their order."""
    sql = """SELECT key, id FROM job INDEXED BY job_key
             WHERE key IS NOT NULL AND state <> 'deleted' AND key >= ? AND key < ?
             ORDER BY key LIMIT ?"""
    return dict(db.run(sql, (prefix, prefix + chr(0x10FFFF), limit)))


_COUNT_CAUSES: Final = f"""
    SELECT count(*) FROM (SELECT 1 FROM cause INDEXED BY cause_dead WHERE dead > 0
                           LIMIT {MOST_CAUSES})
"""
_NEWEST_CAUSES: Final = """
    SELECT id FROM cause INDEXED BY cause_dead WHERE dead > 0
     ORDER BY last_ms DESC, id DESC LIMIT :most
"""
_EDGE: Final = """
    (SELECT {what} FROM job INDEXED BY job_list_cause
      WHERE job.cause = cause.id AND job.state = 'dead' AND job.finished_ms IS NOT NULL
      ORDER BY finished_ms {order}, job.id {order} LIMIT 1)
"""
_CAUSES: Final = f"""
    SELECT id, program, ended, line, dead, {_EDGE.format(what="finished_ms", order="ASC")},
           {_EDGE.format(what="finished_ms", order="DESC")},
           {_EDGE.format(what="job.id", order="DESC")}
      FROM cause
"""


def causes(db: Connection, limit: int, wanted: Filter) -> list[Cause]:
    """Causes that have dead jobs, newest first; those that match among the newest that count."""
    test, args = FILTERING.cause_condition(wanted)
    sql = f"""{_CAUSES} WHERE id IN ({_NEWEST_CAUSES}){test}
              ORDER BY last_ms DESC, id DESC LIMIT :limit"""
    most = MOST_CAUSES if wanted else limit
    return [cause_of(row) for row in db.run(sql, {**args, "limit": limit, "most": most})]


def cause(db: Connection, cause_id: int) -> Cause | None:
    """One of them, None when nothing is dead of it."""
    rows = db.run(f"{_CAUSES} WHERE id = ? AND dead > 0", (cause_id,))
    return cause_of(rows[0]) if rows else None


def counts(db: Connection) -> Counts:
    """Sums over the queues, which the counter table holds per state."""
    rows = db.run("SELECT state, sum(n) FROM counter WHERE state <> 'deleted' GROUP BY state")
    stored = {State(state): n for state, n in rows}
    most = db.value("SELECT max_running FROM meta")
    return Counts(stored, int(db.value(_COUNT_CAUSES)), most)


def queues(db: Connection) -> list[QueueInfo]:
    """Every queue by name, with its counts."""
    found: dict[int, dict[State, int]] = {}
    for state, queue, n in db.run("SELECT state, queue, n FROM counter WHERE state <> 'deleted'"):
        found.setdefault(queue, {})[State(state)] = n
    rows = db.run("SELECT id, name, paused, max_running FROM queue ORDER BY name")
    return [
        QueueInfo(name, bool(paused), found.get(number, {}), most)
        for number, name, paused, most in rows
    ]


def attempts(db: Connection, job: int) -> list[Attempt]:
    """A job's history, oldest first."""
    sql = f"SELECT {ATTEMPT} FROM attempt WHERE job = ? ORDER BY number"
    return [attempt_of(row) for row in db.run(sql, (job,))]


# The limit comes first: however many were cancelled of late, no more are looked at.
_LAST: Final = """
    SELECT * FROM (SELECT queue, started_ms, finished_ms, state FROM job INDEXED BY {index}
                    WHERE state {states} AND finished_ms IS NOT NULL
                    ORDER BY finished_ms DESC, id DESC LIMIT :limit)
"""
_LAST_RAN: Final = f"""
    SELECT name, started_ms, finished_ms FROM (
      {_LAST.format(index="job_list_finished", states="IN ('completed', 'cancelled')")} UNION ALL
      {_LAST.format(index="job_list_dead", states="= 'dead'")}) AS last
      JOIN queue ON queue.id = last.queue
     WHERE state <> 'cancelled' AND started_ms IS NOT NULL
     ORDER BY finished_ms DESC LIMIT :limit
"""


def last_ran(db: Connection, limit: int) -> list[Ran]:
    """When the last jobs ran that completed or died, newest first."""
    rows = db.run(_LAST_RAN, {"limit": limit})
    return [Ran(name, moment(started), moment(finished)) for name, started, finished in rows]


def events(db: Connection, job: int) -> list[Event]:
    """What people did, oldest first. The add is told from the job itself: bulk adds stay lean."""
    added = db.run(
        """SELECT job.created_ms, context.body, job.schedule
             FROM job JOIN context ON context.id = job.context WHERE job.id = ?""",
        (job,),
    )
    first = [
        Event(
            job,
            moment(at),
            "added",
            context_of(body).user,
            None if schedule is None else f"schedule {schedule}",
        )
        for at, body, schedule in added
    ]
    sql = "SELECT at_ms, kind, user, detail FROM event WHERE job = ? ORDER BY id"
    return first + [Event(job, moment(at), *rest) for at, *rest in db.run(sql, (job,))]


def output(db: Connection, job: int, number: int, after: int, limit: int) -> list[Chunk]:
    """Chunks with `seq` above `after`; only the last ones that hold `limit` bytes, if given."""
    if limit:
        after = max(after, _last_bytes(db, job, number, limit))
    sql = """SELECT seq, at_ms, marks, data FROM output
             WHERE job = ? AND number = ? AND seq > ? ORDER BY seq"""
    return [chunk_of(row) for row in db.run(sql, (job, number, after))]


def _last_bytes(db: Connection, job: int, number: int, limit: int) -> int:
    sql = "SELECT seq, length(data) FROM output WHERE job = ? AND number = ? ORDER BY seq DESC"
    for seq, length in db.run(sql, (job, number)):
        if limit <= 0:
            return int(seq)
        limit -= length
    return -1


def context(db: Connection, context_id: int) -> Context:
    """A stored context; the caller knows its id from a job."""
    return context_of(db.value("SELECT body FROM context WHERE id = ?", (context_id,)))
