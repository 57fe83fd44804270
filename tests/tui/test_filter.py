"""Filtering tables, and marking what matches."""

from __future__ import annotations

import pytest

from queuectl_engine import Filter, State, View, parse_filter
from queuectl_tui.picture import Spot, Table, Tally, Wanted
from queuectl_tui.searching import Search
from queuectl_tui.typed import Typed, typed
from tests.samples import NOON
from tests.tui.driven import driving
from tests.tui.fake import SLICE, FakeQueue, dead, waiting

EVERY_TENTH = 10


def mixed(count: int = 60) -> FakeQueue:
    """Waiting jobs, every tenth of which is in queue mail."""
    return FakeQueue(
        *(
            waiting(i, f"job-{i}", queue="mail" if i % EVERY_TENTH == 0 else "other")
            for i in range(1, count + 1)
        )
    )


def mail() -> Filter:
    return parse_filter("queue:mail", now=NOON)


async def test_a_filter_shows_only_what_matches_and_counts_it() -> None:
    async with driving(mixed()) as tui:
        await tui.filter("queue:mail")
        assert "1 Pending 6 " in tui.line(1)
        assert "filter: queue:mail" in tui.line(1)
        assert [job.id for job in tui.desk.table.window.jobs] == [10, 20, 30, 40, 50, 60]  # type: ignore[union-attr]
        assert tui.cursor.startswith("▸  10 ")
        await tui.rest()
        assert "── 10 pending" in tui.text
        await tui.press("n", "n", "N")
        assert tui.cursor.startswith("▸  20 ")
        await tui.press("escape")
        assert "1 Pending 60" in tui.line(1)
        assert tui.cursor.startswith("▸  20 "), "it stays where it was"


async def test_it_filters_while_it_is_typed() -> None:
    async with driving(mixed()) as tui:
        await tui.press("slash")
        await tui.type("job-1")
        while "1 Pending 11 " not in tui.line(1):
            await tui.pilot.pause(0.01)
        assert tui.message == " / job-1"
        await tui.type("0")
        await tui.press("escape")
        assert "1 Pending 60" in tui.line(1)


async def test_a_filter_that_is_none_says_so_and_keeps_what_is_shown() -> None:
    async with driving(mixed()) as tui:
        await tui.press("slash")
        await tui.type("state:x")
        while "is none of" not in tui.message:
            await tui.pilot.pause(0.01)
        assert "1 Pending 60" in tui.line(1)


async def test_nothing_matches() -> None:
    async with driving(mixed()) as tui:
        await tui.filter("zebra")
        assert "1 Pending 0 " in tui.line(1)
        assert "nothing matches · Esc clears the filter" in tui.text


async def test_a_filtered_table_is_live() -> None:
    queue = mixed(SLICE - 2)
    async with driving(queue) as tui:
        await tui.filter("queue:mail")
        queue.put(waiting(70, "job-70", queue="mail"), waiting(71, "job-71"))
        await tui.pilot.pause()
        assert "1 Pending 1 " in tui.line(1)
        queue.put(dead(70, "job-70", queue="mail"))
        await tui.pilot.pause()
        assert "1 Pending 0 " in tui.line(1)


async def test_all_that_match_are_marked_as_one_whole() -> None:
    queue = mixed()
    async with driving(queue) as tui:
        await tui.filter("queue:mail")
        await tui.press("asterisk")
        assert "filter: queue:mail · all *" in tui.line(1)
        await tui.press("space")
        assert "all that match are marked" in tui.message
        await tui.press("x")
        assert tui.message == " cancel 6 pending jobs that match queue:mail? y/N"
        await tui.press("y")
        assert queue.acted == ["cancel 10 20 30 40 50 60"]
        assert "--filter" in tui.message
        await tui.press("asterisk", "asterisk")
        assert "all *" not in tui.line(1)


async def test_of_what_waits_only_retrying_jobs_are_requeued() -> None:
    queue = mixed(3)
    queue.put(waiting(4, "late", stored=State.FAILED))
    async with driving(queue) as tui:
        await tui.press("asterisk", "r", "y")
        assert queue.acted == ["requeue 4"]


@pytest.mark.parametrize(
    "keys", [["v", "j", "j", "j", "v"], ["j", "j", "j", "v", "k", "k", "k", "v"]]
)
async def test_a_range_is_marked_from_either_end(keys: list[str]) -> None:
    async with driving(mixed()) as tui:
        await tui.press(*keys)
        assert "4 jobs marked" in tui.message
        assert tui.desk.table.marks == {1, 2, 3, 4}  # type: ignore[union-attr]


async def test_a_range_has_only_what_matches() -> None:
    async with driving(mixed()) as tui:
        await tui.filter("queue:mail")
        await tui.press("v", "G", "v")
        assert tui.desk.table.marks == {10, 20, 30, 40, 50, 60}  # type: ignore[union-attr]


# -- the search itself


def spot(**changes: object) -> Spot:
    fields: dict[str, object] = {"view": View.PENDING, "rows": 3, "filter": mail(), **changes}
    return Spot(**fields)  # type: ignore[arg-type]


def steps_of(search: Search, queue: FakeQueue, now: float = 0.0) -> list[Tally]:
    tallies = []
    while search.busy:
        search.step(queue, now)
        tallies.append(search.tally)
    return tallies


def test_a_search_goes_slice_by_slice_and_shows_what_it_has() -> None:
    queue = mixed()
    search = Search(spot())
    search.step(queue, 0.0)
    assert search.window is None or search.window.searching
    assert queue.pages == 1, "one slice a step"
    tallies = steps_of(search, queue)
    assert search.window is not None
    assert not search.window.searching
    assert [job.id for job in search.window.jobs] == [10, 20, 30]
    assert [tally.count for tally in tallies] == sorted(tally.count for tally in tallies)
    assert tallies[-1] == Tally(6, complete=True)
    assert not tallies[-2].complete


def test_a_long_search_is_not_repeated_at_once_but_what_left_is_dropped() -> None:
    queue = mixed()
    search = Search(spot())
    steps_of(search, queue, now=100.0)
    assert queue.pages > 60 // SLICE
    before = queue.pages

    queue.put(dead(20, queue="mail"))
    search.changed(queue)
    search.step(queue, 100.1)
    assert search.window is not None
    assert [job.id for job in search.window.jobs] == [10, 30]
    assert queue.pages == before
    assert search.tally == Tally(6, complete=True), "the number stands until a new one is known"

    search.step(queue, 200.0)
    steps_of(search, queue, now=200.0)
    assert search.tally == Tally(5, complete=True)
    assert [job.id for job in search.window.jobs] == [10, 30, 40]


def test_wanted_is_the_same_as_long_as_the_filter_is() -> None:
    assert Wanted({Table.PENDING: spot()}) == Wanted({Table.PENDING: spot(cursor=5, line=2)})


# -- typing


@pytest.mark.parametrize(
    ("keys", "text", "at"),
    [
        (["left", "left", "X"], "one tXwo", 6),
        (["home", "delete"], "ne two", 0),
        (["backspace"], "one tw", 6),
        (["ctrl+w"], "one ", 4),
        (["ctrl+u"], "", 0),
        (["home", "right", "ctrl+k"], "o", 1),
        (["ctrl+a", "ctrl+e", "!"], "one two!", 8),
    ],
)
def test_a_line_is_edited(keys: list[str], text: str, at: int) -> None:
    line = typed("one two")
    for key in keys:
        line = line.edit(key) or line.insert(key)
    assert line == Typed(text, at)


def test_what_is_typed_is_harmless() -> None:
    assert typed("").insert("a\x1b[2J\t\u202eb").text == "a[2J b"
