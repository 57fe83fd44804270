"""The first line: which database, whether the picture is live, who works, how fast."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from queuectl_engine import Database, JobState, safe_text
from queuectl_tui import ink, words
from queuectl_tui.desk import Desk
from queuectl_tui.ink import Ink, Line, Span
from queuectl_tui.widgets.line_view import LineView

_NARROW, _WIDE, _ROOMY = 80, 120, 160
_NAME_ROOM = ((150, 40), (120, 18), (80, 14), (0, 9))  # from this width on


class Header(LineView):
    """Draws the state of the whole queue."""

    def draw(self, desk: Desk, database: Database, now: datetime, *, read_only: bool) -> None:
        """Show what the last picture says."""
        width = self.size.width
        self.show([header_line(desk, database, width, now, read_only=read_only)])


def header_line(
    desk: Desk, database: Database, width: int, now: datetime, *, read_only: bool
) -> Line:
    """One line; its places have fixed widths, so that nothing jumps."""
    room = next(room for least, room in _NAME_ROOM if width >= least)
    name = database.name if "://" in database.location else _path(database.location, room)
    left = (Span(" queuectl  ", Ink.TITLE), ink.cell(safe_text(name), room))
    rate = () if width < _NARROW else (_rate(desk),)
    return ink.spread(
        ink.line(
            *left, *_live(desk, now, read_only), *_pools(desk), *rate, *_empty_in(desk, width)
        ),
        _counts(desk, width),
        width,
    )


def _path(location: str, room: int) -> str:
    path = Path(location)
    longer = (words.tilde(location), f"…/{path.parent.name}/{path.name}")
    return next((name for name in longer if len(name) < room - 1), path.name)


def _live(desk: Desk, now: datetime, read_only: bool) -> tuple[Span, ...]:
    if desk.shown.trouble is not None:
        age = words.seconds(now - desk.shown.trouble.since)
        return (Span(ink.cell(f"STALE {age}", 12), Ink.BAD),)
    missed = desk.missed()
    if missed is not None:
        return (Span(ink.cell(f"HELD +{words.number(missed)}", 12), Ink.WARN),)
    return (Span(ink.cell("READ-ONLY" if read_only else "LIVE", 12), Ink.GOOD),)


def _pools(desk: Desk) -> tuple[Span, ...]:
    pools = desk.shown.live_pools
    if not pools:
        return (Span(ink.cell("no pool", 13), Ink.WARN if desk.shown.waiting else Ink.PLAIN),)
    running = sum(pool.running for pool in pools)
    wanted = sum(pool.wanted for pool in pools)
    name = "pool" if len(pools) == 1 else f"{len(pools)} pools"
    troubled = any(pool.trouble or pool.stopping for pool in pools)
    return (Span(ink.cell(f"{name} {running}/{wanted}", 13), Ink.WARN if troubled else Ink.PLAIN),)


def _rate(desk: Desk) -> Span:
    """How fast jobs end, or in a word why none is started; the message line says more of it."""
    troubles = [pool.trouble for pool in desk.shown.live_pools if pool.trouble]
    if troubles:
        return Span(ink.cell(safe_text(troubles[0].partition(":")[0]), 13), Ink.BAD)
    return Span(ink.cell(words.rate(desk.shown.rate), 13))


def _empty_in(desk: Desk, width: int) -> tuple[Span, ...]:
    left = desk.shown.empty_in.get(None)
    return (Span(ink.cell(f"{left} left", 18), Ink.QUIET),) if left and width >= _ROOMY else ()


def _counts(desk: Desk, width: int) -> Line:
    counts = desk.shown.counts
    dead = counts.of(JobState.DEAD)
    last = Span(f"{words.number(dead)} dead ", Ink.BAD if dead else Ink.PLAIN)
    if width < _WIDE:
        return (last,)
    waiting, runs = words.number(desk.shown.waiting), words.number(counts.of(JobState.PROCESSING))
    return (Span(f"{waiting} pending · {runs} processing · "), last)
