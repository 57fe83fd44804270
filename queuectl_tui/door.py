"""The way into the database, for a thread that keeps it open.

A file that is deleted or replaced under an open connection goes on working for that connection,
and what is written to it is lost: so the door looks whether the file is still the one that it
opened. It asks the file system for it only; opening the file would drop SQLite's locks on it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from queuectl_engine import Database, QueuectlError, StorageError, safe_text


class Closable(Protocol):
    """What can be opened by a door."""

    def close(self) -> None:
        """Give it back."""


T = TypeVar("T", bound=Closable)


class Door(Generic[T]):
    """Opens when first asked, and again after `shut` or when the file is another one."""

    def __init__(self, open_it: Callable[[], T], database: Database) -> None:
        self._open = open_it
        self._path = None if "://" in database.location else Path(database.location)
        self._inside: T | None = None
        self._file: tuple[int, int] | None = None

    def enter(self) -> T:
        """What is behind it. Raises StorageError when the file is gone."""
        file = self._look()
        if self._inside is not None and file != self._file:
            self.shut()
        if self._inside is None:
            self._inside, self._file = self._open(), file
        return self._inside

    def shut(self) -> None:
        """Close what is open; the next one who enters opens it again."""
        inside, self._inside = self._inside, None
        if inside is not None:
            try:
                inside.close()
            except QueuectlError:
                return  # it is gone already; that is all that was wanted

    def _look(self) -> tuple[int, int] | None:
        if self._path is None:
            return None
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            self.shut()
            raise StorageError(f"{safe_text(self._path.name)} is gone: it was deleted") from None
        except OSError as error:
            self.shut()
            raise StorageError(f"{safe_text(self._path.name)}: {error.strerror}") from None
        return status.st_dev, status.st_ino
