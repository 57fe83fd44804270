"""What a terminal gets to read, and what drawing costs: ours beside a stock DataTable."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from benchmarks.harness import Answer, Bench, percentile
from benchmarks.pools import database
from benchmarks.questions.storing import registered
from benchmarks.terminal import Terminal
from queuectl_engine import Engine
from queuectl_engine.cause import Signature
from queuectl_engine.lifecycle import Completed, Dead, Exited
from queuectl_engine.pool.locks import SUPERVISOR, HeldLock
from queuectl_engine.repository.protocol import Claim, Ended, JobRepository, Output

OURS: Final = "queuectl-tui"
_STOCK: Final = "stock DataTable, clear and add rows"
_WAYS: Final = {
    _STOCK: ("-m", "benchmarks.other_screens", "rows"),
    "stock DataTable, update_cell": ("-m", "benchmarks.other_screens", "cells"),
    "queuectl-tui, all lines drawn": ("-m", "benchmarks.other_screens", "whole"),
    OURS: ("-m", "queuectl_tui", "--db"),
}
_SIZES: Final = ((80, 24), (160, 50))
A_SECOND: Final = 100  # changes
_RUNNING: Final = 5
_PAUSE: Final = 0.1  # seconds without a byte between two refreshes; they are a quarter apart
_DOWN: Final = b"\x1b[B"
_PAGE_DOWN: Final = b"\x1b[6~"
_LINE: Final = "one line down, with its detail"
_PAGE: Final = "one page down"
_FIVE: Final = "five changed rows"
_A_JOB: Final = b"make target-"


class _Cost(NamedTuple):
    """Of one refresh."""

    written: float
    cpu_ms: float


def ask(bench: Bench) -> list[Answer]:
    """A hundred changes a second; then single acts in a terminal of the size of our budgets."""
    return [
        *(answer for size in _SIZES for answer in _refreshes(bench, *size)),
        *_acts(bench),
    ]


def _refreshes(bench: Bench, width: int, height: int) -> tuple[Answer, Answer]:
    """Bytes and CPU time of the same refreshes: every case on a database of its own."""
    title = f"One refresh at {width} × {height}, {A_SECOND} jobs a second end"
    written = Answer(f"{title}: bytes written", "bytes", _STOCK)
    cpu = Answer(f"{title}: CPU time", "ms", _STOCK)
    for _ in range(bench.size(3, 1)):
        for name, program in _WAYS.items():
            cost = _cost(bench, program, width, height)
            written.figures.setdefault(name, []).append(cost.written)
            cpu.figures.setdefault(name, []).append(cost.cpu_ms)
    cpu.text = "SQL included; all of them look four times a second."
    return written, cpu


def _cost(bench: Bench, program: tuple[str, ...], width: int, height: int) -> _Cost:
    seconds = bench.size(10, 3)
    with queue(bench, 5_000 + seconds * A_SECOND) as engine:
        path = Path(engine.database.location)
        with (
            changing(path) as change,
            Terminal([*program, str(path)], path.parent, width, height) as terminal,
        ):
            terminal.shows(_A_JOB)
            terminal.quiet()
            written, used = terminal.written, terminal.cpu()
            refreshes = watch(terminal, change, seconds)
            return _Cost(
                (terminal.written - written) / refreshes,
                (terminal.cpu() - used) * 1000 / refreshes,
            )


def watch(terminal: Terminal, change: Changes, seconds: float) -> int:
    """Change and read for so many seconds; how many bursts of bytes there were."""
    began = time.monotonic()
    bursts, last = 0, 0.0
    for number in range(int(seconds * A_SECOND)):
        change.one()
        while (left := began + number / A_SECOND - time.monotonic()) > 0:
            if terminal.read(left):
                now = time.monotonic()
                bursts += now - last > _PAUSE
                last = now
    return max(bursts, 1)


class Changes:
    """A pool that ends a job and begins another each time it is told: one in ten dies."""

    def __init__(self, repository: JobRepository, worker: int) -> None:
        self._repository = repository
        self._worker = worker
        self._ended = 0
        self._running: deque[Claim] = deque()
        self._turn([], _RUNNING)

    def one(self) -> None:
        """One transaction, as a worker's turn is."""
        claim = self._running.popleft()
        self._ended += 1
        dies = self._ended % 10 == 0
        now = datetime.now(UTC)
        why = Signature("make", "exit 1", "No rule to make target") if dies else None
        ended = Ended(
            claim.attempt, Exited(int(dies)), Dead("exit 1") if dies else Completed(), now,
            Output(), why,
        )  # fmt: skip
        self._turn([ended], 1)

    def _turn(self, ended: list[Ended], room: int) -> None:
        now = datetime.now(UTC)
        turn = self._repository.settle_and_claim(
            self._worker, ended, room=room, queues=(), now=now, running=len(self._running)
        )
        self._running += turn.claims


@contextmanager
def changing(path: Path) -> Iterator[Changes]:
    """A pool that looks alive, as far as anybody else can see."""
    with registered(path, 1) as (repository, worker):
        lock = HeldLock.take(repository.run_directory / "bench-1" / SUPERVISOR)
        assert lock is not None
        try:
            yield Changes(repository, worker)
        finally:
            lock.release()


@contextmanager
def queue(bench: Bench, jobs: int) -> Iterator[Engine]:
    """So many jobs that wait, each with a command of its own."""
    with bench.directory() as directory, database(directory) as engine:
        engine.add_lines([f"make target-{n} --jobs 4" for n in range(jobs)])
        yield engine


def _acts(bench: Bench) -> tuple[Answer, Answer]:
    """Each act by itself, while nothing else happens, at 120 × 43."""
    written = Answer("What one act writes at 120 × 43", "bytes")
    waited = Answer("How long one act takes until the terminal gets the first of it", "ms")
    for name, program in ((OURS, _WAYS[OURS]), ("stock DataTable", _WAYS[_STOCK])):
        with queue(bench, 500) as engine:
            path = Path(engine.database.location)
            starts: list[float] = []
            found: dict[str, list[tuple[float, int]]] = {}
            for _ in range(bench.size(5, 2)):
                with Terminal([*program, str(path)], path.parent, 120, 43) as terminal:
                    starts.append(terminal.shows(_A_JOB) * 1000)
                    terminal.quiet()
                    written.figures[f"start, {name}"] = [float(terminal.written)]
                    found = {_LINE: [terminal.press(_DOWN) for _ in range(bench.size(30, 5))]}
                    if name == OURS:
                        found[_PAGE] = [terminal.press(_PAGE_DOWN) for _ in range(8)]
                        terminal.press(b"\x1b[H")
                    found[_FIVE] = [terminal.after(partial(_edit_five, engine))]
            waited.figures[f"start to first job, {name}"] = [median(starts)]
            for act, each in found.items():
                written.figures[f"{act}, {name}"] = [median(size for _, size in each)]
                if act != _FIVE:
                    times = [taken * 1000 for taken, _ in each]
                    waited.figures[f"{act}, {name}: median"] = [median(times)]
                    waited.figures[f"{act}, {name}: 99 %"] = [percentile(times, 0.99)]
    written.goals = {
        f"start, {OURS}": "≤ 20,000",
        f"{_LINE}, {OURS}": "≤ 400 + 2,000",
        f"{_PAGE}, {OURS}": "≤ 7,500",
        f"{_FIVE}, {OURS}": "≤ 2,000",
    }
    written.text = (
        "The stock table has no detail that follows the cursor, no footer that changes, and only "
        "the rows that fit, so no page to turn."
    )
    return written, waited


def _edit_five(engine: Engine) -> None:
    for job in range(3, 8):
        engine.edit(job, queue="mail" if engine.get(job).queue == "default" else "default")
