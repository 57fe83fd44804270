"""Every field of a new job is checked in one place, and little of the surroundings is taken."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from queuectl_engine.errors import BadInput
from queuectl_engine.new_job import (
    LONGEST_COMMAND,
    MOST_RETRIES,
    capture_context,
    check_key,
    check_queue,
    new_job,
)
from tests.samples import CONTEXT, NOON, new

INT64 = 2**63 - 1


def test_a_line_runs_under_the_shell_with_the_defaults() -> None:
    job = new("echo hi; exit 3")

    assert (job.command, job.argv, job.context) == ("echo hi; exit 3", None, CONTEXT)
    assert (job.queue, job.priority, job.max_retries) == ("default", 0, 3)
    assert (job.run_at, job.timeout, job.key, job.allow_background) == (None, None, None, False)


def test_a_sequence_is_an_argv_and_reads_quoted() -> None:
    job = new(["printf", "%s\n", "two words", "$HOME", ""])

    assert job.argv == ("printf", "%s\n", "two words", "$HOME", "")
    assert job.command == "printf '%s\n' 'two words' '$HOME' ''"


def test_a_log_file_is_named_from_where_the_job_runs() -> None:
    there = CONTEXT._replace(cwd="/srv/app")

    assert new_job("true", there, log_file="logs/../x.log").log_file == "/srv/app/x.log"
    assert new_job("true", there, log_file="/var/x.log").log_file == "/var/x.log"


def test_rules_of_retrying_are_numbers_or_text() -> None:
    assert new(retry_on="75,64-66").retry_on == (64, 65, 66, 75)
    assert new(retry_on=[75, 75], no_retry_on=(2,)).no_retry_on == (2,)
    assert (new().retry_on, new().no_retry_on) == ((), ())
    for wrong in ({"retry_on": 75}, {"no_retry_on": [0]}, {"retry_on": ["75"]}):
        with pytest.raises(BadInput, match="exit code"):
            new("true", **wrong)


def test_a_code_cannot_be_retried_and_not() -> None:
    with pytest.raises(BadInput, match="exit code 64-65 is in --retry-on and in --no-retry-on"):
        new(retry_on="60-65", no_retry_on="64-70")


@pytest.mark.parametrize("command", ["", " \n\t", [], [""], ["", "x"]])
def test_an_empty_command_is_refused(command: str | list[str]) -> None:
    with pytest.raises(BadInput, match="empty"):
        new(command)


@pytest.mark.parametrize("command", ["a\0b", ["a", "b\0"]])
def test_a_nul_is_refused(command: str | list[str]) -> None:
    with pytest.raises(BadInput, match="NUL"):
        new(command)


@pytest.mark.parametrize("command", ["caf\udce9", ["cat", "\udcff"]])
def test_bytes_that_are_no_utf_8_are_refused(command: str | list[str]) -> None:
    with pytest.raises(BadInput, match="UTF-8"):
        new(command)


def test_a_command_is_as_long_as_the_kernel_takes_and_no_longer() -> None:
    assert new("x" * LONGEST_COMMAND).command
    with pytest.raises(BadInput, match="longer than"):
        new("x" * (LONGEST_COMMAND + 1))
    with pytest.raises(BadInput, match="longer than"):
        new(["echo", "\u00e9" * (LONGEST_COMMAND // 2 + 1)])


@pytest.mark.parametrize(
    "policy",
    [
        {"priority": INT64},
        {"priority": -INT64},
        {"max_retries": 0},
        {"max_retries": MOST_RETRIES},
        {"timeout": 0.001},
        {"timeout": timedelta(days=36525)},
        {"run_at": NOON - timedelta(days=9)},
        {"queue": "a" * 100},
        {"queue": "b\u00fcro/1"},
        {"key": "k" * 200},
        {"key": "nightly 2026-01-31"},
        {"key": "1a"},
    ],
)
def test_the_widest_values_are_taken(policy: dict[str, Any]) -> None:
    assert new("true", **policy).command == "true"


@pytest.mark.parametrize(
    "policy",
    [
        {"priority": INT64 + 1},
        {"priority": -INT64 - 1},
        {"priority": 1.5},
        {"priority": "high"},
        {"priority": True},
        {"max_retries": -1},
        {"max_retries": MOST_RETRIES + 1},
        {"max_retries": 0.5},
        {"max_retries": None},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": 0.0004},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"timeout": timedelta(days=36526)},
        {"timeout": "10m"},
        {"run_at": datetime(2026, 1, 31)},  # noqa: DTZ001 - the naive datetime is the point
        {"run_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))},
        {"run_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))},
        {"run_at": "tomorrow"},
        {"queue": ""},
        {"queue": "two words"},
        {"queue": "new\nline"},
        {"queue": "esc\x1b[2J"},
        {"queue": "a" * 101},
        {"queue": "\udcff"},
        {"queue": 7},
        {"key": ""},
        {"key": "42"},
        {"key": "\u0664\u0662"},
        {"key": "a\nb"},
        {"key": "k" * 201},
        {"key": "\udcff"},
        {"key": 42},
        {"allow_background": "yes"},
        {"log_file": ""},
        {"log_file": "a\0b"},
        {"log_file": "\udcff"},
        {"log_file": 7},
    ],
)
def test_values_that_can_never_be_right_are_refused_in_one_line(policy: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as refused:
        new("true", **policy)
    assert str(refused.value).isprintable()


def test_the_checks_of_names_stand_alone() -> None:
    check_queue("default")
    check_key("report-7")
    with pytest.raises(BadInput, match="1 to 100 characters"):
        check_queue("no good")
    with pytest.raises(BadInput, match="looks like an id"):
        check_key("7")


# -- what is taken along from where the job was added


def test_the_named_variables_are_captured_and_nothing_else() -> None:
    around = {
        "PATH": "/venv/bin:/bin",
        "VIRTUAL_ENV": "/venv",
        "LC_TIME": "de_DE.UTF-8",
        "TZ": "",
        "SECRET_TOKEN": "hunter2",
        "LCD": "no",
        "PROXY": "x",
    }

    captured = capture_context(around=around, also=["PROXY", "ABSENT"]).captured

    assert {name: value for name, value in captured.items() if value is not None} == {
        "PATH": "/venv/bin:/bin",
        "VIRTUAL_ENV": "/venv",
        "LC_TIME": "de_DE.UTF-8",
        "TZ": "",
        "PROXY": "x",
    }
    for absent in ("CONDA_PREFIX", "CONDA_DEFAULT_ENV", "PYTHONPATH", "LANG", "ABSENT"):
        assert captured[absent] is None  # so that the pool's own is unset
    assert "SECRET_TOKEN" not in captured


def test_a_variable_that_is_no_utf_8_is_left_to_the_pool() -> None:
    captured = capture_context(around={"PATH": "/caf\udce9", "LC_ALL": "\udcff"}).captured

    assert "PATH" not in captured
    assert "LC_ALL" not in captured


def test_directory_umask_and_user_are_those_of_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o027)
    try:
        context = capture_context()
        assert os.umask(0o027) == 0o027  # reading it did not change it
    finally:
        os.umask(before)

    assert (context.cwd, context.umask, context.shell) == (str(tmp_path), 0o027, "/bin/sh")
    assert context.user


def test_another_directory_is_made_absolute_and_must_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "file").touch()

    assert capture_context(cwd="sub").cwd == str(tmp_path / "sub")
    for bad in ("missing", "file", "a\0b", "~nobody-of-that-name/x", "x\x1b[2J"):
        with pytest.raises(BadInput, match="no directory") as refused:
            capture_context(cwd=bad)
        assert str(refused.value).isprintable()


def test_a_directory_that_was_deleted_under_us_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    with pytest.raises(BadInput, match="directory"):
        capture_context()


def test_a_directory_whose_name_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    os.mkdir(name)

    with pytest.raises(BadInput, match="UTF-8"):
        capture_context(cwd=name)


@pytest.mark.parametrize("shell", ["bash", "./sh", ""])
def test_a_shell_is_an_absolute_path(shell: str) -> None:
    with pytest.raises(BadInput, match="absolute path"):
        capture_context(shell=shell)


@pytest.mark.parametrize(
    "env", [{"": "x"}, {"A=B": "x"}, {"A\0": "x"}, {"A": "x\0"}, {"A": "\udcff"}, {"\udcff": "x"}]
)
def test_an_environment_that_no_program_could_get_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="environment variable"):
        capture_context(env=env)


def test_new_job_keeps_the_context_that_it_was_given() -> None:
    context = capture_context(env={"MODE": "fast"})

    assert new_job("true", context, run_at=datetime(2026, 1, 1, tzinfo=UTC)).context is context
    assert context.env == {"MODE": "fast"}
