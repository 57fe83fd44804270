"""`queuectl hook`, and the hooks of a job."""

from __future__ import annotations

import json

import pytest

from queuectl_engine.engine import Engine
from tests.cli.program import Program


def test_set_list_and_delete(queuectl: Program, engine: Engine) -> None:
    said = queuectl("hook", "set", "mail", "on-dead", "--timeout", "5m", "--", "notify", "a b")

    assert said.out == "Hook on_dead of queue mail set\n"
    (hook,) = engine.hooks()
    assert (hook.queue, hook.argv, hook.timeout.total_seconds()) == ("mail", ("notify", "a b"), 300)
    assert hook.context.cwd == str(queuectl.directory)
    assert queuectl("hook").out == queuectl("hook", "list").out
    assert queuectl("hook").lines == ["mail\ton_dead\t300s\tnotify 'a b'"]
    assert (
        queuectl("hook", "delete", "mail", "on_dead").out == "Hook on_dead of queue mail deleted\n"
    )
    queuectl("hook", "delete", "mail", "on_dead", code=3)


def test_json(queuectl: Program) -> None:
    one = queuectl("hook", "set", "mail", "on_drained", "date", "--json").json()

    assert (one["queue"], one["event"], one["command"]) == ("mail", "on_drained", "date")
    assert (one["argv"], one["timeout"]) == (None, 60)
    assert queuectl("hook", "list", "--json").json() == [one]
    gone = queuectl("hook", "delete", "mail", "on_drained", "--json").json()
    assert gone == {"deleted": {"queue": "mail", "event": "on_drained"}}
    assert queuectl("hook", "list", "--json").json() == []


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "where and when?"),
        (["mail"], "where and when?"),
        (["--", "mail", "on_dead", "x"], "where and when?"),
        (["mail", "on_fire", "x"], "there are on_dead, on_completed, on_drained"),
        (["mail", "on_dead"], "the command is missing"),
        (["mail", "on_dead", "--"], "the command is missing"),
        (["mail", "on_dead", "a", "b"], "quote the line"),
        (["a b", "on_dead", "x"], "without spaces"),
        (["mail", "on_dead", "x", "--timeout", "soon"], "no duration"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    queuectl: Program, engine: Engine, args: list[str], told: str
) -> None:
    refused = queuectl("hook", "set", *args, code=2)

    assert told in refused.err
    assert engine.hooks() == []


def test_a_job_takes_hooks_of_its_own(queuectl: Program, engine: Engine) -> None:
    queuectl("add", "make", "--on-dead", "cry", "--on-completed", "cheer")
    line = json.dumps({"command": "make", "on_dead": "cry"})
    queuectl("add", "--file", "-", "--jsonl", "--on-completed", "cheer", stdin=line)

    one, two = engine.jobs()
    assert (one.on_dead, one.on_completed) == (two.on_dead, two.on_completed) == ("cry", "cheer")
    shown = queuectl("show", "1").out
    assert "on dead     cry\n" in shown
    assert "on complete cheer\n" in shown
    assert queuectl("show", "1", "--json").json()["on_dead"] == "cry"
    queuectl("edit", "1", "--priority", "3")
    assert engine.get(1).on_dead == "cry"
    assert "the command is empty" in queuectl("add", "x", "--on-dead", "", code=2).err


def test_a_schedule_takes_them_too(queuectl: Program, engine: Engine) -> None:
    queuectl("schedule", "add", "@daily", "make", "--on-dead", "cry", "--tz", "UTC")
    queuectl("schedule", "run-now", "1")

    assert engine.get(1).on_dead == "cry"
