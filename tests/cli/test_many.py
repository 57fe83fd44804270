"""Failures, explanations, edits, and acts on all that matches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from queuectl_engine.cause import Signature
from queuectl_engine.cli.editing import changes_of
from queuectl_engine.errors import BadInput
from queuectl_engine.job import Job, JobState, State
from queuectl_engine.lifecycle import Exited
from tests.cli.program import Program
from tests.repository.driver import Driver
from tests.samples import stored


def die(drive: Driver, line: str, command: str = "curl x") -> Job:
    """A job that is dead, and the masked line it died with."""
    job = drive.add(command, max_retries=0)
    end = drive.ended(drive.claim(), Exited(22))
    drive.turn(end._replace(signature=Signature("curl", "exit 22", line)))
    drive.later()
    return drive.get(job)


def test_failures_lists_each_cause_once_and_requeue_takes_one(
    queuectl: Program, drive: Driver
) -> None:
    for line in ("error: N", "other", "error: N"):
        die(drive, line)
    shown = json.loads(queuectl("failures", "--json").out)
    assert [(c["line"], c["dead"], c["program"]) for c in shown] == [
        ("error: N", 2, "curl"),
        ("other", 1, "curl"),
    ]
    assert "other" not in queuectl("failures", "--filter", "error").out
    assert "a cause has no queue" in queuectl("failures", "--filter", "queue:x", code=2).err
    cause = str(shown[0]["id"])
    assert [job["id"] for job in json.loads(queuectl("list", "--cause", cause, "--json").out)] == [
        3,
        1,
    ]
    refused = queuectl("requeue", "--cause", cause, code=2)
    assert "add --yes to requeue them" in refused.err
    assert queuectl("requeue", "--cause", cause, "--yes").out == "2 jobs requeued\n"
    assert "no job is dead of cause" in queuectl("requeue", "--cause", cause, "--yes", code=3).err
    assert drive.repo.counts().of(JobState.DEAD) == 1


def test_a_filter_chooses_jobs_for_every_verb(queuectl: Program, drive: Driver) -> None:
    die(drive, "x", "curl one")
    die(drive, "x", "rsync two")
    drive.add("curl three", queue="mail")
    drive.add("echo four")

    assert [
        job["id"] for job in json.loads(queuectl("list", "--filter", "curl", "--json").out)
    ] == [
        1,
        3,
    ]
    found = json.loads(queuectl("list", "--dlq", "--filter", "curl", "--json").out)
    assert [job["id"] for job in found] == [1]
    assert queuectl("cancel", "--filter", "curl", "--yes").out == "1 job cancelled\n"
    assert queuectl("requeue", "--filter", "state:cancelled", "-y").out == "1 job requeued\n"
    assert queuectl("delete", "--filter", "rsync", "--yes", "--json").out == '{"deleted": 1}\n'
    assert [job.stored for job in (drive.get(1), drive.get(3), drive.get(4))] == [
        State.DEAD,
        State.READY,
        State.READY,
    ]


@pytest.mark.parametrize(
    "args",
    [
        ("requeue", "--filter", "state:done", "--yes"),
        ("requeue", "--filter", " ", "--yes"),
        ("requeue", "1", "--filter", "x"),
        ("requeue", "--cause", "1", "--filter", "x", "--yes"),
        ("delete",),
        ("list", "--cause", "1", "--filter", "x"),
        ("edit", "1"),
    ],
)
def test_a_choice_that_makes_no_sense_changes_nothing(
    queuectl: Program, drive: Driver, args: tuple[str, ...]
) -> None:
    job = die(drive, "x")
    queuectl(*args, code=2)
    assert drive.get(job) == job


def test_explain_names_the_one_reason(queuectl: Program, drive: Driver) -> None:
    drive.add()
    assert queuectl("explain", "1").out == "no pool runs; 'queuectl worker --detach' starts one\n"
    queuectl("pause", "default")
    assert (
        "queue default is paused"
        in json.loads(queuectl("explain", "1", "--json").out)["explanation"]
    )
    queuectl("explain", "99", code=3)


def test_edit_changes_a_job_by_options(queuectl: Program, drive: Driver) -> None:
    job = die(drive, "x")
    out = queuectl("edit", "1", "--command", "curl y", "--priority", "4", "--timeout", "5m").out
    assert out == "Job 1 edited\n"
    after = drive.get(job)
    assert (after.command, after.priority, after.stored) == ("curl y", 4, State.DEAD)
    assert "edited" in queuectl("show", "1").out


def test_what_was_written_in_the_editor_is_understood() -> None:
    text = (
        "# a comment\nqueue: mail\npriority: -3\nretries: 0\ntimeout: 90s\nkey:\n"
        "--- command ---\necho a\necho b\n"
    )
    changes = changes_of(stored(), text)
    assert changes["command"] == "echo a\necho b"
    assert (changes["queue"], changes["priority"], changes["max_retries"]) == ("mail", -3, 0)
    assert changes["key"] is None
    argv = changes_of(stored(argv=("x",)), "--- command ---\nprintf '%s' 'a b'\n")
    assert argv["command"] == ("printf", "%s", "a b")


@pytest.mark.parametrize(
    "text",
    [
        "queue: x\n",
        "priority: high\n--- command ---\nx\n",
        "colour: red\n--- command ---\nx\n",
    ],
)
def test_what_cannot_be_understood_is_named(text: str) -> None:
    with pytest.raises(BadInput):
        changes_of(stored(), text)


def test_an_edit_may_requeue_what_is_dead(queuectl: Program, drive: Driver) -> None:
    die(drive, "x")
    drive.add("waits")
    edited = queuectl("edit", "1", "--command", "true", "--requeue").out
    assert edited == "Job 1 edited and requeued\n"
    assert drive.get(1).state is JobState.PENDING
    assert queuectl("edit", "2", "--priority", "1", "--requeue").out == "Job 2 edited\n"


def test_the_editor_that_a_person_named_is_used(
    queuectl: Program, drive: Driver, tmp_path: Path
) -> None:
    job = drive.add("echo old")
    editor = tmp_path / "editor"
    editor.write_text(
        '#!/bin/sh\nsed -i "s/echo old/echo new/; s/^priority: .*/priority: 9/" "$1"\n'
    )
    editor.chmod(0o755)
    shown = queuectl.at_terminal("edit", "1", env={"EDITOR": str(editor), "VISUAL": ""})
    assert "Job 1 edited" in shown.out
    assert (drive.get(job).command, drive.get(job).priority) == ("echo new", 9)
