"""What screens and listings read: jobs, pages of a view, counts, history, output."""

from __future__ import annotations

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
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.postgres.filtering import FILTERING
from queuectl_engine.repository.postgres.rows import ATTEMPT, JOB
from queuectl_engine.repository.rows import (
    attempt_of,
    cause_of,
    chunk_of,
    context_of,
    job_of,
    moment,
)

PAGING: Final = Paging(JOB, FILTERING, index="")
MOST_CAUSES: Final = 1_000  # counted; beyond that the number says nothing to anyone


def get(db: Connection, ids: Collection[int]) -> dict[int, Job]:
    """The jobs that exist and are not deleted, by id."""
    sql = f"""SELECT {JOB} FROM job WHERE job.id = ANY (%s::bigint[])
                AND job.state <> 'deleted'"""
    return {row[0]: job_of(row) for row in db.run(sql, (list(ids),))}


def find_keys(db: Connection, keys: Collection[str]) -> dict[str, int]:
    """The ids of the jobs that hold these keys."""
    sql = """SELECT key, id FROM job
             WHERE key = ANY (%s::text[]) AND state <> 'deleted'"""
    return dict(db.run(sql, (list(keys),)))


def keys_like(db: Connection, prefix: str, limit: int) -> dict[str, int]:
    """Keys that begin so, in their order."""
    sql = """SELECT key, id FROM job
             WHERE key IS NOT NULL AND state <> 'deleted' AND key >= %s AND key < %s
             ORDER BY key LIMIT %s"""
    return dict(db.run(sql, (prefix, prefix + chr(0x10FFFF), limit)))


# Causes as they are now: as added up, and what was not added up yet. One that has just lost its
# last dead job makes room for the next, so as many more are looked at.
_LIVE: Final = """
    WITH fresh AS MATERIALIZED (
      SELECT cause AS id, sum(n)::bigint AS n, max(last_ms) AS last_ms
        FROM cause_delta GROUP BY cause),
    near AS ({near}),
    live AS (
      SELECT known.id, program, ended, line, known.dead + coalesce(fresh.n, 0) AS dead,
             greatest(known.last_ms, fresh.last_ms) AS last_ms
        FROM near JOIN cause AS known ON known.id = near.id
        LEFT JOIN fresh ON fresh.id = near.id)
"""
_NEWEST: Final = _LIVE.format(
    near="""
      (SELECT id FROM cause WHERE dead > 0 ORDER BY last_ms DESC, id DESC
        LIMIT %(most)s::bigint + (SELECT count(*) FROM fresh))
      UNION SELECT id FROM fresh"""
)
_ONE: Final = _LIVE.format(near="SELECT %(id)s::bigint AS id")
_COUNT_CAUSES: Final = f"""
    {_NEWEST} SELECT least(count(*), %(most)s::bigint) FROM live WHERE dead > 0
"""
_EDGE: Final = """
    (SELECT {what} FROM job
      WHERE job.cause = cause.id AND job.state = 'dead'
      ORDER BY finished_ms {order}, job.id {order} LIMIT 1)
"""
_CAUSES: Final = f"""
    SELECT cause.id, program, ended, line, dead, {_EDGE.format(what="finished_ms", order="ASC")},
           {_EDGE.format(what="finished_ms", order="DESC")},
           {_EDGE.format(what="job.id", order="DESC")}
      FROM (SELECT * FROM live WHERE dead > 0
             ORDER BY last_ms DESC, id DESC LIMIT %(most)s) AS cause
"""


def causes(db: Connection, limit: int, wanted: Filter) -> list[Cause]:
    """Causes that have dead jobs, newest first; those that match among the newest that count."""
    test, args = FILTERING.cause_condition(wanted)
    sql = f"""{_NEWEST} {_CAUSES} WHERE true{test}
              ORDER BY cause.last_ms DESC, cause.id DESC LIMIT %(limit)s"""
    most = MOST_CAUSES if wanted else limit
    return [cause_of(row) for row in db.run(sql, {**args, "limit": limit, "most": most})]


def cause(db: Connection, cause_id: int) -> Cause | None:
    """One of them, None when nothing is dead of it."""
    rows = db.run(f"{_ONE} {_CAUSES}", {"id": cause_id, "most": 1})
    return cause_of(rows[0]) if rows else None


def counts(db: Connection) -> Counts:
    """Sums over the queues, which the counter table holds per state."""
    rows = db.run(
        "SELECT state, sum(n)::bigint FROM counter WHERE state <> 'deleted' GROUP BY state"
    )
    stored = {State(state): n for state, n in rows}
    most = db.value("SELECT max_running FROM meta")
    return Counts(stored, int(db.value(_COUNT_CAUSES, {"most": MOST_CAUSES})), most)


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
    sql = f"SELECT {ATTEMPT} FROM attempt WHERE job = %s ORDER BY number"
    return [attempt_of(row) for row in db.run(sql, (job,))]


# The limit comes first: however many were cancelled of late, no more are looked at.
_LAST: Final = """
    SELECT * FROM (SELECT queue, started_ms, finished_ms, state FROM job
                    WHERE state {states} ORDER BY finished_ms DESC, id DESC LIMIT %(limit)s) AS few
"""
_LAST_RAN: Final = f"""
    SELECT name, started_ms, finished_ms FROM (
      {_LAST.format(states="IN ('completed', 'cancelled')")} UNION ALL
      {_LAST.format(states="= 'dead'")}) AS last
      JOIN queue ON queue.id = last.queue
     WHERE state <> 'cancelled' AND started_ms IS NOT NULL
     ORDER BY finished_ms DESC LIMIT %(limit)s
"""


def last_ran(db: Connection, limit: int) -> list[Ran]:
    """When the last jobs ran that completed or died, newest first."""
    rows = db.run(_LAST_RAN, {"limit": limit})
    return [Ran(name, moment(started), moment(finished)) for name, started, finished in rows]


def events(db: Connection, job: int) -> list[Event]:
    """What people did, oldest first. The add is told from the job itself: bulk adds stay lean."""
    added = db.run(
        """SELECT job.created_ms, context.body, job.schedule
             FROM job JOIN context ON context.id = job.context WHERE job.id = %s""",
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
    sql = "SELECT at_ms, kind, who, detail FROM event WHERE job = %s ORDER BY id"
    return first + [Event(job, moment(at), *rest) for at, *rest in db.run(sql, (job,))]


def output(db: Connection, job: int, number: int, after: int, limit: int) -> list[Chunk]:
    """Chunks with `seq` above `after`; only the last ones that hold `limit` bytes, if given."""
    if limit:
        after = max(after, _last_bytes(db, job, number, limit))
    sql = """SELECT seq, at_ms, marks, data FROM output
             WHERE job = %s AND number = %s AND seq > %s ORDER BY seq"""
    return [chunk_of(row) for row in db.run(sql, (job, number, after))]


def _last_bytes(db: Connection, job: int, number: int, limit: int) -> int:
    sql = "SELECT seq, length(data) FROM output WHERE job = %s AND number = %s ORDER BY seq DESC"
    for seq, length in db.run(sql, (job, number)):
        if limit <= 0:
            return int(seq)
        limit -= length
    return -1


def context(db: Connection, context_id: int) -> Context:
    """A stored context; the caller knows its id from a job."""
    return context_of(db.value("SELECT body FROM context WHERE id = %s", (context_id,)))
