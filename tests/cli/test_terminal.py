"""At a terminal foreign text is harmless, there are notes, and bulk verbs ask."""

from __future__ import annotations

import re

import pytest

from queuectl_engine.engine import Engine
from queuectl_engine.job import JobState, State, Stream
from queuectl_engine.lifecycle import Exited
from tests.cli.program import Program
from tests.cli.test_watching import pieces_of
from tests.repository.driver import Driver

EVIL = "echo \x1b]0;owned\x07 \x1b[2J\x9b31m \u202egnirts"
OURS = re.compile(r"\x1b\[[0-9;]*m")  # the colours of our own tables


def controls(text: str) -> set[str]:
    """Control characters and invisible ones that reached the terminal, except our own."""
    rest = OURS.sub("", text).replace("\r\n", "\n")
    return {char for char in rest if not char.isprintable() and char != "\n"}


def hostile_job(drive: Driver) -> None:
    drive.add(EVIL, max_retries=0)
    output = pieces_of(
        (Stream.OUT, b"a\x1b]0;ow"), (Stream.ERR, b"\x9b2J err\n"), (Stream.OUT, b"ned\x07b\n")
    )
    drive.end(drive.claim(), Exited(1), output)


@pytest.mark.parametrize(
    "args",
    [
        ["list", "--dlq"],
        ["list", "--dlq", "--json"],
        ["show", "1"],
        ["show", "1", "--json"],
        ["logs", "1"],
        ["logs", "1", "-f"],
        ["logs", "1", "--json"],
        ["show", EVIL],
        ["add", "--run-at", EVIL, "x"],
        [EVIL],
        ["list", "--db", EVIL],
        ["list", "--queue", "a\x1b[31m"],
    ],
)
def test_hostile_text_is_harmless_on_a_terminal(
    queuectl: Program, drive: Driver, args: list[str]
) -> None:
    hostile_job(drive)
    said = queuectl.at_terminal(*args)
    assert said.out
    assert controls(said.out) == set()


def test_hostile_text_is_raw_in_a_pipe(queuectl: Program, drive: Driver) -> None:
    hostile_job(drive)
    assert EVIL in queuectl("list", "--dlq").out
    assert EVIL in queuectl("show", "1").out
    assert queuectl("list", "--dlq", "--json").json()[0]["command"] == EVIL


def test_output_in_pieces_is_put_together_before_it_is_cleaned(
    queuectl: Program, drive: Driver
) -> None:
    hostile_job(drive)
    assert queuectl.at_terminal("logs", "1").out.splitlines() == ["\ufffd2J err", "ab"]


def test_a_table_has_a_header_fits_the_terminal_and_obeys_no_color(
    queuectl: Program, engine: Engine
) -> None:
    engine.add(f"echo {'x' * 200}")
    drawn = queuectl.at_terminal("list").out
    assert OURS.search(drawn)
    plain = queuectl.at_terminal("list", env={"NO_COLOR": "1"}).out
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", plain)
    header, row, *_ = OURS.sub("", plain).splitlines()
    assert header.split() == [
        "ID", "STATE", "QUEUE", "PRIO", "RUNS", "WHEN", "COMMAND",
    ]  # fmt: skip
    assert len(row) <= 80
    assert row.rstrip().endswith("…")


def test_fifty_jobs_are_shown_and_a_note_says_so(queuectl: Program, drive: Driver) -> None:
    drive.job_in(State.FAILED)
    for number in range(60):
        drive.add(f"echo {number}")
    said = queuectl.at_terminal("list", env={"NO_COLOR": "1"}).out
    assert said.count(" pending ") == 50
    assert "note: the first 50 are shown; --limit N shows more" in said
    assert "note: 1 job waits for a retry; --state failed lists them" in said
    assert queuectl.at_terminal("list", "--limit", "55").out.count("pending") == 55


def test_an_empty_list_says_so(queuectl: Program) -> None:
    assert queuectl.at_terminal("list").out == "note: no pending jobs here\r\n"


def test_add_says_when_it_runs_and_that_no_pool_does(queuectl: Program) -> None:
    said = queuectl.at_terminal(
        "add", "echo 1", "--run-at", "2030-01-31T09:00", env={"TZ": "Europe/Berlin"}
    ).out.splitlines()
    assert said == [
        "Job enqueued with ID: 1",
        "note: runs at 2030-01-31 09:00:00+01:00 or later",
        "note: no pool runs; 'queuectl worker' starts one",
    ]
    assert queuectl.at_terminal("add", "-q", "echo 1").out == "2\r\n"


def test_a_database_that_the_line_does_not_name_is_named(bare: Program) -> None:
    assert re.match(
        r"note: database .*/queuectl/queue.db \(your own\)", bare.at_terminal("list").out
    )
    assert "note: database" not in bare.at_terminal("list", "-q").out


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("\n", 1), ("n\n", 1), ("\x04", 130)])
def test_requeue_all_asks_and_no_is_the_default(
    queuectl: Program, drive: Driver, typed: str, code: int
) -> None:
    job = drive.job_in(State.DEAD)
    said = queuectl.at_terminal("requeue", "--all", typed=typed)
    assert "requeue 1 dead job? [y/N]" in said.out
    assert said.code == code
    assert drive.get(job).state is (JobState.PENDING if code == 0 else JobState.DEAD)


def test_help_is_drawn_for_a_person(bare: Program) -> None:
    drawn = bare.at_terminal("--help").out
    assert "╭─ Jobs ─" in OURS.sub("", drawn)
    assert "╭─ Options ─" in OURS.sub("", bare.at_terminal("add", "--help").out)
    assert "╭" not in bare("--help").out
