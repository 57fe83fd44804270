"""`--after-ok` and the like, `--mutex`, `limit`: who waits for whom, and how it is told."""

from __future__ import annotations

import json

import pytest

from queuectl_engine.engine import Engine
from queuectl_engine.job import After, State
from queuectl_engine.lifecycle import Exited
from tests.cli.program import Program
from tests.repository.driver import Driver


def test_a_job_waits_for_ids_and_keys(queuectl: Program, engine: Engine) -> None:
    queuectl("add", "build", "--key", "build")
    queuectl("add", "lint")
    said = queuectl("add", "--after-ok", "build,2", "--after-ok", "2", "--after-any=1", "deploy")
    assert said.out == "Job enqueued with ID: 3\n"

    needs = [(need.job, need.after) for need in engine.needs(3)]
    assert needs == [(1, After.OK), (2, After.OK), (1, After.ANY)]
    assert engine.get(3).stored is State.BLOCKED


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("add", "--after-ok", "99", "x"), 3, "no job 99 to wait for; 'queuectl list --all'"),
        (("add", "--after-any", "1,nothing", "x"), 3, "no job nothing to wait for"),
        (("add", "--after-fail", "0", "x"), 2, "ids begin with 1"),
        (("add", "--after-ok", "", "x"), 2, "--after-ok is empty; name the jobs to wait for"),
        (("add", "--after-any", "1", "--after-any", " ", "x"), 2, "--after-any is empty"),
        (("edit", "1", "--after-fail", "", "--after-fail", "1"), 2, "--after-fail is empty"),
        (("add", "--mutex", "a b", "x"), 2, "must be 1 to 100 characters without spaces"),
        (("edit", "1", "--after-ok", "1"), 2, "jobs that came before it"),
        (("edit", "1", "--after-ok", "99"), 3, "no job 99 to wait for"),
        (("limit", "--max-running", "-1"), 2, "-1"),
        (("limit", "a b", "--max-running", "1"), 2, "without spaces"),
        (("limit",), 2, "--max-running"),
    ],
)
def test_what_cannot_be_is_one_line_and_changes_nothing(
    queuectl: Program, engine: Engine, args: tuple[str, ...], code: int, words: str
) -> None:
    queuectl("add", "true")
    before = list(engine.jobs())

    said = queuectl(*args, code=code)

    assert words in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert list(engine.jobs()) == before
    assert engine.counts().max_running is None
    assert [queue.name for queue in engine.queues()] == ["default"]


def test_what_a_job_waits_for_is_told_everywhere(queuectl: Program, drive: Driver) -> None:
    drive.job_in(State.DEAD)
    queuectl("add", "--after-ok", "1", "--mutex", "db", "echo hi")

    assert "\tafter-ok 1: it is dead\techo hi" in queuectl("list").out
    told = "it waits for job 1 to complete, but that is dead; try 'queuectl requeue 1'"
    assert told in queuectl("explain", "2").out
    shown = queuectl("show", "2").out
    assert "after ok    1 (dead)\n" in shown
    assert "mutex       db\n" in shown
    assert told in shown
    assert "needed by   2\n" in queuectl("show", "1").out
    job = queuectl("show", "2", "--json").json()
    assert (job["state"], job["mutex"], job["mutex_holder"]) == ("pending", "db", None)
    assert job["waits_for"] == [{"id": 1, "after": "ok", "state": "dead"}]
    assert job["after"] == [{"id": 1, "after": "ok", "state": "dead", "met": False}]
    (listed,) = queuectl("list", "--json").json()
    assert listed["waits_for"] == job["waits_for"]


def test_a_held_mutex_is_told(queuectl: Program, drive: Driver) -> None:
    queuectl("add", "--mutex", "db-migrate", "one")
    queuectl("add", "--mutex", "db-migrate", "two")
    drive.claim()

    assert queuectl("list").out.endswith("\tmutex db-migrate is held by 1\ttwo\n")
    drive.start_pool()
    assert "queuectl worker" in queuectl("explain", "2").out  # no pool lives: that comes first
    assert queuectl("list", "--json").json()[0]["mutex_holder"] == 1


def test_edit_changes_what_a_job_waits_for(queuectl: Program, drive: Driver) -> None:
    for _ in range(2):
        queuectl("add", "true")
    queuectl("add", "--after-ok", "1", "--mutex", "db", "true")

    said = queuectl("edit", "3", "--after-ok", "", "--after-fail", "2", "--mutex", "", "--json")
    edited = said.json()
    assert edited["waits_for"] == [{"id": 2, "after": "fail", "state": "pending"}]
    assert edited["mutex"] is None
    queuectl("edit", "3", "--after-fail", "")
    assert drive.get(3).stored is State.READY


def test_lines_of_a_file_wait_for_each_other(queuectl: Program, engine: Engine) -> None:
    lines = [
        {"command": "build", "key": "build"},
        {"command": "test", "after_ok": ["build"], "mutex": "db"},
        {"command": "clean", "after-any": ["build", 2]},
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    queuectl("add", "--jsonl", "-f", "-", stdin=text)

    assert [need.job for need in engine.needs(2)] == [1]
    assert [need.job for need in engine.needs(3)] == [1, 2]
    assert engine.get(2).mutex == "db"


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ('{"command": "x", "after_ok": [99]}', 3, "line 3: no job 99 to wait for"),
        ('{"command": "x", "after_ok": "1"}', 2, "line 3: 'after_ok' must be a list of ids"),
        ('{"command": "x", "after_ok": [1.5]}', 2, "line 3: 'after_ok' must be a list of ids"),
    ],
)
def test_a_bad_line_stops_the_file_and_is_named(
    queuectl: Program, engine: Engine, line: str, code: int, words: str
) -> None:
    good = '{"command": "a", "after_ok": []}'
    text = f"{good}\n{good}\n{line}\n{good}\n"

    said = queuectl("add", "--jsonl", "-f", "-", stdin=text, code=code)

    assert words in said.err
    assert "lines 1 to 2 were added" in said.err
    assert [job.id for job in engine.jobs()] == [1, 2]


def test_a_limit_is_set_shown_and_taken_away(queuectl: Program, drive: Driver) -> None:
    said = queuectl("limit", "gpu", "mail", "--max-running", "2")
    assert said.lines == [
        "Queue gpu: at most 2 jobs at a time",
        "Queue mail: at most 2 jobs at a time",
    ]
    assert queuectl("limit", "--max-running", "1").out == (
        "All queues together: at most 1 job at a time\n"
    )
    drive.add(queue="gpu")
    assert queuectl("queues").lines[0] == "gpu\t\t1\t0\t0\t0\t0\t0\t2\t"
    assert "Limit     1 running, over all queues" in queuectl("status").out
    status = queuectl("status", "--json").json()
    assert (status["max_running"], status["queues"][0]["max_running"]) == (1, 2)

    assert queuectl("limit", "gpu", "--max-running", "0").out == "Queue gpu: no limit\n"
    said = queuectl("limit", "--max-running", "0", "--json")
    assert said.json() == {"limited": [], "all": True, "max_running": None}
    assert queuectl("status", "--json").json()["max_running"] is None


def test_a_limit_that_is_raised_lets_more_start_at_once(queuectl: Program, drive: Driver) -> None:
    queuectl("limit", "gpu", "--max-running", "1")
    drive.add(queue="gpu")
    waiting = drive.add(queue="gpu")
    drive.claim()
    drive.turn(room=1)

    assert drive.get(waiting).stored is State.READY
    queuectl("limit", "gpu", "--max-running", "2")
    assert drive.run(Exited(0)).id == waiting.id


def test_a_person_is_told_of_a_wait_that_will_not_end(queuectl: Program, drive: Driver) -> None:
    parent = drive.job_in(State.DEAD, key="build")
    told = queuectl.at_terminal("add", "--after-ok", "build", "true").out.replace("\r\n", " ")
    assert f"it waits for job {parent.id} to complete, but that is dead" in told
