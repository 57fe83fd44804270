"""Large databases in a minute: all rows by one statement; counters and indexes come afterwards."""

from __future__ import annotations

import multiprocessing
import os
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from queuectl_engine import open_engine


class Shares(NamedTuple):
    """Of a hundred jobs: so many ready, completed, for later at a higher priority, dead, the rest.

    Those are ready in another queue.
    """

    ready: int = 0
    done: int = 0
    later: int = 0
    dead: int = 0


MIXED: Final = Shares(ready=40, done=40, later=10, dead=5)

# A job by its number `x`; the kinds lie among each other, as they do where jobs come and go.
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
              FROM (SELECT x, CASE WHEN x % 100 < :ready THEN 'ready'
                                   WHEN x % 100 < :done THEN 'done'
                                   WHEN x % 100 < :later THEN 'later'
                                   WHEN x % 100 < :dead THEN 'dead'
                                   ELSE 'other' END AS kind FROM n))
"""
_COUNT: Final = (
    "DELETE FROM counter",
    "INSERT INTO counter SELECT state, queue, count(*) FROM job GROUP BY state, queue",
    "UPDATE cause SET dead = (SELECT count(*) FROM job WHERE job.cause = cause.id"
    " AND job.state = 'dead'), last_ms = 1700000000000 + id",
)
# Nobody needs this file after a crash; a journal would write everything twice.
_FAST: Final = """
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF;
    PRAGMA cache_size = -400000; PRAGMA temp_store = MEMORY; PRAGMA threads = 2;
"""


def generate(path: Path, size: int, shares: Shares = MIXED) -> None:
    """A database of so many jobs, beside two that are ready.

    In a process of its own: where half a GiB of small pieces was just given back, SQLite's next few
    hundred turns take twice as long.
    """
    process = multiprocessing.get_context("spawn").Process(target=_make, args=(path, size, shares))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{path} was not made; why is said above")


def _make(path: Path, size: int, shares: Shares) -> None:
    with open_engine(path, create=True) as engine:
        engine.add("true")
        engine.add("true", queue="other")
    db = apsw.Connection(str(path))
    db.execute(_FAST).fetchall()
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
        upto = dict(zip(shares._fields, accumulate(shares), strict=True))
        db.execute(_ROWS, {"size": size, **upto}).fetchall()
        for _, sql in indexes:
            db.execute(str(sql))
        for sql in _COUNT:
            db.execute(sql)
    db.execute("PRAGMA journal_mode = WAL").fetchall()
    db.close()
    os.sync()  # what is still to be written would make the first commits wait
