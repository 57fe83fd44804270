"""`python -m tests.hosts.many_workers URL WORKERS FIRST`: workers of one host, without commands.

Each is a thread with a connection of its own: it claims, settles at once, and notes what it got,
until nothing is left. Prints the ids of all jobs it ran, a line a worker.
"""

from __future__ import annotations

import sys
import threading
from contextlib import closing
from datetime import UTC, datetime

from queuectl_engine.lifecycle import Completed, Exited
from queuectl_engine.repository.postgres import PostgresRepository
from queuectl_engine.repository.protocol import Ended, Lease
from tests.samples import pool_row


def run(url: str, workers: int) -> list[list[int]]:
    """What each of them ran."""
    ran: list[list[int]] = [[] for _ in range(workers)]
    with closing(PostgresRepository.open(url, timeout=60.0)) as repo:
        row = pool_row(repo.run_directory, f"host-{id(ran)}", lease=Lease(3600.0))
        pool = repo.start_pool(row, now=datetime.now(UTC))
        ids = [repo.start_worker(pool.id, n, now=datetime.now(UTC)).id for n in range(workers)]
    threads = [
        threading.Thread(target=_work, args=(url, worker, mine))
        for worker, mine in zip(ids, ran, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ran


def _work(url: str, worker: int, ran: list[int]) -> None:
    with closing(PostgresRepository.open(url, timeout=60.0)) as repo:
        ended: list[Ended] = []
        while True:
            now = datetime.now(UTC)
            turn = repo.settle_and_claim(worker, ended, room=1, queues=(), now=now)
            if not turn.claims:
                return
            ended = [Ended(c.attempt, Exited(0), Completed(), now) for c in turn.claims]
            ran += [c.attempt.job for c in turn.claims]


if __name__ == "__main__":
    for mine in run(sys.argv[1], int(sys.argv[2])):
        sys.stdout.write(" ".join(map(str, mine)) + "\n")
