"""`show`, `logs`, `wait`: what became of a job."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from queuectl_engine.engine import Engine
from queuectl_engine.job import Chunk, Piece, State, Stream
from queuectl_engine.lifecycle import Exited
from queuectl_engine.repository.protocol import Output, Progress
from tests.cli.program import Program, Result
from tests.repository.driver import Driver, output_of
from tests.samples import NOON

NOT_UTF8 = b"\x1b[31mred \xff\n"


def pieces_of(*pieces: tuple[Stream, bytes]) -> Output:
    """Output in one chunk."""
    chunk = Chunk(0, NOON, tuple(Piece(stream, data) for stream, data in pieces))
    return Output((chunk,), total=chunk.size)


def test_show_tells_details_history_and_output(queuectl: Program, drive: Driver) -> None:
    drive.add("echo hello", max_retries=0, key="k", queue="gpu")
    drive.end(drive.claim(), Exited(7), pieces_of((Stream.OUT, b"hello\n")))

    shown = queuectl("show", "k").lines
    fields = dict(line.split(maxsplit=1) for line in shown[:-1])
    assert (fields["job"], fields["state"], fields["command"]) == ("1", "dead", "echo hello")
    assert (fields["queue"], fields["runs"], fields["reason"]) == ("gpu", "1 of 1", "exit 7")
    assert [line for line in shown if line.startswith("attempt 1")] == [
        "attempt 1   2026-01-31T12:00:00.000Z, failed after 0.0 s, exit 7"
    ]
    assert shown[-2:] == ["output of attempt 1:", "hello"]


def test_show_as_json_is_one_object_with_everything(queuectl: Program, drive: Driver) -> None:
    drive.add("echo hello", max_retries=1)
    drive.end(drive.claim(), Exited(7), output_of("first\n"))
    drive.later()
    drive.requeue(drive.get(1))
    output = pieces_of(
        (Stream.OUT, b"a"), (Stream.OUT, "é".encode()[:1]), (Stream.ERR, NOT_UTF8),
        (Stream.OUT, "é".encode()[1:] + b"\n"),
    )  # fmt: skip
    drive.end(drive.claim(), Exited(0), output)

    job = queuectl("show", "1", "--json").json()
    assert {"id", "key", "command", "state", "attempts", "max_retries", "priority", "queue"} < set(
        job
    )
    assert {"run_at", "created_at", "updated_at"} < set(job)
    assert (job["state"], job["argv"], job["umask"], job["env"]) == (
        "completed",
        None,
        "0022",
        ["MODE"],
    )
    assert [each["result"] for each in job["attempt_history"]] == ["failed", "completed"]
    assert [each["exit_code"] for each in job["attempt_history"]] == [7, 0]
    assert [each["kind"] for each in job["events"]] == ["added", "requeued"]
    assert job["output"] == [
        {"stream": "stdout", "text": "a"},
        {"stream": "stderr", "text": "\x1b[31mred \ufffd\n"},
        {"stream": "stdout", "text": "é\n"},
    ]


def test_a_job_that_never_ran_has_empty_lists(queuectl: Program, drive: Driver) -> None:
    drive.add()
    job = queuectl("show", "1", "--json").json()
    assert (job["attempt_history"], job["output"]) == ([], [])
    assert queuectl("logs", "1").out == ""
    assert queuectl("logs", "1", "--json").json() == []


def test_logs_pass_every_byte_in_order_of_arrival(queuectl: Program, drive: Driver) -> None:
    drive.add()
    output = pieces_of((Stream.OUT, b"one "), (Stream.ERR, NOT_UTF8), (Stream.OUT, b"two"))
    drive.end(drive.claim(), Exited(0), output)

    with queuectl.running("logs", "1") as logs:
        assert logs.read() == b"one " + NOT_UTF8 + b"two"
        assert logs.end().code == 0
    assert queuectl("logs", "1", "--stream", "out").out == "one two"
    assert [
        (each["attempt"], each["stream"], each["text"])
        for each in queuectl("logs", "1", "--json", "--stream", "err").json()
    ] == [(1, "stderr", "\x1b[31mred \ufffd\n")]


def test_logs_of_an_earlier_attempt(queuectl: Program, drive: Driver) -> None:
    drive.add(max_retries=0)
    drive.end(drive.claim(), Exited(1), output_of("first"))
    drive.requeue(drive.get(1))
    drive.end(drive.claim(), Exited(0), output_of("second"))

    assert queuectl("logs", "1").out == "second"
    assert queuectl("logs", "1", "--attempt", "1").out == "first"
    assert "has 2 attempts" in queuectl("logs", "1", "--attempt", "3", code=1).err
    queuectl("logs", "1", "--attempt", "0", code=2)


def test_follow_goes_from_before_the_start_through_retries_to_the_end(
    queuectl: Program, drive: Driver
) -> None:
    drive.add(max_retries=1)
    with queuectl.running("logs", "1", "--follow") as logs:
        logs.until_open()
        claim = drive.claim()
        item = Progress(claim.attempt, output=output_of("one "))
        drive.repo.progress(drive.worker, [item], now=drive.now)
        assert logs.read(4) == b"one "
        drive.end(claim, Exited(1), output_of("two ", first=1))
        assert logs.read(4) == b"two "
        drive.requeue(drive.get(1))
        drive.end(drive.claim(), Exited(0), output_of("three"))
        assert logs.read() == b"three"
        assert logs.end().code == 0


def test_follow_of_one_attempt_ends_with_it(queuectl: Program, drive: Driver) -> None:
    drive.add(max_retries=1)
    drive.end(drive.claim(), Exited(1), output_of("one"))
    assert queuectl("logs", "1", "-f", "--attempt", "1").out == "one"
    drive.requeue(drive.get(1))
    drive.end(drive.claim(), Exited(0), output_of("two"))
    lines = queuectl("logs", "1", "-f", "--json").lines
    assert [json.loads(line)["text"] for line in lines] == ["two"]


def test_wait_answers_with_how_the_jobs_ended(queuectl: Program, drive: Driver) -> None:
    for state in (State.COMPLETED, State.DEAD, State.CANCELLED, State.READY):
        drive.job_in(state)

    assert queuectl("wait", "1").out == "Job 1 completed\n"
    dead = queuectl("wait", "1", "2", code=4)
    assert dead.lines == ["Job 1 completed", "Job 2 dead"]
    assert "job 2 is dead (exit 1)" in dead.err
    assert "job 3 is cancelled" in queuectl("wait", "3", code=4).err
    late = queuectl("wait", "1", "4", "--timeout", "0", "--json", code=1)
    assert [job["state"] for job in late.json()] == ["completed", "pending"]
    assert "job 4 is still pending" in late.err
    queuectl("wait", "4", "--timeout", "soon", code=2)


def test_wait_returns_when_the_last_job_has_ended(queuectl: Program, drive: Driver) -> None:
    drive.add()
    drive.add()
    with queuectl.running("wait", "1", "2") as waiting:
        waiting.until_open()
        drive.run(Exited(0))
        drive.run(Exited(0))
        assert waiting.end() == Result(0, "Job 1 completed\nJob 2 completed\n", "")


@pytest.mark.parametrize("verb", ["wait", "logs"])
def test_a_job_deleted_meanwhile_is_no_job(queuectl: Program, drive: Driver, verb: str) -> None:
    drive.add()
    args = ["logs", "-f", "1"] if verb == "logs" else ["wait", "1"]
    with queuectl.running(*args) as waiting:
        waiting.until_open()
        drive.delete(drive.get(1))
        said = waiting.end()
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith("error: no job 1 ")


def test_an_interrupt_is_exit_130_and_harms_no_job(queuectl: Program, drive: Driver) -> None:
    job = drive.add()
    with queuectl.running("wait", "1") as waiting:
        waiting.until_open()
        waiting.process.send_signal(signal.SIGINT)
        assert waiting.end() == Result(130, "", "")
    assert drive.get(job) == job


def test_what_is_printed_between_a_look_and_the_end_is_not_missed(
    engine: Engine, drive: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive.add()
    claim = drive.claim()
    repository = engine._repository
    really = repository.output

    def output_and_then_the_end(*args: Any, **kwargs: Any) -> list[Chunk]:
        chunks = really(*args, **kwargs)
        if drive.get(1).stored is State.PROCESSING:
            drive.end(claim, Exited(0), output_of("last words"))
        return chunks

    monkeypatch.setattr(repository, "output", output_and_then_the_end)
    chunks = [part.chunk for part in engine.follow(1) if part.chunk]
    assert [piece.data for chunk in chunks for piece in chunk.pieces] == [b"last words"]
