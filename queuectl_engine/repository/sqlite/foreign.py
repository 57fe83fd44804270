"""Databases that another user or machine made: looked at only when they are what they say.

What a file's schema holds, SQLite runs: triggers at writes, the expressions of indexes at reads.
`Connection` keeps all of that from calling functions with effects; here a foreign file is held to
the schema of its version to the letter, so that nothing in it runs that we did not write.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Final

from queuectl_engine.errors import StorageError, UnsafeStorage
from queuectl_engine.repository.sqlite import schema, upkeep
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.safe_text import safe_text

# ANALYZE and AUTOINCREMENT make tables of their own; indexes of a UNIQUE have no text.
_SCHEMA: Final = """
    SELECT type, name, tbl_name, sql FROM sqlite_schema
     WHERE sql IS NOT NULL AND name NOT IN ('sqlite_sequence', 'sqlite_stat1', 'sqlite_stat4')
"""


def check(db: Connection) -> None:
    """Refuse a file from elsewhere that holds more or other than we make. Raises UnsafeStorage."""
    made = db.run("SELECT owner, machine FROM meta")
    where = safe_text(db.path)
    if len(made) != 1:
        raise StorageError(f"{where} is damaged: it does not say who made it; use another copy")
    if made[0] == (os.getuid(), upkeep.machine_id()):
        return
    if (version := db.value("PRAGMA user_version")) > schema.VERSION:
        raise UnsafeStorage(
            f"{where} was made elsewhere by a newer queuectl, so what it holds cannot be checked; "
            "run: pip install --upgrade queuectl-tui"
        )
    if changed := set(db.run(_SCHEMA)) ^ _as_made(version):
        kind, name = min(changed, key=str)[:2]
        raise UnsafeStorage(
            f"{where} was made elsewhere, and is not as queuectl makes it ({safe_text(str(kind))} "
            f"{safe_text(str(name)[:40])}); use a queue of your own"
        )


@cache
def _as_made(version: int) -> frozenset[tuple[object, ...]]:
    """The schema of a database of that version; an older one may be opened only to look."""
    fresh = Connection(":memory:", timeout=0)
    try:
        with fresh.reshaping():
            for step in schema.STEPS[:version]:
                fresh.run(step)
        return frozenset(fresh.run(_SCHEMA))
    finally:
        fresh.close()
