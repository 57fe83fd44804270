"""`add --wait`, `add --follow`, `wait --all`, `logs -f` of several: with real pools."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from queuectl_engine.engine import Engine
from queuectl_engine.job import JobState, State
from queuectl_engine.lifecycle import Exited, Signalled, TimedOut, WorkerDied
from queuectl_engine.repository.protocol import Progress
from tests.cli.program import Program, Result
from tests.pools import stop_pools
from tests.repository.driver import Driver, output_of
from tests.samples import SECOND
from tests.waiting import until


@pytest.fixture
def pool(engine: Engine) -> Iterator[None]:
    """A pool of two workers that serves the queue."""
    engine.start_pool(workers=2)
    yield
    stop_pools(engine)


def answer(queuectl: Program, *args: str) -> Result:
    """What a command answers whose stderr and code are those of a job."""
    with queuectl.running(*args) as running:
        return running.end()


@pytest.mark.usefixtures("pool")
def test_follow_is_the_command_itself_as_far_as_a_script_can_see(queuectl: Program) -> None:
    line = "echo one; echo two >&2; printf '\\033[31mraw\\377'; exit 7"
    with queuectl.running("add", "--max-retries", "0", "--follow", line) as running:
        assert running.read() == b"one\n\x1b[31mraw\xff"
        assert running.end() == Result(7, "", "two\n")


@pytest.mark.usefixtures("pool")
def test_wait_prints_the_id_at_once_and_ends_as_the_job_does(queuectl: Program) -> None:
    assert queuectl("add", "--wait", "true").out == "Job enqueued with ID: 1\n"
    failed = queuectl("add", "--max-retries", "0", "--wait", "-q", "exit 3", code=3)
    assert failed.out == "2\n"
    assert failed.err.startswith("error: job 2 is dead (exit 3)")
    queuectl("add", "--max-retries", "0", "--wait", "kill -TERM $$", code=143)
    queuectl("add", "--max-retries", "0", "--timeout", "0.2s", "--wait", "sleep 60", code=124)
    done = queuectl("add", "--wait", "--json", "true").json()
    assert (done["id"], done["state"]) == (5, "completed")


@pytest.mark.usefixtures("pool")
def test_wait_goes_through_retries_to_the_last_word(queuectl: Program, engine: Engine) -> None:
    queuectl("add", "--max-retries", "1", "--wait", 'test "$QUEUECTL_ATTEMPT" = 2')
    assert [attempt.result for attempt in engine.attempts(1)] == ["failed", "completed"]


@pytest.mark.usefixtures("pool")
def test_a_key_that_is_there_is_waited_for_too(queuectl: Program) -> None:
    for said in ("Job enqueued with ID: 1\n", "Job exists with ID: 1 (dead)\n"):
        result = queuectl("add", "--key", "k", "--max-retries", "0", "--wait", "exit 9", code=9)
        assert result.out == said


@pytest.mark.usefixtures("pool")
def test_many_are_waited_for_and_one_that_fails_is_exit_4(queuectl: Program) -> None:
    lines = "\n".join(["true"] * 30)
    assert queuectl("add", "--file", "-", "--wait", stdin=lines).out.startswith("30 jobs enqueued")
    lines = "true\nexit 3\ntrue\nexit 5"
    failed = queuectl("add", "--file", "-", "--wait", "--max-retries", "0", stdin=lines, code=4)
    assert "job 32 is dead (exit 3), and 1 other job failed" in failed.err
    assert failed.out == "4 jobs enqueued with IDs: 31-34\n"


def test_what_cannot_be_followed_is_refused_and_adds_nothing(
    queuectl: Program, engine: Engine
) -> None:
    assert "take --wait" in queuectl("add", "--follow", "--json", "true", code=2).err
    assert "one job" in queuectl("add", "--follow", "--file", "-", code=2, stdin="true").err
    assert engine.counts().of(*JobState) == 0


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (Exited(75), 75),
        (Signalled(signal.SIGKILL), 137),
        (TimedOut(SECOND), 124),
        (WorkerDied(supervised=False), 4),
    ],
)
def test_the_exit_code_says_how_the_last_run_ended(
    queuectl: Program, drive: Driver, ending: Exited, code: int
) -> None:
    drive.add(key="k", max_retries=0)
    drive.run(ending)
    queuectl("add", "--key", "k", "--wait", "true", code=code)
    assert answer(queuectl, "add", "--key", "k", "--follow", "true").code == code


def test_a_cancelled_job_is_exit_4_and_a_deleted_one_is_no_job(
    queuectl: Program, drive: Driver
) -> None:
    with queuectl.running("add", "--wait", "true") as waiting:
        until(lambda: drive.repo.get([1]))
        drive.cancel(drive.get(1))
        assert waiting.end().code == 4
    with queuectl.running("add", "--follow", "true") as waiting:
        until(lambda: drive.repo.get([2]))
        drive.delete(drive.get(2))
        assert waiting.end().code == 3


@pytest.mark.parametrize("how", ["--follow", "--wait"])
def test_ctrl_c_leaves_the_job_and_says_how_to_end_it(
    queuectl: Program, engine: Engine, how: str
) -> None:
    followed = queuectl.at_terminal("add", how, "true", interrupt_when="no pool runs")
    assert followed.code == 130
    assert "job 1 goes on; 'queuectl cancel 1' ends it" in followed.out
    assert engine.get(1).state is JobState.PENDING


def test_a_terminal_gets_whole_harmless_lines(queuectl: Program, drive: Driver) -> None:
    drive.add(key="k")
    drive.end(drive.claim(), Exited(0), output_of("\x1b]0;title\x07one\nt", "wo"))
    shown = queuectl.at_terminal("add", "--key", "k", "--follow", "true").out
    assert "one\r\ntwo\r\n" in shown
    assert "\x1b]" not in shown


def test_several_logs_have_each_line_after_its_job(queuectl: Program, drive: Driver) -> None:
    for _ in range(10):
        drive.add()
    claims = [drive.claim() for _ in range(10)]
    with queuectl.running("logs", "-f", "2", "10", "2") as logs:
        logs.until_open()
        for text, claim, first in (("a", claims[1], 0), ("b\xff\n", claims[9], 0)):
            item = Progress(claim.attempt, output=output_of(text, first=first))
            drive.repo.progress(drive.worker, [item], now=drive.now)
        assert logs.read(8) == b"10 | b\xc3\xbf"
        assert logs.read(1) == b"\n"
        drive.end(claims[1], Exited(0), output_of("c\n\x1b[31md", first=1))
        drive.end(claims[9], Exited(1), output_of("e", first=1))
        drive.cancel(drive.get(10))
        lines = logs.read().split(b"\n")
        assert sorted(lines) == sorted([b" 2 | ac", b" 2 | \x1b[31md", b"10 | e", b""])
        assert logs.end().code == 0
    assert queuectl("logs", "2", "10").lines[0] == " 2 | ac"
    texts = [(each["job"], each["text"]) for each in queuectl("logs", "10", "2", "--json").json()]
    assert texts == [(10, "b\xff\n"), (10, "e"), (2, "a"), (2, "c\n\x1b[31md")]


def test_prefixes_are_coloured_for_a_person_who_likes_it(queuectl: Program, drive: Driver) -> None:
    for text in ("one", "two"):
        drive.add()
        drive.end(drive.claim(), Exited(0), output_of(f"\x1b[2J{text}\n"))
    coloured = queuectl.at_terminal("logs", "1", "2").out
    assert "\x1b[36m1 | \x1b[0mone\r\n\x1b[33m2 | \x1b[0mtwo" in coloured
    assert "\x1b[2J" not in coloured
    plain = queuectl.at_terminal("logs", "1", "2", env={"NO_COLOR": "1"}).out
    assert "1 | one\r\n2 | two\r\n" in plain


def test_one_unknown_job_of_several_is_exit_3(queuectl: Program, drive: Driver) -> None:
    drive.add()
    queuectl("logs", "-f", "1", "99", code=3)
    queuectl("logs", code=2)


def test_wait_for_all_ends_when_the_last_one_has(queuectl: Program, drive: Driver) -> None:
    drive.add(max_retries=1)
    drive.add(queue="other")
    with queuectl.running("wait", "--all") as waiting:
        waiting.until_open()
        drive.run(Exited(1), "default")
        drive.later(SECOND * 3)
        drive.run(Exited(0), "default")
        drive.run(Exited(0), "other")
        assert waiting.end() == Result(0, "Every queue is empty\n", "")
    assert queuectl("wait", "--all", "--json").json() == {"queue": None, "empty": True, "died": []}


def test_wait_for_a_queue_looks_at_that_queue_only(queuectl: Program, drive: Driver) -> None:
    drive.job_in(State.DEAD)  # long ago: not of this wait
    drive.add(queue="gpu")
    drive.run(Exited(0), "gpu")
    drive.add()
    assert queuectl("wait", "--queue", "gpu").out == "Queue gpu is empty\n"
    late = queuectl("wait", "--queue", "default", "--timeout", "0", "--json", code=1)
    assert late.json()["empty"] is False
    assert "queue default is not empty" in late.err
    assert "no queue gpus" in queuectl("wait", "--queue", "gpus", code=2).err
    queuectl("wait", "--all", "1", code=2)
    queuectl("wait", code=2)


@pytest.mark.usefixtures("pool")
def test_a_job_that_died_meanwhile_makes_the_wait_for_all_fail(
    queuectl: Program, engine: Engine
) -> None:
    engine.add("exit 6", max_retries=0)
    engine.wait(1)
    assert queuectl("wait", "--all").code == 0  # it had died before
    with queuectl.running("wait", "--all") as waiting:
        assert waiting.end().code == 0
    engine.pause("default")
    engine.add("exit 6", max_retries=0, queue="default")
    with queuectl.running("wait", "--queue", "default") as waiting:
        waiting.until_open()
        engine.resume("default")
        said = waiting.end()
    assert (said.code, said.out) == (4, "Queue default is empty\n")
    assert "job 2 is dead (exit 6)" in said.err
