"""`--retry-on` and `--no-retry-on`: which exit codes are worth another run."""

from __future__ import annotations

import json

import pytest

from queuectl_engine.cli.editing import _as_text, changes_of
from queuectl_engine.engine import Engine
from queuectl_engine.lifecycle import Exited
from tests.cli.program import Program
from tests.repository.driver import Driver
from tests.samples import stored


def test_a_job_that_may_not_be_retried_says_so_everywhere(queuectl: Program, drive: Driver) -> None:
    queuectl("add", "exit 2", "--no-retry-on", "2", "--retry-on", "64-66,75")
    drive.run(Exited(2))
    reason = "exit 2, which is not retried (--no-retry-on 2)"

    shown = queuectl("show", "1", "--json").json()
    assert (shown["state"], shown["reason"], shown["attempts"]) == ("dead", reason, 1)
    assert (shown["retry_on"], shown["no_retry_on"]) == ([64, 65, 66, 75], [2])
    assert shown["attempt_history"][0]["reason"] == "exit 2"
    assert f"it is dead ({reason})" in queuectl("explain", "1").out
    said = queuectl("show", "1").out
    assert "retry on    64-66,75\n" in said
    assert "never on    2\n" in said
    assert [j["id"] for j in queuectl("list", "--filter", "exit:2", "--json").json()] == [1]


def test_json_lines_take_numbers_or_text(queuectl: Program, engine: Engine) -> None:
    lines = [
        {"command": "true", "retry_on": [75, 124]},
        {"command": "true", "no-retry-on": "64-66"},
        {"command": "true", "retry_on": [], "no_retry_on": ""},
    ]
    queuectl("add", "--jsonl", "-f", "-", stdin="\n".join(map(json.dumps, lines)))
    rules = [(job.retry_on, job.no_retry_on) for job in engine.jobs()]
    assert rules == [((75, 124), ()), ((), (64, 65, 66)), ((), ())]
    line = json.dumps({"command": "true", "retry_on": [True, "x"]})
    assert "'retry_on' must be" in queuectl("add", "--jsonl", "-f", "-", stdin=line, code=2).err


def test_rules_can_be_edited_and_taken_away(queuectl: Program, engine: Engine) -> None:
    engine.add("true", retry_on="75")
    queuectl("edit", "1", "--no-retry-on", "2")
    assert (engine.get(1).retry_on, engine.get(1).no_retry_on) == ((75,), (2,))
    assert "is in --retry-on and in" in queuectl("edit", "1", "--retry-on", "1-3", code=2).err
    queuectl("edit", "1", "--retry-on", "", "--no-retry-on", "")
    assert (engine.get(1).retry_on, engine.get(1).no_retry_on) == ((), ())
    assert [event.detail for event in engine.events(1)[1:]] == [
        "no_retry_on",
        "retry_on, no_retry_on",
    ]


def test_the_editor_shows_labels_and_rules_and_takes_them_back() -> None:
    job = stored(labels=("nightly", "a b"), retry_on=(64, 65), command="true")
    text = _as_text(job)
    assert "labels: nightly, a b\nretry on: 64-65\nnever on: \n" in text
    text = text.replace("nightly, ", "").replace("never on: ", "never on: 2").replace("64-65", "")
    changes = changes_of(job, text)
    assert changes["labels"] == ["a b"]
    assert (changes["retry_on"], changes["no_retry_on"]) == ("", "2")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--retry-on", "x"], "'x' is no exit code; try 75,124 or 64-78"),
        (["--retry-on", "0"], "0 is success"),
        (["--no-retry-on", "300"], "they go from 1 to 255"),
        (["--retry-on", "2", "--no-retry-on", "1-3"], "exit code 2 is in --retry-on and in"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    queuectl: Program, engine: Engine, options: list[str], why: str
) -> None:
    assert why in queuectl("add", "true", *options, code=2).err
    assert list(engine.jobs()) == []
