"""What stored states and happenings stand for: the same in every store."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from queuectl_engine.states import State

STATES: Final = tuple(State)  # an end's state is stored by its place
STATE_OF: Final = {state.value: state for state in State}  # as a call it takes three times as long


class Kind(IntEnum):
    """What a row of `happening` stands for; stored, so never renumbered."""

    ADDED = 0
    ACT = 1
    FIRST = 2  # the first attempt since add or requeue began
    RETRY = 3  # a later one began
    ENDED = 4
    LATE = 5  # a result came when the job had moved on
