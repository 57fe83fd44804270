"""The network and the server fail: what was not committed is done again, nothing is done twice."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from queuectl_engine.errors import (
    NotAQueue,
    OutcomeUnknown,
    ReadOnly,
    StorageBusy,
    StorageError,
    UsedAfterFork,
)
from queuectl_engine.filter import Filter
from queuectl_engine.job import State
from queuectl_engine.repository.postgres import PostgresRepository, adding, connection
from queuectl_engine.repository.postgres.connection import Connection
from tests.postgres import cluster, running_server, with_queue
from tests.repository.driver import Driver
from tests.samples import HOUR, NOON, new


@pytest.fixture
def url() -> str:
    return cluster().queue()


@pytest.fixture
def repo(url: str) -> Iterator[PostgresRepository]:
    with closing(PostgresRepository.open(url, timeout=20.0)) as opened:
        yield opened


def end_sessions(url: str) -> None:
    """End every session of the database but the one that asks, as an administrator does."""
    with psycopg.connect(url, autocommit=True) as raw:
        raw.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        )


def test_a_verb_after_the_session_ended_is_done(url: str, repo: PostgresRepository) -> None:
    repo.changed()
    end_sessions(url)

    assert [added.id for added in repo.add([new()], now=NOON)] == [1]
    end_sessions(url)
    assert list(repo.get([1])) == [1]
    assert repo.changed()  # what happened meanwhile nobody knows


def test_a_transaction_that_is_cut_off_is_done_once(
    url: str, repo: PostgresRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, cuts = adding.add, [1, 1]

    def cut_off(db: Connection, *args: Any) -> Any:
        done = store(db, *args)
        if cuts:
            cuts.pop()
            end_sessions(url)
        return done

    monkeypatch.setattr(adding, "add", cut_off)
    added = repo.add([new(), new()], now=NOON)

    assert not cuts
    assert sum(repo.counts().stored.values()) == 2
    assert sorted(repo.get([each.id for each in added])) == [each.id for each in added]


class Cut:
    """Lets the session end around the next COMMIT: before it reaches the server, or after."""

    def __init__(
        self, repo: PostgresRepository, end: Callable[[], object], *, reached: bool
    ) -> None:
        db = repo._db
        self.raw, self.end, self.reached, self.cuts = db._session(), end, reached, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def execute(self, query: bytes, *args: Any) -> Any:
        if not query.startswith(b"COMMIT"):
            return self.raw.execute(query, *args)
        self.cuts += 1
        if self.reached:
            self.raw.execute(query)
        self.end()
        return self.raw.execute(b"SELECT 1")


@pytest.mark.parametrize("reached", [True, False])
def test_a_commit_without_an_answer_happens_once(
    url: str, repo: PostgresRepository, reached: bool
) -> None:
    cut = Cut(repo, partial(end_sessions, url), reached=reached)
    repo._db._raw = cut  # type: ignore[assignment]

    (added,) = repo.add([new()], now=NOON)

    assert cut.cuts == 1
    assert list(repo.get([added.id])) == [added.id]
    assert sum(repo.counts().stored.values()) == 1


def test_a_commit_that_nobody_can_tell_of_says_so(
    url: str, repo: PostgresRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = Driver(repo)
    drive.add()
    cut = Cut(repo, partial(end_sessions, url), reached=True)
    repo._db._raw = cut  # type: ignore[assignment]
    repo._db._timeout = 0.2

    def gone(self: Connection) -> Any:
        raise psycopg.OperationalError("no route to host")

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "_connect", gone)
        with pytest.raises(OutcomeUnknown, match="look before you repeat it"):
            drive.claim()

    assert drive.repo.held_by(drive.worker) == [], "it is no stranger that is to be given back"
    assert drive.claim().job.id == 1  # the worker's own, with the token that was stored
    assert drive.repo.held_by(drive.worker)[0].attempt.number == 1


def test_a_number_of_another_timeline_proves_nothing(
    url: str, repo: PostgresRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promoted standby gives numbers out again that the lost server had used."""
    repo._db._raw = Cut(repo, partial(end_sessions, url), reached=True)  # type: ignore[assignment]
    before = "SELECT pg_xact_status(%(transaction)s::xid8), 'FFFFFFFF'"
    monkeypatch.setattr(connection, "_WHAT_BECAME", before)

    with pytest.raises(OutcomeUnknown, match="look before you repeat it"):
        repo.add([new()], now=NOON)


def test_a_number_that_is_given_out_again_after_a_crash_proves_nothing() -> None:
    """The server has forgotten it where nothing of its transaction had reached the disk."""
    silent = {"wal_writer_delay": "10s", "bgwriter_lru_maxpages": "0", "autovacuum": "off"}
    with running_server(**silent) as server:

        def crash() -> None:
            server.stop(signal.SIGQUIT)
            server.start()
            server.run(*["SELECT pg_current_xact_id()"] * 5)  # ours is the first or close to it

        with closing(PostgresRepository.open(server.url(with_queue(server)), timeout=20.0)) as repo:
            repo._db._raw = Cut(repo, crash, reached=False)  # type: ignore[assignment]
            with pytest.raises(OutcomeUnknown, match="look before you repeat it"):
                repo.add([new()], now=NOON)

            assert sum(repo.counts().stored.values()) == 0
            assert len(repo.add([new()], now=NOON)) == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_comes_back_is_used_again(
    repo: PostgresRepository, how: signal.Signals
) -> None:
    repo.add([new()], now=NOON)
    server = cluster().server
    server.stop(how)
    repo._db._timeout = 0.3
    with pytest.raises(StorageError, match="cannot reach"):
        repo.add([new()], now=NOON)
    server.start()
    repo._db._timeout = 20.0

    repo.add([new()], now=NOON)

    assert sum(repo.counts().stored.values()) == 2


def test_the_first_commit_after_a_crash_is_news(url: str, repo: PostgresRepository) -> None:
    cluster().server.stop(signal.SIGQUIT)
    cluster().server.start()
    with closing(PostgresRepository.open(url, timeout=20.0)) as other:
        repo.changed()
        before = repo.version()
        assert not repo.changed()
        other.add([new()], now=NOON)
        assert repo.version() != before
        assert repo.changed()


def test_a_row_that_another_keeps_is_busy_in_the_end(url: str, repo: PostgresRepository) -> None:
    repo.add([new()], now=NOON)
    with (
        closing(PostgresRepository.open(url, timeout=0.2)) as hasty,
        psycopg.connect(url) as holder,
    ):
        holder.execute("SELECT 1 FROM queuectl.job WHERE id = 1 FOR UPDATE")
        with pytest.raises(StorageBusy, match="try again"):
            hasty.cancel([1], user="ada", now=NOON)
    repo.cancel([1], user="ada", now=NOON)


def test_an_error_in_a_verb_leaves_nothing_and_the_session_works(repo: PostgresRepository) -> None:
    def fails(db: Connection) -> None:
        db.run("UPDATE meta SET generation = 7")
        db.run("SELECT 1 / 0")

    with pytest.raises(StorageError, match="division by zero"):
        repo._db.write(fails)

    assert repo._db.look(lambda db: db.value("SELECT generation FROM meta")) == 1


def test_who_only_looks_is_told_so(url: str) -> None:
    with closing(PostgresRepository.open(url, read_only=True)) as repo:
        with pytest.raises(ReadOnly):
            repo.add([new()], now=NOON)
        assert repo.last_happening() == 0


def test_a_connection_is_not_used_across_a_fork(repo: PostgresRepository) -> None:
    child = os.fork()
    if child == 0:  # nothing may leave this branch
        code = 1
        try:
            repo.counts()
        except UsedAfterFork:
            repo.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert repo.counts().stored == {}


def test_a_closed_one_says_so(repo: PostgresRepository) -> None:
    repo.close()
    repo.close()
    with pytest.raises(StorageError, match="closed"):
        repo.counts()


def test_a_database_without_our_schema_is_named(url: str) -> None:
    empty = cluster().server.url(cluster().empty())
    with pytest.raises(NotAQueue, match="initdb"):
        PostgresRepository.open(empty)
    with pytest.raises(NotAQueue, match="createdb"):
        PostgresRepository.open(cluster().server.url("nowhere"))


def test_a_newer_schema_is_left_alone(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as raw:
        raw.execute("UPDATE queuectl.meta SET version = 99, min_writer = 99")
    with pytest.raises(NotAQueue, match=r"newer queuectl .format 99"):
        PostgresRepository.open(url)


def test_time_is_the_servers(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = "clock_timestamp() + interval '1 hour'"
    for name in ("_HELLO", "_CLOCK"):
        sql = getattr(connection, name).replace("clock_timestamp()", ahead)
        monkeypatch.setattr(connection, name, sql)
    with closing(PostgresRepository.open(url)) as repo:
        assert abs(repo.clock() - datetime.now(UTC) - HOUR) < timedelta(minutes=5)


def test_a_server_that_is_silent_counts_as_lost(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_ON_THE_WAY", 0.1)
    with closing(Connection(url, timeout=0.1, statement=0.1)) as db:
        backend = int(db.value("SELECT pg_backend_pid()"))
        os.kill(backend, signal.SIGSTOP)
        try:
            with pytest.raises(StorageError, match="cannot reach"):
                db.look(lambda db: db.value("SELECT 1"))
            assert db.look(lambda db: db.value("SELECT pg_backend_pid()")) != backend
        finally:
            os.kill(backend, signal.SIGCONT)


def test_who_waits_for_hours_waits_for_the_server_too(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, sleep, tries = cluster().server, time.sleep, []

    def start_at_last(seconds: float) -> None:
        tries.append(seconds)
        if len(tries) == 3:
            server.start()
        sleep(seconds)

    with closing(PostgresRepository.open(url, timeout=0.0)) as repo:
        server.stop(signal.SIGQUIT)
        monkeypatch.setattr(time, "sleep", start_at_last)
        with repo.patiently():
            assert repo.get([1]) == {}
    assert len(tries) >= 3


def test_a_session_has_limits_for_everything_that_could_hang(repo: PostgresRepository) -> None:
    def shown(name: str) -> Callable[[Connection], Any]:
        return lambda db: db.value(f"SHOW {name}")

    for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        assert repo._db.look(shown(name)) != "0"
    assert repo._db.look(shown("application_name")) == "queuectl"
    for name in ("connect_timeout", "keepalives_idle", "tcp_user_timeout"):
        assert int(repo._db._parameters[name]) <= 6000


def test_behind_a_pooler_nothing_is_kept_in_a_session(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a transaction pooler does: the session of each transaction is another one's."""
    monkeypatch.setattr(
        connection, "_HELLO", connection._HELLO.replace("pg_backend_pid()", "pg_backend_pid() + 1")
    )
    with closing(PostgresRepository.open(url, timeout=20.0)) as repo:
        assert repo._db.pooled
        assert repo._db._session().prepare_threshold is None
        drive = Driver(repo)
        job = drive.add()
        repo._db._session().execute(b"DISCARD ALL")  # as another client would leave it
        assert drive.claim().job.id == job.id
        repo._db._session().execute(b"DISCARD ALL")
        assert repo.counts().stored != {}
        assert drive.attempts(job)[0].number == 1


# -- roles


def granted(url: str, role: str) -> str:
    """Make a role as docs/postgresql.md says; the URL of somebody who has it."""
    page = (Path(__file__).parents[2] / "docs" / "postgresql.md").read_text(encoding="utf-8")
    grants = page.partition("```sql\n")[2].partition("```")[0]
    with psycopg.connect(url, autocommit=True) as raw:
        if not raw.execute("SELECT 1 FROM pg_roles WHERE rolname = 'queue_view'").fetchall():
            for name in ("view", "add", "work"):
                raw.execute(f"CREATE ROLE some_{name} LOGIN".encode())
        else:
            grants = re.sub(r"CREATE ROLE .*", "", grants)
        raw.execute(grants.encode())
        raw.execute(f"GRANT queue_{role} TO some_{role}".encode())
    return url.replace("postgres@", f"some_{role}@")


def test_who_may_look_sees_all_and_changes_nothing(url: str, repo: PostgresRepository) -> None:
    drive = Driver(repo)
    job = drive.add(labels=["a"])
    with closing(PostgresRepository.open(granted(url, "view"))) as looking:
        assert list(looking.get([job.id])) == [job.id]
        assert looking.counts() == repo.counts()
        assert [each.kind for each in looking.happenings(since=None, limit=9)[0]] == ["added"]
        assert looking.metrics() == repo.metrics()
        assert looking.changed()
        for act in (
            lambda: looking.add([new()], now=NOON),
            lambda: looking.cancel([job.id], user="ada", now=NOON),
        ):
            with pytest.raises(StorageError, match="may not"):
                act()


def test_who_may_add_adds_and_does_nothing_else(url: str, repo: PostgresRepository) -> None:
    drive = Driver(repo)
    with closing(PostgresRepository.open(granted(url, "add"))) as adding_only:
        first = adding_only.add([new(key="a", labels=["l"], queue="q")], now=NOON)[0].id
        second = adding_only.add([new(after_ok=["a"], mutex="m")._replace(origin="x")], now=NOON)[
            0
        ].id
        assert [job.stored for job in adding_only.get([first, second]).values()] == [
            State.READY,
            State.BLOCKED,
        ]
        for act in (
            lambda: adding_only.cancel([first], user="ada", now=NOON),
            lambda: adding_only.settle_and_claim(drive.worker, [], room=1, queues=(), now=NOON),
            lambda: adding_only.pause(["q"], paused=True),
        ):
            with pytest.raises(StorageError, match="may not"):
                act()
    assert drive.claim().job.id == first


def test_who_may_work_does_all_but_change_the_schema(url: str, repo: PostgresRepository) -> None:
    with closing(PostgresRepository.open(granted(url, "work"))) as working:
        drive = Driver(working)
        for state in State:
            drive.job_in(state, labels=["l"]) if state is not State.READY else None
        working.maintain(now=drive.now)
        working.set_retention(HOUR)
        assert len(working.causes(limit=9, wanted=Filter())) == 0
        with pytest.raises(StorageError, match="may not"):
            working._db.write(lambda db: db.run_script("ALTER TABLE job ADD COLUMN x int"))
