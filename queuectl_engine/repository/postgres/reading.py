"""What screens and listings read: jobs, pages of a view, counts, history, output."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
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
    View,
)
from queuectl_engine.repository.postgres import filtering
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.postgres.rows import ATTEMPT, JOB
from queuectl_engine.repository.protocol import Key, Matches, Page
from queuectl_engine.repository.rows import (
    Row,
    attempt_of,
    chunk_of,
    context_of,
    job_of,
    moment,
    ms,
)
from queuectl_engine.repository.views import Segment, place, segments

__all__ = ["place"]

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


def page(
    db: Connection,
    view: View,
    *,
    limit: int,
    at: Key | None,
    backwards: bool,
    queue: str | None,
    states: Collection[State] | None,
    cause: int | None,
) -> Page:
    """Neighbours in a view; see `JobRepository.page`. Never an OFFSET, never an OR."""
    more, args = _filters(queue, states)
    walk = _Walk(JOB, more, args, limit, at, backwards)
    rows = walk.along(db, segments(view, cause, states))
    step = -1 if backwards else 1
    return Page(tuple(job_of(r) for _, r in rows[::step]), tuple(key for key, _ in rows[::step]))


def scan(
    db: Connection,
    view: View,
    wanted: Filter,
    *,
    limit: int,
    at: Key | None,
    backwards: bool,
    budget: int,
    cause: int | None = None,
    until: datetime | None = None,
) -> Matches:
    """The ids that match among the next `budget` jobs of a view; see `JobRepository.scan`."""
    test, args = filtering.condition(wanted)
    if until is not None:
        test, args = f"{test} AND updated_ms <= %(until)s", {**args, "until": ms(until)}
    walk = _Walk(f"job.id, (true{test})", "", args, budget + 1, at, backwards)
    if view is View.DEAD and cause is None:
        cause = wanted.cause
    rows = walk.along(db, segments(view, cause, None))
    found: list[tuple[Key, int]] = []
    for number, (key, row) in enumerate(rows):
        if len(found) == limit or number == budget:
            return Matches(tuple(found), key)
        if row[1]:
            found.append((key, row[0]))
    return Matches(tuple(found), None)


def _filters(queue: str | None, states: Collection[State] | None) -> tuple[str, dict[str, object]]:
    more, args = "", dict[str, object]()
    if queue is not None:
        more += " AND queue = (SELECT id FROM queue WHERE name = %(queue)s)"
        args["queue"] = queue
    if states is not None:
        more += " AND state = ANY (%(states)s::text[])"
        args["states"] = [state.value for state in states]
    return more, args


@dataclass(frozen=True, slots=True)
class _Walk:
    """A walk along segments, in either direction, from a place on: `limit` rows at most."""

    columns: str
    more: str
    args: Mapping[str, object]
    limit: int
    at: Key | None
    backwards: bool

    def along(
        self, db: Connection, segments: Sequence[tuple[int, Segment]]
    ) -> list[tuple[Key, Row]]:
        """The rows with their places, in the direction of the walk."""
        found: list[tuple[Key, Row]] = []
        for number, segment in reversed(segments) if self.backwards else segments:
            if len(found) >= self.limit or (self.at is not None and self._is_before(number)):
                continue
            start = self.at if self.at is not None and number == self.at[0] else None
            rows = self._rows(db, segment, start, self.limit - len(found))
            found += [((number, row[-2], row[-1]), row) for row in rows]
        return found

    def _is_before(self, segment: int) -> bool:
        assert self.at is not None
        return segment > self.at[0] if self.backwards else segment < self.at[0]

    def _rows(self, db: Connection, segment: Segment, start: Key | None, limit: int) -> list[Row]:
        first_falls = segment.first_falls != self.backwards
        id_falls = segment.id_falls != self.backwards
        first, then = ("DESC" if falls else "ASC" for falls in (first_falls, id_falls))
        select = f"""SELECT {self.columns}, {segment.first}, job.id FROM job
                     WHERE {segment.where}{self.more}"""
        order = f"ORDER BY {segment.first} {first}, id {then} LIMIT %(limit)s"
        if start is None:
            return db.run(f"{select} {order}", {**self.args, "limit": limit})
        args = {**self.args, "first": start[1], "id": start[2]}
        # Two ranges of the index; one condition with OR would walk it from its
        # start.
        same = (
            f"{select} AND {segment.first} = %(first)s AND id {'<=' if id_falls else '>='} %(id)s"
        )
        rows = db.run(f"{same} {order}", {**args, "limit": limit})
        if len(rows) < limit:
            beyond = f"{select} AND {segment.first} {'<' if first_falls else '>'} %(first)s {order}"
            rows += db.run(beyond, {**args, "limit": limit - len(rows)})
        return rows


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
    test, args = filtering.cause_condition(wanted)
    sql = f"""{_NEWEST} {_CAUSES} WHERE true{test}
              ORDER BY cause.last_ms DESC, cause.id DESC LIMIT %(limit)s"""
    most = MOST_CAUSES if wanted else limit
    return [_cause_of(row) for row in db.run(sql, {**args, "limit": limit, "most": most})]


def cause(db: Connection, cause_id: int) -> Cause | None:
    """One of them, None when nothing is dead of it."""
    rows = db.run(f"{_ONE} {_CAUSES}", {"id": cause_id, "most": 1})
    return _cause_of(rows[0]) if rows else None


def _cause_of(row: Row) -> Cause:
    cause_id, program, ended, line, dead, first, last, example = row
    return Cause(cause_id, program, ended, line, dead, moment(first), moment(last), example)


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
