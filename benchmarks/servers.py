"""`python -m benchmarks.servers [workers] [cost]`: what PostgreSQL gives, on a server of our own.

`workers`: jobs a second by the number of workers, none of which starts a command; and how long an
idle pool takes to hear of a job. `cost`: rows and pages that a claim and the counts touch, from ten
thousand to five million jobs, by EXPLAIN. The server syncs to disk as it does by default.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

from queuectl_engine.job import NewJob
from queuectl_engine.lifecycle import Exited
from queuectl_engine.repository.postgres import PostgresRepository
from tests.postgres import Server, running_server, with_queue
from tests.repository.test_postgres_cost import READS, touched
from tests.samples import new

WORKERS: Final = (1, 2, 4, 8, 16, 50)
JOBS: Final = 2_000
SIZES: Final = (10_000, 100_000, 1_000_000, 5_000_000)
SAFE: Final = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "256MB"}
_A_HOST: Final = 17  # workers in one process
_PORTION: Final = 100_000
# One ready, one that rests until next year, six that have completed, two dead ones of every ten.
_MORE: Final = """
    INSERT INTO job (id, queue, state, priority, run_at_ms, max_retries, created_ms, updated_ms,
                     finished_ms, context, nonce, command)
    SELECT nextval('job_id'), like_it.queue,
           CASE mod(n, 10) WHEN 0 THEN 'ready' WHEN 1 THEN 'scheduled' WHEN 2 THEN 'dead'
                       WHEN 3 THEN 'dead' ELSE 'completed' END,
           mod(n, 5), like_it.run_at_ms + 31536000000, 3, like_it.created_ms, like_it.updated_ms,
           CASE WHEN mod(n, 10) > 1 THEN like_it.updated_ms + n END, like_it.context, n, 'true'
      FROM generate_series(%s::bigint, %s::bigint) AS n,
           (SELECT * FROM job ORDER BY id LIMIT 1) AS like_it
"""
_READS: Final = {name: READS[name] for name in ("best", "lock", "counts")}


def workers(server: Server) -> None:
    """Claims and settlements a second."""
    say("workers", "jobs/s")
    for number in WORKERS:
        url = server.url(with_queue(server))
        with closing(PostgresRepository.open(url, timeout=60.0)) as repo:
            repo.add_lines(new("true"), ["true"] * (JOBS - 1), now=now())
        sizes = [_A_HOST] * (number // _A_HOST) + [number % _A_HOST] * (number % _A_HOST > 0)
        command = [sys.executable, "-m", "tests.hosts.many_workers", url]
        hosts = [
            subprocess.Popen([*command, str(size)], stdout=subprocess.DEVNULL) for size in sizes
        ]
        for host in hosts:
            host.wait()
        with psycopg.connect(url) as raw:
            row = raw.execute(
                "SELECT count(*), max(ended_ms) - min(started_ms) FROM queuectl.attempt"
            ).fetchone()
        assert row is not None
        assert row[0] == JOBS
        say(str(number), f"{JOBS * 1000 / row[1]:,.0f}")


def hearing(server: Server) -> None:
    """From the end of an add to the claim of an idle worker that waits for NOTIFY, in ms."""
    url = server.url(with_queue(server))
    took = []
    with (
        closing(PostgresRepository.open(url, timeout=60.0)) as repo,
        psycopg.connect(url, autocommit=True) as ear,
    ):
        ear.execute("LISTEN queuectl")
        for _ in range(50):
            begun = time.perf_counter()
            repo.add([new("true")], now=now())
            added = time.perf_counter()
            repo._db.notify("queuectl", "")
            next(ear.notifies(timeout=5.0))
            took.append(((added - begun) * 1000, (time.perf_counter() - added) * 1000))
    say("add, ms", f"{statistics.median(add for add, _ in took):.1f}")
    say("told, ms", f"{statistics.median(told for _, told in took):.1f}")


def cost(server: Server) -> None:
    """Rows and pages by the number of jobs, once vacuum has come and after some claims."""
    url = server.url(with_queue(server))
    first: NewJob = new("true")
    with closing(PostgresRepository.open(url, timeout=60.0)) as repo:
        repo.add([first], now=now())
        say("jobs", *_READS, "claim, ms", *_READS)
        with psycopg.connect(url, autocommit=True) as raw:
            raw.execute("SET search_path = queuectl")
            there = 1
            for size in SIZES:
                while there < size:
                    upto = min(size, there + _PORTION)
                    raw.execute(_MORE, (there, upto - 1))
                    there = upto
                repo.maintain(now=now())
                raw.execute("VACUUM ANALYZE")
                assert sum(repo.counts().stored.values()) == size
                say(f"{size:,}", *looks(raw), claims(repo), *looks(raw))


def looks(raw: psycopg.Connection[Any]) -> list[str]:
    """What each statement touches: rows, then pages."""
    return ["{} {}".format(*touched(raw, *each)) for each in _READS.values()]


def claims(repo: PostgresRepository) -> str:
    """The median of some claims; each job completes."""
    from tests.repository.driver import Driver

    drive, took = Driver(repo), []
    for _ in range(40):
        begun = time.perf_counter()
        claim = drive.claim()
        took.append((time.perf_counter() - begun) * 1000)
        drive.end(claim, Exited(0))
    return f"{statistics.median(took):.1f}"


def now() -> datetime:
    """By our own clock, which is the server's here."""
    return datetime.now(UTC)


def say(*words: str) -> None:
    """A row of a table."""
    sys.stdout.write(" | ".join(word.rjust(10) for word in words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["workers", "cost"]
    with running_server(**SAFE) as server:
        if "workers" in wanted:
            workers(server)
            hearing(server)
        if "cost" in wanted:
            cost(server)
