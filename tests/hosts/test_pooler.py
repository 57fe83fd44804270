"""Commands and pools through a real pgbouncer in transaction mode."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from queuectl_engine.repository.postgres import PostgresRepository
from tests.cli.program import Program
from tests.hosts.pooler import needs_pgbouncer, pooler
from tests.postgres import cluster
from tests.repository.driver import Driver
from tests.waiting import until

pytestmark = needs_pgbouncer


@pytest.fixture
def url() -> Iterator[str]:
    """An empty queue as it is reached through the pooler."""
    database = cluster().queue().partition("@/")[2].partition("?")[0]
    with pooler(cluster().server) as port:
        yield f"postgresql://postgres@127.0.0.1:{port}/{database}"


def test_jobs_run_behind_it_as_without_it(url: str, tmp_path: Path) -> None:
    queuectl = Program(tmp_path, tmp_path)
    queuectl.env["QUEUECTL_DB"] = url
    queuectl.shell("queuectl add --key k 'sleep 0.2; echo one'; queuectl add --max-retries 1 false")
    with queuectl.running("wait", "k") as waiting:
        queuectl.shell("queuectl worker --drain -n 3 --backoff-base 1")
        assert waiting.end().code == 0

    assert queuectl("logs", "k").out == "one\n"
    states = {job["id"]: job["state"] for job in queuectl("list", "--all", "--json").json()}
    assert states == {1: "completed", 2: "dead"}
    kinds = [json.loads(line)["kind"] for line in queuectl("events", "--since", "0").lines]
    assert (kinds.count("added"), kinds.count("started")) == (2, 3)


def take_three(repo: PostgresRepository) -> list[int]:
    drive = Driver(repo)
    return [until(lambda: drive.turn(room=1).claims)[0].job.id for _ in range(3)]


def test_many_at_once_get_each_job_once(url: str) -> None:
    """More of us than it has sessions, so each transaction meets what others left in one."""
    with ExitStack() as opened, ThreadPoolExecutor(8) as threads:
        repos = [
            opened.enter_context(closing(PostgresRepository.open(url, timeout=20.0)))
            for _ in range(8)
        ]
        assert all(repo._db.pooled for repo in repos)
        drive = Driver(repos[0])
        wanted = [drive.add(f"echo {n}").id for n in range(24)]

        claimed = [job for taken in threads.map(take_three, repos) for job in taken]

        assert sorted(claimed) == wanted
