"""Whether this machine's clock can be believed by those who remove what is old."""

from __future__ import annotations

import time
from typing import Final

_JUMP: Final = 60.0  # seconds by which a clock may be set without our minding
_REST: Final = 3600.0  # seconds without retention after a jump


class Clock:
    """Looks at how far the wall clock is ahead of the time since boot."""

    def __init__(self) -> None:
        """Trusts the clock as it is."""
        self._ahead = _ahead()
        self._rest_until = 0.0

    def jumped(self) -> bool:
        """A clock that was set a year ahead by mistake must not empty a database."""
        now, ahead = time.clock_gettime(time.CLOCK_BOOTTIME), _ahead()
        if ahead - self._ahead > _JUMP:
            self._rest_until = now + _REST
        self._ahead = ahead
        return now < self._rest_until


def _ahead() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
