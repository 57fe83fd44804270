"""Two readers: a person gets harmless text and notes, a program gets raw data and nothing else.

`click.echo` is not used for data: it removes escape sequences on the way to a pipe.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from queuectl_engine.errors import QueuectlError
from queuectl_engine.safe_text import safe_text


def on_terminal() -> bool:
    """Whether a person reads stdout."""
    return sys.stdout.isatty()


def person_listens() -> bool:
    """Whether a person reads stderr, so that notes and hints make sense."""
    return sys.stderr.isatty()


def shown(text: str) -> str:
    """Foreign text as stdout may get it: harmless on a terminal, raw in a pipe."""
    return safe_text(text) if on_terminal() else text


def say(text: str) -> None:
    """Write one line of data to stdout."""
    sys.stdout.write(shown(text) + "\n")


def deliver() -> None:
    """Write out what was said of something that is done.

    Raises BrokenPipeError, and QueuectlError that says so: who hears no answer would ask again.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        why = error.strerror
        raise QueuectlError(
            f"cannot write the answer ({why}); what was asked for is done"
        ) from error


def note(text: str) -> None:
    """Tell a person something that is not data; says nothing when nobody listens."""
    if person_listens():
        sys.stderr.write(f"note: {safe_text(text)}\n")


def can_ask() -> bool:
    """Whether a question would reach a person, and the answer us."""
    return sys.stdin is not None and sys.stdin.isatty() and person_listens()


def ask(question: str) -> bool:
    """Ask a person; no is the default. Raises click.Abort at Ctrl+C or Ctrl+D."""
    import click

    return click.confirm(safe_text(question), default=False, err=True)


def iso(moment: datetime) -> str:
    """UTC ISO 8601 with milliseconds, as programs like it: 2026-01-31T08:00:00.000Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def when(moment: datetime | None) -> str:
    """A moment for a table: local time on a terminal (without the date today), else `iso`."""
    if moment is None:
        return ""
    if not on_terminal():
        return iso(moment)
    local = moment.astimezone()
    today = local.date() == datetime.now().astimezone().date()
    return f"{local:%H:%M:%S}" if today else f"{local:%Y-%m-%d %H:%M}"


def with_offset(moment: datetime) -> str:
    """A resolved time as it is echoed: local, with its offset."""
    return moment.astimezone().isoformat(sep=" ", timespec="seconds")


def counted(number: int, noun: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size_text(size: int) -> str:
    """Bytes for a person: `812 bytes`, `3.2 MiB`."""
    if size < 1024:
        return counted(size, "byte")
    number, unit = size / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if number < 1024:
            break
        number, unit = number / 1024, larger
    return f"{number:.1f} {unit}"
