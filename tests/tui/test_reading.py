"""Windows of a table, read by place: the same rows as a list of all jobs would give."""

from __future__ import annotations

import random

import pytest

from queuectl_engine import Counts, PoolInfo, State, View
from queuectl_tui.job_reader import JobReader
from queuectl_tui.looker import Looker
from queuectl_tui.picture import Snapshot, Wanted, Window
from queuectl_tui.reading import read_window, whole
from queuectl_tui.table import JobTable
from queuectl_tui.throughput import Throughput
from tests.samples import stored
from tests.tui.fake import FakeQueue, dead, pool, running, waiting

ROWS = 6


def ids(window: Window) -> list[int]:
    return [job.id for job in window.jobs]


def table_on(queue: FakeQueue, view: View = View.PENDING) -> JobTable:
    table = JobTable(view, rows=ROWS)
    table.hold()
    refresh(table, queue)
    return table


def refresh(table: JobTable, queue: FakeQueue) -> None:
    """What the feed does: read until the table has what it wants."""
    spot = None
    while spot != table.spot():
        spot = table.spot()
        table.adopt(whole(read_window(queue, spot)))


def under_cursor(table: JobTable) -> int | None:
    job = table.current()
    return job.id if job else None


def test_an_empty_table() -> None:
    table = table_on(FakeQueue())
    table.move(1)
    table.page(5)
    table.last()
    refresh(table, FakeQueue())
    assert ids(table.window) == []
    assert table.current() is None


@pytest.mark.parametrize("count", [1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS])
def test_first_and_last(count: int) -> None:
    queue = FakeQueue(*(waiting(i) for i in range(1, count + 1)))
    table = table_on(queue)
    assert ids(table.window) == list(range(1, min(count, ROWS) + 1))

    table.last()
    refresh(table, queue)
    assert ids(table.window) == list(range(max(count - ROWS, 0) + 1, count + 1))
    assert under_cursor(table) == count

    table.first()
    refresh(table, queue)
    assert under_cursor(table) == 1


def test_an_answer_to_a_question_that_was_replaced_is_ignored() -> None:
    queue = FakeQueue(*(waiting(i) for i in range(1, 21)))
    table = table_on(queue)
    late = whole(read_window(queue, table.spot()))
    table.last()
    table.adopt(late)
    assert under_cursor(table) is None, "it still waits for the last rows"

    refresh(table, queue)
    assert under_cursor(table) == 20


def test_walking_down_and_up_meets_every_job_once() -> None:
    queue = FakeQueue(*(waiting(i) for i in range(1, 21)))
    table = table_on(queue)
    down = [under_cursor(table)]
    for _ in range(25):
        table.move(1)
        refresh(table, queue)
        down.append(under_cursor(table))
    assert down == [*range(1, 21), *[20] * 6]

    up = []
    for _ in range(25):
        table.move(-1)
        refresh(table, queue)
        up.append(under_cursor(table))
    assert up == [*range(19, 0, -1), *[1] * 6]
    assert table.window.at_start


@pytest.mark.parametrize("seed", range(5))
def test_any_walk_is_like_moving_in_a_list(seed: int) -> None:
    chance = random.Random(seed)
    queue = FakeQueue(*(waiting(i) for i in range(1, 51)))
    table = table_on(queue)
    at = 0
    for _ in range(60):
        by = chance.choice([1, -1, 3, -3, 7, -7])
        table.move(by)
        if chance.random() < 0.5:  # the feed is not always as fast as the keys
            refresh(table, queue)
        at = max(min(at + by, 49), 0) if 0 <= at + by < 50 else at
        if not 0 <= at + by < 50:
            table.first()
            at = 0
    refresh(table, queue)
    assert len(ids(table.window)) == ROWS
    assert under_cursor(table) in ids(table.window)
    assert ids(table.window) == list(range(ids(table.window)[0], ids(table.window)[0] + ROWS))


def test_pages_move_rows_and_cursor_together() -> None:
    queue = FakeQueue(*(waiting(i) for i in range(1, 21)))
    table = table_on(queue)
    seen = []
    for by in (5, 5, 5, 5, -5, -5, -5, -5):
        table.page(by)
        refresh(table, queue)
        seen.append((ids(table.window)[0], under_cursor(table)))
    assert seen == [
        (6, 6), (11, 11), (15, 16), (15, 20), (10, 15), (5, 10), (1, 5), (1, 1),
    ]  # fmt: skip


def test_the_cursor_stays_on_its_job_when_rows_come_and_go() -> None:
    queue = FakeQueue(*(dead(i) for i in range(10, 20)))
    table = table_on(queue, View.DEAD)
    table.move(2)
    assert under_cursor(table) == 17

    queue.put(dead(30))
    refresh(table, queue)
    assert (under_cursor(table), table.line) == (17, 3)

    queue.put(*(dead(i) for i in range(40, 60)))  # it is pushed out of the window
    refresh(table, queue)
    assert (under_cursor(table), table.anchored) == (17, True)


def test_a_table_nobody_turned_to_shows_what_is_new() -> None:
    queue = FakeQueue(*(dead(i) for i in range(10, 20)))
    table = JobTable(View.DEAD, rows=ROWS)
    refresh(table, queue)
    queue.put(*(dead(i) for i in range(40, 60)))
    refresh(table, queue)
    assert under_cursor(table) == 59


def test_where_the_cursors_job_left_it_stands_on_a_neighbour_that_nobody_chose() -> None:
    queue = FakeQueue(*(waiting(i) for i in range(1, 5)))
    table = table_on(queue)
    table.move(1)
    queue.put(running(2))
    refresh(table, queue)
    assert (under_cursor(table), table.anchored) == (3, False)

    table.move(-1)
    assert (under_cursor(table), table.anchored) == (1, True)


def test_an_answer_to_a_replaced_question_is_ignored() -> None:
    queue = FakeQueue(*(waiting(i) for i in range(1, 41)))
    table = table_on(queue)
    table.page(5)
    first = table.spot()
    table.page(5)
    both = table.spot()
    table.adopt(whole(read_window(queue, first)))
    rest = table.spot()
    table.adopt(whole(read_window(queue, both)))  # counted from where we are no more
    table.adopt(whole(read_window(queue, rest)))
    assert ids(table.window)[0] == 11


def test_a_window_costs_the_same_at_any_size() -> None:
    small = FakeQueue(*(waiting(i) for i in range(1, 20)))
    large = FakeQueue(*(waiting(i) for i in range(1, 2000)))
    for queue in (small, large):
        table = table_on(queue)
        table.last()
        refresh(table, queue)
    assert small.pages == large.pages


def test_output_is_read_once() -> None:
    queue = FakeQueue(running(1))
    asked: list[int] = []
    output = queue.output

    def spy(
        job: int | str, attempt: int | None = None, *, after: int = -1, limit: int = 0
    ) -> object:
        asked.append(after)
        return output(job, attempt, after=after, limit=limit)

    queue.output = spy  # type: ignore[method-assign, assignment]
    reader = JobReader()
    pictures = []
    for text in ("one\n", "two\n"):
        queue.say(1, text)
        pictures.append(reader.read(queue, 1))
    assert [said.text for said in pictures[-1].output] == ["one", "two"]
    assert asked == [-1, 0]


def test_a_job_that_is_gone_has_an_empty_picture() -> None:
    assert JobReader().read(FakeQueue(), 7).job is None


def ended(count: int) -> Counts:
    return Counts({State.COMPLETED: count})


def test_without_a_pool_nothing_has_a_speed() -> None:
    throughput = Throughput()
    assert throughput.note(ended(0), 0.0) is None
    throughput.rest()
    assert throughput.note(ended(150), 2.0) is None  # an undo brought them back


def test_throughput_is_that_of_the_last_seconds_and_ends_with_silence() -> None:
    throughput = Throughput()
    said = [throughput.note(ended(10 * second), float(second)) for second in range(6)]
    assert said == [None, 10.0, 10.0, 10.0, 10.0, 10.0]
    quiet = [throughput.note(ended(50), 5.0 + 0.25 * tick) for tick in range(1, 60)]
    assert quiet[-1] is None
    assert len(set(quiet)) <= 8, "a queue at rest says little"
    assert throughput.note(ended(3), 30.0) is None, "requeued or pruned: begin anew"


@pytest.mark.parametrize("pools", [[], [pool()]])
def test_only_with_a_pool_ended_jobs_are_a_speed(pools: list[PoolInfo]) -> None:
    queue, looker = FakeQueue(), Looker()
    queue.running = pools
    picture = looker.look(queue, Wanted(), Snapshot(), 1.0)
    queue.put(*(stored(id=i, stored=State.COMPLETED) for i in range(20)))
    looker.forget()
    assert looker.look(queue, Wanted(), picture, 3.0).rate == (10.0 if pools else None)
