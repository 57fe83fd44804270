"""Fifty workers on three hosts: each job is claimed once, and nobody waits for anybody.

`QUEUECTL_MANY_JOBS=20000` is the size of the promise; an ordinary run takes fewer. `-s` shows
how long real jobs took.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from queuectl_engine import JobState, open_engine
from queuectl_engine.job import State
from queuectl_engine.repository.postgres import PostgresRepository
from tests.hosts.conftest import sharing
from tests.hosts.lab import needs_hosts
from tests.pool import evidence
from tests.postgres import cluster
from tests.samples import new
from tests.waiting import until

HOSTS = (17, 17, 16)
CLAIMED, RUN = (int(os.environ.get("QUEUECTL_MANY_JOBS", usual)) for usual in (800, 300))
PATIENCE = 90 + RUN // 10  # seconds; only a way out of a hang


def test_fifty_workers_on_three_hosts_claim_every_job_once() -> None:
    url = cluster().queue()
    with closing(PostgresRepository.open(url, timeout=60.0)) as repo:
        ids = repo.add_lines(new("true"), ["true"] * (CLAIMED - 1), now=datetime.now(UTC))
        command = [sys.executable, "-m", "tests.hosts.many_workers", url]
        hosts = [
            subprocess.Popen([*command, str(workers)], stdout=subprocess.PIPE, text=True)
            for workers in HOSTS
        ]
        printed = [host.communicate()[0] for host in hosts]

        assert [host.returncode for host in hosts] == [0, 0, 0]
        ran = Counter(int(word) for text in printed for word in text.split())
        assert ran == Counter(ids)
        assert repo.counts().stored == {State.COMPLETED: CLAIMED}
        assert {len(repo.attempts(job)) for job in ids[:: CLAIMED // 100]} == {1}


@needs_hosts
@pytest.mark.timeout(2 * PATIENCE)
def test_fifty_real_workers_on_three_hosts_run_every_job_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks, where, go = (tmp_path / name for name in ("marks", "where", "go"))
    work = f"read host < /proc/sys/kernel/hostname; echo $host >> {where}; "
    work += f"until test -e {go}; do sleep 1; done"
    with sharing(tmp_path, len(HOSTS), monkeypatch) as shared, open_engine(shared.local) as engine:
        jobs = [engine.new_job(evidence.command(marks, work))] * RUN
        ids = [added.id for added in engine.add_many(jobs)]
        for host, workers in zip(shared.hosts, HOSTS, strict=True):
            shared.start_pool(host, "-n", str(workers))
        until(lambda: engine.counts().of(JobState.PROCESSING) == sum(HOSTS), PATIENCE)
        # A job for each of the workers is held until all of them are there.
        until(lambda: len(where.read_text().split()) == sum(HOSTS))
        held = Counter(where.read_text().split())
        assert held == {host.name: n for host, n in zip(shared.hosts, HOSTS, strict=True)}
        go.touch()
        until(lambda: engine.counts().of(JobState.COMPLETED) == RUN, PATIENCE)

        evidence.check(engine, ids, marks)
        assert {job.runs for job in engine.get_all(ids)} == {1}
        found = evidence.read(marks)
        assert Counter(mark.job for mark in found if mark.what == "start") == Counter(ids)
        ends = [mark.at for mark in found if mark.what == "end"]
        print(f"{RUN} jobs in {(ends[-1] - ends[0]) / 1000:.1f} s")  # noqa: T201
