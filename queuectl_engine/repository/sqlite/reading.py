"""What screens and listings read: jobs, pages of a view, counts, history, output."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from queuectl_engine.job import (
    Attempt,
    Chunk,
    Context,
    Counts,
    Event,
    Job,
    QueueInfo,
    State,
    View,
)
from queuectl_engine.repository.protocol import Key, Page
from queuectl_engine.repository.sqlite.connection import Connection, Row
from queuectl_engine.repository.sqlite.rows import (
    ATTEMPT,
    JOB,
    attempt_of,
    chunk_of,
    context_of,
    job_of,
    moment,
    ms,
)


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


@dataclass(frozen=True, slots=True)
class _Segment:
    """Part of a view that one index holds in its order: by `first`, then id."""

    where: str
    index: str
    first: str
    first_falls: bool
    id_falls: bool
    states: frozenset[State]


def _waiting(state: State) -> _Segment:
    return _Segment(
        f"state = '{state}'", f"job_list_{state}", "priority", True, False, frozenset({state})
    )


_SEGMENTS: Final[dict[View, tuple[_Segment, ...]]] = {
    View.PENDING: (
        _waiting(State.READY),
        _waiting(State.FAILED),
        _waiting(State.SCHEDULED),
        _waiting(State.BLOCKED),
    ),
    View.PROCESSING: (
        _Segment(
            "state = 'processing'",
            "job_list_processing",
            "started_ms",
            False,
            False,
            frozenset({State.PROCESSING}),
        ),
    ),
    View.DEAD: (
        _Segment(
            "state = 'dead'", "job_list_dead", "finished_ms", True, True, frozenset({State.DEAD})
        ),
    ),
    View.FINISHED: (
        _Segment(
            "state IN ('completed', 'cancelled')",
            "job_list_finished",
            "finished_ms",
            True,
            True,
            frozenset({State.COMPLETED, State.CANCELLED}),
        ),
    ),
}


def page(
    db: Connection,
    view: View,
    *,
    limit: int,
    at: Key | None,
    backwards: bool,
    queue: str | None,
    states: Collection[State] | None,
) -> Page:
    """Neighbours in a view; see `JobRepository.page`. Never an OFFSET, never an OR."""
    more, args = _filters(queue, states)
    if view is View.ALL:
        by_id = _by_id(db, limit, at, backwards, more, args)
        return _page(by_id, [(row[0],) for row in by_id], backwards)
    rows: list[Row] = []
    keys: list[Key] = []
    segments = list(enumerate(_SEGMENTS[view]))
    for number, segment in reversed(segments) if backwards else segments:
        beyond = at is not None and (number > at[0] if backwards else number < at[0])
        if beyond or (states is not None and segment.states.isdisjoint(states)):
            continue
        start = at if at is not None and number == at[0] else None
        found = _ranges(db, segment, limit - len(rows), start, backwards, more, args)
        rows += found
        keys += [(number, row[-1], row[0]) for row in found]
        if len(rows) >= limit:
            break
    return _page(rows, keys, backwards)


def place(view: View, job: Job) -> Key:
    """Where the job stands in the view, or would stand."""
    if view is View.ALL:
        return (job.id,)
    segments = enumerate(_SEGMENTS[view])
    number = next((n for n, segment in segments if job.stored in segment.states), 0)
    if view is View.PENDING:
        return (number, job.priority, job.id)
    when = job.started_at if view is View.PROCESSING else job.finished_at
    return (number, ms(when or job.updated_at), job.id)


def _page(rows: list[Row], keys: list[Key], backwards: bool) -> Page:
    step = -1 if backwards else 1
    return Page(tuple(job_of(row) for row in rows[::step]), tuple(keys[::step]))


def _filters(queue: str | None, states: Collection[State] | None) -> tuple[str, dict[str, object]]:
    more, args = "", dict[str, object]()
    if queue is not None:
        more += " AND queue = (SELECT id FROM queue WHERE name = :queue)"
        args["queue"] = queue
    if states is not None:
        more += " AND state IN (SELECT value FROM json_each(:states))"
        args["states"] = json.dumps(list(states))
    return more, args


def _ranges(
    db: Connection,
    segment: _Segment,
    limit: int,
    start: Key | None,
    backwards: bool,
    more: str,
    args: dict[str, object],
) -> list[Row]:
    first_falls = segment.first_falls != backwards
    id_falls = segment.id_falls != backwards
    first, then = ("DESC" if falls else "ASC" for falls in (first_falls, id_falls))
    select = f"""SELECT {JOB}, {segment.first} FROM job INDEXED BY {segment.index}
                 WHERE {segment.where}{more}"""
    order = f"ORDER BY {segment.first} {first}, id {then} LIMIT :limit"
    if start is None:
        return db.run(f"{select} {order}", {**args, "limit": limit})
    args = {**args, "first": start[1], "id": start[2]}
    # Two ranges of the index; `first < ? OR (first = ? AND id > ?)` would walk it from its start.
    same = f"{select} AND {segment.first} = :first AND id {'<=' if id_falls else '>='} :id {order}"
    rows = db.run(same, {**args, "limit": limit})
    if len(rows) < limit:
        beyond = f"{select} AND {segment.first} {'<' if first_falls else '>'} :first {order}"
        rows += db.run(beyond, {**args, "limit": limit - len(rows)})
    return rows


def _by_id(
    db: Connection,
    limit: int,
    at: Key | None,
    backwards: bool,
    more: str,
    args: dict[str, object],
) -> list[Row]:
    if at is not None:
        more += f" AND id {'<=' if backwards else '>='} :id"
        args = {**args, "id": at[0]}
    order = "DESC" if backwards else "ASC"
    sql = f"SELECT {JOB} FROM job WHERE state <> 'deleted'{more} ORDER BY id {order} LIMIT :limit"
    return db.run(sql, {**args, "limit": limit})


def counts(db: Connection) -> Counts:
    """Sums over the queues, which the counter table holds per state."""
    rows = db.run("SELECT state, sum(n) FROM counter WHERE state <> 'deleted' GROUP BY state")
    return Counts({State(state): n for state, n in rows})


def queues(db: Connection) -> list[QueueInfo]:
    """Every queue by name, with its counts."""
    found: dict[int, dict[State, int]] = {}
    for state, queue, n in db.run("SELECT state, queue, n FROM counter WHERE state <> 'deleted'"):
        found.setdefault(queue, {})[State(state)] = n
    rows = db.run("SELECT id, name, paused FROM queue ORDER BY name")
    return [QueueInfo(name, bool(paused), found.get(number, {})) for number, name, paused in rows]


def attempts(db: Connection, job: int) -> list[Attempt]:
    """A job's history, oldest first."""
    sql = f"SELECT {ATTEMPT} FROM attempt WHERE job = ? ORDER BY number"
    return [attempt_of(row) for row in db.run(sql, (job,))]


def events(db: Connection, job: int) -> list[Event]:
    """What people did, oldest first. The add is told from the job itself: bulk adds stay lean."""
    added = db.run(
        """SELECT job.created_ms, context.body FROM job JOIN context ON context.id = job.context
           WHERE job.id = ?""",
        (job,),
    )
    first = [Event(job, moment(at), "added", context_of(body).user) for at, body in added]
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
