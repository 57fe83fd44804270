"""Whether what is kept beside the jobs says what a recount says, and mending it where not.

Triggers keep it exact; only a damaged file or a foreign program can part them. A recount reads all
jobs, so it is done in a read transaction that blocks nobody: what comes of it is by how much each
number is off, and that much is added to it later, whatever has changed meanwhile.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from queuectl_engine.repository.sqlite.connection import Connection


class Drift(NamedTuple):
    """A number that is off: what must be added to it. `of` and `state` are its key."""

    what: str
    of: int
    state: str | None
    by: int


_JOBS: Final = """
    SELECT 'counter', queue, state, sum(n) FROM (
      SELECT queue, state, count(*) AS n FROM job GROUP BY queue, state
      UNION ALL SELECT queue, state, -n FROM counter)
     GROUP BY queue, state HAVING sum(n) <> 0
"""
_CAUSES: Final = """
    SELECT 'cause', cause, NULL, sum(n) FROM (
      SELECT cause, count(*) AS n FROM job INDEXED BY job_list_cause
       WHERE state = 'dead' AND finished_ms IS NOT NULL AND cause IS NOT NULL GROUP BY cause
      UNION ALL SELECT id, -dead FROM cause)
     GROUP BY cause HAVING sum(n) <> 0
"""
_LABELS: Final = """
    SELECT 'label', label, state, sum(n) FROM (
      SELECT label, state, count(*) AS n FROM job_label JOIN job ON job.id = job_label.job
       GROUP BY label, state
      UNION ALL SELECT label, state, -n FROM label_counter)
     GROUP BY label, state HAVING sum(n) <> 0
"""
_MEND: Final = {
    "counter": (
        """INSERT INTO counter (queue, state, n) VALUES (:of, :state, max(:by, 0))
           ON CONFLICT DO UPDATE SET n = max(n + :by, 0)""",
        "DELETE FROM counter WHERE queue = :of AND state = :state AND n = 0",
    ),
    "cause": ("UPDATE cause SET dead = max(dead + :by, 0) WHERE id = :of",),
    "label": (
        """INSERT INTO label_counter (label, state, n) VALUES (:of, :state, max(:by, 0))
           ON CONFLICT DO UPDATE SET n = max(n + :by, 0)""",
        "DELETE FROM label_counter WHERE label = :of AND state = :state AND n = 0",
    ),
}


def drifts(db: Connection) -> list[Drift]:
    """The numbers that are off, as of one moment; reads every job."""
    with db.reading():
        return drifts_inside(db)


def drifts_inside(db: Connection) -> list[Drift]:
    """The same in a transaction of the caller."""
    return [Drift(*row) for sql in (_JOBS, _CAUSES, _LABELS) for row in db.run(sql)]


def mend(db: Connection, found: list[Drift]) -> None:
    """Add to each number what it lacks. In a write transaction of the caller."""
    for drift in found:
        for statement in _MEND[drift.what]:
            names = {"of": drift.of, "state": drift.state, "by": drift.by}
            db.run(statement, {k: v for k, v in names.items() if f":{k}" in statement})
