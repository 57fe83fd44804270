"""One apsw connection, made safe: settings, waiting for locks, transactions.

apsw and not the standard library's module: the latter links the system's SQLite, and 3.7.0-3.51.2
lose committed data when one connection checkpoints while another commits.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import apsw

from queuectl_engine.errors import (
    QueuectlError,
    ReadOnly,
    StorageDamaged,
    StorageError,
    StorageMoved,
    UnsafeStorage,
    UsedAfterFork,
)
from queuectl_engine.repository.sqlite import watch
from queuectl_engine.repository.sqlite.failures import (
    FOREIGN,
    Proof,
    plain,
    settle_doubt,
    unbindable,
)
from queuectl_engine.safe_text import safe_text

Row = tuple[Any, ...]
_FIRST_FIXED: Final = (3, 51, 3)
_WITHDRAWN: Final = (3, 52, 0)
_BACKPORTED: Final[dict[tuple[int, ...], int]] = {(3, 50): 7, (3, 44): 6}
_SYNC_EVERY: Final = 1.0  # seconds of a worker's settlements that a power cut may run again
_LOOK_AT_CLOCK: Final = 1_000  # steps of SQLite's machine, or of a check of the file
_CHECKPOINT_PAGES: Final = 3_000  # a log that begins anew by then stays below the limit of its file
_LOG_LIMIT: Final = 16 * 1024 * 1024
_LATE: Final = 4
_FEW_PAGES: Final = 500
_RESTART_PATIENCE: Final = 0.02  # seconds; while it waits for readers it keeps writers waiting
_STATEMENTS: Final = 256  # prepared ones: each use takes a place, and 32 jobs a turn use 120
_FIRST_PAUSE: Final = 400e-6  # seconds, between two looks for a lock
_SHORT_WAIT: Final = 5e-3
_LONGEST_PAUSE: Final = 10e-3
_IDENTITY: Final = "SELECT uuid, generation, min_writer FROM meta"
_ONLY_LOOK: Final = "this was opened only to look; open it without read_only to change it"


_forks = 0  # that led to this process; to ask for its pid takes a system call each time


def _note_fork() -> None:
    global _forks  # noqa: PLW0603 - there is one process
    _forks += 1


os.register_at_fork(after_in_child=_note_fork)


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

    def __init__(
        self, path: str, *, timeout: float, relaxed: bool = False, still: bool = False
    ) -> None:
        """Open an existing file. `timeout`: seconds to wait for a lock before StorageBusy.

        `still`: nobody writes it meanwhile, and we do not; nothing is made beside it.
        """
        check_library(apsw.sqlite_lib_version())
        self.path = path
        self._timeout = timeout
        self._relaxed = relaxed
        self._forks = _forks
        self._lock = threading.RLock()
        self._waiting_since = 0.0
        self._log_grew_at = 0.0
        self._log_seen: watch.Sight | None = None
        self._synced_at = 0.0
        self._unsynced = False
        self._full = True
        self._still = still
        self._only_look = _ONLY_LOOK if still else ""
        self._min_writer: int | None = None
        self._allow_writing: Callable[[], None] | None = None
        self._stale = False  # closed after a failed COMMIT, to be opened again by the next use
        self._log_pages = 0
        self._logs = 1 if relaxed else _LATE  # of `_CHECKPOINT_PAGES`, until it checkpoints
        self._proof: Proof | None = None
        self._changed_before = 0
        self._seen = watch.look(path)
        self._frozen = self._seen is not None and watch.nobody_writes(path)
        self._identity: list[Any] | None = None  # of the database, once it is known as ours
        with self._guarded():
            self._open()

    def close(self) -> None:
        """Close; harmless when closed, and after a fork (where it must not touch the file)."""
        if self._forks == _forks:
            with self._lock, suppress(apsw.IOError, apsw.FullError):  # the log stays
                self._stale = False
                if watch.damage(self.path) is not None:
                    self._leave_the_log()
                self._raw.close()

    def only_look(self, why: str = _ONLY_LOOK) -> None:
        """Refuse to write from now on, with ReadOnly that says why; SQLite refuses it too."""
        self._only_look = why
        self.run("PRAGMA query_only = ON")

    def watch_min_writer(self, allow: Callable[[], None]) -> None:
        """Call `allow` in the first write transaction that finds another `min_writer`.

        What it raises undoes the transaction: a newer program may have changed the tables.
        """
        self._min_writer = self.value("SELECT min_writer FROM meta")
        self._allow_writing = allow

    def copy_into(self, other: Connection, *, holding: Callable[[], None] | None = None) -> None:
        """Let `other` hold what is here and nothing else; one transaction of `other`.

        `holding` is called when the write lock of `other` is ours and nothing of it has changed;
        what it raises leaves it so. All in one step: else each commit here would begin it anew.
        """
        with (
            self._guarded(),
            other._guarded(),
            other._raw.backup("main", self._raw, "main") as all_,
        ):
            if holding is not None:
                all_.step(1)
                holding()
            all_.step(-1)

    def always_sync(self) -> None:
        """Make every commit durable before it returns, whatever the role."""
        self._relaxed = False

    def run(self, sql: str, args: Mapping[str, Any] | Sequence[Any] = ()) -> list[Row]:
        """Execute one statement to its end and return all rows.

        Always to the end: an apsw cursor that stands on a row of RETURNING keeps the write lock.
        """
        return self._run(sql, args, many=False)

    def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[Row]:
        """Execute one statement for each of these rows of values; all rows that they return."""
        return self._run(sql, rows, many=True)

    def run_for(self, sql: str, ids: Sequence[int], *args: object) -> list[Row]:
        """Execute one statement for all of these ids at once: `carray(?1)` is a table of them.

        To read a row for each this takes half as long as `run_many`.
        """
        from array import array

        return self.run(sql, (apsw.carray(array("q", ids)), *args))

    def _run(self, sql: str, args: Any, *, many: bool) -> list[Row]:
        if self._forks != _forks:  # as `_guarded`, which takes as long as a small statement
            raise _forked()
        with self._lock:
            try:
                if self._stale:
                    self._open_again()
                cursor = self._cursor
                found = cursor.executemany(sql, args) if many else cursor.execute(sql, args)
                return found.fetchall()
            except (OverflowError, UnicodeEncodeError) as error:
                raise unbindable(error) from error
            except FOREIGN as error:
                raise self._as_ours(error) from error

    def value(self, sql: str, args: Mapping[str, Any] | Sequence[Any] = ()) -> Any:
        """The first column of the first row, None without one."""
        rows = self.run(sql, args)
        return rows[0][0] if rows else None

    def changes(self) -> int:
        """Rows that the last statement changed, triggers not counted."""
        return self._raw.changes()

    def writing(self) -> _Writing:
        """One write transaction; takes the lock at once: a reader that upgrades fails unheard.

        When it raises, nothing was changed, but for StoredUnconfirmed and OutcomeUnknown: the disk
        failed at the COMMIT.
        """
        return _Writing(self)

    def _begin(self) -> None:
        if self._only_look:
            raise ReadOnly(self._only_look)
        if self._stale:
            self._open_again()
        self._choose_sync()
        self._changed_before = self._raw.total_changes()
        self._proof = None
        self._cursor.execute("BEGIN IMMEDIATE")
        self._check()

    def _finish(self) -> None:
        try:
            self._commit()
        except BaseException:
            self._roll_back()
            raise
        if self._raw.total_changes() != self._changed_before:
            self._note_commit()
        self._checkpoint()

    def prove(self, sql: str, args: Mapping[str, Any] | Sequence[Any], done: str) -> None:
        """Tell how it can be seen whether the transaction under way was committed.

        The query finds a row of a random value that only it wrote. `done` says in a few words what
        it did: "stored job 42".
        """
        self._proof = Proof(sql, args, done)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One read transaction: every statement in it sees the same moment."""
        with self._guarded():
            self._raw.execute("BEGIN")
            try:
                yield
            finally:
                self._roll_back()

    @contextmanager
    def copying(self) -> Iterator[None]:
        """No triggers, CHECKs and looks at parents: for copies of a row that passed them."""
        with self._guarded():
            self._raw.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
            self._raw.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, 0)
            self._raw.execute("PRAGMA ignore_check_constraints = ON")
            try:
                yield
            finally:
                self._raw.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 1)
                self._raw.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, 1)
                self._raw.execute("PRAGMA ignore_check_constraints = OFF")

    @contextmanager
    def reshaping(self) -> Iterator[None]:
        """Meanwhile the text of tables can be edited, which SQLite's defensive mode forbids."""
        with self._guarded():
            self._raw.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
            try:
                yield
            finally:
                self._raw.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)

    def remember(self) -> None:
        """From now on this database, and no other one, is what is meant."""
        self._identity = list(self._read_identity()[:2])

    def check(self) -> None:
        """See that this is still what was opened, and that nobody found it damaged.

        Costs microseconds. Raises StorageMoved or StorageDamaged. In a write transaction it holds
        for all of it, but for what is done to the file in that moment.
        """
        with self._guarded():
            self._check(writing=False)

    def inspect(self, pragma: str, seconds: float | None) -> str | None:
        """What `integrity_check` or `quick_check` finds first, `ok` when nothing.

        None when `seconds` were not enough to look at all of it.
        """
        deadline = time.monotonic() + (float("inf") if seconds is None else seconds)
        with self._guarded():
            self._raw.set_progress_handler(lambda: time.monotonic() > deadline, _LOOK_AT_CLOCK)
            try:
                ((found,),) = self._raw.execute(f"PRAGMA {pragma}(1)").fetchall()
            except apsw.InterruptError:
                return None
            finally:
                self._raw.set_progress_handler(None)
        return str(found).removeprefix("*** in database main ***").strip()

    def shorten_log(self) -> None:
        """Copy the log into the file and cut its own to nothing; not while others are at it."""
        with self._guarded(), suppress(apsw.BusyError):
            self._restart_log(apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def condemn(self, why: str) -> StorageDamaged:
        """Nobody shall claim from this file or write to it any more; the error that says so."""
        self._leave_the_log()
        watch.mark_damaged(self.path, why)
        return StorageDamaged(watch.in_words(self.path, why))

    def sync_due_in(self) -> float | None:
        """Seconds until commits that may not be on disk must be; None when there are none."""
        if not self._unsynced:
            return None
        return max(0.0, self._synced_at + _SYNC_EVERY - time.monotonic())

    # -- commits, and what the disk may make of them

    def _commit(self) -> None:
        try:
            self._raw.execute("COMMIT")
        except apsw.IOError as error:
            settle_doubt(error, self._proof, self.path, self._open_again)

    def _roll_back(self) -> None:
        if not self._stale and self._raw.in_transaction:
            self._raw.execute("ROLLBACK")

    def _checkpoint(self) -> None:
        """What SQLite would do within COMMIT, where a failure makes a good commit look failed.

        Nobody is told of it here: the next one tries again, and supervisors make their own. It is
        the workers' task: whoever adds a job does it late, as the disk may take a while.
        """
        if self._log_pages >= self._logs * _CHECKPOINT_PAGES:
            with suppress(apsw.Error):
                self._restart_log(apsw.SQLITE_CHECKPOINT_RESTART)

    def _restart_log(self, mode: int) -> None:
        """Copy the log into the file and let it begin anew, unless someone reads what was before.

        While others write, a log that is copied only beside them has grown each time. So its end is
        copied under the write lock, when little is left. Raises apsw.BusyError when it cannot be.
        """
        passive = apsw.SQLITE_CHECKPOINT_PASSIVE
        before, _ = self._raw.wal_checkpoint(mode=passive)
        log, copied = self._raw.wal_checkpoint(mode=passive)  # only what came in the meantime
        if copied < log or log - before > _FEW_PAGES:
            return
        patience, self._timeout = self._timeout, _RESTART_PATIENCE
        try:
            self._raw.wal_checkpoint(mode=mode)
        finally:
            self._timeout = patience

    def _note_log(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _check(self, *, writing: bool = True) -> None:
        now = watch.look(self.path)
        if now != self._seen and (why := watch.moved(self.path, self._seen, now)) is not None:
            raise StorageMoved(why)
        if (why := watch.damage(self.path)) is not None:
            raise StorageDamaged(watch.in_words(self.path, why))
        if self._frozen and not watch.nobody_writes(self.path):
            raise StorageError(f"{safe_text(self.path)} can be written again; open it again")
        if now != self._seen:  # by a checkpoint or by a stranger: believe no page read before
            self._raw.release_memory()
            self._seen = now
        before = self._identity
        if before is None:
            return
        *found, min_writer = self._read_identity()
        if found != before:
            words = watch.restored if found[0] == before[0] else watch.overwritten
            raise StorageMoved(words(self.path))
        if writing and min_writer != self._min_writer and self._allow_writing is not None:
            self._allow_writing()
            self._min_writer = min_writer

    def _read_identity(self) -> Row:
        """Which database it is, and how new a program has to be that writes it."""
        try:
            rows = self._cursor.execute(_IDENTITY).fetchall()
        except apsw.SQLError:  # no such table
            rows = []
        return rows[0] if rows else (None, None, None)

    def _leave_the_log(self) -> None:
        """Closing writes nothing of it into a damaged file, and deletes nothing: it is evidence."""
        with suppress(apsw.ConnectionClosedError):
            self._raw.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)

    def _choose_sync(self) -> None:
        full = not self._relaxed or time.monotonic() - self._synced_at >= _SYNC_EVERY
        if full != self._full:
            self._raw.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
            self._full = full

    def _note_commit(self) -> None:
        self._unsynced = not self._full
        if self._full:
            self._synced_at = time.monotonic()

    # -- the connection

    def _open(self) -> None:
        still = self._still or self._frozen
        mode = apsw.SQLITE_OPEN_READONLY if still else apsw.SQLITE_OPEN_READWRITE
        name = _immutable(self.path) if still else self.path
        flags = (
            mode
            | apsw.SQLITE_OPEN_NOFOLLOW
            | apsw.SQLITE_OPEN_NOMUTEX
            | (apsw.SQLITE_OPEN_URI if still else 0)
        )
        self._raw = apsw.Connection(name, flags, statementcachesize=_STATEMENTS)
        self._cursor = self._raw.cursor()  # to make one takes as long as a small statement
        self._full, self._log_pages = True, 0
        try:
            self._raw.set_busy_handler(self._keep_waiting)
            self._configure()
            self._raw.set_wal_hook(self._note_log)  # in place of the checkpoint within COMMIT
        except BaseException:
            self._leave_the_log()  # or closing writes it into what cannot be read, and removes it
            self._raw.close()
            raise

    def _open_again(self) -> apsw.Connection:
        """After a failed sync the kernel and SQLite may disagree on what is in the log."""
        self._stale = True
        with suppress(apsw.Error):
            self._raw.close()
        if (why := watch.moved(self.path, self._seen, watch.look(self.path))) is not None:
            raise StorageMoved(why)
        self._open()
        self._stale = False
        return self._raw

    def _configure(self) -> None:
        raw = self._raw
        for option, on in (
            (apsw.SQLITE_DBCONFIG_DEFENSIVE, 1),
            (apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
            (apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0),  # we have none, so it is not ours
            (apsw.SQLITE_DBCONFIG_DQS_DML, 0),
            (apsw.SQLITE_DBCONFIG_DQS_DDL, 0),
            (apsw.SQLITE_DBCONFIG_ENABLE_FKEY, 1),
            # Else statements are prepared anew whenever a value that a plan might heed is another.
            (apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1),
        ):
            raw.config(option, on)
        raw.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
        for pragma in (
            "synchronous = FULL",
            "cell_size_check = ON",
            "mmap_size = 0",
            f"journal_size_limit = {_LOG_LIMIT}",
            f"query_only = {'ON' if self._only_look else 'OFF'}",
        ):
            raw.execute(f"PRAGMA {pragma}").fetchall()

    def _keep_waiting(self, calls: int) -> bool:
        # SQLite's own handler sleeps in fixed steps up to 100 ms; short random ones wake nobody in
        # step with the others. Who has waited longer looks oftener, or newcomers would be first
        # again and again. But only while others write: a lock that is held shall cost no time.
        import random

        now = time.monotonic()
        if calls == 0:
            self._waiting_since = self._log_grew_at = now
        waited = now - self._waiting_since
        if waited >= self._timeout:
            return False
        if (log := watch.look(f"{self.path}-wal")) != self._log_seen:
            self._log_seen, self._log_grew_at = log, now
        often = _FIRST_PAUSE / (1 + waited / _SHORT_WAIT)
        seldom = min((now - self._log_grew_at) / 8, _LONGEST_PAUSE)
        time.sleep(random.uniform(0.5, 1.0) * max(often, seldom))
        return True

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        if self._forks != _forks:
            raise _forked()
        with self._lock:
            try:
                if self._stale:
                    self._open_again()
                yield
            except FOREIGN as error:
                raise self._as_ours(error) from error

    def _as_ours(self, error: apsw.Error | UnicodeDecodeError) -> QueuectlError:
        ours = self._identity is not None or os.path.isdir(f"{self.path}.d")
        if not (ours and isinstance(error, (apsw.CorruptError, apsw.NotADBError))):
            return plain(error, self.path)
        if why := watch.moved(self.path, self._seen, watch.look(self.path)):
            return StorageMoved(why)
        return self.condemn(str(error))


class _Writing:
    """See `Connection.writing`. No generator: each turn of a worker goes through it."""

    __slots__ = ("_db",)

    def __init__(self, db: Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        db = self._db
        if db._forks != _forks:
            raise _forked()
        db._lock.acquire()
        try:
            db._begin()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        db = self._db
        try:
            if error is None:
                db._finish()
                return
            db._roll_back()
            if isinstance(error, FOREIGN):
                raise error
        except FOREIGN as foreign:
            raise db._as_ours(foreign) from foreign
        finally:
            db._lock.release()


def _immutable(path: str) -> str:
    from urllib.parse import quote

    return f"file:{quote(path)}?immutable=1"


def _forked() -> UsedAfterFork:
    return UsedAfterFork("this database was opened before a fork; open it again in the new process")
