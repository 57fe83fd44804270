"""Adding in bulk, and settling and claiming without running anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Final

from benchmarks.harness import Answer, Bench
from benchmarks.peers import peer
from benchmarks.pools import database, raced
from queuectl_engine import open_engine
from queuectl_engine.lifecycle import Completed, Exited
from queuectl_engine.repository import open_repository
from queuectl_engine.repository.protocol import Ended, JobRepository, Output, PoolRow, Turn

AT_ONCE: Final = 32  # what a busy worker settles and claims in one turn: see `pool/ahead.py`
_SPARE: Final = 200  # ready jobs of each process that are left, so that it gets so many


def ask(bench: Bench) -> list[Answer]:
    """Both, beside the fastest of the libraries."""
    return [_bulk(bench), _turns(bench, 1), _turns(bench, 4)]


def _bulk(bench: Bench) -> Answer:
    jobs = bench.size(200_000, 20_000)
    answer = Answer("Bulk add of distinct commands, counters kept", "jobs/s", "localqueue, text")
    answer.ask(
        {
            "localqueue, text": partial(
                peer, bench, "localqueue_bulk.py", "localqueue", jobs, "text"
            ),
            "localqueue, dicts": partial(
                peer, bench, "localqueue_bulk.py", "localqueue", jobs, "dict"
            ),
            "add_lines": partial(add_lines, bench, jobs),
            "new_job and add_many": partial(_add_many, bench, jobs),
        },
        bench.rounds,
    )
    answer.goals["add_lines"] = "≥ 250,000 jobs/s, ≥ 1.5 ×"
    answer.text = (
        "localqueue stores a text in one table with one index; a job has 24 columns, two indexes "
        "hold it while it is ready, and every commit is on the disk."
    )
    return answer


def add_lines(
    bench: Bench, jobs: int, prepare: Callable[[Path], None] = lambda path: None
) -> float:
    """Jobs a second, into a new database that was prepared."""
    with bench.directory() as directory:
        path = directory / "q.db"
        open_engine(path, create=True).close()
        prepare(path)
        return _rate(path, jobs)


def _rate(path: Path, jobs: int) -> float:
    with open_engine(path) as engine:
        lines = [f"echo {n}" for n in range(jobs)]
        began = time.perf_counter()
        engine.add_lines(lines)
        return jobs / (time.perf_counter() - began)


def _add_many(bench: Bench, jobs: int) -> float:
    with bench.directory() as directory, open_engine(directory / "q.db", create=True) as engine:
        context = engine.context()
        began = time.perf_counter()
        engine.add_many(engine.new_job(f"echo {n}", context) for n in range(jobs))
        return jobs / (time.perf_counter() - began)


def _turns(bench: Bench, processes: int) -> Answer:
    each = bench.size(3_000, 300) // processes
    title = f"Settle and claim, no command run, {processes} at once"
    answer = Answer(title, "jobs/s", "pulse-queue")
    cases = {
        name: partial(peer, bench, "turns.py", name, name, processes, each)
        for name in ("pulse-queue", "litequeue", "huey")
    }
    busy = f"queuectl, {AT_ONCE} a turn"
    cases["queuectl, one a turn"] = partial(_cycles, bench, processes, each, 1)
    cases[busy] = partial(_cycles, bench, processes, each, AT_ONCE)
    answer.ask(cases, bench.rounds)
    answer.goals[busy] = "≥ 1.5 × pulse-queue, ≥ 3 × litequeue, ≥ 8 × huey"
    answer.text = (
        f"{AT_ONCE} a turn is what a worker does whose jobs are short, one a turn what it does "
        "with all others. A turn settles with history, counters, happenings and limits looked at. "
        "The others take one job at a time; huey acknowledges nothing."
    )
    return answer


def _cycles(bench: Bench, processes: int, each: int, at_once: int) -> float:
    turns = each // at_once
    jobs = processes * turns * at_once
    with bench.directory() as directory, database(directory) as engine:
        engine.add_lines([f"echo {n}" for n in range(jobs + processes * _SPARE)])
        path = Path(engine.database.location)
        return jobs / raced(processes, _work, lambda number: (path, number, turns, at_once))


def _work(path: Path, number: int, turns: int, at_once: int, barrier: Barrier) -> None:
    with registered(path, number) as (repository, worker):
        barrier.wait()
        cycles(repository, worker, turns, at_once=at_once)
        barrier.wait()


@contextmanager
def registered(path: Path, number: int) -> Iterator[tuple[JobRepository, int]]:
    """A repository as a worker opens it, and a worker's id."""
    repository = open_repository(str(path), worker=True)
    now = datetime.now(UTC)
    row = PoolRow(
        name=f"bench-{number}", host="bench", boot="", pid_namespace="", pid=1, is_init=False,
        detached=True, wanted=1, queues=(), directory=f"bench-{number}", log="",
    )  # fmt: skip
    pool = repository.start_pool(row, now=now)
    (repository.run_directory / row.directory).mkdir(parents=True, exist_ok=True)
    try:
        yield repository, repository.start_worker(pool.id, 1, now=now).id
    finally:
        repository.close()


def cycles(
    repository: JobRepository,
    worker: int,
    count: int,
    queues: Sequence[str] = (),
    *,
    at_once: int = 1,
) -> list[float]:
    """Claim and settle in so many turns, `at_once` jobs in each; seconds of each turn."""
    ended: list[Ended] = []
    taken: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        now = datetime.now(UTC)
        turn = repository.settle_and_claim(
            worker, ended, room=1, ahead=at_once - 1, queues=queues, now=now
        )
        taken.append(time.perf_counter() - began)
        ended = completed(turn, now)
    return taken


def completed(turn: Turn, now: datetime) -> list[Ended]:
    """What a turn claimed, as if it had run well."""
    return [Ended(claim.attempt, Exited(0), Completed(), now, Output()) for claim in turn.claims]
