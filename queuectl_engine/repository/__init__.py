"""Storage: the promise (`protocol`), and the databases that keep it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from queuectl_engine.errors import BadInput
from queuectl_engine.safe_text import safe_text
from queuectl_engine.settings import is_url, refuse_secret

if TYPE_CHECKING:
    from queuectl_engine.keeping import Copied, Finding, Restored
    from queuectl_engine.repository.protocol import JobRepository


def open_repository(
    location: str,
    *,
    create: bool = False,
    timeout: float = 5.0,
    worker: bool = False,
    read_only: bool = False,
    allow_owner: bool = False,
) -> JobRepository:
    """Open the database at a path, or on a server by its URL.

    `worker` trades the last second for speed, as documented; with `read_only` every write raises
    ReadOnly; with `allow_owner` another user may own it. Raises NotAQueue, UnsafeStorage or
    StorageError.
    """
    if is_url(location):
        check_url(location)
        from queuectl_engine.repository.postgres import PostgresRepository

        return PostgresRepository.open(
            location, create=create, timeout=timeout, read_only=read_only, worker=worker
        )
    from queuectl_engine.repository.sqlite import SqliteRepository

    return SqliteRepository.open(
        location,
        create=create,
        timeout=timeout,
        worker=worker,
        read_only=read_only,
        allow_owner=allow_owner,
    )


def load_store(location: str) -> None:
    """Import all of the code for a database now, not when it is first needed.

    Pools do: it may be another version by then, as programs are upgraded under them.
    """
    if is_url(location):
        check_url(location)
    _load_all(f"{__name__}.{'postgres' if is_url(location) else 'sqlite'}")


@cache  # a worker finds it done: even to look again would copy pages that workers share
def _load_all(name: str) -> None:
    from importlib import import_module

    package = import_module(name)
    for file in sorted(os.listdir(package.__path__[0])):
        module, ending = os.path.splitext(file)
        if ending == ".py" and module != "__init__":
            import_module(f"{name}.{module}")


def create_database(
    location: str,
    *,
    durability: str | None = None,
    trust: bool = False,
    allow_owner: bool = False,
) -> bool:
    """Make a database, or change what an existing one says of itself; whether it was made now.

    `durability` is `standard` or `full`; `trust` lets pools of this user on this machine run it.
    Raises like `open_repository`.
    """
    if is_url(location):
        if durability or trust:
            raise BadInput("the server decides what is durable and who may write; see its roles")
        check_url(location)
        from queuectl_engine.repository import postgres

        return postgres.create(location)
    from queuectl_engine.repository.sqlite import create

    return create(location, durability=durability, trust=trust, allow_owner=allow_owner)


def copy_database(location: str, target: str, *, force: bool = False) -> Copied:
    """Make a checked copy of a database that may be in use; with `force` it may replace a file.

    Raises QueuectlError for a target that cannot be, StorageError for a damaged database.
    """
    _refuse_url(location, "backup", "pg_dump --schema=queuectl copies a queue on a server")
    from queuectl_engine.repository.sqlite import copying

    return copying.copy(location, os.path.abspath(target), force=force)


def restore_database(
    location: str, backup: str, *, user: str, now: datetime, allow_owner: bool = False
) -> Restored:
    """Let a database hold what a copy of it holds; what was there is kept beside it.

    Raises StorageBusy while a pool runs on it, NotAQueue and StorageError for a file that cannot
    be taken back; then nothing has changed.
    """
    _refuse_url(location, "restore", "pg_restore brings a queue on a server back")
    from queuectl_engine.repository.sqlite import restoring

    return restoring.restore(
        location, os.path.abspath(backup), user=user, now=now, allow_owner=allow_owner
    )


def move_database(
    location: str, url: str, *, tell: Callable[[str, int], None]
) -> Mapping[str, int]:
    """Move all jobs of a file to an empty database on a server; rows of each table that are there.

    No pool may run. The file says afterwards where its jobs are, and is written no more. Whatever
    ended an earlier move, this goes on there. `tell` hears of progress: a table, rows of it.
    Raises StorageBusy, StorageError, NotAQueue or BadInput; see `moving`.
    """
    check_url(url)
    from queuectl_engine.repository import moving

    return moving.move(location, url, tell=tell).rows


def cancel_move(location: str, url: str) -> None:
    """Take back a move that was not finished: the file can be used again."""
    check_url(url)
    from queuectl_engine.repository import moving

    moving.cancel(location, url)


def examine_storage(
    location: str, *, quick: bool, recount: bool, allow_owner: bool = False
) -> Iterator[Finding]:
    """What is found wrong and right with a database that may be in any condition."""
    if is_url(location):
        check_url(location)
        from queuectl_engine.repository import postgres

        return postgres.examine(location, quick=quick, recount=recount)
    from queuectl_engine.repository.sqlite import checkup

    return checkup.examine(location, quick=quick, recount=recount, allow_owner=allow_owner)


def check_url(url: str) -> None:
    """Before the other store is imported: files need no driver of a server. Raises BadInput."""
    refuse_secret(url)
    scheme = url.partition(":")[0]
    if scheme not in ("postgresql", "postgres"):
        shown = safe_text(scheme)
        raise BadInput(
            f"no databases by {shown}: here; give a path, or postgresql://user@host/name"
        )
    try:
        import psycopg  # noqa: F401 - or the same would fail with a traceback
    except ImportError:
        raise BadInput(
            "PostgreSQL needs psycopg here; run: pip install 'queuectl-tui[postgres]'"
        ) from None


def _refuse_url(location: str, what: str, instead: str) -> None:
    if is_url(location):
        raise BadInput(f"{what} is for databases in files; {instead}")
