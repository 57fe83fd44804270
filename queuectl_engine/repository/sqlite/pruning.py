"""Removing finished jobs for good, with all that hangs on them: attempts, output, events.

A job that another one still waits for stays: what that waits for must not change by itself.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from queuectl_engine.job import State
from queuectl_engine.repository.protocol import Removed
from queuectl_engine.repository.removal import REMOVED_AT_ONCE, choose
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.repository.sqlite.rows import ms

_RETURNED_AT_ONCE: Final = 1_000  # pages

_CHOOSE: Final = """
    SELECT job.id, job.state,
           (SELECT ifnull(sum(output_bytes - dropped_bytes), 0) FROM attempt
             WHERE attempt.job = job.id),
           EXISTS (SELECT 1 FROM need INDEXED BY need_open
                    WHERE need.parent = job.id AND need.met = 0)
      FROM json_each(:ids) AS wanted CROSS JOIN job ON job.id = wanted.value
     WHERE job.state IN (SELECT value FROM json_each(:states)) AND job.finished_ms <= :before
"""
_REMOVE: Final = "DELETE FROM job WHERE id IN (SELECT value FROM json_each(?))"
_PAGES: Final = "SELECT page_count, page_size FROM pragma_page_count, pragma_page_size"


def remove(
    db: Connection,
    ids: Sequence[int],
    before: datetime,
    states: Collection[State],
    *,
    count_only: bool = False,
) -> Removed:
    """Remove those that are still so; see `JobRepository.remove`. In the caller's transaction."""
    ids, later = ids[:REMOVED_AT_ONCE], ids[REMOVED_AT_ONCE:]
    args = {"ids": json.dumps(ids), "states": json.dumps(list(states)), "before": ms(before)}
    chosen, removed = choose(db.run(_CHOOSE, args), later)
    if chosen and not count_only:
        db.run(_REMOVE, (json.dumps(chosen),))
    return removed


def shrink(db: Connection) -> int:
    """Give some free pages back to the file system; how many bytes, 0 when none is left."""
    pages, size = db.run(_PAGES)[0]
    db.run(f"PRAGMA incremental_vacuum({_RETURNED_AT_ONCE})")
    db.run("PRAGMA wal_checkpoint(PASSIVE)")  # which makes the file shorter
    return int((pages - db.run(_PAGES)[0][0]) * size)


# -- retention


def retention(db: Connection) -> timedelta | None:
    """How long completed jobs are kept; None: until a person removes them."""
    keep = db.value("SELECT keep_completed_ms FROM meta")
    return None if keep is None else timedelta(milliseconds=keep)


def set_retention(db: Connection, keep: timedelta | None) -> None:
    """Change it."""
    value = None if keep is None else keep // timedelta(milliseconds=1)
    db.run("UPDATE meta SET keep_completed_ms = ?", (value,))
