"""Between a bare launcher and a pool: each case does what the one before does, and a thing more.

So the loss from one to the next is the price of that thing.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Final, cast

import apsw

from benchmarks.harness import Answer, Bench, Case
from benchmarks.pools import database, raced
from benchmarks.questions.runners import pool_rate, xargs_rate
from benchmarks.questions.storing import AT_ONCE, completed, registered
from queuectl_engine.repository.protocol import Ended

_SPARE: Final = 200  # jobs that are claimed and not counted

_SIGNALS: Final = frozenset(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
OneJob = Callable[[], None]


@dataclass(frozen=True)
class _Job:
    """What each launcher runs again and again, and where it says so."""

    directory: Path
    line: str
    synchronous: str
    environment: dict[str, str]  # to read os.environ takes as long as a small transaction

    @property
    def argv(self) -> list[str]:
        """Without a shell for a program."""
        return [self.line] if os.sep in self.line else ["/bin/sh", "-c", self.line]

    def run(self) -> None:
        """As a job of ours is run: in a session of its own, with pipes, until it has ended."""
        out, to_out = os.pipe2(os.O_CLOEXEC)
        err, to_err = os.pipe2(os.O_CLOEXEC)
        argv = self.argv
        pid = os.posix_spawn(
            argv[0],
            argv,
            self.environment,
            file_actions=((os.POSIX_SPAWN_DUP2, to_out, 1), (os.POSIX_SPAWN_DUP2, to_err, 2)),
            setsid=True,
            setsigmask=(),
            setsigdef=_SIGNALS,
        )
        os.close(to_out)
        os.close(to_err)
        pidfd = os.pidfd_open(pid)
        ends = select.poll()
        ends.register(pidfd, select.POLLIN)
        ends.poll()
        for pipe in (out, err):
            while os.read(pipe, 65_536):
                pass
            os.close(pipe)
        os.close(pidfd)
        _wait(pid)


def ask(bench: Bench) -> list[Answer]:
    """Beside `xargs`: of a builtin, of a program, with each commit on the disk; two, then four."""
    return [
        _steps(bench, "true", "NORMAL", 2),
        _steps(bench, "/bin/true", "NORMAL", 2),
        _steps(bench, "true", "FULL", 2),
        _steps(bench, "echo hello", "NORMAL", 4),
        _steps(bench, "/bin/true", "NORMAL", 4),
    ]


def _steps(bench: Bench, line: str, synchronous: str, launchers: int) -> Answer:
    jobs = bench.size(3000, 400)
    base = f"xargs -P{launchers}"
    durability = "full" if synchronous == "FULL" else "standard"
    title = (
        f"From a bare launcher to a pool: `{line}`, {launchers} at once, {durability} durability"
    )
    answer = Answer(title, "jobs/s", base)
    cases: dict[str, Case] = {base: partial(xargs_rate, bench, line, launchers, jobs)}
    for name, step in STEPS.items():
        cases[name] = partial(_rate, bench, step, jobs, line, synchronous, launchers)
    cases["queuectl"] = partial(pool_rate, bench, line, launchers, 1, jobs, durability)
    answer.ask(cases, bench.rounds)
    answer.text = (
        "All but `xargs` start the line from Python with posix_spawn, without a shell where it "
        "needs none. The bare transaction has one table of four columns, one index, no history, no "
        "counters and no checks. Between the last two lie output, times, signals, the log and "
        "environments. A pool claims so many in a turn once its jobs have been short for a while."
    )
    return answer


def _rate(bench: Bench, step: str, jobs: int, line: str, synchronous: str, launchers: int) -> float:
    durability = "full" if synchronous == "FULL" else "standard"
    with bench.directory() as directory, database(directory, durability) as engine:
        engine.add_lines([line] * (jobs + _SPARE))
        _make_bare(directory / "bare.db", jobs + _SPARE)
        job = _Job(directory, line, synchronous, dict(os.environ))
        return jobs / raced(launchers, _launch, lambda n: (step, job, n, jobs // launchers))


def _launch(step: str, job: _Job, number: int, each: int, barrier: Barrier) -> None:
    with _MAKE[step](job, number) as one_job:
        barrier.wait()
        for _ in range(each):
            one_job()
        barrier.wait()


@contextmanager
def _bare(job: _Job, _: int) -> Iterator[OneJob]:
    to_nobody = ((os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),)
    yield lambda: _wait(
        os.posix_spawn(job.argv[0], job.argv, job.environment, file_actions=to_nobody)
    )


@contextmanager
def _isolated(job: _Job, _: int) -> Iterator[OneJob]:
    yield job.run


@contextmanager
def _stored(job: _Job, _: int) -> Iterator[OneJob]:
    """Settle and claim as plainly as it can be done."""
    connection = apsw.Connection(str(job.directory / "bare.db"))
    connection.set_busy_timeout(10_000)
    connection.execute(f"PRAGMA synchronous = {job.synchronous}")
    number = 0

    def one() -> None:
        nonlocal number
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE job SET state = 'done', token = NULL WHERE id = ?", (number,))
        ((found, _),) = connection.execute(
            "SELECT id, command FROM job WHERE state = 'ready' ORDER BY priority, id LIMIT 1"
        ).fetchall()
        number, token = cast(int, found), os.urandom(16).hex()
        connection.execute("UPDATE job SET state = 'run', token = ? WHERE id = ?", (token, number))
        connection.execute("COMMIT")
        job.run()

    yield one
    connection.close()


@contextmanager
def _turning(job: _Job, number: int, *, at_once: int = 1) -> Iterator[OneJob]:
    """Settle and claim as a worker does, so many in a turn."""
    with registered(job.directory / "queue.db", number) as (repository, worker):
        ended: list[Ended] = []
        left = 0

        def one() -> None:
            nonlocal left
            if not left:
                now = datetime.now(UTC)
                turn = repository.settle_and_claim(
                    worker, ended, room=1, ahead=at_once - 1, queues=(), now=now
                )
                ended[:], left = completed(turn, now), len(turn.claims)
            job.run()
            left -= 1

        yield one


_MAKE: Final[Mapping[str, Callable[[_Job, int], AbstractContextManager[OneJob]]]] = {
    "bare": _bare,
    "isolated": _isolated,
    "stored": _stored,
    "turning": _turning,
    "busy": partial(_turning, at_once=AT_ONCE),
}
STEPS: Final = {
    "posix_spawn and wait": "bare",
    "… a session, default signals, two pipes, a pidfd": "isolated",
    "… settle and claim in one bare transaction": "stored",
    "… in a worker's turn instead": "turning",
    f"… in a worker's turn for {AT_ONCE} jobs": "busy",
}


def _wait(pid: int) -> None:
    os.wait4(pid, 0)


def _make_bare(path: Path, jobs: int) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN")
        connection.execute(
            "CREATE TABLE job (id INTEGER PRIMARY KEY, state TEXT, priority INTEGER, token TEXT,"
            " command TEXT);"
            "CREATE INDEX ready ON job (priority, id) WHERE state = 'ready';"
        )
        connection.executemany(
            "INSERT INTO job (state, priority, command) VALUES ('ready', 0, ?)", [("true",)] * jobs
        )
        connection.execute("COMMIT")
