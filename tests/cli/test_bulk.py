"""`add --file`: many jobs from a stream."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from queuectl_engine.engine import Engine
from tests.cli.program import Program


def commands(engine: Engine) -> list[str]:
    return [job.command for job in engine.jobs()]


def test_every_line_that_is_not_empty_is_a_job(queuectl: Program, engine: Engine) -> None:
    said = queuectl("add", "--file", "-", "--queue", "bulk", stdin="echo 1\n\n  \necho 2\r\necho 3")
    assert said.out == "3 jobs enqueued with IDs: 1-3\n"
    assert commands(engine) == ["echo 1", "echo 2", "echo 3"]
    assert {job.queue for job in engine.jobs()} == {"bulk"}


def test_a_file_longer_than_a_chunk_arrives_whole(queuectl: Program, engine: Engine) -> None:
    (queuectl.directory / "jobs").write_text("".join(f"echo {n}\n" for n in range(12_345)))
    assert queuectl("add", "-f", "jobs").out == "12345 jobs enqueued with IDs: 1-12345\n"
    assert commands(engine) == [f"echo {n}" for n in range(12_345)]


def test_quiet_prints_an_id_for_each_line(queuectl: Program) -> None:
    assert queuectl("add", "-q", "-f", "-", stdin="a\nb\n").lines == ["1", "2"]


def test_json_counts_and_names_the_ids(queuectl: Program) -> None:
    said = queuectl("add", "--json", "-f", "-", stdin="a\nb\n").json()
    assert said == {"created": 2, "existing": 0, "ids": [[1, 2]], "existing_ids": []}


def test_nothing_is_no_error(queuectl: Program) -> None:
    assert queuectl("add", "-f", "-").out == "0 jobs enqueued\n"


def test_objects_carry_their_own_policy(queuectl: Program, engine: Engine) -> None:
    first = {"argv": ["echo", "a b"], "queue": "gpu", "priority": 3, "max-retries": 0, "key": "k"}
    second = {
        "command": "echo c",
        "timeout": "10m",
        "run_at": "2030-01-31T09:00Z",
        "env": {"A": "1"},
        "shell": "/bin/bash",
        "cwd": "/",
        "allow_background": True,
    }
    lines = f"{json.dumps(first)}\n{json.dumps(second)}\n"
    queuectl("add", "--jsonl", "-f", "-", "--priority", "9", stdin=lines)

    one, two = engine.jobs()
    assert (one.argv, one.queue, one.priority) == (("echo", "a b"), "gpu", 3)
    assert (one.max_retries, one.key) == (0, "k")
    assert (two.command, two.priority, two.timeout) == ("echo c", 9, timedelta(minutes=10))
    assert two.run_at.isoformat() == "2030-01-31T09:00:00+00:00"
    assert two.allow_background
    context = engine.context_of(two)
    assert (context.cwd, context.shell, context.env) == ("/", "/bin/bash", {"A": "1"})


def test_a_file_is_read_as_objects_for_its_name(queuectl: Program, engine: Engine) -> None:
    (queuectl.directory / "jobs.jsonl").write_text('{"command": "echo 1"}\n')
    queuectl("add", "-f", "jobs.jsonl")
    assert commands(engine) == ["echo 1"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"command": "x"',
        b"[1]",
        b"nonsense",
        b"[" * 100_000,
        b"{}",
        b'{"command": "x", "argv": ["x"]}',
        b'{"command": "x", "colour": "red"}',
        b'{"command": ["x"]}',
        b'{"argv": []}',
        b'{"argv": "x"}',
        b'{"command": "x", "priority": 1.5}',
        b'{"command": "x", "priority": true}',
        b'{"command": "x", "priority": ' + b"9" * 5000 + b"}",
        b'{"command": "x", "max_retries": -1}',
        b'{"command": "x", "max_retries": 1, "max-retries": 1}',
        b'{"command": "x", "timeout": NaN}',
        b'{"command": "x", "timeout": "soon"}',
        b'{"command": "x", "timeout": [1]}',
        b'{"command": "x", "run_at": 5}',
        b'{"command": "x", "run_at": "someday"}',
        b'{"command": "x", "env": {"A": 1}}',
        b'{"command": "x", "env": ["A=1"]}',
        b'{"command": "x", "cwd": "/nowhere/at/all"}',
        b'{"command": "x", "cwd": "\\ud800"}',
        b'{"command": "x", "allow_background": "no"}',
        b'{"command": "\\ud800"}',
        b'{"command": "a\\u0000b"}',
        b"\xff\xfe",
        b'{"command": "' + b"x" * 1024 * 1024 + b'"}',
    ],
)
def test_a_bad_line_stops_there_and_is_named(
    queuectl: Program, engine: Engine, line: bytes
) -> None:
    good = b'{"command": "echo 1"}\n\n{"command": "echo 2"}\n'
    said = queuectl("add", "--jsonl", "-f", "-", stdin=good + line + b"\n" + good, code=2)
    assert said.out == "2 jobs enqueued with IDs: 1-2\n"
    assert said.err.startswith("error: line 4: ")
    assert said.err.endswith("lines 1 to 3 were added, what follows was not\n")
    assert commands(engine) == ["echo 1", "echo 2"]


def test_a_bad_first_line_adds_nothing(queuectl: Program, engine: Engine) -> None:
    said = queuectl("add", "-f", "-", stdin=b"\xff\necho 1\n", code=2)
    assert said.out == ""
    assert said.err.endswith("nothing was added\n")
    assert commands(engine) == []


def test_a_taken_key_in_the_middle_of_a_chunk_stops_exactly_there(
    queuectl: Program, engine: Engine
) -> None:
    engine.add("echo mine", key="mine")
    lines = [json.dumps({"command": f"echo {n}"}) for n in range(100)]
    lines[37] = json.dumps({"command": "echo other", "key": "mine"})
    said = queuectl("add", "--jsonl", "-f", "-", stdin="\n".join(lines), code=1)
    assert said.err.startswith("error: line 38: key mine belongs to job 1")
    assert commands(engine) == ["echo mine", *(f"echo {n}" for n in range(37))]


def test_keys_that_exist_are_counted_apart(queuectl: Program) -> None:
    line = '{"command": "echo 1", "key": "k"}\n'
    queuectl("add", "--jsonl", "-f", "-", stdin=line)
    said = queuectl("add", "--jsonl", "-f", "-", stdin=line + '{"command": "echo 2"}\n')
    assert said.lines == ["1 job enqueued with IDs: 2", "1 job existed with IDs: 1"]


@pytest.mark.parametrize(
    "args",
    [
        ["-f", "missing"],
        ["-f", "."],
        ["-f", "-", "echo 1"],
        ["-f", "-", "--key", "k"],
    ],
)
def test_a_file_that_cannot_be_meant_is_a_usage_error(queuectl: Program, args: list[str]) -> None:
    queuectl("add", *args, code=2, stdin="echo 1\n")


def test_a_reader_of_the_ids_that_goes_away_stops_nothing(
    queuectl: Program, engine: Engine
) -> None:
    done = queuectl.shell("seq 1 12000 | queuectl add -q -f - | head -n 1")
    assert (done.code, done.out, done.err) == (0, "1\n", "")
    assert len(commands(engine)) == 12_000
