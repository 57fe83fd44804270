"""Large databases in a minute: all rows by one statement; counters and indexes come afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

from queuectl_engine import open_engine

# A job of each kind, by its number `x`: what is ready, done, for later at a higher priority, dead,
# or of another queue, in these shares of a hundred.
_ROWS: Final = """
    INSERT INTO job (queue, state, priority, run_at_ms, max_retries, created_ms, updated_ms,
                     started_ms, finished_ms, context, nonce, command, attempts, runs, cause,
                     reason)
    WITH RECURSIVE n (x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < :size)
    SELECT iif(kind = 'other', 2, 1), state, iif(kind = 'later', 5, x % 3),
           iif(kind = 'later', 4000000000000, 1700000000000 + x), 3, 1700000000000, 1700000000000,
           iif(ended, 1700000000000 + x, NULL), iif(ended, 1700000000001 + x, NULL),
           1, random(), 'echo ' || x, ended, ended, iif(state = 'dead', 1 + x % 100, NULL),
           iif(state = 'dead', 'exit 1', NULL)
      FROM (SELECT x, kind, kind IN ('done', 'dead') AS ended,
                   CASE kind WHEN 'done' THEN 'completed' WHEN 'dead' THEN 'dead'
                             WHEN 'later' THEN 'scheduled' ELSE 'ready' END AS state
              FROM (SELECT x, CASE WHEN x % 100 < 40 THEN 'ready' WHEN x % 100 < 80 THEN 'done'
                                   WHEN x % 100 < 90 THEN 'later' WHEN x % 100 < 95 THEN 'dead'
                                   ELSE 'other' END AS kind FROM n))
"""
_COUNT: Final = (
    "DELETE FROM counter",
    "INSERT INTO counter SELECT state, queue, count(*) FROM job GROUP BY state, queue",
    "UPDATE cause SET dead = (SELECT count(*) FROM job WHERE job.cause = cause.id),"
    " last_ms = 1700000000000 + id",
)


def generate(path: Path, size: int) -> None:
    """A database of so many jobs: 40 % ready, 40 % completed, the rest later, dead or elsewhere."""
    with open_engine(path, create=True) as engine:
        engine.add("true")
        engine.add("true", queue="other")
    db = apsw.Connection(str(path))
    db.execute("PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; PRAGMA foreign_keys = OFF")
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    indexes = db.execute(
        "SELECT name, sql FROM sqlite_master"
        " WHERE type = 'index' AND tbl_name = 'job' AND sql IS NOT NULL"
    ).fetchall()
    with db:
        for name, _ in indexes:
            db.execute(f"DROP INDEX {name}")
        for number in range(100):
            line = f"INSERT INTO cause (program, ended, line) VALUES ('echo', 'exit 1', '{number}')"
            db.execute(line)
        db.execute(_ROWS, {"size": size}).fetchall()
        for _, sql in indexes:
            db.execute(str(sql))
        for sql in _COUNT:
            db.execute(sql)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.close()
