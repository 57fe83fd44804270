"""Jobs that wait for others, mutexes and limits, as the screen shows and asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from queuectl_engine import (
    After,
    BadInput,
    Engine,
    JobState,
    Need,
    NoSuchJob,
    QueueInfo,
    State,
    View,
    open_engine,
)
from queuectl_tui import columns, ink, job_form, lists
from queuectl_tui.ink import Ink
from queuectl_tui.job_form import Form
from tests.samples import NOON
from tests.tui.driven import driving
from tests.tui.fake import FakeQueue, waiting


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        engine.add("build", key="build")
        engine.add("lint")
        yield engine


def test_the_form_adds_a_job_that_waits(engine: Engine) -> None:
    form = Form("deploy", after_ok="build, 2", after_any="2", mutex="prod")

    job_form.add(form, [form.command], NOON)(engine)

    job = engine.get(3)
    needs = [(need.job, need.after) for need in job.waits_for]
    assert needs == [(1, After.OK), (2, After.OK), (2, After.ANY)]
    assert job.mutex == "prod"


def test_the_form_says_what_cannot_be_waited_for(engine: Engine) -> None:
    with pytest.raises(NoSuchJob, match="no job 99 to wait for"):
        job_form.add(Form("x", after_ok="99"), ["x"], NOON)(engine)
    with pytest.raises(BadInput, match="ids begin with 1"):
        job_form.add(Form("x", after_fail="0"), ["x"], NOON)(engine)


def test_an_edit_touches_only_the_dependencies_that_were_changed(engine: Engine) -> None:
    job = engine.add("deploy", after_ok=[1, 2], after_fail=[2], mutex="prod")
    form = job_form.of_job(job)
    assert (form.after_ok, form.after_any, form.after_fail, form.mutex) == ("1,2", "", "2", "prod")

    job_form.edit(job, replace(form, after_ok="1", mutex=""), NOON)(engine)

    edited = engine.get(job.id)
    assert [(n.job, n.after) for n in edited.waits_for] == [(2, After.FAIL), (1, After.OK)]
    assert edited.mutex is None


def test_a_wait_that_only_a_person_can_end_stands_out() -> None:
    for state, shown in ((JobState.PROCESSING, Ink.PLAIN), (JobState.DEAD, Ink.BAD)):
        job = waiting(1, stored=State.BLOCKED, waits_for=(Need(7, After.OK, state),))
        (due,) = [c for c in columns.COLUMNS[View.PENDING] if c.title == "DUE"]
        assert due.ink(job) is shown


def test_queues_show_their_limits() -> None:
    queues = [
        QueueInfo("gpu", False, {State.PROCESSING: 2}, 2),
        QueueInfo("mail", True, {State.PROCESSING: 1}),
    ]

    lines = [ink.text_of(line) for line in lists.queue_lines(queues, {}, 8, (), 0, 80, 5, NOON)]

    assert "1 paused · all together run at most 8" in lines[0]
    assert lines[2].split()[1:4] == ["gpu", "0", "2/2"]
    assert lines[3].split()[:3] == ["mail", "0", "1"]


async def test_the_tables_and_the_detail_say_what_a_job_waits_for() -> None:
    needs = (Need(41, After.OK, JobState.DEAD),)
    job = waiting(1, stored=State.BLOCKED, waits_for=needs, mutex="prod")
    async with driving(FakeQueue(job)) as tui:
        assert "after-ok 41: it" in tui.text
        assert "── 1 pending · after-ok 41: it is dead" in tui.text
        assert "1 waiting" in tui.line(1)
        await tui.press("enter")
        assert "mutex prod" in tui.text
