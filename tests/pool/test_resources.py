"""CPU time and memory of real commands, and what is expected of a real pool."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

from queuectl_engine import Attempt, Engine
from tests.pool.conftest import StartPool, ended, running
from tests.waiting import until

MIB = 1024 * 1024


def attempt(engine: Engine, command: str | list[str]) -> Attempt:
    """The one attempt of a command."""
    job = ended(engine, engine.add(command, max_retries=0))
    return engine.attempts(job.id)[0]


def test_cpu_time_is_that_of_the_command_and_all_it_waited_for(
    engine: Engine, start_pool: StartPool
) -> None:
    start_pool()
    burn = "import time\nwhile time.process_time() < 0.4: pass"
    alone = attempt(engine, [sys.executable, "-c", burn])
    below = attempt(engine, f"{sys.executable} -c '{burn}'; exit 3")
    idle = attempt(engine, "sleep 0.4")

    assert alone.cpu is not None
    assert below.cpu is not None
    assert idle.cpu is not None
    assert alone.cpu >= timedelta(seconds=0.4)
    assert below.cpu >= timedelta(seconds=0.4)
    assert idle.cpu < timedelta(seconds=0.2)


def test_peak_memory_is_that_of_the_largest_process_or_unknown(
    engine: Engine, start_pool: StartPool
) -> None:
    start_pool()
    eat = f"x = bytearray({150 * MIB}); x[::4096] = x[::4096]; del x"
    large = attempt(engine, [sys.executable, "-c", eat])
    below = attempt(engine, f"{sys.executable} -c '{eat}'; true")
    small = attempt(engine, "true")

    for seen in (large, below):
        assert seen.peak_memory is not None
        assert 150 * MIB <= seen.peak_memory < 400 * MIB
    assert small.peak_memory is None  # what the kernel tells is our own
    assert small.cpu is not None


def test_a_command_that_never_started_used_nothing_that_is_known(
    engine: Engine, start_pool: StartPool
) -> None:
    start_pool()
    seen = attempt(engine, ["/no/such/program"])
    assert (seen.exit_code, seen.cpu, seen.peak_memory) == (127, None, None)


def test_a_pool_that_works_says_when_its_queue_may_be_empty(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    go_on = tmp_path / "go-on"
    engine.add_many(engine.new_job("true") for _ in range(20))
    last = engine.add(f"until test -e {go_on}; do sleep 0.02; done")
    engine.add_many(engine.new_job("true") for _ in range(50))
    assert engine.estimate().total is None
    start_pool()
    until(lambda: running(engine, last))

    found = engine.estimate()
    assert found.total == found.queues["default"]
    assert found.total is not None
    assert found.total > timedelta(0)
    engine.pause("default")
    assert engine.estimate().total is None
    engine.resume("default")
    go_on.touch()
    until(lambda: not engine.estimate().queues)
