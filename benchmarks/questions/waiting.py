"""What people and machines wait for: a start, a wake-up, a lock; and what idleness costs."""

from __future__ import annotations

import multiprocessing
import os
import resource
import select
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from functools import partial
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Final

import queuectl_engine
from benchmarks.harness import Answer, Bench, percentile
from benchmarks.pools import database, own_processes, pool, pss, queue_seconds, run_seconds
from benchmarks.questions.storing import registered
from queuectl_engine import JobState
from queuectl_engine.pool.fork_server import ForkServer
from queuectl_engine.repository import open_repository
from queuectl_engine.repository.protocol import PoolRow
from queuectl_engine.repository.sqlite.connection import Connection

_WAITERS: Final = 4


def ask(bench: Bench) -> list[Answer]:
    """Start-up, wake-up, locks, memory."""
    return [_start(bench), _bell(bench), _wake(bench), _locks(bench), _memory(bench)]


def _start(bench: Bench) -> Answer:
    answer = Answer("`queuectl add x` as a process, CPU time", "ms", "python -c pass")
    with bench.directory() as directory, database(directory) as engine:
        add = ["add", "--db", engine.database.location, "true"]
        python = [sys.executable, "-c", "pass"]
        answer.ask(
            {
                "python -c pass": partial(_time, python),
                "queuectl add": partial(_time, [sys.executable, "-m", "queuectl_engine", *add]),
                "import click": partial(_time, [sys.executable, "-c", "import click"]),
                "queuectl status": partial(
                    _time, [sys.executable, "-m", "queuectl_engine", "status", *add[1:3]]
                ),
            },
            bench.size(21, 5),
        )
    answer.goals["queuectl add"] = "≤ 5.0 ×"
    return answer


def _time(program: list[str]) -> float:
    """Milliseconds of CPU: what else the machine does counts less. Modules are compiled before."""
    environment = {**os.environ, "PYTHONPATH": str(Path(queuectl_engine.__file__).parent.parent)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(program, check=True, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def _wake(bench: Bench) -> Answer:
    answer = Answer("From the commit of an `add` to the start of its command, pool of 4", "ms")
    with bench.directory() as directory, database(directory) as engine:
        fifo = directory / "fifo"
        os.mkfifo(fifo)
        with pool(engine, 4) as found:
            waits: list[float] = []
            for _ in range(bench.size(300, 30)):
                engine.add_lines([f": > {fifo}"])
                began = time.perf_counter()
                with open(fifo, "rb") as told:
                    told.read()
                waits.append((time.perf_counter() - began) * 1000)
                time.sleep(0.01)
            pids = own_processes(found)
            time.sleep(1)
            idle = _idle(pids, bench.size(20, 3))
    answer.figures = {"median": [percentile(waits, 0.5)], "99 %": [percentile(waits, 0.99)]}
    answer.goals = {"median": "≤ 3 ms", "99 %": "≤ 15 ms"}
    answer.text = f"The same pool with nothing to do: {idle:.2f} % of a CPU (goal: ≤ 0.1 %)."
    return answer


def _bell(bench: Bench) -> Answer:
    """Of our bell, and of what would need none: to look again and again."""
    answer = Answer("The wake-up itself: until the first of 4 idle processes is awake", "ms")
    ways = {"the bell": None, "a look each ms": 0.001, "a look each 5 ms": 0.005}
    for name, pause in ways.items():
        waits, idle = _woken(bench, pause)
        answer.figures[f"{name}: median"] = [percentile(waits, 0.5)]
        answer.figures[f"{name}: 99 %"] = [percentile(waits, 0.99)]
        answer.text += f"Idle with {name}: {idle:.2f} % of a CPU. "
    answer.goals["the bell: median"] = "≤ 0.3 ms"
    answer.text += "From before the ring; from the return of the commit for those who look."
    return answer


def _woken(bench: Bench, pause: float | None) -> tuple[list[float], float]:
    """Milliseconds of each wake-up, and what four that wait use of a CPU."""
    context = multiprocessing.get_context("spawn")
    with bench.directory() as directory, database(directory) as engine:
        path = Path(engine.database.location)
        with registered(path, 1) as (repository, _):
            heard: SimpleQueue[int] = context.SimpleQueue()
            (pool_row,) = repository.pools()
            waiters = [
                context.Process(target=_wait_for_news, args=(path, pool_row, pause, heard))
                for _ in range(_WAITERS)
            ]
            for waiter in waiters:
                waiter.start()
            for _ in waiters:
                heard.get()
            waits = []
            for _ in range(bench.size(300, 50)):
                time.sleep(0.012)  # not in step with any of them
                if pause is not None:
                    engine.add_lines(["true"])
                began = time.monotonic_ns()
                if pause is None:
                    repository.ring()
                first = min(heard.get() for _ in range(1 if pause is None else _WAITERS))
                waits.append(max(first - began, 0) / 1e6)
            idle = _idle([waiter.pid or 0 for waiter in waiters], bench.size(10, 2))
            for waiter in waiters:
                waiter.kill()
                waiter.join()
    return waits, idle


def _wait_for_news(
    path: Path, pool_row: PoolRow, pause: float | None, heard: SimpleQueue[int]
) -> None:
    """Say when each news came: as an idle worker hears the bell, or by looking."""
    repository = open_repository(str(path), worker=True)
    bell = repository.wake_fd(pool_row)
    epoll = select.epoll()
    epoll.register(bell, select.EPOLLIN | select.EPOLLEXCLUSIVE)
    repository.changed()
    heard.put(0)
    while True:
        if pause is None:
            epoll.poll()
            now = time.monotonic_ns()
            with suppress(BlockingIOError):
                os.read(bell, 65_536)
        else:
            while not repository.changed():
                time.sleep(pause)
            now = time.monotonic_ns()
        heard.put(now)


def _idle(pids: list[int], seconds: float) -> float:
    """What they use meanwhile, in percent of a CPU."""
    before = run_seconds(pids)
    time.sleep(seconds)
    return (run_seconds(pids) - before) / seconds * 100


def _locks(bench: Bench) -> Answer:
    answer = Answer("The write lock while 8 workers are busy with `true`", "ms")
    whole: list[float] = []
    locks: list[float] = []
    adds: list[float] = []
    with bench.directory() as directory, database(directory) as engine:
        engine.add_lines(["true"] * bench.size(20_000, 2_000))
        with pool(engine, 8), closing(Connection(engine.database.location, timeout=5.0)) as own:
            while engine.counts().of(JobState.PENDING) > len(adds) + 50:
                queued, began = queue_seconds(), time.perf_counter()
                with own.writing():  # and nothing is written, so nothing goes to the disk
                    whole.append((time.perf_counter() - began) * 1000)
                locks.append(max(whole[-1] - (queue_seconds() - queued) * 1000, 0))
                began = time.perf_counter()
                engine.add_lines(["true"])
                adds.append((time.perf_counter() - began) * 1000)
                time.sleep(0.002)
    for name, waits in (
        ("the lock", locks),
        ("and for a processor", whole),
        ("a whole `add`", adds),
    ):
        answer.figures[f"{name}: median"] = [percentile(waits, 0.5)]
        answer.figures[f"{name}: 99 %"] = [percentile(waits, 0.99)]
        answer.figures[f"{name}: worst"] = [max(waits)]
    answer.goals["the lock: worst"] = "≤ 65 ms"
    answer.text = (
        f"{len(adds)} adds of one job each, with their flush to the disk, and before each the lock "
        "alone. Ten processes and their commands share the processors: the time in which we could "
        "run but another process did is in the second three figures, not in the first."
    )
    return answer


def _memory(bench: Bench) -> Answer:
    answer = Answer("Memory of a pool's own processes (PSS)", "MiB")
    with bench.directory() as directory, database(directory) as engine:
        with pool(engine, 16) as found:
            time.sleep(8)  # it has looked by itself, too
            shares = [pss(worker.pid) for worker in engine.find_pool(found.name).workers]
        answer.figures["an idle worker of 16"] = [sum(shares) / len(shares)]
        answer.figures["the same fork of the same server, asleep at once"] = [_asleep(16)]
        jobs = bench.size(500, 100)
        engine.add_lines(["exec sleep 1000"] * jobs)
        with pool(engine, 2, slots=250) as found:
            while engine.counts().of(JobState.PROCESSING) < jobs:
                time.sleep(0.1)
            time.sleep(1)
            answer.figures[f"{jobs} sleeping jobs, 2 × 250"] = [sum(map(pss, own_processes(found)))]
    answer.goals = {"an idle worker of 16": "≤ 5 MiB", "500 sleeping jobs, 2 × 250": "≤ 60 MiB"}
    answer.text = (
        "The second row is what a fork of all that is imported costs before a worker begins."
    )
    return answer


def _asleep(count: int) -> float:
    """MiB of each of so many processes that the fork server of a pool makes for nothing."""
    server = ForkServer()
    pids = [server.fork(time.sleep, 60) for _ in range(count)]
    time.sleep(2)
    share = sum(map(pss, pids)) / count
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    server.close()
    return share
