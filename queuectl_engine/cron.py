"""When something that recurs is due: cron expressions in time zones. Pure but for the zone files.

Rules of Debian's cron around clock changes: a fixed time that a change skips comes right after it,
one that comes twice is meant the first time; where minute or hour start with `*`, real time counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from itertools import islice
from pathlib import Path
from typing import Final

from queuectl_engine.errors import BadInput
from queuectl_engine.safe_text import safe_text

_NAMED: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS: Final = 5
_LONGEST: Final = 200
_LOCALTIME: Final = Path("/etc/localtime")
_ZONE_FILES: Final = "zoneinfo/"


def next_after(expression: str, zone: str, after: datetime) -> datetime | None:
    """The first time later than `after`, in UTC; None when there is none within 50 years.

    Raises BadInput for an expression or a zone that is none.
    """
    return next(_times(expression, zone, after), None)


def next_times(expression: str, zone: str, after: datetime, count: int) -> list[datetime]:
    """The first `count` times later than `after`, with the zone's offset at each."""
    local = zone_of(zone)
    return [time.astimezone(local) for time in islice(_times(expression, zone, after), count)]


def _times(expression: str, zone: str, after: datetime) -> Iterator[datetime]:
    from cronsim import CronSim, CronSimError

    fields = _fields(expression)
    try:
        times = CronSim(fields, after.astimezone(zone_of(zone)))
    except (CronSimError, ValueError) as error:
        raise _no_expression(expression, str(error).lower()) from None
    latest = after
    for time in times:
        moment = time.astimezone(UTC)
        # A fixed time of the hour that comes twice means the first one, which may have passed.
        if moment > latest:
            latest = moment
            yield moment


def _fields(expression: str) -> str:
    words = expression.split()
    if len(words) == 1 and words[0].startswith("@"):
        if words[0].lower() not in _NAMED:
            raise _no_expression(expression, f"known are {' '.join(_NAMED)}")
        return _NAMED[words[0].lower()]
    if len(words) != _FIELDS or len(expression) > _LONGEST:
        raise _no_expression(expression, "five fields: minute hour day month weekday")
    return expression


def _no_expression(expression: str, why: str) -> BadInput:
    short = safe_text(expression[:60])
    return BadInput(f"'{short}' is no cron expression ({why}); try '0 3 * * *' or @daily")


# -- zones


def zone_of(name: str) -> tzinfo:
    """The time zone of this name. Raises BadInput that says what to do."""
    if name == "UTC":  # needs no files
        return UTC
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # a directory is an OSError
        shown = safe_text(name[:60])
    if not zoneinfo.available_timezones():
        raise BadInput(
            f"no time zone '{shown}': this machine has no zone files; install tzdata"
            " (Debian: apt-get install tzdata, anywhere: pip install tzdata) or use --tz UTC"
        )
    raise BadInput(f"no time zone '{shown}'; names are like Europe/Berlin or UTC")


def local_zone(localtime: Path = _LOCALTIME) -> str:
    """The name of the zone that this process lives in. Raises BadInput when it has no name."""
    asked = os.environ.get("TZ")
    if asked is not None:
        return _named(asked.removeprefix(":"))
    if not os.path.lexists(localtime):
        return "UTC"  # as the C library has it
    named = _under_zone_files(os.path.realpath(localtime))
    if named is None:
        raise BadInput("the local time zone has no name here; give one, as in --tz Europe/Berlin")
    return _named(named)


def _named(name: str) -> str:
    name = (_under_zone_files(name) or name) or "UTC"
    if name in ("UTC", "Etc/UTC"):
        return "UTC"
    zone_of(name)
    return name


def _under_zone_files(path: str) -> str | None:
    _, found, name = path.partition(_ZONE_FILES)
    return name.removeprefix("posix/") if found else None
