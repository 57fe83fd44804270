"""Something long that is done off the loop: it says how far it is, and can be stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

STEP: Final = 0.25  # seconds between two words about it; what is shorter says nothing


class Errand:
    """`stopped` is set by whoever has seen enough; `say` is called from the thread that works."""

    def __init__(self, words: Callable[[int], str], say: Callable[[str], object]) -> None:
        self.stopped = False
        self._words = words
        self._say = say
        self._said_at = time.monotonic()

    def step(self, done: int) -> bool:
        """Something was done; whether to go on."""
        now = time.monotonic()
        if now - self._said_at >= STEP:
            self._said_at = now
            self._say(self._words(done))
        return not self.stopped
