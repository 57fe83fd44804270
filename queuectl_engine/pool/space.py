"""When a disk is too full to start more: what runs must still be able to write its results."""

from __future__ import annotations

from typing import Final

MIB: Final = 1024 * 1024
DEFAULT_FLOOR: Final = 64 * MIB
_SHARE: Final = 100  # of a small disk, a hundredth has to do
_NOTHING: Final = 64 * 1024


def low_space(space: tuple[int, int] | None, floor: int | None) -> str | None:
    """Why nothing more should be started; None while there is room, or when nobody knows.

    `space` are the bytes left and the size of the disk; `floor` the bytes that must be left, None
    for 64 MiB or a hundredth of the disk, whichever is less.
    """
    if space is None:
        return None
    free, size = space
    least = min(DEFAULT_FLOOR, size // _SHARE) if floor is None else floor
    if free >= least:
        return None
    return (
        f"low space: {_in_words(free)} left on its disk, starts jobs again from {_in_words(least)}"
    )


def no_space(space: tuple[int, int] | None) -> str | None:
    """The same for who does not know the floor: only that practically nothing is left."""
    if space is None or space[0] >= min(_NOTHING, space[1] // _SHARE):
        return None
    return f"low space: {_in_words(space[0])} left on its disk"


def _in_words(size: int) -> str:
    return f"{size / MIB:.0f} MiB" if size >= 10 * MIB else f"{size / 1024:.0f} KiB"
