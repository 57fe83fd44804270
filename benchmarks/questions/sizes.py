"""What a claim, an add, counts and a screen cost when the database grows a thousandfold."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.generator import Shares, generate
from benchmarks.harness import Answer, Bench
from benchmarks.questions.storing import cycles, registered
from benchmarks.terminal import Terminal
from queuectl_engine import Engine, View, open_engine

_SIZES: Final = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
_OPERATIONS: Final = ("settle and claim", "add", "counts", "first page", "causes", "status")
_MIX: Final = "40 % ready, 40 % completed, 10 % for later, 5 % dead, 5 % ready in another queue"
_SMALL: Final = "10,000 pending"
# All but the first two have one ready job in a hundred, so that there is one to claim.
_SHAPES: Final = {
    _SMALL: (10_000, Shares(ready=100)),
    "10 million pending": (10_000_000, Shares(ready=100)),
    "10 million completed": (10_101_010, Shares(ready=1, done=99)),
    "1 million for later at a higher priority": (1_010_101, Shares(ready=1, later=99)),
    "900,000 of another queue": (909_090, Shares(ready=1)),
}
_KEYS: Final = {"End, Home": (b"\x1b[F", b"\x1b[H"), "PgDn, Home": (b"\x1b[6~", b"\x1b[H")}


def ask(bench: Bench) -> list[Answer]:
    """The median of each operation at each size; keys of the screen; claims in awkward crowds."""
    costs = Answer("Cost against size: median of one operation", "ms")
    screen = Answer("The screen against size: CPU time of one key, and memory", "ms, MiB")
    costs.text = (
        f"Of the jobs are {_MIX}. A page is fifty of them, made into objects, which takes longer"
        " than its SQL. "
    )
    for size in _SIZES[: 3 if bench.quick else None]:
        with bench.directory() as directory:
            path = directory / "queue.db"
            began = time.perf_counter()
            generate(path, size)
            made = time.perf_counter() - began
            for name, value in _measured(path, bench.size(400, 60)).items():
                costs.figures.setdefault(f"{name}, {size:,} jobs", []).append(value)
                costs.plot.append({"line": name, "x": size, "y": value})
            for name, value in _keyed(path, bench.size(20, 5)).items():
                screen.figures[f"{name}, {size:,} jobs"] = [value]
            costs.text += f"{size:,} jobs were made in {made:.0f} s. "
    for size in _SIZES:
        costs.goals[f"settle and claim, {size:,} jobs"] = "≤ 2 × that at 10,000"
        costs.goals |= {f"{name}, {size:,} jobs": "< 1 ms" for name in _OPERATIONS[2:]}
        screen.goals |= {f"{name}, {size:,} jobs": "≤ 50 ms" for name in _KEYS}
        screen.goals[f"memory, {size:,} jobs"] = "≤ 60 MiB"
    return [costs, screen, _shapes(bench)]


def _shapes(bench: Bench) -> Answer:
    """Claims of the queue `default` alone, in what naive designs wade through."""
    answer = Answer("Settle and claim in awkward crowds, median", "ms", _SMALL)
    with bench.directory() as directory:
        cases: dict[str, Callable[[], float]] = {}
        for number, (name, (size, shares)) in enumerate(_SHAPES.items()):
            path = directory / f"{number}.db"
            generate(path, size if name == _SMALL else size // bench.size(1, 100), shares)
            cases[name] = partial(_claims, path, bench.size(400, 30), ("default",))
            answer.goals[name] = "" if name == _SMALL else "≤ 2 ×"
        answer.ask(cases, bench.rounds)
    if bench.quick:
        answer.text = "A quick run: all but the first have a hundredth of the jobs."
    return answer


def _claims(path: Path, times: int, queues: tuple[str, ...] = ()) -> float:
    with registered(path, 1) as (repository, worker):
        cycles(repository, worker, times // 10, queues=queues)  # until pages are in memory
        return median(cycles(repository, worker, times, queues=queues)) * 1000


def _keyed(path: Path, times: int) -> dict[str, float]:
    """Milliseconds of CPU for one key with all that follows, and MiB."""
    found = {}
    program = ["-m", "queuectl_tui", "--db", str(path)]
    with Terminal(program, path.parent, 120, 43) as terminal:
        terminal.shows(b"echo ")
        terminal.quiet()
        for name, keys in _KEYS.items():
            before = terminal.cpu()
            for _ in range(times):
                for key in keys:
                    terminal.press(key)
            found[name] = (terminal.cpu() - before) * 1000 / times / len(keys)
        found["memory"] = terminal.memory()
    return found


def _measured(path: Path, times: int) -> dict[str, float]:
    found = {"settle and claim": _claims(path, times)}
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
