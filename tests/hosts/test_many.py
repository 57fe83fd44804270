"""Fifty workers on three hosts: each job is claimed once, and nobody waits for anybody.

`QUEUECTL_MANY_JOBS=20000` is the size of the promise; an ordinary run takes fewer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime

from queuectl_engine.job import State
from queuectl_engine.repository.postgres import PostgresRepository
from tests.postgres import cluster
from tests.samples import new

HOSTS = (17, 17, 16)


def test_fifty_workers_on_three_hosts_claim_every_job_once() -> None:
    wanted = int(os.environ.get("QUEUECTL_MANY_JOBS", "800"))
    url = cluster().queue()
    with closing(PostgresRepository.open(url, timeout=60.0)) as repo:
        ids = repo.add_lines(new("true"), ["true"] * (wanted - 1), now=datetime.now(UTC))
        command = [sys.executable, "-m", "tests.hosts.many_workers", url]
        hosts = [
            subprocess.Popen([*command, str(workers)], stdout=subprocess.PIPE, text=True)
            for workers in HOSTS
        ]
        printed = [host.communicate()[0] for host in hosts]

        assert [host.returncode for host in hosts] == [0, 0, 0]
        ran = Counter(int(word) for text in printed for word in text.split())
        assert ran == Counter(ids)
        assert repo.counts().stored == {State.COMPLETED: wanted}
        assert {len(repo.attempts(job)) for job in ids[:: wanted // 100]} == {1}
