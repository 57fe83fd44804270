"""Labels as people use them: add, list, act on all, change, count."""

from __future__ import annotations

import json

import pytest

from queuectl_engine.engine import Engine
from queuectl_engine.job import JobState
from tests.cli.program import Program
from tests.repository.driver import Driver


def ids(queuectl: Program, *args: str) -> list[int]:
    return [job["id"] for job in queuectl("list", "--json", *args).json()]


def test_jobs_are_added_found_and_acted_on_by_label(queuectl: Program, drive: Driver) -> None:
    queuectl("add", "true", "--label", "nightly", "-l", "a b")
    queuectl("add", "--label", "slow", "--", "true")
    lines = '{"command": "true", "labels": ["nightly"]}\n{"command": "true", "labels": []}\n'
    queuectl("add", "--jsonl", "-f", "-", "-l", "slow", stdin=lines)

    assert queuectl("show", "1", "--json").json()["labels"] == ["nightly", "a b"]
    assert "labels      nightly, a b\n" in queuectl("show", "1").out
    assert ids(queuectl, "--label", "nightly") == [1, 3]
    assert ids(queuectl, "-l", "nightly", "-l", "a b") == [1]
    assert ids(queuectl, "-l", "nightly", "--filter", "!label:slow") == [1, 3]
    assert ids(queuectl, "-l", "nightly", "--state", "dead") == []
    assert queuectl("cancel", "--filter", "label:nightly", "--yes").out == "2 jobs cancelled\n"
    assert drive.repo.counts().of(JobState.CANCELLED) == 2
    assert ids(queuectl, "-l", "nightly") == [1, 3]  # whatever their state


def test_labels_are_counted(queuectl: Program, drive: Driver) -> None:
    assert queuectl("labels", "--json").json() == []
    drive.add(labels=["nightly", "slow"])
    drive.add(labels=["nightly"])
    drive.cancel(drive.get(2))

    nightly, slow = queuectl("labels", "--json").json()
    assert (nightly["name"], slow["name"]) == ("nightly", "slow")
    assert {k: n for k, n in nightly["counts"].items() if n} == {"pending": 1, "cancelled": 1}
    assert queuectl("labels").lines == ["1\t0\t0\t0\t0\t1\tnightly", "1\t0\t0\t0\t0\t0\tslow"]
    assert len(queuectl("labels", "--limit", "1").lines) == 1


def test_an_edit_replaces_and_removes_labels(queuectl: Program, engine: Engine) -> None:
    engine.add("true", labels=["nightly", "slow"])
    queuectl("edit", "1", "--priority", "4")
    assert engine.get(1).labels == ("nightly", "slow")
    assert queuectl("edit", "1", "-l", "new", "--json").json()["labels"] == ["new"]
    queuectl("edit", "1", "--label", "")
    assert engine.get(1).labels == ()
    assert engine.labels() == []


@pytest.mark.parametrize("label", ["", " x", "a,b", 'a"b', "a\nb", "a\x1b[31m", "x" * 101])
def test_a_label_that_could_not_be_asked_for_is_refused(
    queuectl: Program, engine: Engine, label: str
) -> None:
    said = queuectl("add", "true", "--label", label, code=2)
    assert "must be 1 to 100 printable characters" in said.err
    assert "\x1b" not in said.err
    line = json.dumps({"command": "true", "labels": [label]})
    assert "label" in queuectl("add", "--jsonl", "-f", "-", stdin=line, code=2).err
    assert list(engine.jobs()) == []


def test_more_labels_than_a_job_may_have_are_refused(queuectl: Program) -> None:
    many = [word for n in range(21) for word in ("-l", f"l{n}")]
    assert "20 at most" in queuectl("add", "true", *many, code=2).err


def test_a_label_with_colours_is_harmless_on_a_terminal(queuectl: Program, engine: Engine) -> None:
    engine.add("true", labels=["nightly"])
    assert "nightly" in queuectl.at_terminal("labels").out
