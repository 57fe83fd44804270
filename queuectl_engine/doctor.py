"""A checkup of a database and its pools: each check for itself, whatever became of the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from queuectl_engine.errors import QueuectlError
from queuectl_engine.keeping import Finding, Level
from queuectl_engine.pool import checkup as pools
from queuectl_engine.repository import examine_storage, open_repository


def examine(
    location: str, *, quick: bool = False, recount: bool = False, allow_owner: bool = False
) -> Iterator[Finding]:
    """What every check finds, in their order, as they find it. Raises nothing.

    `quick` leaves out what reads the whole database; `recount` mends counts that are wrong.
    """
    readable = True
    for finding in examine_storage(location, quick=quick, recount=recount, allow_owner=allow_owner):
        readable = readable and not (finding.check == "format" and finding.level is Level.BAD)
        yield finding
    if readable:
        yield from _of_pools(location, allow_owner)


def _of_pools(location: str, allow_owner: bool) -> Iterator[Finding]:
    try:
        repository = open_repository(location, read_only=True, allow_owner=allow_owner)
    except QueuectlError as error:
        yield Finding("pools", Level.NOTE, f"not known: {error}")
        return
    with closing(repository):
        for name, check in pools.CHECKS.items():
            try:
                yield from check(repository)
            except (QueuectlError, OSError) as error:
                yield Finding(name, Level.BAD, str(error))
