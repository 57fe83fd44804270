"""When schedules are due: around both clock changes, for fixed and for wildcard times."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl_engine import cron
from queuectl_engine.errors import BadInput

BERLIN = "Europe/Berlin"


def times(expression: str, after: str, count: int, zone: str = BERLIN) -> list[str]:
    """The next times as people read them: with the offset in force."""
    found = cron.next_times(expression, zone, datetime.fromisoformat(after), count)
    return [time.isoformat(timespec="minutes") for time in found]


def test_a_fixed_time_that_is_skipped_comes_right_after_the_change() -> None:
    assert times("30 2 * * *", "2026-03-28T00:00+01:00", 3) == [
        "2026-03-28T02:30+01:00",
        "2026-03-29T03:00+02:00",
        "2026-03-30T02:30+02:00",
    ]


def test_a_fixed_time_that_comes_twice_is_met_the_first_time() -> None:
    assert times("30 2 * * *", "2026-10-24T12:00+02:00", 2) == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]


@pytest.mark.parametrize("after", ["2026-10-25T02:30+02:00", "2026-10-25T02:10+01:00"])
def test_a_fixed_time_that_was_met_does_not_come_again_in_the_doubled_hour(after: str) -> None:
    assert times("30 2 * * *", after, 1) == ["2026-10-26T02:30+01:00"]


def test_wildcards_follow_real_time_through_the_doubled_hour() -> None:
    assert times("30 * * * *", "2026-10-25T01:00+02:00", 4) == [
        "2026-10-25T01:30+02:00",
        "2026-10-25T02:30+02:00",
        "2026-10-25T02:30+01:00",
        "2026-10-25T03:30+01:00",
    ]


def test_wildcards_follow_real_time_over_the_skipped_hour() -> None:
    assert times("*/30 * * * *", "2026-03-29T01:00+01:00", 3) == [
        "2026-03-29T01:30+01:00",
        "2026-03-29T03:00+02:00",
        "2026-03-29T03:30+02:00",
    ]


def test_the_zone_decides_which_day_it_is() -> None:
    assert times("0 0 * * *", "2026-01-31T10:00+00:00", 1, "Pacific/Auckland") == [
        "2026-02-01T00:00+13:00"
    ]
    assert times("@daily", "2026-01-31T12:00+00:00", 1, "UTC") == ["2026-02-01T00:00+00:00"]


@pytest.mark.parametrize(
    "expression",
    [
        *("", "x", "* * * *", "* * * * * *", "61 * * * *", "@reboot", "@", "0 0 30 2 *"),
        *("L * * * *", "٣ * * * *", "9" * 5000 + " * * * *", "0 0 * * MON#6", "\x1b[2J * * * *"),
    ],
)
def test_what_is_no_expression_is_told_in_one_clear_line(expression: str) -> None:
    with pytest.raises(BadInput, match="is no cron expression") as refused:
        cron.next_after(expression, "UTC", datetime.now(UTC))

    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("zone", ["", "Europe", "europe", "../etc/passwd", "/etc/passwd", "a\0b"])
def test_a_zone_that_is_none_is_told(zone: str) -> None:
    with pytest.raises(BadInput, match="no time zone"):
        cron.next_after("@daily", zone, datetime.now(UTC))


def test_a_machine_without_zones_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = zoneinfo.ZoneInfoNotFoundError

    def no_zone(name: str) -> zoneinfo.ZoneInfo:
        raise missing(name)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", no_zone)
    monkeypatch.setattr(zoneinfo, "available_timezones", set)

    with pytest.raises(BadInput, match="install tzdata"):
        cron.zone_of(BERLIN)
    assert cron.next_after("@daily", "UTC", datetime.now(UTC))


def test_the_local_zone_is_known_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TZ", raising=False)
    link = tmp_path / "localtime"
    assert cron.local_zone(link) == "UTC"
    link.symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    assert cron.local_zone(link) in (BERLIN, "UTC")
    monkeypatch.setenv("TZ", ":Asia/Tokyo")
    assert cron.local_zone(link) == "Asia/Tokyo"
    monkeypatch.setenv("TZ", "")
    assert cron.local_zone(link) == "UTC"
    monkeypatch.setenv("TZ", "CET-1CEST")
    with pytest.raises(BadInput):
        cron.local_zone(link)
    monkeypatch.delenv("TZ")
    link.unlink()
    link.write_bytes(b"TZif")
    with pytest.raises(BadInput, match="--tz"):
        cron.local_zone(link)


@given(
    st.sampled_from(["30 2 * * *", "*/20 * * * *", "*/20 2 * * *", "0 2,3 * * *", "15 1-3 * * *"]),
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "UTC"]),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_the_next_time_is_always_later(expression: str, zone: str, after: datetime) -> None:
    first = cron.next_after(expression, zone, after)
    assert first is not None
    second = cron.next_after(expression, zone, first)
    assert second is not None
    assert after < first < second
    assert [time.astimezone(UTC) for time in cron.next_times(expression, zone, after, 2)] == [
        first,
        second,
    ]
