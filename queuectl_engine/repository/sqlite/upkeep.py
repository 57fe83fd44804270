"""Opening, making, migrating and tidying the database file."""

from __future__ import annotations

import os
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import apsw

from queuectl_engine.errors import NotAQueue
from queuectl_engine.new_job import user_name
from queuectl_engine.repository.sqlite import schema
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.repository.sqlite.rows import ms
from queuectl_engine.safe_text import safe_text

UNDO_TIME: Final = timedelta(minutes=1)
_PURGED_AT_ONCE: Final = 500
_LOG_LIMIT: Final = 16 * 1024 * 1024
_FREE_PAGES: Final = 1_000

_META: Final = """
    INSERT INTO meta (one, min_reader, min_writer, uuid, generation, made_ms, made_by, owner,
                      machine, durability)
    VALUES (1, ?, ?, ?, 1, ?, ?, ?, ?, ?)
"""
_ALLOW: Final = "UPDATE meta SET min_reader = ?, min_writer = ?"
_PURGE: Final = """
    DELETE FROM job WHERE id IN (
      SELECT id FROM job INDEXED BY job_deleted
       WHERE state = 'deleted' AND deleted_ms <= ? ORDER BY deleted_ms LIMIT ?)
"""


def prepare(db: Connection, now: datetime, durability: str) -> bool:
    """Bring an empty file or an older schema to the newest; False when there was nothing to do.

    Raises NotAQueue for another program's database and for one of a newer queuectl.
    """
    if is_current(db):
        return False
    if _is_empty(db):
        # Before WAL: afterwards SQLite ignores it without a word.
        db.run("PRAGMA auto_vacuum = INCREMENTAL")
        db.run("PRAGMA journal_mode = WAL")
    with db.writing():
        version = int(db.value("PRAGMA user_version"))
        if version >= schema.VERSION:  # another process was faster
            return False
        for step in schema.STEPS[version:]:
            for statement in _statements(step):
                db.run(statement)
        db.run(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        db.run(f"PRAGMA user_version = {schema.VERSION}")
        if version == 0:
            _describe(db, now, durability)
        else:
            db.run(_ALLOW, (schema.MIN_READER, schema.MIN_WRITER))
    return version == 0


def is_current(db: Connection) -> bool:
    """Whether the file has our newest schema. Raises NotAQueue for one that we must not touch."""
    version = db.value("PRAGMA user_version")
    where = safe_text(db.path)
    if db.value("PRAGMA application_id") != schema.APPLICATION_ID:
        if _is_empty(db):
            return False
        raise NotAQueue(f"{where} belongs to another program; name another file with --db")
    if version > schema.VERSION:
        needed = db.value("SELECT min_writer FROM meta")
        if needed > schema.VERSION:
            raise NotAQueue(
                f"{where} was written by a newer queuectl (format {version}, this one knows "
                f"{schema.VERSION}); run: pip install --upgrade queuectl-tui"
            )
    return bool(version >= schema.VERSION)


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
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def purge_deleted(db: Connection, now: datetime) -> None:
    """Remove a bounded number of the jobs that were deleted longer ago than undo reaches."""
    bound = ms(now - UNDO_TIME)
    oldest = db.value(
        "SELECT deleted_ms FROM job INDEXED BY job_deleted WHERE state = 'deleted'"
        " ORDER BY deleted_ms LIMIT 1"
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
        db.run("PRAGMA wal_checkpoint(TRUNCATE)")
    if db.value("PRAGMA freelist_count") > _FREE_PAGES:
        db.run(f"PRAGMA incremental_vacuum({_FREE_PAGES})")


def _is_empty(db: Connection) -> bool:
    return bool(db.value("SELECT count(*) FROM sqlite_schema") == 0)


def _describe(db: Connection, now: datetime, durability: str) -> None:
    row = (
        schema.MIN_READER,
        schema.MIN_WRITER,
        str(uuid.uuid4()),
        ms(now),
        user_name(),
        os.getuid(),
        machine_id(),
        durability,
    )
    db.run(_META, row)


def _statements(script: str) -> list[str]:
    statements, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if apsw.complete(current):  # which knows triggers
            statements.append(current)
            current = ""
    assert not current.strip(), "a step ends with a semicolon"
    return statements
