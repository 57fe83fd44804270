"""What a database says of itself, and keeping its file small."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Final

from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.repository.values import ms
from queuectl_engine.safe_text import safe_text

UNDO_TIME: Final = timedelta(minutes=1)
_PURGED_AT_ONCE: Final = 500
_LOG_LIMIT: Final = 16 * 1024 * 1024
_FREE_PAGES: Final = 1_000

_PURGE: Final = """
    DELETE FROM job WHERE id IN (
      SELECT id FROM job INDEXED BY job_deleted
       WHERE state = 'deleted' AND deleted_ms <= ? ORDER BY deleted_ms LIMIT ?)
"""


def durability(db: Connection) -> str:
    """`standard` or `full`."""
    return str(db.value("SELECT durability FROM meta"))


def set_durability(db: Connection, value: str) -> None:
    """Change it; pools that run learn of it when they are started again."""
    db.run("UPDATE meta SET durability = ?", (value,))


def distrusted(db: Connection) -> str | None:
    """Why no pool of this user and machine should run what is stored here; None when it may."""
    owner, machine, made_by = db.run("SELECT owner, machine, made_by FROM meta")[0]
    if owner != os.getuid():
        return f"it was made by another user ({safe_text(made_by)})"
    if machine_id() and machine != machine_id():  # one without an id is another one
        return "it was made on another machine"
    return None


def trust(db: Connection) -> None:
    """Let pools of this user on this machine run it."""
    db.run("UPDATE meta SET owner = ?, machine = ?", (os.getuid(), machine_id()))


def machine_id() -> str:
    """This machine's lasting identity, '' where it has none (machine-id(5))."""
    try:
        with open("/etc/machine-id", encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def purge_deleted(db: Connection, now: datetime) -> None:
    """Remove a bounded number of the jobs that were deleted longer ago than undo reaches."""
    bound = ms(now - UNDO_TIME)
    oldest = db.value(
        "SELECT deleted_ms FROM job INDEXED BY job_deleted"
        " WHERE state = 'deleted' AND deleted_ms IS NOT NULL ORDER BY deleted_ms LIMIT 1"
    )
    if oldest is not None and oldest <= bound:
        with db.writing():
            db.run(_PURGE, (bound, _PURGED_AT_ONCE))


def tidy(db: Connection) -> None:
    """Keep the log short and give free pages back, a slice at a time."""
    db.run("PRAGMA wal_checkpoint(PASSIVE)")
    try:
        long = os.stat(f"{db.path}-wal").st_size > _LOG_LIMIT
    except FileNotFoundError:
        long = False
    if long:
        db.shorten_log()
    if db.value("PRAGMA freelist_count") > _FREE_PAGES:
        db.run(f"PRAGMA incremental_vacuum({_FREE_PAGES})")
