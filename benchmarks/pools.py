"""Real pools for the questions: started in the background, watched, stopped."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from queuectl_engine import Engine, JobState, PoolInfo, open_engine

_PROGRAM: Final = [sys.executable, "-m", "queuectl_engine"]


@contextmanager
def database(directory: Path, durability: str = "standard") -> Iterator[Engine]:
    """An empty one, open."""
    path = directory / "queue.db"
    command("initdb", "--db", str(path), "--durability", durability)
    with open_engine(path) as engine:
        yield engine


@contextmanager
def pool(engine: Engine, workers: int, slots: int = 1) -> Iterator[PoolInfo]:
    """A pool in the background; stopped at once afterwards."""
    found = engine.start_pool(name="bench", workers=workers, slots=slots)
    try:
        yield found
    finally:
        engine.stop_pool("bench", now=True)


def raced(
    count: int, target: Callable[..., None], args: Callable[[int], tuple[object, ...]]
) -> float:
    """Seconds that so many processes take together, from when all are ready to the last one's end.

    `args` gives what each gets, by its number from 1 on; after that comes a barrier, at which it
    waits before its work and after it.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(count + 1)
    processes = [
        context.Process(target=target, args=(*args(number), barrier))
        for number in range(1, count + 1)
    ]
    for process in processes:
        process.start()
    barrier.wait()
    began = time.perf_counter()
    barrier.wait()
    taken = time.perf_counter() - began
    for process in processes:
        process.join()
    return taken


def command(*arguments: str) -> None:
    """Run the program to its end."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([*_PROGRAM, *arguments], check=True, capture_output=True, env=environment)


def wait_for(engine: Engine, count: int) -> None:
    """Until so many jobs are completed."""
    while engine.counts().of(JobState.COMPLETED) < count:
        time.sleep(0.05)


def steady_rate(engine: Engine) -> float:
    """Jobs a second between a tenth and nine tenths of all ends, by the times in the history."""
    database = apsw.Connection(engine.database.location, flags=apsw.SQLITE_OPEN_READONLY)
    ends: list[int] = [
        row[0] for row in database.execute("SELECT ended_ms FROM attempt ORDER BY ended_ms")
    ]
    database.close()
    first, last = len(ends) // 10, len(ends) * 9 // 10
    return (last - first) / max(ends[last] - ends[first], 1) * 1000


def own_processes(pool: PoolInfo) -> list[int]:
    """The supervisor, its workers, and what they are forked from."""
    pids = {pool.pid, *(worker.pid for worker in pool.workers)}
    helpers = {_parent(worker.pid) for worker in pool.workers}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and _parent(int(entry.name)) == pool.pid:
            helpers.add(int(entry.name))
    return sorted(pids | helpers)


def cpu_seconds(pids: list[int]) -> float:
    """What they have used so far, in user and system mode."""
    return sum(sum(map(int, _stat(pid)[11:13])) for pid in pids) / os.sysconf("SC_CLK_TCK")


def run_seconds(pids: list[int]) -> float:
    """The same of processes with one thread, to the nanosecond: for those that do very little."""
    return sum(_schedstat(pid)[0] for pid in pids)


def queue_seconds() -> float:
    """How long this process could have run, and waited for a processor, so far."""
    return _schedstat(os.getpid())[1]


def _schedstat(pid: int) -> list[float]:
    text = Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii")
    return [int(field) / 1e9 for field in text.split()]


def pss(pid: int) -> float:
    """Its share of memory in MiB: what several processes map is divided among them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _parent(pid: int) -> int:
    stat = _stat(pid)
    return int(stat[1]) if stat else 0


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []
