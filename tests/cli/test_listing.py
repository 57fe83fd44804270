"""`list`, `queues`, `status`: what there is."""

from __future__ import annotations

import pytest

from queuectl_engine.engine import Engine
from queuectl_engine.job import State
from queuectl_engine.lifecycle import Exited
from tests.cli.program import Program
from tests.repository.driver import Driver


def ids(lines: list[str]) -> list[int]:
    return [int(line.split("\t")[0]) for line in lines]


@pytest.fixture
def one_of_each(drive: Driver) -> dict[str, int]:
    """A job in every outward state, by that state."""
    states = (State.DEAD, State.COMPLETED, State.CANCELLED, State.FAILED, State.PROCESSING)
    jobs = [drive.job_in(state, queue=f"{state}s") for state in states]
    jobs.append(drive.job_in(State.READY, queue="readys"))
    return {job.state.value: job.id for job in jobs}


def test_pending_jobs_are_listed_in_the_order_in_which_they_run(
    queuectl: Program, engine: Engine
) -> None:
    engine.add("echo low", priority=-1)
    engine.add("echo first")
    engine.add("echo high", priority=9)
    engine.add("echo second")
    assert ids(queuectl("list").lines) == [3, 2, 4, 1]


def test_each_state_is_listed_alone(queuectl: Program, one_of_each: dict[str, int]) -> None:
    for state, job in one_of_each.items():
        listed = queuectl("list", "--state", state, "--json").json()
        assert [(each["id"], each["state"]) for each in listed] == [(job, state)]


def test_the_dead_letter_queue_and_all_have_their_options(
    queuectl: Program, one_of_each: dict[str, int]
) -> None:
    assert ids(queuectl("list", "--dlq").lines) == [one_of_each["dead"]]
    assert ids(queuectl("list", "--all").lines) == sorted(one_of_each.values())
    assert ids(queuectl("list").lines) == [one_of_each["pending"]]


def test_queue_and_limit_narrow_it(queuectl: Program, engine: Engine) -> None:
    for number in range(120):
        engine.add(f"echo {number}", queue="odd" if number % 2 else "even")
    assert len(queuectl("list").lines) == 120
    assert ids(queuectl("list", "--queue", "odd").lines) == list(range(2, 121, 2))
    assert ids(queuectl("list", "--queue", "odd", "--limit", "2").lines) == [2, 4]
    assert len(queuectl("list", "--limit", "3", "--json").json()) == 3


def test_a_row_says_how_often_it_ran_and_what_ended_it(queuectl: Program, drive: Driver) -> None:
    drive.job_in(State.DEAD)
    row = queuectl("list", "--dlq").lines[0].split("\t")
    assert row == ["1", "dead", "default", "0", "1/1", "2026-01-31T12:00:00.000Z", "exit 1", "true"]


def test_a_command_of_several_lines_stays_on_its_row(queuectl: Program, engine: Engine) -> None:
    engine.add("echo a\n\techo b")
    assert queuectl("list").lines[0].endswith("\techo a\\n\\techo b")
    assert queuectl("list", "--json").json()[0]["command"] == "echo a\n\techo b"


def test_an_empty_list_is_empty(queuectl: Program) -> None:
    assert queuectl("list").out == ""
    assert queuectl("list", "--json").json() == []
    assert queuectl("queues", "--json").json() == []


@pytest.mark.parametrize(
    "args",
    [
        ["--state", "nonsense"],
        ["--dlq", "--all"],
        ["--state", "dead", "--dlq"],
        ["--limit", "0"],
        ["--limit", "x"],
        ["--queue", "two words"],
    ],
)
def test_a_wrong_question_is_a_usage_error(queuectl: Program, args: list[str]) -> None:
    queuectl("list", *args, code=2)


def test_queues_show_their_counts_and_whether_they_are_paused(
    queuectl: Program, drive: Driver
) -> None:
    drive.add(queue="a")
    drive.job_in(State.SCHEDULED, queue="a")
    drive.add(queue="b", max_retries=0)
    drive.run(Exited(1), "b")
    queuectl("pause", "b")

    assert queuectl("queues").lines == [
        "a\t\t2\t0\t0\t0\t0\t0\t\t",
        "b\tpaused\t0\t0\t0\t0\t1\t0\t\t",
    ]
    first, second = queuectl("queues", "--json").json()
    assert (first["name"], first["paused"], first["counts"]["pending"]) == ("a", False, 2)
    assert (second["name"], second["paused"], second["counts"]["dead"]) == ("b", True, 1)


def test_status_counts_every_state(queuectl: Program, one_of_each: dict[str, int]) -> None:
    status = queuectl("status", "--json").json()
    assert status["db"] == str(queuectl.directory / "queue.db")
    assert status["counts"] == dict.fromkeys(one_of_each, 1)
    assert len(status["queues"]) == len(one_of_each)
    assert queuectl("status").out == queuectl().out
    expected = "1 pending, 1 processing, 1 failed, 1 completed, 1 dead, 1 cancelled"
    assert queuectl().lines[1] == f"Jobs      {expected}"
