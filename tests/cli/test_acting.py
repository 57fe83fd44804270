"""`requeue`, `cancel`, `delete`, `pause`, `resume`: all of the jobs named, or none."""

from __future__ import annotations

import pytest

from queuectl_engine.engine import Engine
from queuectl_engine.job import JobState, State
from tests.cli.program import Program
from tests.repository.driver import Driver


def test_a_dead_job_is_requeued_with_its_history(queuectl: Program, drive: Driver) -> None:
    job = drive.job_in(State.DEAD)
    assert queuectl("requeue", "1").out == "Job 1 requeued\n"
    again = drive.get(job)
    assert (again.state, again.attempts, again.runs) == (JobState.PENDING, 0, 1)
    assert len(drive.attempts(job)) == 1


def test_a_requeue_can_wait(queuectl: Program, drive: Driver) -> None:
    job = drive.job_in(State.DEAD)
    said = queuectl("requeue", "1", "--at", "2030-01-31T09:00Z", "--json").json()
    assert said[0]["run_at"] == "2030-01-31T09:00:00.000Z"
    assert drive.get(job).stored is State.SCHEDULED


def test_all_dead_jobs_are_requeued_when_told_twice(queuectl: Program, drive: Driver) -> None:
    dead = [drive.job_in(State.DEAD), drive.job_in(State.DEAD)]
    cancelled = drive.job_in(State.CANCELLED)

    assert "2 dead jobs; add --yes" in queuectl("requeue", "--all", code=2).err
    assert {drive.get(job).state for job in dead} == {JobState.DEAD}

    assert queuectl("requeue", "--all", "--yes").out == "2 jobs requeued\n"
    assert {drive.get(job).state for job in dead} == {JobState.PENDING}
    assert drive.get(cancelled).state is JobState.CANCELLED
    assert queuectl("requeue", "--all", "--json").json() == {"requeued": 0}


@pytest.mark.parametrize(
    ("verb", "state"), [("requeue", State.DEAD), ("cancel", State.READY), ("delete", State.READY)]
)
def test_one_unknown_id_among_many_changes_nothing(
    queuectl: Program, drive: Driver, verb: str, state: State
) -> None:
    job = drive.job_in(state)
    assert "no job 99 in queue.db" in queuectl(verb, "1", "99", code=3).err
    assert drive.get(job) == job


@pytest.mark.parametrize(
    ("verb", "good", "bad"),
    [
        ("requeue", State.DEAD, State.READY),
        ("requeue", State.DEAD, State.PROCESSING),
        ("cancel", State.PROCESSING, State.COMPLETED),
        ("delete", State.COMPLETED, State.PROCESSING),
    ],
)
def test_one_job_in_the_wrong_state_changes_nothing(
    queuectl: Program, drive: Driver, verb: str, good: State, bad: State
) -> None:
    jobs = [drive.job_in(good), drive.job_in(bad)]
    queuectl(verb, "1", "2", code=1)
    assert [drive.get(job) for job in jobs] == jobs


@pytest.mark.parametrize("verb", ["requeue", "cancel", "delete", "show", "logs", "wait"])
@pytest.mark.parametrize("name", ["99", "0", "9" * 40, "9" * 5000, "no-such-key", ""])
def test_a_job_that_is_not_there_is_exit_3(queuectl: Program, verb: str, name: str) -> None:
    queuectl(verb, name, code=3)


@pytest.mark.parametrize("verb", ["requeue", "cancel", "delete", "wait"])
def test_no_job_at_all_is_a_usage_error(queuectl: Program, verb: str) -> None:
    queuectl(verb, code=2)


@pytest.mark.parametrize("args", [["1", "--all"], ["--all", "--at", "+1h"], ["1", "--at", "never"]])
def test_a_requeue_that_cannot_be_meant_is_a_usage_error(
    queuectl: Program, drive: Driver, args: list[str]
) -> None:
    job = drive.job_in(State.DEAD)
    queuectl("requeue", *args, code=2)
    assert drive.get(job) == job


def test_a_key_names_a_job_and_a_job_named_twice_is_one(queuectl: Program, drive: Driver) -> None:
    job = drive.job_in(State.DEAD, key="nightly")
    assert queuectl("requeue", "nightly", "1").out == "Job 1 requeued\n"
    assert drive.get(job).state is JobState.PENDING


def test_a_waiting_job_is_cancelled_and_a_running_one_is_asked_to_end(
    queuectl: Program, drive: Driver
) -> None:
    running, waiting = drive.job_in(State.PROCESSING), drive.add()
    assert queuectl("cancel", "1", "2").lines == [
        "Job 1 was left by a pool that died; the next pool will end it",  # no worker lives here
        "Job 2 cancelled",
    ]
    assert drive.get(running).cancel_asked
    assert drive.get(waiting).state is JobState.CANCELLED


def test_what_was_cancelled_is_printed_as_json(queuectl: Program, drive: Driver) -> None:
    drive.add()
    assert [job["state"] for job in queuectl("cancel", "1", "--json").json()] == ["cancelled"]


def test_a_deleted_job_is_gone_and_its_key_free(queuectl: Program, drive: Driver) -> None:
    job = drive.add(key="k")
    assert queuectl("delete", "k").out == "Job 1 deleted\n"
    assert not drive.exists(job)
    assert queuectl("add", "echo 2", "--key", "k", "-q").out == "2\n"
    assert queuectl("delete", "2", "--json").json() == {"deleted": [2]}


def test_a_queue_is_paused_and_resumed(queuectl: Program, engine: Engine) -> None:
    engine.add("true", queue="a")
    assert queuectl("pause", "a", "b").lines == ["Queue a paused", "Queue b paused"]
    assert {queue.name: queue.paused for queue in engine.queues()} == {"a": True, "b": True}
    assert queuectl("resume", "a", "--json").json() == {"resumed": ["a"], "all": False}
    assert {queue.name: queue.paused for queue in engine.queues()} == {"a": False, "b": True}
    queuectl("resume", "nonsense", code=2)


def test_a_pause_of_all_means_later_queues_too(queuectl: Program, engine: Engine) -> None:
    assert queuectl("pause").out == "All queues paused\n"
    engine.add("true", queue="later")
    assert [queue.paused for queue in engine.queues() if queue.name == "later"] == [True]
    assert queuectl("resume").out == "All queues resumed\n"
    assert not any(queue.paused for queue in engine.queues())
