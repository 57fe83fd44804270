"""Schedules below the queues: what is seen of them, and the keys that mean them."""

from __future__ import annotations

from typing import Any

import pytest

from queuectl_engine import Missed, Schedule
from queuectl_engine.job import JobState
from tests.samples import HOUR, MINUTE, NOON, new
from tests.tui.busy import busy_queue
from tests.tui.driven import Driven, driving
from tests.tui.fake import FakeQueue


def schedule(number: int, **changes: Any) -> Schedule:
    fields: dict[str, Any] = {
        "id": number,
        "name": None,
        "expression": "0 3 * * *",
        "zone": "Europe/Berlin",
        "job": new("make backup"),
        "paused": False,
        "missed": Missed.RUN,
        "overlap": False,
        "next_at": NOON + HOUR,
        "last_at": None,
        "last_result": None,
        "last_job": None,
        "last_state": None,
        "skipped": 0,
        "created_at": NOON,
    }
    return Schedule(**{**fields, **changes})


def recurring() -> FakeQueue:
    queue = busy_queue()
    ended = {"last_at": NOON - 9 * MINUTE, "last_result": "added", "last_job": 1048012}
    queue.recurring = {
        1: schedule(1, name="backup", **ended, last_state=JobState.DEAD),
        2: schedule(2, expression="*/5 * * * *", zone="UTC", paused=True, next_at=None),
        3: schedule(
            3,
            name="bad\x1b[31m",
            last_at=NOON,
            last_result="skipped: job 7 is processing",
            last_job=7,
        ),
    }
    return queue


async def to_schedules(tui: Driven) -> None:
    """Stand on the first schedule."""
    await tui.press("6", *["j"] * len(tui.desk.shown.queues))
    await tui.rest()


def row(tui: Driven, start: str) -> str:
    return next(line for line in tui.text.split("\n") if line[3:].startswith(start))


async def test_they_stand_below_the_queues_with_all_that_matters() -> None:
    async with driving(recurring()) as tui:
        await tui.press("6")
        assert "Recurring 3" in tui.text
        assert "1 paused" in tui.text
        shown = "backup 0 3 * * * Europe/Berlin 13:00:00 14m 1048012 dead"
        assert " ".join(row(tui, "backup").split()) == shown
        assert row(tui, "2 ").split()[-2:] == ["UTC", "paused"]
        assert "5m skipped: 7 proc" in row(tui, "bad␛[31m")
        assert "\x1b" not in tui.text


async def test_a_wide_screen_shows_the_command_too() -> None:
    async with driving(recurring(), 120, 40) as tui:
        await tui.press("6")
        assert "make backup" in row(tui, "backup")
        assert "skipped: 7 processing" in tui.text


async def test_the_detail_shows_the_last_job_of_the_one_under_the_cursor() -> None:
    async with driving(recurring()) as tui:
        await to_schedules(tui)
        assert "backup" in tui.cursor
        assert "── 1048012 dead" in tui.text


async def test_without_schedules_the_view_is_as_it_was() -> None:
    async with driving(busy_queue()) as tui:
        await tui.press("6")
        assert "Recurring" not in tui.text
        assert "run now" not in tui.line(-1)


async def test_the_key_line_names_what_the_keys_mean_there() -> None:
    async with driving(recurring()) as tui:
        await tui.press("6")
        assert "run now" not in tui.line(-1)
        await to_schedules(tui)
        assert "r run now  P pause  d delete" in tui.line(-1)


async def test_run_now_adds_its_job_and_shows_it() -> None:
    queue = recurring()
    async with driving(queue) as tui:
        await to_schedules(tui)
        await tui.press("r")
        await tui.rest()
        assert queue.acted == ["run schedule 1"]
        job = max(queue.stored)
        assert f"added job {job}" in tui.message
        assert "queuectl schedule run-now backup" in tui.message
        assert f"── {job} pending" in tui.text


@pytest.mark.parametrize(
    ("keys", "question", "acted", "told"),
    [
        ("P", "pause schedule backup? it adds no more jobs", "pause schedule 1", "backup paused"),
        ("jP", "resume schedule 2? it goes on", "resume schedule 2", "schedule 2 resumed"),
        ("d", "delete schedule backup? its jobs stay", "delete schedule 1", "backup deleted"),
    ],
)
async def test_pause_resume_and_delete_ask(keys: str, question: str, acted: str, told: str) -> None:
    queue = recurring()
    async with driving(queue) as tui:
        await to_schedules(tui)
        await tui.press(*keys)
        assert question in tui.message
        assert queue.acted == []
        await tui.press("y")
        await tui.rest()
        assert queue.acted == [acted]
        assert told in tui.message


async def test_other_keys_of_jobs_mean_nothing_on_a_schedule() -> None:
    queue = recurring()
    async with driving(queue) as tui:
        await to_schedules(tui)
        await tui.press("x", "e", "z")
        assert queue.acted == []
        await tui.press("k", "P")
        assert "queue " in tui.message


async def test_nobody_can_act_who_may_only_look() -> None:
    queue = recurring()
    async with driving(queue, read_only=True) as tui:
        await to_schedules(tui)
        await tui.press("r", "P", "d", "y")
        assert queue.acted == []


async def test_the_cursor_stays_on_its_schedule() -> None:
    queue = recurring()
    async with driving(queue) as tui:
        await to_schedules(tui)
        await tui.press("j")
        assert tui.cursor[3:].startswith("2 ")
        queue.delete_schedule(1)
        await tui.rest()
        assert tui.cursor[3:].startswith("2 ")
        await tui.press("G")
        assert "bad" in tui.cursor
        await tui.press("g")
        assert "default" in tui.cursor or "mail" in tui.cursor or "▸" in tui.cursor
