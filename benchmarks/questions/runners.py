"""Jobs a second of real commands, beside the programs that people run commands with."""

from __future__ import annotations

import shutil
import subprocess
import time
from functools import partial
from typing import Final

from benchmarks.harness import Answer, Bench, Case, Skip
from benchmarks.pools import command, database, pool, steady_rate, wait_for

BOUND: Final = """The launch of the process bounds all of this; "From a bare launcher
to a pool", below, has what the rest costs. `xargs` gets `sh -c` in every row, as it knows no lines
of shell; a pool runs `/bin/true` without one."""


def ask(bench: Bench) -> list[Answer]:
    """Steady runs of three commands, and everything counted."""
    return [
        *(_steady(bench, line, workers) for line in LINES for workers in (2, 4)),
        _full(bench),
        _all_in(bench),
    ]


LINES: Final = {"true": 1.0, "echo hello": 0.95, "/bin/true": 1.8}


def _steady(bench: Bench, line: str, workers: int) -> Answer:
    jobs = bench.size(6000, 400)
    answer = Answer(f"Steady run of `{line}`, {workers} at once", "jobs/s", f"xargs -P{workers}")
    cases: dict[str, Case] = {
        f"xargs -P{workers}": partial(xargs_rate, bench, line, workers, jobs),
        "queuectl": partial(pool_rate, bench, line, workers, 1, jobs),
        _slotted(workers // 2): partial(pool_rate, bench, line, workers // 2, 4, jobs),
    }
    if line == "true":
        few = jobs // 4
        cases["GNU parallel"] = partial(_parallel, bench, line, workers, few)
        cases["task-spooler"] = partial(_spooler, bench, line, workers, min(few, 500))
    answer.ask(cases, bench.rounds)
    answer.goals["queuectl"] = f"≥ {LINES[line]:.2f} ×"
    answer.text = BOUND
    return answer


def _slotted(workers: int) -> str:
    return f"queuectl, {workers} × --slots 4"


def _full(bench: Bench) -> Answer:
    jobs = bench.size(2000, 300)
    answer = Answer("`durability=full`, `true`, 2 workers", "jobs/s", "xargs -P2")
    one = partial(pool_rate, bench, "true", 2, 1, jobs, durability="full")
    slots = partial(pool_rate, bench, "true", 2, 4, jobs, durability="full")
    answer.ask(
        {
            "xargs -P2": partial(xargs_rate, bench, "true", 2, jobs),
            "queuectl": one,
            _slotted(2): slots,
        },
        bench.rounds,
    )
    answer.goals = {"queuectl": "≥ 0.60 ×", _slotted(2): "≥ 0.85 ×"}
    answer.text = (
        "Each turn of a worker waits for the disk; with slots, jobs that end together wait once."
    )
    return answer


def _all_in(bench: Bench) -> Answer:
    jobs = bench.size(10_000, 1_000)
    answer = Answer(
        f"All in: add {jobs}, start, run `true`, stop; 2 at once", "jobs/s", "xargs -P2"
    )
    answer.ask(
        {
            "xargs -P2": partial(xargs_rate, bench, "true", 2, jobs),
            "queuectl": partial(_whole, bench, "true", 2, jobs),
        },
        bench.rounds,
    )
    answer.goals["queuectl"] = "≥ 0.90 ×"
    return answer


def xargs_rate(bench: Bench, line: str, workers: int, jobs: int) -> float:
    """Jobs a second of xargs, from its start to its end."""
    numbers = "\n".join(map(str, range(jobs)))
    with bench.directory() as directory, open(directory / "out", "w", encoding="utf-8") as out:
        began = time.perf_counter()
        run = ["xargs", f"-P{workers}", "-n1", "sh", "-c", line]
        subprocess.run(run, input=numbers, text=True, stdout=out, check=True)
        return jobs / (time.perf_counter() - began)


def _parallel(bench: Bench, line: str, workers: int, jobs: int) -> float:
    if shutil.which("parallel") is None:
        raise Skip("GNU parallel is not installed (Debian: parallel)")
    with bench.directory() as directory, open(directory / "out", "w", encoding="utf-8") as out:
        began = time.perf_counter()
        run = ["parallel", f"-j{workers}", "--will-cite"]
        subprocess.run(run, input=f"{line}\n" * jobs, text=True, stdout=out, check=True)
        return jobs / (time.perf_counter() - began)


def _spooler(bench: Bench, line: str, workers: int, jobs: int) -> float:
    if (tsp := shutil.which("tsp")) is None:
        raise Skip("task-spooler is not installed (Debian: task-spooler)")
    with bench.directory() as directory:
        around = {
            "TS_SOCKET": f"{directory}/socket",
            "TMPDIR": str(directory),
            "PATH": "/usr/bin:/bin",
        }
        run = partial(subprocess.run, env=around, check=True, capture_output=True)
        run([tsp, "-S", str(workers)])
        began = time.perf_counter()
        for _ in range(jobs):
            run([tsp, "sh", "-c", line])
        run([tsp, "-w"])
        rate = jobs / (time.perf_counter() - began)
        run([tsp, "-K"])
        return rate


def pool_rate(
    bench: Bench, line: str, workers: int, slots: int, jobs: int, durability: str = "standard"
) -> float:
    """Jobs a second of a pool that is at work, without its start and its end."""
    with bench.directory() as directory, database(directory, durability) as engine:
        engine.add_lines([line] * jobs)
        with pool(engine, workers, slots):
            wait_for(engine, jobs)
        return steady_rate(engine)


def _whole(bench: Bench, line: str, workers: int, jobs: int) -> float:
    with bench.directory() as directory, database(directory) as engine:
        began = time.perf_counter()
        engine.add_lines([line] * jobs)
        command("worker", "--db", engine.database.location, "-n", str(workers), "--drain")
        return jobs / (time.perf_counter() - began)
