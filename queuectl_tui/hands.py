"""The threads that act: what a person does must not hold up the screen."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from queuectl_engine import Engine, QueuectlError, StorageError
from queuectl_tui.door import Door

T = TypeVar("T")
Deed = Callable[[Engine], T]
Tell = Callable[[T | QueuectlError], object]


class Hands:
    """A thread that acts, one deed after the other, with an engine of its own."""

    def __init__(self, door: Door[Engine]) -> None:
        self._door = door
        self._todo: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="queuectl-acts", daemon=True)

    def start(self) -> None:
        """Be ready. The engine is opened at the first deed."""
        self._thread.start()

    def stop(self) -> None:
        """End after the deed at hand; one that hangs is left behind."""
        self._todo.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def do(self, deed: Deed[T], tell: Tell[T]) -> None:
        """Act soon, and tell what came of it, from the thread that acts."""
        self._todo.put(lambda: self.do_now(deed, tell))

    def do_now(self, deed: Deed[T], tell: Tell[T]) -> None:
        """Act in this thread."""
        tell(self._result(deed))

    def _run(self) -> None:
        while (todo := self._todo.get()) is not None:
            todo()
        self._door.shut()

    def _result(self, deed: Deed[T]) -> T | QueuectlError:
        try:
            return deed(self._door.enter())
        except StorageError as error:
            self._door.shut()  # opened again by the next deed
            return error
        except QueuectlError as error:
            return error
