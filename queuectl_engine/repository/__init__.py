"""Storage: the promise (`protocol`), and the databases that keep it."""

from __future__ import annotations

from queuectl_engine.errors import BadInput
from queuectl_engine.repository.protocol import JobRepository
from queuectl_engine.settings import is_url


def open_repository(
    location: str,
    *,
    create: bool = False,
    timeout: float = 5.0,
    worker: bool = False,
    read_only: bool = False,
    allow_owner: bool = False,
) -> JobRepository:
    """Open the database at a path.

    `worker` trades the last second for speed, as documented; with `read_only` every write raises
    ReadOnly; with `allow_owner` another user may own it. Raises NotAQueue, UnsafeStorage or
    StorageError.
    """
    _refuse_url(location)
    from queuectl_engine.repository.sqlite import SqliteRepository

    return SqliteRepository.open(
        location,
        create=create,
        timeout=timeout,
        worker=worker,
        read_only=read_only,
        allow_owner=allow_owner,
    )


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
    _refuse_url(location)
    from queuectl_engine.repository.sqlite import create

    return create(location, durability=durability, trust=trust, allow_owner=allow_owner)


def _refuse_url(location: str) -> None:
    if is_url(location):
        scheme = location.split(":", 1)[0]
        raise BadInput(f"this version has no databases by URL ({scheme}:); give a path to a file")
