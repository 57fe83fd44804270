"""What a claim, an add, counts and a screen cost when the database grows a thousandfold."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.generator import generate
from benchmarks.harness import Answer, Bench
from benchmarks.questions.storing import cycles, registered
from queuectl_engine import Engine, View, open_engine

_SIZES: Final = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
_OPERATIONS: Final = ("settle and claim", "add", "counts", "first page", "causes", "status")


def ask(bench: Bench) -> list[Answer]:
    """The median of each operation at each size."""
    answer = Answer("Cost against size: median of one operation", "ms")
    for size in _SIZES[: 3 if bench.quick else None]:
        with bench.directory() as directory:
            path = directory / "queue.db"
            began = time.perf_counter()
            generate(path, size)
            made = time.perf_counter() - began
            for name, value in _measured(path, bench.size(400, 60)).items():
                answer.figures.setdefault(f"{name}, {size:,} jobs", []).append(value)
                answer.plot.append({"line": name, "x": size, "y": value})
            answer.text += f"{size:,} jobs were made in {made:.0f} s. "
    answer.goals = dict.fromkeys(
        (f"settle and claim, {size:,} jobs" for size in _SIZES), "≤ 2 × that at 10,000"
    )
    return [answer]


def _measured(path: Path, times: int) -> dict[str, float]:
    with registered(path, 1) as (repository, worker):
        turns = cycles(repository, worker, times)
    found = {"settle and claim": median(turns) * 1000}
    with open_engine(path) as engine:
        works: dict[str, Callable[[], object]] = {
            "add": partial(engine.add_lines, ["true"]),
            "counts": engine.counts,
            "first page": partial(engine.page, View.PENDING, limit=50),
            "causes": engine.causes,
            "status": partial(_status, engine),
        }
        found |= {name: _median(work, times) for name, work in works.items()}
    return {name: found[name] for name in _OPERATIONS}


def _status(engine: Engine) -> None:
    engine.counts()
    engine.queues()
    engine.pools()


def _median(work: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return median(taken) * 1000
