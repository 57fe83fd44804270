"""Moments and durations as people type them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl_engine.errors import BadInput
from queuectl_engine.times import parse_duration, parse_moment
from tests.samples import NOON

T = TypeVar("T")
PARIS_WINTER = timezone(timedelta(hours=1))


def result_or_error(parse: Callable[[], T]) -> T | BadInput:
    try:
        return parse()
    except BadInput as refused:
        return refused


@pytest.fixture
def in_paris(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose zone has summer time."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0", 0),
        ("1.5", 1.5),
        ("30s", 30),
        (" 10 M ", 600),
        ("1h30m", 5400),
        ("1h 30m 5s", 5405),
        ("2d", 172800),
        ("1w", 604800),
        ("0.5d", 43200),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    ["", " ", "soon", "-5", "5 minutes", "m", "1.m", "1..5", "1e3", "inf", "nan", "5m!", "+5"],
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadInput, match="try 90, 30s, 10m or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["36526d", "9" * 400, "9" * 400 + "w"])
def test_no_duration_is_longer_than_a_century(text: str) -> None:
    with pytest.raises(BadInput, match="hundred years"):
        parse_duration(text)


def test_a_long_number_with_a_wrong_end_is_refused_at_once() -> None:
    with pytest.raises(BadInput):  # naive matching tries 2**200 ways to cut it up
        parse_duration("1" * 200 + "x")


def test_a_hostile_duration_is_shown_harmless() -> None:
    with pytest.raises(BadInput) as refused:
        parse_duration("\x1b]52;c;aGk=\x07")
    assert str(refused.value).isprintable()


@given(st.text(max_size=40))
def test_any_text_is_a_duration_or_bad_input(text: str) -> None:
    found = result_or_error(lambda: parse_duration(text))

    assert (
        "\n" not in str(found)
        if isinstance(found, BadInput)
        else timedelta(0) <= found <= timedelta(days=36525)
    )


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T09:00", datetime(2026, 3, 1, 9, tzinfo=UTC)),
        ("2026-03-01 09:00:30.5", datetime(2026, 3, 1, 9, 0, 30, 500_000, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("20260301", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026W011", datetime(2025, 12, 29, tzinfo=UTC)),
        ("2026-03-01T09:00+01:00", datetime(2026, 3, 1, 8, tzinfo=UTC)),
        ("2026-03-01T09:00Z", datetime(2026, 3, 1, 9, tzinfo=UTC)),
        (" now ", NOON),
        ("+10m", NOON + timedelta(minutes=10)),
        ("+90", NOON + timedelta(seconds=90)),
        ("1h30m", NOON + timedelta(minutes=90)),
        ("today 18:30", datetime(2026, 1, 31, 18, 30, tzinfo=UTC)),
        ("Tomorrow at 9:00", datetime(2026, 2, 1, 9, tzinfo=UTC)),
        ("tomorrow", datetime(2026, 2, 1, tzinfo=UTC)),
    ],
)
def test_moments(text: str, moment: datetime) -> None:
    assert parse_moment(text, now=NOON) == moment


def test_a_moment_keeps_the_zone_that_it_names() -> None:
    moment = parse_moment("2026-03-01T09:00+05:30", now=NOON)

    assert moment.utcoffset() == timedelta(hours=5, minutes=30)


@pytest.mark.usefixtures("in_paris")
def test_without_a_zone_the_offset_of_that_day_is_meant() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=PARIS_WINTER)

    summer = parse_moment("2026-07-01T09:00", now=now)
    winter = parse_moment("tomorrow 09:00", now=now)

    assert summer == datetime(2026, 7, 1, 7, tzinfo=UTC)
    assert winter == datetime(2026, 2, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "90", "2027", "2026-13-01", "2026-01-32", "tomorrow 25:00", "today 9:75", "09:00",
     "+", "+soon", "-5m", "2026-01-31T09:00+99:00", "2026-01-31T09:00 nowhere"],
)  # fmt: skip
def test_what_is_no_moment_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadInput, match="try"):
        parse_moment(text, now=NOON)


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00+14:00", "9999-12-31T23:59-12:00", "0001-01-01", "9999-12-31T23:59"]
)
def test_a_moment_outside_the_calendar_is_bad_input_or_can_be_written_in_utc(text: str) -> None:
    found = result_or_error(lambda: parse_moment(text, now=NOON))

    assert text in str(found) if isinstance(found, BadInput) else found.astimezone(UTC)


@given(st.text(max_size=40))
def test_any_text_is_an_aware_moment_or_bad_input(text: str) -> None:
    found = result_or_error(lambda: parse_moment(text, now=NOON))

    assert "\n" not in str(found) if isinstance(found, BadInput) else found.utcoffset() is not None
