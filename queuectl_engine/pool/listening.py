"""What a process waits for: descriptors, each with what is done when it is ready."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_BYTES: Final = 65_536
_SIGNALS: Final = 64  # heard at once
GRACEFUL: Final = signal.SIGTERM  # from a worker's supervisor: take nothing new
FORCED: Final = signal.SIGINT  # end what runs, and give it back


class Listener:
    """Calls the handlers of descriptors that are ready to be read, in one thread.

    Owns none of the descriptors.
    """

    def __init__(self) -> None:
        """Listens to nothing yet."""
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}

    def watch(self, descriptor: int, handler: Callable[[], None], *, shared: bool = False) -> None:
        """From now on. `shared`: of all the processes that watch it, each byte wakes one."""
        how = select.EPOLLIN | select.EPOLLEXCLUSIVE if shared else select.EPOLLIN
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, how)

    def ignore(self, descriptor: int) -> None:
        """No more; harmless for one that is not watched."""
        if self._handlers.pop(descriptor, None):
            self._epoll.unregister(descriptor)

    def closed(self, descriptor: int) -> None:
        """It is closed, before we wait again, which takes it out of the epoll."""
        del self._handlers[descriptor]

    def wait(self, seconds: float) -> None:
        """Until something is ready, at most so long; then handle all that is."""
        for descriptor, _ in self._epoll.poll(seconds):
            if handler := self._handlers.get(descriptor):
                handler()


class Bell:
    """The bell of a pool, heard only while it is wanted: no busy worker swallows a ring."""

    def __init__(self, listener: Listener, descriptor: int, rung: Callable[[], None]) -> None:
        """Not wanted yet."""
        self.descriptor = descriptor
        self._listener = listener
        self._rung = rung
        self._wanted = False

    def want(self, wanted: bool) -> None:
        """Listen to it or not."""
        if wanted and not self._wanted:
            self._listener.watch(self.descriptor, self._hear, shared=True)
        elif self._wanted and not wanted:
            self._listener.ignore(self.descriptor)
        self._wanted = wanted

    def _hear(self) -> None:
        with suppress(BlockingIOError):  # another worker was faster
            os.read(self.descriptor, _BYTES)
        self._rung()


def watch_signals(listener: Listener, heard: Callable[[bytes], None]) -> None:
    """Hear of what a supervisor sends: `heard` gets the numbers of the signals."""
    ears, mouth = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    for number in (GRACEFUL, FORCED, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # ignoring them would make jobs ignore them
    signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
    listener.watch(ears, lambda: heard(os.read(ears, _SIGNALS)))
