"""What every command of one call shares: the database that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl_engine.cli.terminal import note
from queuectl_engine.settings import Database, choose_database

if TYPE_CHECKING:
    from queuectl_engine.engine import Engine


class Session:
    """One call of the program. `flag` is the value of the last `--db`."""

    def __init__(self, flag: str | None = None, *, allow_owner: bool = False) -> None:
        self.flag = flag
        self.allow_owner = allow_owner

    def database(self, *, quiet: bool = False) -> Database:
        """The chosen database; a person is told which, when nothing on the line says it."""
        chosen = choose_database(self.flag)._replace(allow_owner=self.allow_owner)
        if not (quiet or self.flag or chosen.why == "in this directory"):
            note(f"database {chosen.location} ({chosen.why})")
        return chosen

    def open(self, *, quiet: bool = False, stays: bool = False) -> Engine:
        """Open the chosen database; the caller closes it. Raises what `open_engine` raises.

        A command that `stays`, to wait or to follow, has all of its code from here on.
        """
        from queuectl_engine.engine import open_engine

        chosen = self.database(quiet=quiet)
        if stays:
            import queuectl_engine.following  # noqa: F401 - as the store
            from queuectl_engine.repository import load_store

            load_store(chosen.location)
        engine = open_engine(chosen)
        if trouble := engine.trouble():
            note(trouble)
        return engine
