"""Dead jobs by cause, acts on many with a plan, and taking them back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from queuectl_engine import Done, JobState, Plan, State, open_engine
from queuectl_tui import job_form
from queuectl_tui.desk import Place
from queuectl_tui.screens.jobs import JobsScreen
from tests.samples import MINUTE, NOON
from tests.tui.busy import busy_queue
from tests.tui.driven import Driven, driving
from tests.tui.fake import FakeQueue, dead, running, screen_of, waiting


def grave(*sizes: int) -> FakeQueue:
    """Dead jobs of causes 1, 2, …: so many each, ids counted up."""
    queue = FakeQueue()
    for cause, size in enumerate(sizes, 1):
        queue.said[cause] = (f"prog{cause}", f"exit {cause}", f"line {cause}")
        for _ in range(size):
            number = len(queue.stored) + 1
            queue.stored[number] = dead(number, f"prog{cause} {number}", cause_id=cause)
    return queue


# -- causes


async def test_the_dead_say_how_many_causes_there_are_and_what_each_job_died_of() -> None:
    async with driving(busy_queue()) as tui:
        await tui.press("3")
        await tui.rest()
        assert "4 causes" in tui.text
        assert "exit 22   curl: (N) The requested URL" in tui.text
        assert "killed 9  ffmpeg: (no output)" in tui.text
        assert "3 died like this · F lists causes" in tui.text


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (160, 50)])
async def test_causes_are_listed_newest_death_first(size: tuple[int, int]) -> None:
    async with driving(grave(2, 3, 1), *size) as tui:
        await tui.press("F")
        rows = [line[3:50].split() for line in tui.text.split("\n") if " prog" in line[:40]]
        assert [(row[0], row[3]) for row in rows[:3]] == [
            ("1", "prog3"), ("3", "prog2"), ("2", "prog1"),
        ]  # fmt: skip
        assert "Causes of 6 dead jobs" in tui.text
        await tui.press("j")
        await tui.rest()
        assert "── 5 dead" in tui.text, "an example stands in the detail"


async def test_causes_are_filtered_by_their_words() -> None:
    async with driving(grave(2, 3, 1)) as tui:
        await tui.press("F")
        await tui.filter("prog2")
        assert "filter: prog2" in tui.line(1)
        assert "prog1" not in tui.text
        assert "prog2" in tui.cursor
        await tui.press("escape")
        assert "prog1" in tui.text
        await tui.filter("queue:mail")
        assert "a cause has no queue" in tui.message
        await tui.filter("nowhere")
        assert "nothing matches · Esc clears the filter" in tui.text


async def test_within_a_cause_a_filter_and_an_act_on_all_that_match() -> None:
    queue = grave(2, 12)
    async with driving(queue) as tui:
        await tui.press("F", "enter")
        await tui.filter("prog2 1")  # 10, 11, 12, 13 and 14
        table = tui.desk.table
        assert table is not None
        assert sorted(job.id for job in table.window.jobs) == [10, 11, 12, 13, 14]
        assert "filter: prog2 1" in tui.line(1)
        await tui.press("asterisk", "r")
        assert "requeue 5 dead jobs" in tui.message
        await tui.press("y")
        assert "queuectl requeue --filter 'cause:2 " in tui.message
        assert queue.stored[3].state is JobState.DEAD
        assert queue.stored[10].state is JobState.PENDING


async def test_enter_lists_the_jobs_of_a_cause_and_escape_goes_back_step_by_step() -> None:
    async with driving(grave(2, 3, 1)) as tui:
        await tui.press("F", "j", "enter")
        assert "F Died like this 3" in tui.text
        assert "prog2 · exit 2 · line 2" in tui.text
        assert [job.id for job in tui.desk.table.window.jobs] == [5, 4, 3]  # type: ignore[union-attr]
        places = []
        for _ in range(3):
            await tui.press("escape")
            places.append(tui.desk.place)
        assert places == [Place.CAUSES, Place.TABLES, Place.TABLES]


@pytest.mark.parametrize(
    ("keys", "act", "question"),
    [
        (["r"], "requeue", " requeue 3 dead jobs that ended with 'prog2 · exit 2 · line 2'? y/N"),
        (["d"], "delete", " delete 3 dead jobs that ended with 'prog2 · exit 2 · line 2'? y/N"),
    ],
)
async def test_an_act_on_a_cause_is_about_all_its_jobs(
    keys: list[str], act: str, question: str
) -> None:
    queue = grave(2, 3, 1)
    async with driving(queue) as tui:
        await tui.press("F", "j", *keys)
        assert tui.message == question
        await tui.press("y")
        assert queue.acted == [f"{act} 3 4 5"]
        assert f"= queuectl {act} --cause 2 --yes" in tui.message


async def test_all_of_a_listed_cause_can_be_marked() -> None:
    queue = grave(2, 3, 1)
    async with driving(queue) as tui:
        await tui.press("F", "j", "enter", "asterisk", "r", "y")
        assert queue.acted == ["requeue 3 4 5"]


async def test_editing_is_for_one_job() -> None:
    async with driving(grave(2)) as tui:
        await tui.press("F", "e")
        assert tui.message == " ! e edits one job at a time · r z d work on all of them"


# -- undo


async def test_undo_takes_back_the_last_act_then_the_one_before() -> None:
    queue = grave(3)
    async with driving(queue) as tui:
        await tui.press("3", "r")
        assert "3 requeued · u takes back those waiting" in tui.message
        await tui.press("d", "y")
        assert "2 deleted · u takes back" in tui.message
        await tui.press("u")
        assert " 1 job taken back" in tui.message
        await tui.press("u")
        assert queue.acted == ["requeue 3", "delete 2", "undo delete 2", "undo requeue 3"]
        assert {job.stored for job in queue.stored.values()} == {State.DEAD}
        await tui.press("u")
        assert len(queue.acted) == 4, "there is nothing more to take back"


async def test_what_cannot_be_undone_says_so_before() -> None:
    queue = grave(10_001)
    async with driving(queue) as tui:
        await tui.press("3", "asterisk", "d")
        assert tui.message == (" delete 10,001 dead jobs? that cannot be undone; type 10001: _")


# -- requeue later


async def test_requeue_later() -> None:
    queue = grave(3)
    async with driving(queue) as tui:
        await tui.press("3", "z")
        assert tui.message == " requeue when?"
        await tui.type("soon")
        await tui.press("enter")
        assert "'soon' is no time" in tui.message
        await tui.press("z")
        await tui.type("10m")
        await tui.press("enter")
        assert queue.acted == ["requeue 3 at 12:15"]
        assert queue.stored[3].stored is State.SCHEDULED
        await tui.press("F", "z")
        await tui.type("2h")
        await tui.press("enter")
        assert tui.message == (
            " requeue 2 dead jobs that ended with 'prog1 · exit 1 · line 1' for 14:05:0~ y/N"
        )
        await tui.press("y")
        assert queue.acted[1:] == ["requeue 1 2 at 14:05"]


# -- edit


async def test_a_dead_job_is_edited_in_place_and_requeued() -> None:
    queue = FakeQueue(dead(7, "mkae all", queue="mail", priority=3))
    async with driving(queue) as tui:
        await tui.press("3", "e")
        assert "Edit 7 and requeue" in tui.text
        await tui.press("home", *["delete"] * 4)
        await tui.type("make")
        await tui.press("tab", "tab", "backspace", "9", "enter")
        job = queue.stored[7]
        assert (job.command, job.queue, job.priority) == ("make all", "mail", 9)
        assert queue.acted == ["edit 7", "requeue 7"]
        assert "7 changed and requeued" in tui.message


async def test_a_waiting_job_is_edited_and_waits_on() -> None:
    queue = FakeQueue(waiting(1, "true"))
    async with driving(queue) as tui:
        await tui.press("e")
        await tui.type(" 1")
        await tui.press("enter")
        assert queue.acted == ["edit 1"]
        assert queue.stored[1].command == "true 1"


def test_a_scheduled_job_keeps_its_time_unless_the_form_says_now(tmp_path: Path) -> None:
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        now = datetime.now().astimezone()
        job = engine.add("true", run_at=now + timedelta(hours=1))
        form = job_form.of_job(job)
        job_form.edit(job, form, now)(engine)
        assert engine.get(job.id).run_at == job.run_at
        job_form.edit(job, replace(form, run_at="now"), now)(engine)
        assert engine.get(job.id).stored is State.READY


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (running(1), " ! job 1 is processing; it cannot be edited"),
        (running(1, "two\nlines"), " ! job 1 is processing; it cannot be edited"),
    ],
)
async def test_what_cannot_be_edited_here_says_why(job: Any, why: str) -> None:
    async with driving(FakeQueue(job)) as tui:
        await tui.press("2", "e")
        assert tui.message.startswith(why)


# -- queues


async def test_the_queue_of_a_job_is_paused_and_resumed_after_a_question() -> None:
    queue = FakeQueue(waiting(1, queue="mail"))
    async with driving(queue) as tui:
        await tui.press("P")
        assert tui.message == " pause queue mail? nothing more starts from it y/N"
        await tui.press("n")
        assert "mail" not in queue.paused
        await tui.press("P", "y")
        assert "mail" in queue.paused
        assert "= queuectl pause mail" in tui.message
        await tui.press("6", "P")
        assert tui.message == " resume queue mail? its jobs start y/N"
        await tui.press("y")
        assert "mail" not in queue.paused


# -- long acts


class SlowQueue(FakeQueue):
    """A bulk act that waits at each chunk until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__(*(dead(i) for i in range(1, 151)))
        self.go_on = threading.Event()

    def carry_out(self, plan: Plan, *, progress: Callable[[int], bool] = lambda done: True) -> Done:
        done = 0
        while progress(done) and done < plan.count:
            self.go_on.wait(10)
            done += 1
        self.acted.append(f"{plan.act} stopped at {done}")
        return Done(done, None)


async def test_a_long_act_says_how_far_it_is_and_escape_stops_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("queuectl_tui.errand.STEP", 0.0)
    queue = SlowQueue()
    async with driving(queue) as tui:
        screen = screen_of(tui.app)
        assert isinstance(screen, JobsScreen)
        thread = in_a_thread(screen)
        await tui.press("3", "asterisk", "r", "1", "5", "0", "enter")
        await until_shows(tui, "requeueing 0 of 150 · Esc stops")
        await tui.press("d")
        assert "requeueing" in tui.message, "one long act at a time"
        await tui.press("escape")
        queue.go_on.set()
        thread[0].join()
        await until_shows(tui, "stopped: 1 requeued")
        assert tui.desk.focus == "dead", "Escape did nothing else"


def in_a_thread(screen: JobsScreen) -> list[threading.Thread]:
    """Let the porter work beside the loop, as it does in the program."""
    porter, threads = screen._porter, list[threading.Thread]()
    do_now = porter.do_now

    def do(deed: Any, tell: Any) -> None:
        threads.append(threading.Thread(target=do_now, args=(deed, tell)))
        threads[-1].start()

    porter.do = do  # type: ignore[method-assign]
    return threads


async def until_shows(tui: Driven, words: str) -> None:
    for _ in range(60):
        await tui.pilot.pause(0.01)
        if words in tui.text:
            return
    raise AssertionError(f"no {words!r} in\n{tui.text}")


async def test_marks_and_the_question_hold_while_the_queue_moves() -> None:
    """The plan is of the jobs that were meant when it was asked."""
    queue = grave(3)
    async with driving(queue) as tui:
        await tui.press("3", "space", "space", "d")
        queue.put(dead(50, finished_at=NOON + 60 * MINUTE))
        await tui.pilot.pause()
        await tui.press("y")
        assert queue.acted == ["delete 2 3"]
        assert set(queue.stored) == {1, 50}
