"""Values as stored, the same in every store: moments, labels, contexts.

Apart from `rows.py`, which makes jobs of them and so needs all the words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from queuectl_engine.errors import StorageError
from queuectl_engine.intake import Context

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MS: Final = timedelta(milliseconds=1)


def ids_text(first: int, last: int) -> str:
    """Jobs with ids in a row, for people."""
    return f"job {first}" if first == last else f"jobs {first} to {last}"


@lru_cache(maxsize=64)  # a turn asks for the same few again and again
def ms(moment: datetime) -> int:
    """Milliseconds since 1970, rounded down."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


@lru_cache(maxsize=256)  # a job's are often the same, and those of its neighbours
def moment(value: int) -> datetime:
    """The inverse of `ms`. Raises StorageError for what we never wrote."""
    try:
        return _EPOCH + value * MS
    except OverflowError:
        raise StorageError(
            "the database is damaged: it holds a time outside of the calendar"
        ) from None


def moment_or_none(value: int | None) -> datetime | None:
    """Like `moment`, and None stays None."""
    return None if value is None else moment(value)


def ms_or_none(moment: datetime | None) -> int | None:
    """Like `ms`, and None stays None."""
    return None if moment is None else ms(moment)


def labels_text(labels: Sequence[str]) -> str | None:
    """Labels as stored: NULL for none, so that jobs without them cost nothing."""
    return json.dumps(list(labels)) if labels else None


def body_of(context: Context) -> str:
    """A context as stored: the same text for the same context."""
    body: dict[str, Any] = {
        "cwd": context.cwd,
        "umask": context.umask,
        "shell": context.shell,
        "user": context.user,
        "captured": dict(context.captured),
        "env": dict(context.env),
        **({"secrets": sorted(context.secrets)} if context.secrets else {}),
        **({"shell_asked": True} if context.shell_asked else {}),
    }
    return json.dumps(body, sort_keys=True, separators=(",", ":"))
