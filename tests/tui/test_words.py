"""Numbers, ages and reasons as they stand in the tables."""

from __future__ import annotations

from datetime import timedelta

import pytest

from queuectl_engine import After, Counts, JobState, Need, State
from queuectl_tui import ink, words
from queuectl_tui.desk import Desk
from queuectl_tui.ink import Ink, Span
from queuectl_tui.picture import Snapshot
from queuectl_tui.widgets.header import header_line
from tests.samples import HOUR, MINUTE, NOON, SECOND, stored
from tests.tui.fake import DATABASE, dead, pool, waiting


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (0 * SECOND, "<1m"),
        (59 * SECOND, "<1m"),
        (MINUTE, "1m"),
        (59.9 * MINUTE, "59m"),
        (HOUR, "1h"),
        (47 * HOUR, "47h"),
        (48 * HOUR, "2d"),
        (-5 * SECOND, "<1m"),  # a clock that is behind
    ],
)
def test_ages_lose_resolution(ago: timedelta, said: str) -> None:
    assert words.age(NOON - ago, NOON) == said


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (timedelta(milliseconds=40), "0.04 s"),
        (1.24 * SECOND, "1.2 s"),
        (75 * SECOND, "75 s"),
        (250 * SECOND, "4m 10s"),
        (2 * HOUR + 5 * MINUTE, "2h 5m"),
        (76 * HOUR, "3d 4h"),
        (None, ""),
    ],
)
def test_durations(span: timedelta | None, said: str) -> None:
    assert words.duration(span) == said


def test_a_waiting_job_says_when_it_starts() -> None:
    assert words.due(waiting(1), NOON) == "now"
    later = waiting(1, stored=State.SCHEDULED, run_at=NOON + MINUTE)
    assert words.due(later, NOON) == "at 12:01:00"
    tomorrow = waiting(1, stored=State.SCHEDULED, run_at=NOON + 24 * HOUR)
    assert words.due(tomorrow, NOON) == "at 01 Feb 12:00"
    retry = waiting(1, stored=State.FAILED, run_at=NOON + 4 * SECOND)
    assert words.due(retry, NOON) == "retry 12:00:04"
    needs = (Need(40, After.OK, JobState.PENDING), Need(41, After.FAIL, JobState.COMPLETED))
    blocked = waiting(1, stored=State.BLOCKED, waits_for=needs)
    assert words.due(blocked, NOON) == "after-fail 41: it is completed, .."
    held = waiting(1, stored=State.BLOCKED, mutex="db\x1b[2J", mutex_holder=7)
    assert words.due(held, NOON) == "mutex db␛[2J is held by 7"
    assert words.status(held, NOON) == ("pending", "mutex db␛[2J is held by 7", "")


@pytest.mark.parametrize(
    ("reason", "short"),
    [
        ("exit 22", "exit 22"),
        ("killed by signal 9", "killed 9"),
        ("timed out after 300 s", "timeout"),
        ("lost: worker died", "lost"),
        ("poison: its worker died 3 times", "poison"),
        ("exit\x1b[2J", "exit␛[2J"),
    ],
)
def test_reasons_are_short_in_a_table(reason: str, short: str) -> None:
    assert words.short_reason(dead(1, reason=reason)) == short


def test_a_headline_names_what_matters() -> None:
    died = dead(1, started_at=NOON, finished_at=NOON + SECOND)
    assert words.status(died, NOON) == ("dead", "exit 1", "attempt 4 of 4", "ran 1.0 s")
    runs = stored(cancel_asked=True)
    assert words.status(runs, NOON + 2 * MINUTE) == (
        "processing", "attempt 1 of 4", "w1", "for 2m", "cancel asked", "",
    )  # fmt: skip


def test_text_is_cut_with_a_sign_at_its_end() -> None:
    assert ink.cut("abcdef", 6) == "abcdef"
    assert ink.cut("abcdefg", 6) == "abcde~"
    assert ink.cut("日本語", 5) == "日本~"  # two cells each
    assert ink.fit("日本語", 4) == "日 ~"
    assert ink.cell("abcdef", 6) == "abcd~ "


def test_neighbours_in_one_ink_become_one_span() -> None:
    drawn = ink.line("a", "b", Span("c", Ink.BAD), "", Span("d", Ink.BAD))
    assert drawn == (Span("ab"), Span("cd", Ink.BAD))


@pytest.mark.parametrize("width", range(1, 60))
def test_titles_fill_their_line_exactly_or_are_cut(width: int) -> None:
    left, right = (Span(" 1 Pending 42"),), (Span("3 retrying"),)

    drawn = ink.ruled(left, right, width)

    assert ink.width_of(drawn) == width or (width < 17 and ink.width_of(drawn) <= width)


@pytest.mark.parametrize("width", [61, 80, 119, 120, 149, 150, 160])
def test_the_header_has_room_for_the_dead_beside_name_and_speed(width: int) -> None:
    desk = Desk()
    desk.shown = Snapshot(
        counts=Counts({State.READY: 1_234_567, State.DEAD: 1_234_567}),
        pools=(pool(wanted=16),),
        rate=1_234.0,
    )
    line = ink.text_of(header_line(desk, DATABASE, width, NOON, read_only=False))
    assert "jobs.db" in line
    assert ("1,234 jobs/s" in line) == (width >= 80)
    assert line.endswith("1,234,567 dead ")
