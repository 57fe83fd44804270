"""One psycopg connection, made safe: time-outs, transactions that are tried again, plain errors.

A session may end at any moment: the server restarts, a crashed neighbour takes all with it, the
network is cut. What was not committed has then not happened, so it is done again; of a commit whose
answer was lost, the server is asked what became of it. So every verb happens once, or raises.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from queuectl_engine.errors import OutcomeUnknown, ReadOnly, StorageError, UsedAfterFork
from queuectl_engine.repository.postgres.address import SCHEMA, connection_parameters, shown
from queuectl_engine.repository.postgres.failures import CONFLICTS, is_lost, is_refusal, plain
from queuectl_engine.repository.postgres.session import Session
from queuectl_engine.repository.rows import Row

P = ParamSpec("P")
T = TypeVar("T")
Args = Mapping[str, Any] | Sequence[Any]

_ON_THE_WAY: Final = 5.0  # seconds more until an answer must be here
_OUTAGE: Final = 300.0  # seconds
_IDLE: Final = 20.0  # seconds that a transaction may be forgotten in
_PREPARED_AFTER: Final = 3  # uses of a statement
_MEASURED_FOR: Final = 60.0  # seconds that a comparison of clocks is believed
_OLDEST_SERVER: Final = 150_000
_HELLO: Final = """
    SELECT pg_backend_pid(), extract(epoch FROM clock_timestamp())::float8,
           current_setting('server_version_num')::int, current_setting('synchronous_commit')
"""
_CLOCK: Final = "SELECT extract(epoch FROM clock_timestamp())::float8"
_WRITES: Final = ("INSERT", "UPDATE", "DELETE", "MERGE")

# Its number, and the era that it belongs to. Numbers are given out again after a promotion, which
# begins a new timeline, and after a crash, which begins the server's statistics anew, where nothing
# of their transactions had reached the disk.
_ERA: Final = """
    left(pg_walfile_name(pg_current_wal_lsn()), 8)
    || coalesce(extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time())::text, '')
"""
_WHO_AM_I: Final = f"SELECT pg_current_xact_id()::text, {_ERA}".encode()
_WHAT_BECAME: Final = f"SELECT pg_xact_status(%(transaction)s::xid8), {_ERA}"


class Connection:
    """A connection for one process, used by one thread at a time: others wait at its lock.

    `pooled` says that something like pgbouncer stands between: then a session keeps nothing, so
    settings go with each transaction and no statement is prepared. Raises only errors of
    `queuectl_engine.errors`.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        read_only: bool = False,
        statement: float = 60.0,
    ) -> None:
        """Connect. `timeout`: seconds to wait for a lock, and for a lost server to come back.

        `statement`: seconds that the server may work on one statement.
        """
        self.where = shown(url)
        self.pooled = False
        self._parameters = connection_parameters(url)
        self._timeout = timeout
        self._outage = 0.0  # seconds to wait for a lost server, where that is more
        self._statement = max(statement, timeout)
        self.only_looks = read_only
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._closed = False
        self._inside = False
        self._dirty = False
        self._changes = 0
        self._bumps = 0  # commits of ours that others take for news
        self._sync = "on"
        self._epoch = 0  # sessions so far: a new one may have missed news
        self._ahead = timedelta()  # of the server's clock before ours
        self._measured_at = 0.0
        self._raw: Session | None = None
        with self._held():
            self._persist(self._session)

    def close(self) -> None:
        """Close; harmless when closed, and after a fork (where it must not touch the socket)."""
        if self._pid == os.getpid():
            with self._lock:
                self._closed = True
                self._drop()

    @contextmanager
    def patiently(self) -> Iterator[None]:
        """Meanwhile wait for a lost server as long as an outage may take."""
        self._outage, before = _OUTAGE, self._outage
        try:
            yield
        finally:
            self._outage = before

    # -- transactions

    def write(
        self, verb: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """One transaction that writes, done again when it collided or was lost before its commit.

        READ COMMITTED: each statement sees what was committed before it began, so what decides is
        locked first and looked at by a later statement.
        """
        if self.only_looks:
            raise ReadOnly("this was opened only to look; open it without read_only to change it")
        with self._held():
            return self._persist(partial(self._written, partial(verb, self, *args, **kwargs)))

    def read(
        self, verb: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """One transaction that reads: every statement in it sees the same moment."""
        with self._held():
            return self._persist(partial(self._seen, partial(verb, self, *args, **kwargs)))

    def look(
        self, verb: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for a single statement, which sees one moment anyway."""
        if self.pooled:
            return self.read(verb, *args, **kwargs)
        with self._held():
            return self._persist(partial(verb, self, *args, **kwargs))

    def run(self, sql: str, args: Args = ()) -> list[Row]:
        """Execute one statement and return all rows."""
        raw, statement = self._session(), sql.encode()
        try:
            cursor = raw.execute(statement, args or None)
        except (UnicodeEncodeError, psycopg.DataError) as error:
            if getattr(error, "sqlstate", None) is not None:
                raise  # the server's word, not that of the driver about a value
            cursor = raw.execute(statement, _as_text(args))
        status = cursor.statusmessage or ""
        self._changes = cursor.rowcount if status.startswith(_WRITES) else 0
        self._dirty |= self._changes > 0
        return cursor.fetchall() if cursor.description else []

    def run_script(self, script: str) -> None:
        """Execute many statements without values, as part of the transaction."""
        self._session().execute(script.encode())
        self._dirty = True

    def copy_in(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Store many rows by COPY … FROM STDIN."""
        with self._session().cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for row in rows:
                copy.write_row(row)
        self._dirty = True

    def value(self, sql: str, args: Args = ()) -> Any:
        """The first column of the first row, None without one."""
        rows = self.run(sql, args)
        return rows[0][0] if rows else None

    def changes(self) -> int:
        """Rows that the last statement changed, triggers not counted."""
        return self._changes

    def tidy(self, verb: Callable[[Connection], T]) -> T:
        """A transaction of upkeep, which changes nothing that anybody sees.

        So those who only look may have it done too, where their role and the server let them.
        """
        with self._held():
            return self._persist(partial(self._written, partial(verb, self)))

    def keep_quiet(self) -> None:
        """What this transaction has changed so far is no news for others."""
        self._dirty = False

    # -- time and news

    def clock(self) -> datetime:
        """The server's time: our clock, and how far ahead the server's was when last compared."""
        if time.monotonic() - self._measured_at > _MEASURED_FOR:
            with self._held():
                if self._raw is not None and not self._inside:
                    with suppress(psycopg.Error):  # the next statement says what is wrong
                        self._compare_clocks()
        return datetime.now(UTC) + self._ahead

    def news(self) -> tuple[int, int]:
        """A pair that is another one after each commit of others, and after a lost session."""
        # After a crash of the server it begins anew, and its first step shows in `is_called` alone.
        sql = "SELECT last_value + is_called::int FROM news"
        count = self.look(lambda db: int(db.value(sql)))
        return self._epoch, count - self._bumps

    def notify(self, channel: str, payload: str) -> None:
        """Tell all who listen."""
        with self._held():
            args = (channel, payload)
            self._persist(partial(self.run, "SELECT pg_notify(%s, %s)", args))

    # --

    @contextmanager
    def _held(self) -> Iterator[None]:
        if os.getpid() != self._pid:
            raise UsedAfterFork(
                "this database was opened before a fork; open it again in the new process"
            )
        with self._lock:
            if self._closed:
                raise StorageError(f"{self.where} is closed here already; open it again")
            yield

    def _persist(self, once: Callable[[], T]) -> T:
        """Do it until it works, can never work, or the time is up."""
        if self._inside:
            return once()
        began, wait = time.monotonic(), 0.005
        while True:
            try:
                return once()
            except psycopg.Error as error:
                patience = self._timeout
                if is_lost(error):
                    self._drop()
                    patience = max(patience, self._outage)
                if not self._may_help(error) or time.monotonic() >= began + patience:
                    raise plain(error, self.where) from None
            time.sleep(random.uniform(wait / 2, wait))  # not in step with all the others
            wait = min(1.0, wait * 2)

    def _may_help(self, error: psycopg.Error) -> bool:
        """Whether another try may go better. A server that never answered is not waited for."""
        if self._epoch == 0:
            return "starting up" in str(error)
        return isinstance(error, CONFLICTS) or (is_lost(error) and not is_refusal(error))

    def _written(self, verb: Callable[[], T]) -> T:
        raw = self._session()
        begun = raw.execute(self._begin("READ WRITE") + _WHO_AM_I)
        while begun.nextset():
            pass
        row = begun.fetchone()
        assert row is not None
        result = self._within(raw, verb)
        self._commit(raw, *row)
        return result

    def _seen(self, verb: Callable[[], T]) -> T:
        if self._inside:
            return verb()
        raw = self._session()
        raw.execute(self._begin("ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        result = self._within(raw, verb)
        raw.execute(b"COMMIT")
        return result

    def _within(self, raw: Session, verb: Callable[[], T]) -> T:
        self._inside, self._dirty = True, False
        try:
            return verb()
        except BaseException:
            self._roll_back(raw)
            raise
        finally:
            self._inside = False

    def _commit(self, raw: Session, transaction: str, era: str) -> None:
        # News is told after the commit, in the same message: who hears of it finds it.
        told = f"; SELECT nextval('{SCHEMA}.news')".encode() if self._dirty else b""
        try:
            raw.execute(b"COMMIT" + told)
        except psycopg.Error as error:
            if not is_lost(error) or not self._was_committed(transaction, era):
                raise
        else:
            self._bumps += self._dirty

    def _was_committed(self, transaction: str, era: str) -> bool:
        """What became of a commit whose answer was lost. Raises what keeps us from knowing."""
        unknown = (
            f"the connection to {self.where} was lost during a commit, so nobody knows yet"
            f" whether it happened; look before you repeat it"
        )
        while True:
            self._drop()
            try:
                status, now = self._persist(partial(self._status_of, transaction))
            except StorageError as error:
                raise OutcomeUnknown(unknown) from error
            if status == "committed" and now != era:
                # It may have been another transaction, which was given our number.
                raise OutcomeUnknown(unknown)
            if status != "in progress":
                return status == "committed"
            time.sleep(random.uniform(0.01, 0.05))

    def _status_of(self, transaction: str) -> tuple[str | None, str]:
        try:
            ((status, era),) = self.run(_WHAT_BECAME, {"transaction": transaction})
        except psycopg.errors.InvalidParameterValue:
            return None, ""  # a standby that was promoted has never heard of it: it is lost
        return status, era

    def _roll_back(self, raw: Session) -> None:
        try:
            if not raw.closed and raw.info.transaction_status != TransactionStatus.IDLE:
                raw.execute(b"ROLLBACK")
        except psycopg.Error:
            self._drop()

    def _begin(self, mode: str) -> bytes:
        settings = self._settings("LOCAL") if self.pooled else ""
        return f"BEGIN {mode}; {settings}".encode()

    def _settings(self, scope: str) -> str:
        """What every session of ours needs; see `docs/postgresql.md` for why."""
        values = {
            "search_path": SCHEMA,
            "lock_timeout": f"{int(self._timeout * 1000) or 1}ms",
            "statement_timeout": f"{int(self._statement * 1000)}ms",
            "idle_in_transaction_session_timeout": f"{int(_IDLE * 1000)}ms",
            # An acknowledged job is on disk, and on the standbys that the server waits for.
            "synchronous_commit": self._sync,
        }
        return "".join(f"SET {scope} {name} = '{value}'; " for name, value in values.items())

    def _session(self) -> Session:
        if self._raw is None or self._raw.closed:
            if self._inside:
                raise psycopg.OperationalError("the session ended")
            self._raw = self._connect()
        return self._raw

    def _connect(self) -> Session:
        raw = Session.connect(**self._parameters, autocommit=True)  # type: ignore[arg-type]
        raw.answers_within = self._statement + _ON_THE_WAY
        try:
            self._greet(raw)
        except BaseException:
            raw.close()
            raise
        return raw

    def _greet(self, raw: Session) -> None:
        before = time.time()
        row = raw.execute(_HELLO.encode()).fetchone()
        assert row is not None
        backend, server_time, version, sync = row
        self._sync = "on" if sync in ("off", "local") else sync
        self._note_clock(server_time, before)
        if version < _OLDEST_SERVER:
            raise StorageError(
                f"{self.where} is PostgreSQL {version // 10_000}; queuectl needs 15 or newer"
            )
        # A pooler gives its own number instead of that of the process which answers.
        self.pooled = backend != raw.info.backend_pid
        raw.prepare_threshold = None if self.pooled else _PREPARED_AFTER
        if not self.pooled:
            raw.execute(self._settings("SESSION").encode())
        self._epoch += 1

    def _compare_clocks(self) -> None:
        before = time.time()
        self._note_clock(self.value(_CLOCK), before)

    def _note_clock(self, server_time: float, before: float) -> None:
        after = time.time()
        ahead = server_time - (before + after) / 2
        # Within the time the answer took, the clocks may well be the same: then ours is believed.
        uncertain = abs(ahead) <= (after - before) / 2
        self._ahead = timedelta() if uncertain else timedelta(seconds=ahead)
        self._measured_at = time.monotonic()

    def _drop(self) -> None:
        if self._raw is not None:
            self._raw.close()
            self._raw = None


def _as_text(value: Any) -> Any:
    """The same values without what text in the server cannot be: NUL, and bytes that are none."""
    if isinstance(value, str):
        clean = value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        return clean.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {name: _as_text(each) for name, each in value.items()}
    return [_as_text(each) for each in value] if isinstance(value, list | tuple) else value
