"""Numbers, moments and reasons as short words. Pure: `now` is an argument.

Ages fall in resolution, so that a quiet queue changes nothing on the screen: `<1m`, whole minutes,
hours, days. Moments that matter to the second are clock times, which stand still.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from queuectl_engine import Cause, Job, JobState, PoolInfo, State, safe_text
from queuectl_tui.picture import Tally

_SHORT: Final = (
    (re.compile(r"(exit \d+), .*"), r"\1"),
    (re.compile(r"killed by signal (\d+).*"), r"killed \1"),
    (re.compile(r"timed out.*"), "timeout"),
    (re.compile(r"lost:.*"), "lost"),
    (re.compile(r"poison:.*"), "poison"),
)
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


def number(value: int) -> str:
    """`1,048,211`."""
    return f"{value:,}"


def jobs(count: int, kind: str = "") -> str:
    """`1 dead job`, `17 jobs`."""
    return " ".join(filter(None, (number(count), kind, "job" if count == 1 else "jobs")))


def workers(count: int) -> str:
    """`1 worker`, `4 workers`."""
    return f"{number(count)} worker{'' if count == 1 else 's'}"


def causes(count: int) -> str:
    """`1 cause`, `5 causes`."""
    return f"{number(count)} cause{'' if count == 1 else 's'}"


def tally(found: Tally) -> str:
    """`1,204`, or `1,204+` while there may be more."""
    return number(found.count) + ("" if found.complete else "+")


def age(since: datetime | None, now: datetime) -> str:
    """How long ago: `<1m`, `4m`, `3h`, `2d`; nothing for None."""
    if since is None:
        return ""
    minutes = int((now - since).total_seconds() // 60)
    if minutes < 1:
        return "<1m"
    if minutes < 60:
        return f"{minutes}m"
    hours = minutes // 60
    return f"{hours}h" if hours < 48 else f"{hours // 24}d"


def seconds(span: timedelta) -> str:
    """`12s`, and from two minutes on as ages are."""
    whole = max(int(span.total_seconds()), 0)
    return (
        f"{whole}s" if whole < 120 else f"{whole // 60}m" if whole < 7200 else f"{whole // 3600}h"
    )


def no_pool(waiting: int) -> str:
    """What stands still, and what starts it."""
    return f"{jobs(waiting)} wait{'s' if waiting == 1 else ''} and no pool runs · + starts a worker"


def pool_trouble(pools: Iterable[PoolInfo]) -> str:
    """Why a pool starts nothing, or starts workers again and again; nothing when all is well."""
    troubled = [f"pool {safe_text(p.name)}: {safe_text(p.trouble)}" for p in pools if p.trouble]
    return troubled[0] if troubled else ""


def clock(moment: datetime, now: datetime) -> str:
    """Local time of day, with the date when that is another one."""
    local, today = moment.astimezone(), now.astimezone().date()
    if local.date() == today:
        return f"{local:%H:%M:%S}"
    if local.year == today.year:
        return f"{local:%d %b %H:%M}"
    return f"{local:%Y-%m-%d}"


def duration(span: timedelta | None) -> str:
    """`0.04 s`, `1.2 s`, `75 s`, `4m 10s`, `2h 5m`, `3d 4h`; nothing for None."""
    if span is None:
        return ""
    seconds = max(span.total_seconds(), 0.0)
    if seconds < 100:
        digits = 2 if seconds < 0.1 else 1 if seconds < 10 else 0
        return f"{seconds:.{digits}f} s"
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit} {int(seconds % size // part)}{smaller}"
    return f"{int(seconds // 60)}m {int(seconds % 60)}s"


def size(count: int) -> str:
    """`187 B`, `1.2 MB`."""
    value = float(count)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable: the last unit has no limit")


def rate(per_second: float | None) -> str:
    """`12.4 jobs/s`; nothing when nothing ends."""
    if per_second is None:
        return ""
    return f"{per_second:.1f} jobs/s" if per_second < 100 else f"{per_second:,.0f} jobs/s"


def short_reason(job: Job) -> str:
    """What ended the job, in a dozen characters."""
    reason = safe_text(job.reason or "")
    for pattern, short in _SHORT:
        if pattern.fullmatch(reason):
            return pattern.sub(short, reason)
    return reason


def last_words(cause: Cause) -> str:
    """The last line that those who died of it said, without what differs between them."""
    return f"{safe_text(cause.program)}: {safe_text(cause.line) or '(no output)'}"


def cause_of(cause: Cause) -> str:
    """A cause in one line: `curl · exit 22 · (22) returned error: N`."""
    return " · ".join(filter(None, map(safe_text, (cause.program, cause.ended, cause.line))))


def tries(job: Job) -> str:
    """Attempts charged, of those it may have: `2/4`."""
    return f"{job.attempts}/{job.max_retries + 1}"


def due(job: Job, now: datetime) -> str:
    """When a waiting job starts: `now`, `at 14:05:09`, `retry 14:05:09`, `after-ok 41`."""
    match job.stored:
        case State.FAILED:
            return f"retry {clock(job.run_at, now)}"
        case State.SCHEDULED:
            return f"at {clock(job.run_at, now)}"
        case State.BLOCKED:
            return safe_text(job.waiting or "")
        case _:
            return "now"


def running(job: Job, now: datetime) -> str:
    """How long it runs, or what keeps it."""
    if job.parked:
        return "stuck"
    return "ending" if job.cancel_asked else age(job.started_at, now)


def status(job: Job, now: datetime) -> tuple[str, ...]:
    """The facts of a job in order of weight, for its headline."""
    ran = duration(job.finished_at - job.started_at) if job.finished_at and job.started_at else ""
    ran = f"ran {ran}" if ran else ""
    attempt = f"attempt {job.attempts} of {job.max_retries + 1}"
    reason = safe_text(job.reason or "")
    match job.state:
        case JobState.PENDING:
            starts = due(job, now) if job.waiting else f"due {due(job, now)}"
            return ("pending", starts, attempt if job.attempts else "")
        case JobState.FAILED:
            return ("failed", reason, due(job, now), attempt)
        case JobState.PROCESSING:
            since = f"for {age(job.started_at, now)}"
            asked = "cancel asked" if job.cancel_asked else ""
            stuck = safe_text(job.parked or "")
            return ("processing", attempt, safe_text(job.worker or ""), since, asked, stuck)
        case JobState.COMPLETED:
            return ("completed", attempt, ran)
        case JobState.CANCELLED:
            return ("cancelled", attempt if job.attempts else "", ran)
        case JobState.DEAD:
            return ("dead", reason, attempt, ran)


def tilde(path: str) -> str:
    """A path with the home directory as `~`."""
    home = os.path.expanduser("~")
    return "~" + path[len(home) :] if path == home or path.startswith(home + "/") else path
