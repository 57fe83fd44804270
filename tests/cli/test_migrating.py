"""`migrate-store`: from a file to a server, as somebody does it whose queue outgrew a machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from queuectl_engine import Engine, open_engine
from queuectl_engine.repository import open_repository
from tests.cli.program import Program
from tests.postgres import cluster, drop_queues
from tests.repository.driver import Driver


@pytest.fixture
def url() -> Iterator[str]:
    """A database without a queue."""
    yield cluster().server.url(cluster().empty())
    drop_queues()


def all_of(engine: Engine) -> object:
    """Its jobs with their history and output."""
    jobs = list(engine.jobs())
    ran = [(job.id, attempt.number) for job in jobs for attempt in engine.attempts(job.id)]
    return jobs, ran, [engine.output(*one) for one in ran], engine.counts(), engine.queues()


def test_a_queue_moves_and_goes_on_there(queuectl: Program, engine: Engine, url: str) -> None:
    queuectl.shell("queuectl add --key first 'echo one'; queuectl add --max-retries 0 'exit 3'")
    queuectl.shell("queuectl worker --drain")
    queuectl("add", "--label", "ci", "echo waits")

    assert queuectl("migrate-store", "queue.db", url).out == "Moved 3 jobs with 2 attempts\n"

    with open_engine(url) as there:
        assert all_of(there) == all_of(engine)
    queuectl.env["QUEUECTL_DB"] = url
    assert queuectl("logs", "first").out == "one\n"
    assert queuectl("add", "echo new").out == "Job enqueued with ID: 4\n"
    queuectl.shell("queuectl worker --drain")
    states = {job["id"]: job["state"] for job in queuectl("list", "--all", "--json").json()}
    assert states == {1: "completed", 2: "dead", 3: "completed", 4: "completed"}


def test_a_moved_file_is_only_looked_at_and_moving_it_again_changes_nothing(
    queuectl: Program, engine: Engine, url: str
) -> None:
    engine.add("true")
    first = queuectl("migrate-store", "queue.db", url, "--json").json()
    assert first["file"] == "queue.db"
    assert (first["rows"]["job"], first["rows"]["attempt"]) == (1, 0)

    for args in (("add", "true"), ("cancel", "1"), ("worker", "--drain")):
        said = queuectl(*args, code=1).err
        assert f"was moved to {url}; name that with --db or QUEUECTL_DB" in said
    assert [job["state"] for job in queuectl("list", "--json").json()] == ["pending"]

    with open_engine(url) as there:
        there.add("echo added there")
        assert queuectl("migrate-store", "queue.db", url, "--json").json() == first
        assert [job.id for job in there.jobs()] == [1, 2]
    assert "not taken back" in queuectl("migrate-store", "--cancel", "queue.db", url, code=2).err


def test_nothing_moves_while_a_pool_runs(queuectl: Program, url: str) -> None:
    queuectl("worker", "--detach", "--name", "one")
    try:
        refused = queuectl("migrate-store", "queue.db", url, code=75).err
        assert refused.startswith("error: pool one runs on")
        assert "'queuectl stop' ends it" in refused
        assert "initdb" in queuectl("--db", url, "list", code=1).err, "the server was touched"
        queuectl("add", "true")
    finally:
        queuectl("stop")
    assert queuectl("migrate-store", "queue.db", url).out.startswith("Moved 1 job with ")


def test_what_a_dead_pool_left_is_taken_over_first(queuectl: Program, url: str) -> None:
    with closing(open_repository(str(queuectl.directory / "queue.db"))) as repo:
        drive = Driver(repo)
        drive.add("true")
        drive.claim()
    assert "worker --drain" in queuectl("migrate-store", "queue.db", url, code=1).err


def test_what_cannot_move_is_refused_in_a_line_and_stays_usable(
    queuectl: Program, engine: Engine, url: str
) -> None:
    used = cluster().queue()
    with open_engine(used) as there:
        there.add("true")
    for file, to, code, said in (
        ("queue.db", "other.db", 2, "postgresql://user@host/name"),
        ("queue.db", "postgresql://ada:secret@h/db", 2, "PGPASSFILE"),
        ("missing.db", url, 1, "missing.db"),
        ("queue.db", used, 2, "in use already"),
        ("queue.db", cluster().server.url("nowhere"), 1, "createdb"),
    ):
        refused = queuectl("migrate-store", file, to, code=code).err
        assert said in refused
        assert "secret" not in refused
    assert "no move" in queuectl("migrate-store", "--cancel", "queue.db", used, code=2).err
    assert not (queuectl.directory / "missing.db").exists()
    assert engine.add("true").id == 1
