"""Whether the file can be believed: what marks it as damaged, and what takes the mark away."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from queuectl_engine.errors import QueuectlError
from queuectl_engine.repository.sqlite import watch
from queuectl_engine.repository.sqlite.connection import Connection

_A_MOMENT: Final = 2.0  # seconds of looking whether damage explains an error
P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)


def damage_explained(repository: C) -> C:
    """Make StorageDamaged of what a damaged row does to the methods of a class that has a `_db`.

    SQLite hands out flipped bits as values, and a state that is none is no error of SQLite's. When
    a check of the file finds nothing, the error was ours and stays what it is.
    """
    for name, method in list(vars(repository).items()):
        if callable(method) and not name.startswith("_"):
            setattr(repository, name, _explained(method))
    return repository


def _explained(method: Callable[P, R]) -> Callable[P, R]:
    @wraps(method)
    def explained(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except QueuectlError:
            raise
        except Exception as error:
            db: Connection = args[0]._db  # type: ignore[attr-defined]
            if (found := db.inspect("quick_check", _A_MOMENT)) in (None, "ok"):
                raise
            raise db.condemn(str(found)) from error

    return explained


def suspect(db: Connection, why: str) -> None:
    """Mark what is in the place of our file: with the old log beside it, it may be a mixture."""
    if os.path.exists(db.path):
        watch.mark_damaged(db.path, why)


def verify(db: Connection, unclean: bool, seconds: float) -> str | None:
    """See `JobRepository.verify`."""
    marked = watch.damage(db.path)
    if marked is None and not unclean:
        return None
    check = "quick_check" if marked is None else "integrity_check"
    found = db.inspect(check, seconds if marked is None else None)
    if found is None:
        return f"{check} found nothing in {seconds:g} s, and did not come to the end"
    if found != "ok":
        raise db.condemn(found)
    watch.unmark(db.path)
    return f"{check} found nothing"
