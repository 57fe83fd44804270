"""Moments and durations as people type them. Pure: `now` is an argument."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Final

from queuectl_engine.errors import BadInput
from queuectl_engine.safe_text import safe_text

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)\s*")
_DAY: Final = re.compile(r"(today|tomorrow)(?:\s+(?:at\s+)?(\d{1,2}):(\d{2}))?")
_LONGEST: Final = 36525 * 86400.0


def parse_duration(text: str) -> timedelta:
    """`90`, `30s`, `1h30m`, `2d`; plain numbers are seconds. Raises BadInput."""
    words = text.strip().lower()
    if not (parts := _parts(words)):
        raise BadInput(f"'{safe_text(text)}' is no duration; try 90, 30s, 10m or 1h30m")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds > _LONGEST:
        raise BadInput(f"'{safe_text(text)}' is more than a hundred years")
    return timedelta(seconds=seconds)


def duration_text(span: timedelta) -> str:
    """The shortest way to type a duration: `30d`, `36h`, `90s`; whole seconds only."""
    seconds = span // timedelta(seconds=1)
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"


def _parts(words: str) -> list[tuple[str, str]]:
    """Numbers and units that are all there is; none when there is anything else.

    Part by part: one pattern for them all could cut a long number in 2**n ways, and possessive
    quantifiers, which could not, match too much before Python 3.11.5 (python/cpython#106052).
    """
    parts: list[tuple[str, str]] = []
    at = 0
    while at < len(words):
        if not (part := _PART.match(words, at)):
            return []
        parts.append((part[1], part[2]))
        at = part.end()
    return parts


def parse_moment(text: str, *, now: datetime) -> datetime:
    """`2026-01-31T09:00`, `2026-01-31 09:00+01:00`, `+10m`, `10m`, `now`, `tomorrow 09:00`.

    `now` is aware; its zone is meant where the text names none. A number alone is no moment: `2027`
    is rarely meant as seconds. Raises BadInput.
    """
    words = text.strip().lower()
    if words == "now":
        return now
    if match := _DAY.fullmatch(words):
        day = now.date() + timedelta(days=match[1] == "tomorrow")
        return _on(day.isoformat(), match[2] or "0", match[3] or "0", now, text)
    try:  # first, or 20270131 would be seconds
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return _later(words, now, text)
    return _checked(moment, now, text)


def _later(words: str, now: datetime, text: str) -> datetime:
    if words.startswith("+") or (_parts(words) and not words.isdecimal()):
        return now + parse_duration(words.removeprefix("+"))
    raise _no_moment(text)


def _checked(moment: datetime, now: datetime, text: str) -> datetime:
    try:  # years 1 and 9999 end before their last hour in some zones
        aware = moment if moment.tzinfo else _local(moment, now)
        aware.astimezone(UTC)
    except (OverflowError, ValueError):
        raise _no_moment(text) from None
    return aware


def _on(day: str, hour: str, minute: str, now: datetime, text: str) -> datetime:
    try:
        at = time(int(hour), int(minute))
    except ValueError:
        raise _no_moment(text) from None
    return _checked(datetime.combine(datetime.fromisoformat(day), at), now, text)


def _local(naive: datetime, now: datetime) -> datetime:
    # astimezone() of a naive moment asks the system for the offset in force on that day; a fixed
    # zone of `now` (tests, other zones) is taken as it is.
    if now.tzinfo is not None and now.astimezone().utcoffset() == now.utcoffset():
        return naive.astimezone()
    return naive.replace(tzinfo=now.tzinfo)


def _no_moment(text: str) -> BadInput:
    return BadInput(
        f"'{safe_text(text)}' is no time; try 2026-01-31T09:00, +10m or 'tomorrow 09:00'"
    )
