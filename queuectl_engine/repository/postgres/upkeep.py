"""Making, migrating and tidying what is ours in a server's database: the schema `queuectl`."""

from __future__ import annotations

import os
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from queuectl_engine.errors import NotAQueue, StorageError
from queuectl_engine.new_job import user_name
from queuectl_engine.repository.postgres import schema
from queuectl_engine.repository.postgres.address import SCHEMA
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.rows import ms

UNDO_TIME: Final = timedelta(minutes=1)
_PURGED_AT_ONCE: Final = 500
_ADDED_UP_AT_ONCE: Final = 20_000

MOVING: Final = 1_000_000  # the oldest program that may write while a file is moved here
# Not to_regclass, which may answer from what this session remembers: after a wait for a lock that
# is from before it.
_EXISTS: Final = f"""
    SELECT EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                    WHERE n.nspname = '{SCHEMA}' AND c.relname = 'meta')
"""
_META: Final = """
    INSERT INTO meta (one, version, min_reader, min_writer, uuid, generation, made_ms, made_by)
    VALUES (1, %s, %s, %s, %s, 1, %s, %s)
"""
_OLDEST_DELETED: Final = """
    SELECT deleted_ms FROM job WHERE state = 'deleted' ORDER BY deleted_ms LIMIT 1
"""
_PURGE: Final = """
    DELETE FROM job WHERE id IN (
      SELECT id FROM job
       WHERE state = 'deleted' AND deleted_ms <= %s ORDER BY deleted_ms LIMIT %s
         FOR UPDATE SKIP LOCKED)
"""


def is_current(db: Connection) -> bool:
    """Whether our newest schema is there. Raises NotAQueue for one that we must not touch."""
    if not db.value(_EXISTS):
        return False
    version, needed = db.run("SELECT version, min_writer FROM meta")[0]
    if needed == MOVING:
        raise NotAQueue(
            f"{db.where} is being filled by 'queuectl migrate-store'; run that again to finish it"
        )
    if needed > schema.VERSION:
        raise NotAQueue(
            f"{db.where} was written by a newer queuectl (format {version}, this one knows "
            f"{schema.VERSION}); run: pip install --upgrade queuectl-tui"
        )
    return bool(version >= schema.VERSION)


def is_outdated(db: Connection) -> bool:
    """Whether a newer program has changed the schema."""
    return bool(db.value("SELECT version FROM meta") > schema.VERSION)


def prepare(db: Connection, now: datetime) -> bool:
    """Make what is missing; whether all of it was. One at a time, under a lock of its own.

    Raises StorageError when this role may not.
    """
    db.run("SELECT pg_advisory_xact_lock(%s, 0)", (schema.LOCK,))
    exists = bool(db.value(_EXISTS))
    if exists and is_current(db):  # another one was faster
        return False
    if not exists:
        db.run(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    taken = int(db.value("SELECT version FROM meta")) if exists else 0
    for step in schema.STEPS[taken:]:
        db.run_script(step)
    if exists:
        db.run(
            "UPDATE meta SET version = %s, min_reader = %s, min_writer = %s",
            (schema.VERSION, schema.MIN_READER, schema.MIN_WRITER),
        )
        return False
    row = (
        schema.VERSION,
        schema.MIN_READER,
        schema.MIN_WRITER,
        str(uuid.uuid4()),
        ms(now),
        user_name(),
    )
    db.run(_META, row)
    return True


def run_directory(identity: str) -> Path:
    """Where the pools of this host keep locks, logs and FIFOs of a database; made for us alone.

    By the database's own identity and not by its URL: two ways to write the same server must find
    the same locks. By machine too, as home directories may be shared across a network.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    root = Path(state) if os.path.isabs(state) else Path("~/.local/state").expanduser()
    directory = root / "queuectl" / f"{identity}-{_machine()}"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)  # whatever the umask
    except OSError as error:
        raise StorageError(f"cannot make {directory}: {error.strerror}") from error
    return directory


def purge_deleted(db: Connection, now: datetime) -> None:
    """Remove a bounded number of the jobs that were deleted longer ago than undo reaches."""
    bound = ms(now - UNDO_TIME)
    oldest = db.value(_OLDEST_DELETED)
    if oldest is not None and oldest <= bound:
        db.run(_PURGE, (bound, _PURGED_AT_ONCE))


def add_up(db: Connection) -> None:
    """Add what was counted since the last time to the sums, unless another one is at it."""
    db.run("SELECT add_up(%s)", (_ADDED_UP_AT_ONCE,))


def _machine() -> str:
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()[:12]
    except (OSError, UnicodeDecodeError):
        return os.uname().nodename
