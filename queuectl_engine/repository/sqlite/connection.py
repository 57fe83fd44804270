"""One apsw connection, made safe: settings, waiting for locks, transactions, plain errors.

apsw and not the standard library's module: the latter links the system's SQLite, and 3.7.0-3.51.2
lose committed data when one connection checkpoints while another commits.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import apsw

from queuectl_engine.errors import (
    NotAQueue,
    QueuectlError,
    ReadOnly,
    StorageBusy,
    StorageError,
    UnsafeStorage,
    UsedAfterFork,
)
from queuectl_engine.safe_text import safe_text

Row = tuple[Any, ...]
_FIRST_FIXED: Final = (3, 51, 3)
_WITHDRAWN: Final = (3, 52, 0)
_BACKPORTED: Final[dict[tuple[int, ...], int]] = {(3, 50): 7, (3, 44): 6}
_SYNC_EVERY: Final = 1.0  # seconds of a worker's settlements that a power cut may run again
_CHECKPOINT_PAGES: Final = 4_000  # backstop: supervisors checkpoint earlier
_LOG_LIMIT: Final = 16 * 1024 * 1024


def check_library(version: str) -> None:
    """Refuse a SQLite library that has the WAL-reset bug. Raises UnsafeStorage."""
    numbers = tuple(int(part) for part in version.split("."))
    release = numbers[:2]
    fixed = numbers >= _FIRST_FIXED and numbers[:3] != _WITHDRAWN
    if not fixed and numbers[2] < _BACKPORTED.get(release, numbers[2] + 1):
        raise UnsafeStorage(
            f"this Python's apsw links SQLite {version}, which can lose committed jobs; "
            f"run: pip install --upgrade 'apsw>=3.53.4'"
        )


class Connection:
    """A connection for one process, used by one thread at a time: others wait at its lock.

    `relaxed` is a worker's: its commits are on disk a second later at most, all others at once.
    Raises only errors of `queuectl_engine.errors`.
    """

    def __init__(self, path: str, *, timeout: float, relaxed: bool = False) -> None:
        """Open an existing file. `timeout`: seconds to wait for a lock before StorageBusy."""
        check_library(apsw.sqlite_lib_version())
        self.path = path
        self._timeout = timeout
        self._relaxed = relaxed
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._waiting_since = 0.0
        self._synced_at = 0.0
        self._unsynced = False
        self._full = True
        self._read_only = False
        with self._guarded():
            flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW
            self._raw = apsw.Connection(path, flags)
            self._raw.set_busy_handler(self._keep_waiting)
            self._configure()

    def close(self) -> None:
        """Close; harmless when closed, and after a fork (where it must not touch the file)."""
        if self._pid == os.getpid():
            with self._lock:
                self._raw.close()

    def only_look(self) -> None:
        """Refuse to write from now on, with ReadOnly; SQLite refuses it too."""
        self.run("PRAGMA query_only = ON")
        self._read_only = True

    def always_sync(self) -> None:
        """Make every commit durable before it returns, whatever the role."""
        self._relaxed = False

    def run(self, sql: str, args: Mapping[str, Any] | Sequence[Any] = ()) -> list[Row]:
        """Execute one statement to its end and return all rows.

        Always to the end: an apsw cursor that stands on a row of RETURNING keeps the write lock.
        """
        if os.getpid() != self._pid:  # as `_guarded`, which takes as long as a small statement
            raise _forked()
        with self._lock:
            try:
                return self._raw.execute(sql, args).fetchall()
            except apsw.Error as error:
                raise _plain(error, self.path) from error

    def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Execute one statement for each row of values."""
        with self._guarded():
            for _ in self._raw.executemany(sql, rows):
                pass

    def value(self, sql: str, args: Mapping[str, Any] | Sequence[Any] = ()) -> Any:
        """The first column of the first row, None without one."""
        rows = self.run(sql, args)
        return rows[0][0] if rows else None

    def changes(self) -> int:
        """Rows that the last statement changed, triggers not counted."""
        return self._raw.changes()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One write transaction; takes the lock at once: a reader that upgrades fails unheard."""
        if self._read_only:
            raise ReadOnly("this was opened only to look; open it without read_only to change it")
        with self._guarded():
            self._choose_sync()
            before = self._raw.total_changes()
            self._raw.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._raw.execute("COMMIT")
            except BaseException:
                if self._raw.in_transaction:
                    self._raw.execute("ROLLBACK")
                raise
            if self._raw.total_changes() != before:
                self._note_commit()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One read transaction: every statement in it sees the same moment."""
        with self._guarded():
            self._raw.execute("BEGIN")
            try:
                yield
            finally:
                if self._raw.in_transaction:
                    self._raw.execute("ROLLBACK")

    @contextmanager
    def copying(self) -> Iterator[None]:
        """No triggers and no CHECKs meanwhile: for copies of a row that passed them."""
        with self._guarded():
            self._raw.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
            self._raw.execute("PRAGMA ignore_check_constraints = ON")
            try:
                yield
            finally:
                self._raw.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 1)
                self._raw.execute("PRAGMA ignore_check_constraints = OFF")

    def sync_due(self) -> bool:
        """Whether commits of more than a second ago may not be on disk yet."""
        return self._unsynced and time.monotonic() - self._synced_at >= _SYNC_EVERY

    def _choose_sync(self) -> None:
        full = not self._relaxed or time.monotonic() - self._synced_at >= _SYNC_EVERY
        if full != self._full:
            self._raw.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
            self._full = full

    def _note_commit(self) -> None:
        self._unsynced = not self._full
        if self._full:
            self._synced_at = time.monotonic()

    def _configure(self) -> None:
        raw = self._raw
        for option, on in (
            (apsw.SQLITE_DBCONFIG_DEFENSIVE, 1),
            (apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
            (apsw.SQLITE_DBCONFIG_DQS_DML, 0),
            (apsw.SQLITE_DBCONFIG_DQS_DDL, 0),
            (apsw.SQLITE_DBCONFIG_ENABLE_FKEY, 1),
        ):
            raw.config(option, on)
        raw.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
        for pragma in (
            "synchronous = FULL",
            "cell_size_check = ON",
            "mmap_size = 0",
            f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
            f"journal_size_limit = {_LOG_LIMIT}",
        ):
            raw.execute(f"PRAGMA {pragma}").fetchall()

    def _keep_waiting(self, calls: int) -> bool:
        # SQLite's own handler sleeps in fixed steps up to 100 ms; short random ones keep the worst
        # wait of a busy pool low and wake nobody in step with the others.
        now = time.monotonic()
        if calls == 0:
            self._waiting_since = now
        waited = now - self._waiting_since
        if waited >= self._timeout:
            return False
        time.sleep(random.uniform(50e-6, 400e-6) if waited < 0.05 else random.uniform(1e-3, 10e-3))
        return True

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        if os.getpid() != self._pid:
            raise _forked()
        with self._lock:
            try:
                yield
            except apsw.Error as error:
                raise _plain(error, self.path) from error


def _forked() -> UsedAfterFork:
    return UsedAfterFork("this database was opened before a fork; open it again in the new process")


def _plain(error: apsw.Error, path: str) -> QueuectlError:
    where, what = safe_text(path), safe_text(str(error))
    match error:
        # "Locking protocol" is what SQLite says after ten seconds without a lock for reading.
        case apsw.BusyError() | apsw.LockedError() | apsw.ProtocolError():
            return StorageBusy(f"{where} is locked by another process; try again")
        case apsw.NotADBError():
            return NotAQueue(f"{where} is no queuectl database; name another file with --db")
        case apsw.CorruptError():
            return StorageError(
                f"{where} is damaged ({what}); stop its pools and keep a copy of it"
            )
        case apsw.FullError():
            return StorageError(f"no space left on the disk of {where}; free some and try again")
        case apsw.ReadOnlyError() | apsw.PermissionsError():
            return StorageError(f"{where} cannot be written; look at its permissions and its disk")
        case apsw.ConnectionClosedError():
            return StorageError(f"{where} is closed here already; open it again")
        case apsw.CantOpenError():
            return StorageError(f"cannot open {where}; look at its directory and permissions")
    return StorageError(f"{where} cannot be used: {what}")
