"""`add`: one job from the command line."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from queuectl_engine.engine import Engine
from tests.cli.program import Program


def test_it_prints_the_id_in_the_words_that_scripts_know(queuectl: Program) -> None:
    assert queuectl("add", "echo hello").out == "Job enqueued with ID: 1\n"
    assert queuectl("add", "echo hello", "-q").out == "2\n"
    assert queuectl("add", "echo hello", "--json").json()["id"] == 3


def test_the_original_options_are_stored(queuectl: Program, engine: Engine) -> None:
    at = "2030-01-31T09:00:00+01:00"
    queuectl("add", "echo hello", "--max-retries", "7", "--priority", "-5", "--run-at", at)

    job = engine.get(1)
    assert (job.command, job.argv) == ("echo hello", None)
    assert (job.max_retries, job.priority) == (7, -5)
    assert job.run_at == datetime.fromisoformat(at)


def test_the_other_options_are_stored(queuectl: Program, engine: Engine) -> None:
    directory = queuectl.directory / "sub"
    directory.mkdir()
    args = ["--queue", "gpu", "--timeout", "1m30s", "--key", "nightly", "--cwd", "sub"]
    args += ["--env", "A=1", "--env", "HOME", "--shell", "/bin/bash", "--allow-background"]
    queuectl("add", *args, "echo hello")

    job = engine.get("nightly")
    context = engine.context_of(job)
    assert (job.queue, job.timeout) == ("gpu", timedelta(seconds=90))
    assert job.allow_background
    assert (context.cwd, context.shell) == (str(directory), "/bin/bash")
    assert context.env == {"A": "1", "HOME": queuectl.env["HOME"]}


def test_words_after_dashes_reach_the_program_unchanged(queuectl: Program, engine: Engine) -> None:
    argv = ["printf", "%s\n", "a b", "$HOME", "it's", "", "-x", "--queue", "--"]
    queuectl("add", "-q", "--", *argv)
    assert engine.get(1).argv == tuple(argv)


def test_one_word_after_dashes_is_a_program_and_before_them_a_line(
    queuectl: Program, engine: Engine
) -> None:
    queuectl("add", "--", "make all")
    queuectl("add", "make all")
    assert engine.get(1).argv == ("make all",)
    assert engine.get(2).argv is None


@pytest.mark.parametrize("option", [["--key", "--"], ["--key=--"], ["-q", "--key", "--"]])
def test_dashes_that_are_the_value_of_an_option_end_nothing(
    queuectl: Program, engine: Engine, option: list[str]
) -> None:
    queuectl("add", *option, "make all")
    assert engine.get("--").argv is None


@pytest.mark.parametrize(
    "args",
    [
        ["echo", "hello"],
        ["echo", "--", "hello"],
        [],
        ["--"],
        [""],
        ["x", "--max-retries", "-1"],
        ["x", "--max-retries", "many"],
        ["x", "--priority", "9" * 30],
        ["x", "--priority", "9" * 5000],
        ["x", "--run-at", "someday"],
        ["x", "--run-at", "2026-02-30"],
        ["x", "--timeout", "0"],
        ["x", "--timeout", "9" * 400],
        ["x", "--queue", "two words"],
        ["x", "--queue", ""],
        ["x", "--key", "42"],
        ["x", "--key", "line\nbreak"],
        ["x", "--cwd", "nowhere"],
        ["x", "--env", "NOT_SET_HERE"],
        ["x", "--env", "=x"],
        ["x", "--shell", "sh"],
        ["x", "--nonsense"],
        ["x", "--db", ""],
        ["x", "--jsonl"],
    ],
)
def test_what_cannot_be_meant_is_a_usage_error_and_adds_nothing(
    queuectl: Program, engine: Engine, args: list[str]
) -> None:
    assert queuectl("add", *args, code=2).out == ""
    assert list(engine.jobs()) == []


def test_two_words_are_told_what_to_do(queuectl: Program) -> None:
    assert "quote the line, or put --" in queuectl("add", "echo", "hello", code=2).err


def test_a_command_that_is_no_text_is_refused(queuectl: Program) -> None:
    assert "UTF-8" in queuectl("add", "echo \udcff", code=2).err


def test_a_key_that_exists_changes_nothing(queuectl: Program, engine: Engine) -> None:
    queuectl("add", "echo hello", "--key", "k")
    assert queuectl("add", "echo hello", "--key", "k").out == "Job exists with ID: 1 (pending)\n"
    assert queuectl("add", "echo hello", "--key", "k", "-q").out == "1\n"
    assert "belongs to job 1" in queuectl("add", "echo other", "--key", "k", code=1).err
    assert len(list(engine.jobs())) == 1


def test_its_json_is_the_whole_job(queuectl: Program) -> None:
    job = queuectl("add", "--json", "--", "echo", "a b").json()
    assert job["command"] == "echo 'a b'"
    assert job["argv"] == ["echo", "a b"]
    assert json.dumps(job) in json.dumps(queuectl("list", "--json").json())
