"""`queuectl schedule`: what recurs, from the command line."""

from __future__ import annotations

from datetime import datetime

import pytest

from queuectl_engine.engine import Engine
from tests.cli.program import Program


def test_it_echoes_the_next_three_times_with_their_offset(
    queuectl: Program, engine: Engine
) -> None:
    said = queuectl("schedule", "add", "0 3 * * *", "--tz", "Europe/Berlin", "--", "make", "a b")

    assert said.lines[0] == "Schedule added with ID: 1"
    assert len(said.lines) == 4
    for line in said.lines[1:]:
        time, zone = line.strip().split("  ")
        moment = datetime.fromisoformat(time)
        assert (moment.hour, moment.minute, zone) == (3, 0, "Europe/Berlin")
        assert moment.utcoffset() is not None
    (schedule,) = engine.schedules()
    assert schedule.job.argv == ("make", "a b")


def test_it_takes_the_policy_that_add_takes(queuectl: Program, engine: Engine) -> None:
    queuectl(
        *("schedule", "add", "@hourly", "make", "--queue", "mail", "--max-retries", "1"),
        *("--timeout", "10m", "--priority", "4", "--cwd", "/", "--env", "A=b", "--name", "nightly"),
        *("--tz", "UTC", "--missed", "skip", "--overlap"),
    )

    (schedule,) = engine.schedules()
    job = schedule.job
    assert (job.queue, job.max_retries, job.priority) == ("mail", 1, 4)
    assert job.timeout is not None
    assert (job.timeout.total_seconds(), job.context.cwd, job.context.env) == (600, "/", {"A": "b"})
    assert (schedule.name, schedule.missed, schedule.overlap) == ("nightly", "skip", True)


def test_json_says_all_of_it(queuectl: Program) -> None:
    queuectl("schedule", "add", "@daily", "true", "--tz", "UTC", "--name", "n")

    (found,) = queuectl("schedule", "list", "--json").json()

    assert (found["id"], found["name"], found["expression"]) == (1, "n", "@daily")
    assert (found["zone"], found["missed"], found["overlap"]) == ("UTC", "run", False)
    assert (found["paused"], found["last_job"], found["last_at"]) == (False, None, None)
    assert found["next_at"].endswith("T00:00:00.000Z")
    assert queuectl("schedule", "pause", "n", "--json").json()["next_at"] is None
    assert queuectl("schedule", "delete", "1", "--json").json()["name"] == "n"
    assert queuectl("schedule", "list", "--json").json() == []


def test_pause_resume_run_now_and_delete(queuectl: Program) -> None:
    queuectl("schedule", "add", "@daily", "true", "--name", "n", "--tz", "UTC")

    assert queuectl("schedule", "pause", "n").out == "Schedule n paused\n"
    assert queuectl("schedule").lines[0].split("\t")[4] == "paused"
    assert queuectl("schedule", "resume", "1").lines[0] == "Schedule n resumed"
    assert queuectl("schedule", "run-now", "n").out == "Job enqueued with ID: 1\n"
    refused = queuectl("schedule", "run-now", "n", code=1)
    assert "job 1 is pending" in refused.err
    assert queuectl("list", "--json").json()[0]["schedule"] == 1
    assert "schedule    1\n" in queuectl("show", "1").out
    queuectl("cancel", "1")
    assert queuectl("schedule", "run-now", "-q", "n").out == "2\n"
    row = queuectl("schedule", "list").lines[0].split("\t")
    assert row[6] == "job 2 pending by hand"
    assert queuectl("schedule", "delete", "n").out == "Schedule n deleted\n"
    assert queuectl("schedule", "pause", "n", code=3).out == ""


def test_the_same_name_again_changes_nothing(queuectl: Program) -> None:
    nightly = ("schedule", "add", "0  3 * * *", "make", "--name", "nightly", "--tz", "UTC")
    queuectl(*nightly)

    assert queuectl(*nightly).lines[0] == "Schedule exists with ID: 1"
    assert queuectl(*nightly[:2], "@daily", *nightly[3:], code=1).out == ""
    assert len(queuectl("schedule", "list").lines) == 1


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "when?"),
        (["--", "make"], "when?"),
        (["0 3 * * *"], "the command is missing"),
        (["0 3 * * *", "--"], "the command is missing"),
        (["0", "3", "*", "*", "*", "make"], "quote WHEN"),
        (["0 3 * *", "make"], "five fields"),
        (["61 3 * * *", "make"], "bad minute"),
        (["0 0 30 2 *", "make"], "bad day-of-month"),
        (["@daily", "make", "--tz", "Europe/Bärlin"], "no time zone"),
        (["@daily", "make", "--name", "7"], "looks like an id"),
        (["@daily", "make", "--name", "a b"], "without spaces"),
        (["@daily", "make", "--missed", "later"], "--missed"),
        (["@daily", "make", "--key", "k"], "no such option"),
        (["@daily", " "], "the command is empty"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    queuectl: Program, engine: Engine, args: list[str], told: str
) -> None:
    refused = queuectl("schedule", "add", *args, code=2)

    assert told in refused.err
    assert engine.schedules() == []


def test_an_unknown_command_names_those_there_are(queuectl: Program) -> None:
    assert "run-now" in queuectl("schedule", "start", code=2).err


def test_help_at_a_terminal_shows_its_commands_together(queuectl: Program) -> None:
    shown = queuectl.at_terminal("schedule", "--help").out

    assert shown.count("Commands") == 1
    assert "run-now" in shown
    assert "Queues" not in shown


def test_a_terminal_of_80_columns_has_room_for_the_command(queuectl: Program) -> None:
    queuectl("schedule", "add", "*/5 8-18 * * mon-fri", "make report", "--name", "report")
    queuectl("schedule", "run-now", "report")

    row = queuectl.at_terminal("schedule", env={"TZ": "UTC"}).out.splitlines()[-1]

    assert "report" in row
    assert "1 pending" in row
    assert "make report" in row


def test_a_terminal_gets_harmless_text(queuectl: Program) -> None:
    queuectl("schedule", "add", "@daily", "echo \x1b[31mred", "--tz", "UTC")

    shown = queuectl.at_terminal("schedule", "list")

    assert shown.code == 0
    assert "\x1b[31m" not in shown.out
    assert "@daily" in shown.out
