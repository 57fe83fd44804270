"""What a turn reads does not grow with the number of jobs: pages, by EXPLAIN."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from queuectl_engine.lifecycle import Exited
from queuectl_engine.repository.postgres import PostgresRepository
from queuectl_engine.repository.postgres.claiming import BEST, LOCK_BEST, READY_LEFT
from queuectl_engine.repository.postgres.hooks import FREE
from queuectl_engine.repository.postgres.pools import HELD_BY, STRAYS
from queuectl_engine.repository.postgres.schedules import DUE, NEXT
from queuectl_engine.repository.postgres.turns import PROMOTE
from tests.postgres import cluster
from tests.repository.driver import Driver
from tests.samples import HOUR, NOON, new

QUEUES = 5
READS: dict[str, tuple[str, Any]] = {
    "best": (BEST, {"served": [], "full": [], "skip": [], "suspects": True}),
    "best of one queue": (BEST, {"served": ["q1"], "full": [], "skip": ["m"], "suspects": False}),
    "lock": (LOCK_BEST, {"queue": 1, "floor": -(2**63), "skip": [], "suspects": True}),
    "left": (READY_LEFT, {"served": [], "full": []}),
    "promote": (PROMOTE, {"now": 0, "limit": 100}),
    "held": (HELD_BY, (1,)),
    "strays": (STRAYS, ()),
    "hooks": (FREE, (1,)),
    "schedules": (DUE, (0, 100)),
    "next schedule": (NEXT, ()),
    "counts": ("SELECT state, sum(n) FROM counter GROUP BY state", ()),
}


@pytest.fixture
def url() -> str:
    return cluster().queue()


@pytest.fixture
def drive(url: str) -> Iterator[Driver]:
    with closing(PostgresRepository.open(url, timeout=20.0)) as repo:
        yield Driver(repo)


def fill(drive: Driver, size: int) -> None:
    """So many more jobs that are ready, that rest until later, and some that have ended."""
    ready = [new(queue=f"q{n % QUEUES}") for n in range(size)]
    later = [new(queue=f"q{n % QUEUES}", run_at=NOON + HOUR) for n in range(size)]
    drive.repo.add(ready + later, now=NOON)
    claims = drive.turn(room=50).claims
    drive.turn(*(drive.ended(claim, Exited(claim.job.id % 2)) for claim in claims))
    drive.repo.maintain(now=drive.now)


def pages(url: str) -> dict[str, int]:
    """How many pages each statement touches, once the statistics are as vacuum leaves them."""
    found = {}
    with psycopg.connect(url, autocommit=True) as raw:
        raw.execute("VACUUM ANALYZE queuectl.job")
        raw.execute("SET search_path = queuectl")
        for name, (sql, args) in READS.items():
            rows = raw.execute(f"EXPLAIN (ANALYZE, BUFFERS) {sql}".encode(), args or None)
            plan = "\n".join(line for (line,) in rows)
            assert "Seq Scan on job" not in plan, f"{name}: {plan}"
            touched = re.search(r"Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?", plan)
            assert touched is not None, plan
            found[name] = sum(int(each or 0) for each in touched.groups())
    return found


def test_a_turn_touches_as_many_pages_for_many_jobs_as_for_few(url: str, drive: Driver) -> None:
    fill(drive, 1_000)
    few = pages(url)
    fill(drive, 10_000)
    many = pages(url)

    # A tree of ten times as many entries is a level deeper, which each look at a queue pays for.
    assert {name: n for name, n in many.items() if n > 2 * few[name] + 10} == {}
