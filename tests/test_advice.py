"""Plain words for the failures that everybody meets."""

from __future__ import annotations

from typing import Any

import pytest

from queuectl_engine.advice import advice
from queuectl_engine.job import Attempt
from tests.samples import NOON, SECOND, stored


def attempt(**changes: Any) -> Attempt:
    fields: dict[str, Any] = {
        "job": 42,
        "number": 1,
        "worker": "w1",
        "started_at": NOON,
        "ended_at": NOON + SECOND,
        "result": "failed",
        "exit_code": 1,
        "signal": None,
        "reason": "exit 1",
        "late": None,
        "output_bytes": 0,
        "dropped_bytes": 0,
    }
    return Attempt(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "stderr", "words"),
    [
        ({"exit_code": 127}, "sh: 1: mktool: not found", "is it installed"),
        ({"exit_code": 127}, "/bin/sh: 1: source: not found", "--shell /bin/bash"),
        ({"exit_code": 127}, "sh: 1: [[: not found", "--shell /bin/bash"),
        ({"exit_code": 2}, "sh: 1: Syntax error: Bad for loop variable", "--shell /bin/bash"),
        ({"exit_code": 126}, "sh: 1: ./x: Permission denied", "chmod +x"),
        ({"exit_code": 126}, "queuectl: cannot enter /gone: No such file", "--cwd"),
        ({"exit_code": 127}, "queuectl: cannot run ./x: its interpreter was not found", "#!"),
        ({"exit_code": None, "signal": 9}, "", "memory ran out"),
        ({"exit_code": None, "result": "timed out"}, "", "--timeout"),
    ],
)
def test_what_everybody_meets_is_explained(
    changes: dict[str, Any], stderr: str, words: str
) -> None:
    told = advice(stored(), attempt(**changes), stderr)
    assert told
    assert words in told


@pytest.mark.parametrize("result", ["completed", "cancelled", "given back", None])
def test_what_did_not_fail_needs_no_advice(result: str | None) -> None:
    assert advice(stored(), attempt(result=result, exit_code=127), "source: not found") is None


def test_an_ordinary_failure_gets_none() -> None:
    assert advice(stored(), attempt(), "curl: (22) error") is None


def test_an_argv_runs_under_no_shell() -> None:
    told = advice(stored(argv=("source", "x")), attempt(exit_code=127), "source: not found")
    assert told
    assert "bash" not in told
