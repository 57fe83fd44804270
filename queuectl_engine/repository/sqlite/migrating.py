"""From whatever schema a file has to ours: making, upgrading, and what newer files still allow.

An upgrade is one transaction. Inside it, before anything changes, a copy of the file is kept; pools
that run are asked to stop by the row they look at in every turn, so that a pool of an older program
takes nothing new from the moment of the upgrade on.
"""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import Final

import apsw

from queuectl_engine.errors import NotAQueue, StorageBusy, StorageError
from queuectl_engine.new_job import user_name
from queuectl_engine.repository.sqlite import schema
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.repository.sqlite.upkeep import machine_id
from queuectl_engine.repository.values import ms
from queuectl_engine.safe_text import safe_text

MOVED: Final = 1_000_000  # the format of a file whose jobs are elsewhere: all may only look
_PATIENCE: Final = 5.0  # seconds
_UPGRADE: Final = "pip install --upgrade queuectl-tui"
# One statement, so one moment: another process may be making the file.
_WHOSE: Final = """
    SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
      FROM pragma_application_id, pragma_user_version
"""
_META: Final = """
    INSERT INTO meta (one, min_reader, min_writer, uuid, generation, made_ms, made_by, owner,
                      machine, durability)
    VALUES (1, ?, ?, ?, 1, ?, ?, ?, ?, ?)
"""
_ALLOW: Final = "UPDATE meta SET min_reader = ?, min_writer = ?"
_STOP_POOLS: Final = "UPDATE pool SET stop = 'graceful' WHERE stop IS NULL"


def prepare(db: Connection, now: datetime, durability: str, *, look_only: bool) -> str | None:
    """Bring an empty file or an older schema to ours; why nothing may be written, None if it may.

    Raises NotAQueue for another program's database, for one that only a newer program can use, and
    with `look_only` for one that would have to be changed first; StorageError while a pool runs
    that could not use what would come of it.
    """
    version = version_of(db)
    where = safe_text(db.path)
    if version < schema.VERSION and look_only:
        what = f"has the older format {version}" if version else "is empty"
        raise NotAQueue(f"{where} {what}; run 'queuectl status' on it once, which changes that")
    if version == 0:
        _make(db, now, durability)
    elif version < schema.VERSION:
        _upgrade(db, now)
    refusal = why_only_read(db)
    db.watch_min_writer(lambda: _still_ours(db))
    return refusal


def version_of(db: Connection) -> int:
    """The schema number of the file, 0 for an empty one. Raises NotAQueue for one not of ours."""
    application, version, objects = db.run(_WHOSE)[0]
    if application == schema.APPLICATION_ID:
        return int(version)
    if not objects:
        return 0
    raise NotAQueue(f"{safe_text(db.path)} belongs to another program; name another file with --db")


def why_only_read(db: Connection) -> str | None:
    """Why this program may only read the file, None when it may write. Raises NotAQueue if neither.

    A newer program says in `meta` how old those may be who read what it made, and who write it.
    """
    version = version_of(db)
    if version <= schema.VERSION:
        return None
    reader, writer = db.run("SELECT min_reader, min_writer FROM meta")[0]
    newer = (
        f"{safe_text(db.path)} was written by a newer queuectl (format {version}, this one knows "
        f"{schema.VERSION})"
    )
    if version == MOVED:
        to, done = db.run("SELECT moved_to, moved_all FROM meta")[0]
        return moved_in_words(db.path, to, done=bool(done))
    if writer <= schema.VERSION:
        return None
    if reader <= schema.VERSION:
        return f"{newer}, which lets this one only look; run: {_UPGRADE}"
    raise NotAQueue(f"{newer}; run: {_UPGRADE}")


def mark_moved(db: Connection, to: str, *, done: bool) -> None:
    """Let nobody write the file any more, whatever program has it open. In a write transaction."""
    db.run("UPDATE meta SET moved_to = ?, moved_all = ?, min_writer = ?", (to, int(done), MOVED))
    db.run(f"PRAGMA user_version = {MOVED}")


def unmark_moved(db: Connection) -> None:
    """Use it again. In a write transaction."""
    db.run(
        "UPDATE meta SET moved_to = NULL, moved_all = NULL, min_writer = ?", (schema.MIN_WRITER,)
    )
    db.run(f"PRAGMA user_version = {schema.VERSION}")


def moved_in_words(path: str, to: str, *, done: bool) -> str:
    """Why nobody writes a file any more."""
    where, there = safe_text(path), safe_text(to)
    if done:
        return f"{where} was moved to {there}; name that with --db or QUEUECTL_DB"
    return (
        f"{where} is being moved to {there}; run 'queuectl migrate-store' again to finish it, or"
        " with --cancel to go on here"
    )


def is_outdated(db: Connection) -> bool:
    """Whether a newer program has changed the tables."""
    return bool(db.value("PRAGMA user_version") > schema.VERSION)


def run_steps(db: Connection, version: int) -> None:
    """Take the steps that follow `version`. In a write transaction of the caller."""
    with db.reshaping():
        for step in schema.STEPS[version:]:
            for statement in _statements(step):
                db.run(statement)
    db.run(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    db.run(f"PRAGMA user_version = {schema.VERSION}")
    if version:
        db.run(_ALLOW, (schema.MIN_READER, schema.MIN_WRITER))


def _make(db: Connection, now: datetime, durability: str) -> None:
    _begin_log(db)
    with db.writing():
        if version_of(db) == 0:  # else another process was faster
            run_steps(db, 0)
            _describe(db, now, durability)


def _begin_log(db: Connection) -> None:
    """Switch an empty file to WAL, with its settings that cannot be changed later.

    Of several that do so at once, SQLite lets some fail without having waited.
    """
    import random

    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            # Before WAL: afterwards SQLite ignores it without a word.
            db.run("PRAGMA auto_vacuum = INCREMENTAL")
            db.run("PRAGMA journal_mode = WAL")
        except StorageBusy:
            if time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.001, 0.02))
        else:
            return


def _upgrade(db: Connection, now: datetime) -> None:
    from queuectl_engine.repository.sqlite import copying

    with db.writing():
        version = version_of(db)
        if version >= schema.VERSION:  # another process was faster
            return
        _refuse_pools(db, version)
        copying.copy(db.path, copying.beside(db.path, f"before-format-{schema.VERSION}", now))
        run_steps(db, version)
        db.run(_STOP_POOLS)


def _refuse_pools(db: Connection, version: int) -> None:
    """Raise StorageError while a pool lives that could not write the new schema."""
    from pathlib import Path

    from queuectl_engine.repository.holding import is_held

    knows = "ifnull(format, 1)" if version > 1 else "1"  # the column came with step 2
    for name, directory, pid, known in db.run(f"SELECT name, directory, pid, {knows} FROM pool"):
        if known < schema.MIN_WRITER and is_held(Path(f"{db.path}.d", directory)):
            raise StorageError(
                f"pool {safe_text(name)} of an older queuectl runs and could not use "
                f"{safe_text(db.path)} after its upgrade; end it first: kill -TERM {pid}"
            )


def _still_ours(db: Connection) -> None:
    """The tables changed while the file was open. Raises StorageError if we may not write them."""
    if refusal := why_only_read(db):
        raise StorageError(refusal)


def _describe(db: Connection, now: datetime, durability: str) -> None:
    import uuid

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
