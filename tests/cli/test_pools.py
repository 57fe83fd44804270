"""`worker`, `pools`, `scale`, `stop` with real pools, and the original commands from end to end."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from queuectl_engine.engine import Engine
from queuectl_engine.job import JobState
from tests.cli.program import Program
from tests.pools import stop_pools
from tests.waiting import until


@pytest.fixture
def no_pool_left(engine: Engine) -> Iterator[None]:
    """Stops what a test started and left."""
    yield
    stop_pools(engine)


def test_the_original_commands_from_end_to_end(bare: Program) -> None:
    bare("initdb")
    assert bare("add", "echo hello", "--priority", "1").out == "Job enqueued with ID: 1\n"
    bare("add", "echo oops >&2; exit 7", "--max-retries", "0")
    bare("add", "echo later", "--run-at", "2099-01-01T00:00:00")
    assert [line.split("\t")[0] for line in bare("list").lines] == ["1", "2", "3"]

    with bare.running("worker", "-n", "2", "--backoff-base", "2", "--drain") as worker:
        assert worker.end().code == 0

    assert bare("show", "1").lines[-1] == "hello"
    assert [line.split("\t")[0] for line in bare("list", "--state", "completed").lines] == ["1"]
    assert [line.split("\t")[0] for line in bare("list", "--dlq").lines] == ["2"]
    assert bare("logs", "2", "--stream", "err").out == "oops\n"
    assert bare("requeue", "2").out == "Job 2 requeued\n"
    assert [line.split("\t")[0] for line in bare("list").lines] == ["2", "3"]


@pytest.mark.usefixtures("no_pool_left")
def test_a_pool_in_the_background_is_seen_scaled_and_stopped(
    queuectl: Program, engine: Engine
) -> None:
    started = queuectl("worker", "--detach", "-n", "2", "--json").json()
    assert (started["name"], started["detached"], started["wanted"]) == ("default", True, 2)
    assert f"(pid {started['pid']})" in queuectl("worker", "--detach", code=1).err

    (pool,) = queuectl("pools", "--json").json()
    assert (pool["pid"], pool["alive"], pool["stopping"]) == (started["pid"], True, None)
    assert queuectl("status", "--json").json()["pools"][0]["name"] == "default"
    assert queuectl("pools").lines[0].startswith("default\trunning\t")

    assert queuectl("scale", "+1").out.startswith("Pool default wants 3 workers")
    assert queuectl("scale", "-1", "--json").json()["wanted"] == 2
    assert queuectl("scale", "1", "--pool", "default", "--json").json()["wanted"] == 1
    until(lambda: engine.find_pool().running == 1)
    assert "no pool named other" in queuectl("stop", "--pool", "other", code=1).err

    queuectl("add", "echo done")
    assert queuectl("wait", "1").out == "Job 1 completed\n"
    assert queuectl("stop").out == "Pool default stopped\n"
    assert queuectl("pools", "--json").json() == []
    queuectl("stop", code=1)
    queuectl("scale", "2", code=1)


@pytest.mark.usefixtures("no_pool_left")
def test_a_named_pool_serves_its_queues_only(queuectl: Program, engine: Engine) -> None:
    queuectl("add", "true", "--queue", "other")
    queuectl("add", "true", "--queue", "mine")
    said = queuectl("worker", "--detach", "--name", "mine", "--queue", "mine").out
    assert said.startswith("Pool mine runs with 1 worker: pid ")
    assert queuectl("wait", "2").code == 0
    assert engine.get(1).state is JobState.PENDING
    assert queuectl("stop", "--now", "--pool", "mine", "--json").json()["name"] == "mine"


@pytest.mark.usefixtures("no_pool_left")
def test_ctrl_c_lets_the_running_job_finish_and_exits_0(queuectl: Program, engine: Engine) -> None:
    go = queuectl.directory / "go"
    queuectl("add", f"while ! test -e {go}; do sleep 0.02; done; echo finished")
    with queuectl.running("worker", "--log-format", "json") as worker:
        until(lambda: engine.get(1).state is JobState.PROCESSING)
        worker.process.send_signal(signal.SIGINT)
        until(lambda: engine.find_pool().stopping is not None)
        go.touch()
        said = worker.end()
    assert said.code == 0
    assert all("event" in json.loads(line) for line in said.err.splitlines())
    assert queuectl("logs", "1").out == "finished\n"


@pytest.mark.usefixtures("no_pool_left")
def test_a_cancelled_running_job_is_ended(queuectl: Program, engine: Engine) -> None:
    queuectl("worker", "--detach")
    queuectl("add", "sleep 600")
    until(lambda: engine.get(1).state is JobState.PROCESSING)
    assert queuectl("cancel", "1").out == "Job 1 is being ended\n"
    assert "job 1 is cancelled" in queuectl("wait", "1", code=4).err


@pytest.mark.usefixtures("no_pool_left")
def test_a_pool_with_variables_by_slot_sets_them_and_grows_no_further(
    queuectl: Program, engine: Engine
) -> None:
    go = queuectl.directory / "go"
    variables = ("--per-slot", "GPU=0,1;2", "--per-slot", "PORT=80,81")
    started = queuectl("worker", "--detach", "--json", *variables).json()
    assert (started["wanted"], started["most_workers"]) == (1, 2)
    for _ in range(2):
        queuectl(
            "add", f'echo "$QUEUECTL_SLOT $GPU $PORT"; until test -e {go}; do sleep 0.02; done'
        )
    assert queuectl("scale", "+1", "--json").json()["wanted"] == 2
    until(lambda: all(engine.output(job) for job in (1, 2)))
    said = queuectl("scale", "3", code=2).err
    assert "pool default has values for 2 slots (--per-slot), so for 2 workers at most" in said
    assert engine.find_pool().wanted == 2
    go.touch()
    queuectl("wait", "1", "2")
    assert sorted(queuectl("logs", job).out for job in ("1", "2")) == ["0 0,1 80\n", "1 2 81\n"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--per-slot", "GPU"], "'GPU' has no values; try CUDA_VISIBLE_DEVICES=0,1"),
        (["-n", "3", "--per-slot", "GPU=0,1"], "3 workers and values for 2"),
        (["--per-slot", "GPU=0,1", "--per-slot", "PORT=1"], "GPU has 2, PORT has 1"),
        (["--per-slot", "QUEUECTL_DB=x"], "cannot be set per slot"),
    ],
)
def test_slots_that_make_no_sense_start_no_pool(
    queuectl: Program, engine: Engine, options: list[str], why: str
) -> None:
    assert why in queuectl("worker", "--detach", *options, code=2).err
    assert engine.pools() == []


@pytest.mark.usefixtures("no_pool_left")
def test_status_says_when_a_queue_that_moves_may_be_empty(
    queuectl: Program, engine: Engine
) -> None:
    go = queuectl.directory / "go"
    engine.add_many(engine.new_job("true") for _ in range(20))
    last = engine.add(f"until test -e {go}; do sleep 0.02; done", priority=-1)
    engine.add_many(engine.new_job("true", priority=-2) for _ in range(5))
    queuectl("worker", "--detach")
    until(lambda: engine.get(last.id).state is JobState.PROCESSING)

    status = queuectl("status", "--json").json()
    assert status["empty_in"] > 0
    assert [queue["empty_in"] > 0 for queue in status["queues"]] == [True]
    told = queuectl("status").out
    assert "Empty in  under 1 min\n" in told
    assert "\tunder 1 min\n" in told
    assert queuectl("queues").lines[0].endswith("\tunder 1 min")
    go.touch()
