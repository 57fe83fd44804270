"""What a turn reads grows neither with the jobs nor with those that were claimed: by EXPLAIN."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

import psycopg
import pytest

from queuectl_engine.lifecycle import Exited
from queuectl_engine.repository.postgres import PostgresRepository
from queuectl_engine.repository.postgres.claiming import BEST, LOCK_BEST, READY_LEFT
from queuectl_engine.repository.postgres.hooks import FREE
from queuectl_engine.repository.postgres.pools import HELD_BY, STRAYS
from queuectl_engine.repository.postgres.schedules import DUE, NEXT
from queuectl_engine.repository.postgres.telling import HEARING
from queuectl_engine.repository.postgres.turns import PROMOTE
from tests.postgres import cluster
from tests.repository.driver import Driver
from tests.samples import HOUR, NOON, new
from tests.waiting import until

QUEUES = 5
LOOKS = (
    2 * QUEUES + 1
)  # into an index, of the one that looks most: which queues, and each one's best
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
    "oldest": (HEARING.oldest, ()),
    "counts": ("SELECT state, sum(n) FROM counter GROUP BY state", ()),
}


OLDEST = """
    SELECT least(txid_snapshot_xmin(txid_current_snapshot()), min(backend_xmin::text::bigint))
      FROM pg_stat_activity WHERE pid <> pg_backend_pid()
"""


class Touched(NamedTuple):
    """What a statement went through to find what it gave."""

    rows: int
    pages: int


@pytest.fixture
def url() -> str:
    return cluster().queue()


@pytest.fixture
def drive(url: str) -> Iterator[Driver]:
    with closing(PostgresRepository.open(url, timeout=20.0)) as repo:
        by_hand_alone(url)
        yield Driver(repo)


def by_hand_alone(url: str) -> None:
    """No autovacuum: while it looks at a table, dead entries cannot be marked as such."""
    with psycopg.connect(url, autocommit=True) as raw:
        for (name,) in raw.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'queuectl'"):
            raw.execute(f"ALTER TABLE queuectl.{name} SET (autovacuum_enabled = false)".encode())


def fill(drive: Driver, size: int) -> None:
    """So many more jobs that are ready, and as many between them that rest until later."""
    each = [n for n in range(size) for _ in range(2)]
    jobs = [
        new(queue=f"q{n % QUEUES}", run_at=NOON + HOUR if odd % 2 else None)
        for odd, n in enumerate(each)
    ]
    drive.repo.add(jobs, now=NOON)
    work_off(drive)


def work_off(drive: Driver) -> None:
    """Fifty jobs are claimed and end."""
    claims = drive.turn(room=50).claims
    drive.turn(*(drive.ended(claim, Exited(claim.job.id % 2)) for claim in claims))
    drive.repo.maintain(now=drive.now)


def vacuum(url: str, table: str = "") -> None:
    """Autovacuum has come by, everywhere or to one table."""
    with psycopg.connect(url, autocommit=True) as raw:
        raw.execute(f"VACUUM ANALYZE {table}".encode())


def wait_for_others(raw: psycopg.Connection[Any]) -> None:
    """Until nobody in the whole server looks at an older moment: dead entries stay until then."""
    ((ours,),) = raw.execute("SELECT txid_current()")
    until(lambda: raw.execute(OLDEST).fetchall()[0][0] > ours)


def touched(raw: psycopg.Connection[Any], sql: str, args: Any) -> Touched:
    """By a statement, once another one has looked: who meets a dead entry first marks it."""
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}".encode()
    raw.execute(explain, args or None)
    ((found,),) = raw.execute(explain, args or None)
    plan = found[0]["Plan"]
    return Touched(_rows(plan), plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def _rows(plan: dict[str, Any]) -> int:
    """Entries of tables that the scans at and below a node went through, dead ones as well."""
    rows = sum(_rows(below) for below in plan.get("Plans", ()))
    if "Relation Name" in plan and plan["Node Type"] != "ModifyTable":
        assert (plan["Node Type"], plan["Relation Name"]) != ("Seq Scan", "job"), plan
        passed = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        rows += round(passed * plan["Actual Loops"]) + plan.get("Heap Fetches", 0)
    return rows


def all_touched(url: str) -> dict[str, Touched]:
    """By each statement."""
    with psycopg.connect(url, autocommit=True) as raw:
        wait_for_others(raw)
    # By another backend: one that once found an older moment looked at goes on believing so until
    # the oldest transaction is a newer one (GlobalVisTestShouldUpdate in procarray.c).
    with psycopg.connect(url, autocommit=True) as raw:
        raw.execute("SET search_path = queuectl")
        return {name: touched(raw, *read) for name, read in READS.items()}


def grown(before: dict[str, Touched], after: dict[str, Touched]) -> dict[str, Touched]:
    """What touches more now than a small number for each look into an index.

    A row: the job in front is looked up in the table, as vacuum has not seen its page. A page for
    that; one as the tree is a level deeper; and one as all of the first leaf is marked as dead.
    That depends on what else runs in the server: no dead entry makes room on a full page while
    anybody may still look at it.
    """
    return {
        name: now
        for name, now in after.items()
        if now.rows > before[name].rows + LOOKS or now.pages > before[name].pages + 3 * LOOKS
    }


def test_a_turn_touches_as_much_for_many_jobs_as_for_few(url: str, drive: Driver) -> None:
    fill(drive, 1_000)
    vacuum(url)
    few = all_touched(url)
    fill(drive, 10_000)
    vacuum(url)

    assert grown(few, all_touched(url)) == {}


def test_a_turn_passes_over_no_jobs_that_were_claimed_since_vacuum(url: str, drive: Driver) -> None:
    """Vacuum may be long in coming, and then leaves indexes alone where little of a table died."""
    fill(drive, 2_000)
    vacuum(url)
    fresh = all_touched(url)
    for _ in range(10):
        work_off(drive)
    vacuum(url, "queuectl.counter_delta")  # it comes there soon, for a few thousand

    assert grown(fresh, all_touched(url)) == {}
