"""Keys on the main screen, over a queue in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from textual.events import Key, Paste

from queuectl_engine import JobState, State
from queuectl_tui import keys
from queuectl_tui.desk import Place
from queuectl_tui.screens.help import HelpScreen
from queuectl_tui.widgets.message_line import MessageLine, Question
from tests.tui.busy import busy_queue
from tests.tui.driven import driving
from tests.tui.fake import (
    FakeQueue,
    at_rest,
    dead,
    pool,
    running,
    screen_of,
    waiting,
)


def sleepers(count: int) -> list[int]:
    return list(range(1, count + 1))


async def test_an_empty_queue_says_how_to_begin() -> None:
    async with driving(FakeQueue()) as tui:
        assert "a adds a job" in tui.message
        assert "+ starts a worker" in tui.text
        assert "no pool" in tui.line(0)


async def test_with_jobs_and_no_pool_it_says_that_plus_starts_one() -> None:
    async with driving(FakeQueue(waiting(1), waiting(2))) as tui:
        assert tui.message == " 2 jobs wait and no pool runs · + starts a worker"
        await tui.press("plus")
        assert "pool default runs in the background" in tui.message
        assert "pool 1/1" in tui.line(0)


async def test_a_job_is_added_by_typing_and_enter() -> None:
    queue = FakeQueue()
    async with driving(queue) as tui:
        await tui.press("a")
        await tui.type("echo hi")
        await tui.press("enter")
        assert queue.stored[1].command == "echo hi"
        assert tui.message == " added as 1 · no pool runs, + starts a worker"
        assert "── 1 pending" in tui.text
        assert "1 Pending 1" in tui.line(1)


async def test_fields_of_the_form_and_what_is_wrong_in_them() -> None:
    queue = FakeQueue()
    async with driving(queue) as tui:
        await tui.press("a")
        await tui.press("enter")
        assert "the command is empty" in tui.text
        await tui.type("true")
        await tui.press("tab")
        await tui.type("mail")
        await tui.press("tab")
        await tui.type("x5")
        await tui.press("enter")
        assert "priority 'x5' is no whole number" in tui.text
        await tui.press("home", "delete", "enter")
        assert (queue.stored[1].queue, queue.stored[1].priority) == ("mail", 5)


async def test_what_is_pasted_into_the_form_is_made_harmless() -> None:
    queue = FakeQueue()
    async with driving(queue) as tui:
        await tui.press("a")
        tui.app.post_message(Paste("echo\t\x1b]52;c;QQ==\x07\u202e[/bold]"))
        await tui.press("enter")
        assert queue.stored[1].command == "echo ]52;c;QQ==[/bold]"


async def test_escape_closes_the_form_and_up_brings_earlier_commands() -> None:
    queue = FakeQueue()
    async with driving(queue) as tui:
        await tui.press("a")
        await tui.type("true")
        await tui.press("escape")
        assert queue.stored == {}
        for command in ("make a", "make b"):
            await tui.press("a")
            await tui.type(command)
            await tui.press("enter")
        await tui.press("a", "up", "up", "enter")
        assert [job.command for job in queue.stored.values()] == ["make a", "make b", "make a"]


async def test_a_job_just_added_stays_in_the_detail_until_the_cursor_moves() -> None:
    queue = FakeQueue(*(waiting(i) for i in sleepers(3)))
    async with driving(queue) as tui:
        await tui.press("a")
        await tui.type("echo new")
        await tui.press("enter")
        for state in (State.PROCESSING, State.FAILED, State.DEAD):
            queue.put(dead(4, "echo new", stored=state))
            await tui.pilot.pause()
            assert f"── 4 {JobState(state)}" in tui.text
        await tui.press("j")
        await at_rest(tui.pilot)
        assert "── 2 pending" in tui.text


async def test_output_grows_in_the_detail_while_a_job_runs() -> None:
    queue = FakeQueue(running(1))
    async with driving(queue) as tui:
        await tui.press("2")
        for i in range(1, 10):
            queue.say(1, f"line {i}\n")
        await tui.pilot.pause()
        assert "out │ line 9" in tui.text
        assert "out │ line 3" not in tui.text
        await tui.press("enter", "g")
        assert "out │ line 1" in tui.text


async def test_scrolled_output_stays_and_follows_again_at_its_end() -> None:
    queue = FakeQueue(running(1))
    async with driving(queue) as tui:
        queue.say(1, "".join(f"line {i}\n" for i in range(100)))
        await tui.press("2", "enter", "g")
        assert "lines below · G follows" in tui.text
        queue.say(1, "line 100\n")
        await tui.pilot.pause()
        assert "line 100" not in tui.text
        await tui.press("G")
        assert "line 100" in tui.text


@pytest.mark.parametrize(
    ("key", "place", "title"),
    [
        ("1", Place.TABLES, "1 Pending"),
        ("2", Place.TABLES, "2 Processing"),
        ("3", Place.TABLES, "3 Dead"),
        ("4", Place.FINISHED, "4 Finished 6"),
        ("5", Place.POOLS, "5 Pools and workers 2"),
        ("6", Place.QUEUES, "6 Queues 3"),
    ],
)
async def test_numbers_show_places(key: str, place: Place, title: str) -> None:
    async with driving(busy_queue()) as tui:
        await tui.press(key)
        assert screen_of(tui.app).desk.place is place
        assert title in tui.text


@pytest.mark.parametrize("key", ["escape", "q"])
async def test_back_goes_one_step_at_a_time_and_escape_never_quits(key: str) -> None:
    async with driving(busy_queue()) as tui:
        await tui.press("4", "enter")
        assert "4 Finished" not in tui.text
        await tui.press(key)
        assert "4 Finished" in tui.text
        await tui.press(key)
        assert "1 Pending" in tui.text
        await tui.press(key)
        assert tui.app._exit is (key == "q")


async def test_control_c_quits_from_anywhere() -> None:
    async with driving(busy_queue()) as tui:
        await tui.press("a", "ctrl+c")
        assert tui.app._exit


async def test_tab_goes_round_the_panes() -> None:
    async with driving(busy_queue()) as tui:
        desk = screen_of(tui.app).desk
        seen = []
        for _ in range(4):
            await tui.press("tab")
            seen.append("detail" if desk.on_detail else desk.focus.value)
        assert seen == ["processing", "dead", "detail", "pending"]
        await tui.press("shift+tab")
        assert desk.on_detail


async def test_the_table_with_the_focus_takes_the_room() -> None:
    async with driving(busy_queue()) as tui:
        rows = []
        for key in "123":
            await tui.press(key)
            titles = [i for i, line in enumerate(tui.text.split("\n")) if line[1:3] in _TITLES]
            rows.append([titles[1] - titles[0], titles[2] - titles[1]])
        assert rows == [[8, 3], [3, 8], [3, 3]]


_TITLES = ("1 ", "2 ", "3 ")


@pytest.mark.parametrize("down", ["j", "down"])
@pytest.mark.parametrize("up", ["k", "up"])
async def test_moving(down: str, up: str) -> None:
    async with driving(FakeQueue(*(waiting(i) for i in sleepers(50)))) as tui:
        await tui.press(*[down] * 7)
        assert tui.cursor.startswith("▸  8 ")
        await tui.press(up)
        assert tui.cursor.startswith("▸  7 ")


@pytest.mark.parametrize(
    ("keys", "there"),
    [
        (["G"], 50),
        (["end"], 50),
        (["G", "g"], 1),
        (["G", "home"], 1),
        (["pagedown"], 6),
        (["pagedown", "pagedown", "pageup"], 6),
        (["ctrl+d"], 3),
        (["ctrl+d", "ctrl+d", "ctrl+u"], 3),
    ],
)
async def test_jumping(keys: list[str], there: int) -> None:
    async with driving(FakeQueue(*(waiting(i) for i in sleepers(50)))) as tui:
        await tui.press(*keys)
        assert tui.cursor.startswith(f"▸  {there} ")


async def test_requeue_takes_the_job_under_the_cursor_at_once() -> None:
    queue = FakeQueue(dead(1), dead(2), dead(3))
    async with driving(queue) as tui:
        await tui.press("3", "r")
        assert queue.acted == ["requeue 3"]
        assert "── 3 pending" in tui.text
        assert "queuectl requeue 3" in tui.message
        assert tui.cursor.startswith("▸  2 ")
        await tui.press("r")
        assert queue.acted == ["requeue 3", "requeue 2"]


async def test_more_than_one_asks_and_no_is_the_default() -> None:
    queue = FakeQueue(dead(1), dead(2), dead(3))
    async with driving(queue) as tui:
        await tui.press("3", "space", "space", "r")
        assert tui.message == " requeue 2 dead jobs? y/N"
        await tui.press("enter")
        assert (queue.acted, tui.message) == ([], " nothing was done")
        await tui.press("r", "y")
        assert queue.acted == ["requeue 2 3"]
        assert "2 requeued" in tui.message
        assert screen_of(tui.app).desk.table.marks == set()  # type: ignore[union-attr]


async def test_only_those_that_are_still_dead_are_touched() -> None:
    queue = FakeQueue(dead(1), dead(2), dead(3))
    async with driving(queue) as tui:
        await tui.press("3", "space", "space", "r")
        queue.put(waiting(3))
        await tui.press("y")
        assert queue.acted == ["requeue 2"]
        assert "1 requeued · 1 left as it was" in tui.message


async def test_above_a_hundred_jobs_the_number_is_typed() -> None:
    queue = FakeQueue(*(dead(i) for i in sleepers(150)))
    async with driving(queue) as tui:
        await tui.press("3")
        screen_of(tui.app).desk.tables[screen_of(tui.app).desk.focus].marks.update(sleepers(150))
        await tui.press("d")
        assert "delete 150 dead jobs? " in tui.message
        assert tui.message.endswith("type 150: _")
        assert "150 and Enter is Yes" in tui.line(-1)
        await tui.press("y")
        assert queue.acted == []
        await tui.press("d", "1", "5", "enter")
        assert queue.acted == []
        await tui.press("d", "1", "5", "1", "backspace", "0", "enter")
        assert len(queue.stored) == 0


async def test_cancel_and_delete_ask_and_name_the_job() -> None:
    queue = FakeQueue(waiting(1, "make all"), running(2, "sleep 9"), dead(3))
    async with driving(queue) as tui:
        await tui.press("x")
        assert tui.message == " cancel 1: make all ? y/N"
        await tui.press("y", "2", "x")
        assert tui.message == " end 2: sleep 9 ? y/N"
        await tui.press("n", "3", "d", "y")
        assert queue.acted == ["cancel 1", "delete 3"]


async def test_after_a_delete_the_next_job_is_shown() -> None:
    queue = FakeQueue(dead(1), dead(2), dead(3))
    async with driving(queue) as tui:
        await tui.press("3", "d", "y")
        await at_rest(tui.pilot)
        assert "── 2 dead" in tui.text
        assert tui.cursor.startswith("▸  2 ")
        await tui.press("d", "y")
        assert queue.acted == ["delete 3", "delete 2"]


async def test_an_act_that_cannot_be_says_why() -> None:
    async with driving(FakeQueue(waiting(1))) as tui:
        await tui.press("r")
        assert tui.message == " ! job 1 is pending; it cannot be requeued"


async def test_where_nothing_is_there_is_nothing_to_act_on() -> None:
    async with driving(FakeQueue()) as tui:
        await tui.press("x")
        assert tui.message == " ! no job here to cancel"


async def test_an_act_is_about_the_detail_when_the_cursor_lost_its_job() -> None:
    queue = FakeQueue(running(1, "first"), running(2, "second"))
    async with driving(queue) as tui:
        await tui.press("2")
        queue.put(dead(1, "first"))
        await tui.pilot.pause()
        assert tui.cursor.startswith("▸  2 ")
        await tui.press("r")
        assert queue.acted == ["requeue 1"]


async def test_marks_belong_to_one_table_and_those_out_of_sight_are_named() -> None:
    queue = FakeQueue(*(waiting(i) for i in sleepers(50)), dead(99))
    async with driving(queue) as tui:
        await tui.press("space", "G", "space", "x")
        assert tui.message == " cancel 2 pending jobs? 1 of them out of sight; y/N"
        await tui.press("n", "3", "d")
        assert tui.message == " delete 99: false ? y/N"


async def test_first_worker_asks_when_many_jobs_would_start() -> None:
    queue = FakeQueue(*(waiting(i) for i in sleepers(11)))
    async with driving(queue) as tui:
        await tui.press("plus")
        assert tui.message == " start a worker? 11 jobs wait, and it would run them y/N"
        await tui.press("n")
        assert queue.acted == []
        await tui.press("plus", "y")
        assert queue.acted == ["start_pool"]


async def test_workers_are_scaled_and_below_one_asks() -> None:
    queue = FakeQueue()
    queue.running = [pool()]
    async with driving(queue) as tui:
        await tui.press("plus")
        assert "pool default: 2 workers wanted" in tui.message
        await tui.press("minus")
        assert "pool default: 1 worker wanted" in tui.message
        await tui.press("minus")
        assert "leave pool default without a worker?" in tui.message
        await tui.press("y")
        assert queue.acted == ["scale 1", "scale -1", "scale -1"]
        await tui.press("minus")
        assert tui.message == " ! pool default has no workers"


async def test_in_the_pools_list_a_worker_shows_its_job() -> None:
    async with driving(busy_queue()) as tui:
        await tui.press("5", "j", "j", "j")
        await at_rest(tui.pilot)
        assert "── 1048961 processing" in tui.text


async def test_help_is_made_from_the_live_bindings() -> None:
    async with driving(busy_queue()) as tui:
        live = {active.binding.id for active in tui.app.active_bindings.values()}
        await tui.press("question_mark")
        assert isinstance(tui.app.screen, HelpScreen)
        seen = tui.text
        for _ in range(40):
            await tui.press("j")
            seen += tui.text
        for binding in tui.app.screen._bindings_shown:
            assert binding.id in live
            assert binding.tooltip[:26] in seen
        await tui.press("q")
        assert not isinstance(tui.app.screen, HelpScreen)


@pytest.mark.parametrize(
    ("down", "up"), [("pagedown", "pageup"), ("ctrl+d", "ctrl+u"), ("G", "g"), ("end", "home")]
)
async def test_help_moves_by_the_keys_that_it_shows(down: str, up: str) -> None:
    async with driving(busy_queue(), 80, 24) as tui:
        await tui.press("question_mark")
        top = tui.text
        assert "Leaving stops nothing" not in top
        await tui.press(down)
        assert "Leaving stops nothing" in tui.text
        await tui.press(up)
        assert tui.text == top


async def test_keys_can_be_others() -> None:
    queue = FakeQueue(dead(1))
    wanted = {"requeue": "R", "down": "n,down", "close": "Q"}
    async with driving(queue, keymap=wanted) as tui:
        await tui.press("3", "r")
        assert queue.acted == []
        assert "R requeue" in tui.line(-1)
        await tui.press("R")
        assert queue.acted == ["requeue 1"]
        await tui.press("4", "q")
        assert not tui.app._exit
        await tui.press("Q", "q")
        assert tui.app._exit, "q still quits"


async def test_keys_that_cannot_be_are_told_and_nothing_breaks() -> None:
    async with driving(FakeQueue(), keymap={"fly": "b", "requeue": "x"}) as tui:
        assert "no key is called fly" in tui.message
        assert "x is both requeue and cancel" in tui.message


EVERYWHERE = [
    *((busy_queue, (80, 24), keys) for keys in ("1", "2", "3", "4", "5", "6", "F", "F\r")),
    (busy_queue, (40, 10), "3"),
    (FakeQueue, (160, 50), "1"),
]


@pytest.mark.parametrize(("queue", "size", "places"), EVERYWHERE)
async def test_every_key_in_every_place(
    queue: Callable[[], FakeQueue],
    size: tuple[int, int],
    places: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever it does there, the program goes on, and Escape leads back to the tables."""
    monkeypatch.setattr("queuectl_tui.screens.study.show_in_pager", lambda *_: "")
    async with driving(queue(), *size) as tui:
        for binding in [*keys.ACTING, *keys.TENDING, *keys.STUDYING]:
            go = ["enter" if key == "\r" else key for key in places]
            await tui.pilot.press(*go, binding.key.split(",")[0], "escape", "escape")
        await tui.pilot.press("escape", "escape", "escape")
        assert tui.app._exception is None
        assert tui.app.is_running
        assert tui.desk.place is Place.TABLES


def all_sizes() -> Iterator[tuple[int, int]]:
    yield from ((20, 5), (59, 15), (60, 16), (80, 24), (100, 30), (139, 40), (140, 40), (160, 50))


@pytest.mark.parametrize(("width", "height"), all_sizes())
async def test_every_size_shows_the_table_with_the_focus(width: int, height: int) -> None:
    async with driving(busy_queue(), width, height) as tui:
        await tui.press("3", "j")
        assert tui.cursor.startswith("▸  1048011")
        assert all(len(line) <= width for line in tui.text.split("\n"))


async def test_a_resize_keeps_the_cursor_in_sight() -> None:
    async with driving(FakeQueue(*(waiting(i) for i in sleepers(50))), 100, 40) as tui:
        await tui.press(*"jjjjjjjjjj")
        for size in ((80, 24), (60, 16), (50, 8), (160, 50), (80, 24)):
            await tui.pilot.resize_terminal(*size)
            await tui.pilot.pause()
            assert tui.cursor.startswith("▸  11 "), size


async def test_a_question_takes_no_key_of_the_burst_that_asked_it() -> None:
    """A key that was read with the one that asked was typed by someone who saw no question."""
    confirmed: list[str] = []
    async with driving(FakeQueue(waiting(1))) as tui:
        line = screen_of(tui.app).query_one(MessageLine)
        line.ask(Question("sure?", lambda: confirmed.append("yes")), burst=7)
        line.take(Key("y", "y"), burst=7)
        assert line.busy
        assert not confirmed
        line.take(Key("y", "y"), burst=8)
        assert confirmed == ["yes"]
