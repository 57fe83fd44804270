"""The one way in which a test waits: for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], timeout: float = 20.0) -> T:
    """Call `condition` until it is true and return what it gave; fail after `timeout` seconds.

    The timeout is only a way out of a hang: no test may depend on how long a thing takes.
    """
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"still {found!r} after {timeout:g} s")
        time.sleep(0.01)
    return found
