"""Moving a file to a server: all of it comes over, whatever ends the move in between."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final

import psycopg
import pytest

from queuectl_engine.errors import BadInput, NotAQueue, QueuectlError, StorageBusy, StorageError
from queuectl_engine.hook import Hook, HookEvent
from queuectl_engine.job import Context, State
from queuectl_engine.lifecycle import Exited
from queuectl_engine.pool.locks import SUPERVISOR, HeldLock
from queuectl_engine.repository import cancel_move, move_database, moving, open_repository
from queuectl_engine.repository.postgres import PostgresRepository
from queuectl_engine.repository.protocol import JobRepository
from queuectl_engine.schedule import new_schedule
from tests.postgres import cluster
from tests.repository.driver import Driver, output_of
from tests.samples import HOUR, NOON, new

HOW_MANY: Final = 40


@pytest.fixture
def url() -> Iterator[str]:
    """A database without a queue."""
    server = cluster().server
    name = server.database()
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A database that holds something of everything; nothing runs."""
    path = str(tmp_path / "queue.db")
    with closing(open_repository(path, create=True)) as repo:
        fill(repo)
    return path


def fill(repo: JobRepository) -> None:
    """Jobs in every state with history, and all that there is beside jobs."""
    drive = Driver(repo)
    ends = [drive.job_in(state) for state in State if state is not State.PROCESSING]
    first = drive.add("echo one", key="first", labels=("ci", "night"), mutex="m", queue="mail")
    drive.add("echo after", after_ok=(first.id,), key="x\u00e9 \U0001f642")
    repo.add([new(f"echo {n}") for n in range(HOW_MANY)], now=NOON)
    claim = drive.claim("mail")
    drive.say(claim, "hello\n", "\0binary\xff\n")
    drive.end(claim, Exited(3), output_of("bye\n", first=2))
    repo.pause(["mail"], paused=True)
    repo.limit(["mail"], 3)
    repo.limit(None, 100)
    repo.set_retention(timedelta(days=30))
    context = Context("/", 0o22)
    repo.set_hook(Hook("mail", HookEvent.ON_DEAD, "echo dead", None, timedelta(seconds=5), context))
    nightly = new_schedule("0 3 * * *", new("make backup"), now=NOON, name="nightly")
    repo.add_schedule(nightly, now=NOON)
    assert ends
    assert first.mutex == "m"
    repo.end_pool(drive.pool.id)


def all_of(repo: JobRepository) -> object:
    """All that a database tells of itself."""
    jobs = repo.get(range(1, HOW_MANY * 3))
    return (
        jobs,
        {number: repo.attempts(number) for number in jobs},
        {number: repo.events(number) for number in jobs},
        {
            (number, attempt.number): repo.output(number, attempt.number)
            for number in jobs
            for attempt in repo.attempts(number)
        },
        {number: repo.needs(number) for number in jobs},
        {number: repo.context(job.context_id) for number, job in jobs.items()},
        repo.counts(),
        repo.queues(),
        repo.labels(limit=10),
        repo.schedules(),
        repo.hooks(),
        repo.retention(),
        repo.happenings(since=None, limit=1_000),
    )


def looked_at(file: str) -> object:
    """The same of the file, which nobody writes any more."""
    with closing(open_repository(file, read_only=True)) as repo:
        return all_of(repo)


def hear_nothing(_table: str, _rows: int) -> None:
    """Progress."""


def test_all_of_it_comes_over_and_goes_on_there(file: str, url: str) -> None:
    rows = move_database(file, url, tell=hear_nothing)

    assert rows["job"] > HOW_MANY
    with closing(PostgresRepository.open(url)) as repo:
        assert all_of(repo) == looked_at(file)
        newest = max(repo.get(range(1, HOW_MANY * 3)))
        (added,) = repo.add([new()], now=NOON)
        assert added.id > newest
        drive = Driver(repo)
        assert drive.claimed("default")
        drive.requeue(drive.get(repo.find_keys(["first"])["first"]))
        assert repo.find_keys(["first"])


def test_a_move_that_ends_after_any_batch_goes_on_there(
    file: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "_BATCH", 7)
    monkeypatch.setattr(moving, "_OUTPUT_BATCH", 1)
    ends = 0

    def die(_table: str, _rows: int) -> None:
        raise KeyboardInterrupt

    while True:
        try:
            move_database(file, url, tell=die)
            break
        except KeyboardInterrupt:
            ends += 1
            with pytest.raises(NotAQueue, match="being filled"):
                PostgresRepository.open(url)

    assert ends > HOW_MANY / 7 + 16
    with closing(PostgresRepository.open(url)) as repo:
        assert all_of(repo) == looked_at(file)


def test_a_move_that_is_killed_goes_on(file: str, url: str) -> None:
    script = """
import os, signal, sys
from queuectl_engine.repository import move_database
seen = []
def tell(table, rows):
    seen.append(table)
    if len(seen) == 6:
        os.kill(os.getpid(), signal.SIGKILL)
move_database(sys.argv[1], sys.argv[2], tell=tell)
"""
    done = subprocess.run([sys.executable, "-c", script, file, url], check=False)
    assert done.returncode == -signal.SIGKILL

    move_database(file, url, tell=hear_nothing)

    with closing(PostgresRepository.open(url)) as repo:
        assert all_of(repo) == looked_at(file)


def test_the_file_says_where_its_jobs_are(file: str, url: str) -> None:
    with closing(open_repository(file)) as open_before:
        move_database(file, url, tell=hear_nothing)
        with pytest.raises(StorageError, match="was moved to postgresql"):
            open_before.add([new()], now=NOON)
    with closing(open_repository(file)) as repo:
        with pytest.raises(QueuectlError, match="was moved to postgresql"):
            repo.add([new()], now=NOON)
        assert repo.get([1])
    before = move_database(file, url, tell=hear_nothing)
    assert move_database(file, url, tell=hear_nothing) == before


def test_nothing_moves_while_anything_runs(file: str, url: str, tmp_path: Path) -> None:
    pool = tmp_path / "queue.db.d" / "pool"
    pool.mkdir(parents=True)
    lock = HeldLock.take(pool / SUPERVISOR)
    assert lock is not None
    with pytest.raises(StorageBusy, match="runs on"):
        move_database(file, url, tell=hear_nothing)
    lock.release(remove=True)
    with closing(open_repository(file)) as repo:
        drive = Driver(repo)
        drive.claim("default")
    with pytest.raises(StorageError, match="in processing"):
        move_database(file, url, tell=hear_nothing)
    with closing(open_repository(file)) as repo:
        repo.add([new()], now=NOON + HOUR)


def test_only_an_empty_database_is_filled(file: str, url: str, tmp_path: Path) -> None:
    used = cluster().queue()
    with closing(PostgresRepository.open(used)) as repo:
        repo.add([new()], now=NOON)
    with pytest.raises(BadInput, match="in use already"):
        move_database(file, used, tell=hear_nothing)
    move_database(file, url, tell=hear_nothing)
    other = str(tmp_path / "other.db")
    open_repository(other, create=True).close()
    with pytest.raises(BadInput, match="another file"):
        move_database(other, url, tell=hear_nothing)


def test_a_move_can_be_taken_back_until_it_is_finished(file: str, url: str) -> None:
    before = looked_at(file)

    def die(_table: str, _rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move_database(file, url, tell=die)
    with closing(open_repository(file)) as repo, pytest.raises(QueuectlError, match="--cancel"):
        repo.add([new()], now=NOON)

    cancel_move(file, url)

    assert looked_at(file) == before
    with closing(open_repository(file)) as repo:
        repo.add([new()], now=NOON)
    with pytest.raises(BadInput, match="no move"):
        cancel_move(file, url)
    move_database(file, url, tell=hear_nothing)
    with pytest.raises(BadInput, match="not taken back"):
        cancel_move(file, url)


def test_rows_that_went_missing_are_noticed(
    file: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_one(table: str, _rows: int) -> None:
        if table == "happening":
            with psycopg.connect(url, autocommit=True) as raw:
                raw.execute("DELETE FROM queuectl.event WHERE id = 1")

    with pytest.raises(StorageError, match="rows of event"):
        move_database(file, url, tell=lose_one)
    with pytest.raises(NotAQueue, match="being filled"):
        PostgresRepository.open(url)


def test_no_table_is_forgotten(file: str) -> None:
    """What counts, who runs here, and what the database says of itself is made anew there."""
    made_anew = {"counter", "label", "job_label", "label_counter", "pool", "worker"}
    described = {"meta", "tallied"}
    with closing(open_repository(file)) as repo:
        rows = repo._db.run(  # type: ignore[attr-defined]
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    assert {name for (name,) in rows} - made_anew - described == set(moving._KEYS)
