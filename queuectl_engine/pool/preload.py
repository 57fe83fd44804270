"""What the fork server imports once, so that each worker it forks shares these pages."""
# ruff: noqa: E402 - the collector has to be told before anything is imported

import gc

gc.disable()  # what it frees leaves gaps, and workers fill them: pages that they would share

from queuectl_engine.deferred import defer

defer("inspect")  # which dataclasses import; not used for one that has a docstring

import ctypes
from typing import Final

import queuectl_engine.pool.worker_process  # noqa: F401 - as above
from queuectl_engine.repository import load_store

# Large ones first: what is left of a piece that was larger is taken by a smaller size.
_SIZES: Final = (*(2**power for power in range(16, 10, -1)), *range(1024, 16, -16))
_MOST: Final = 4 * 1024 * 1024  # bytes, if this allocator does not grow upwards
_POOL: Final = 16 * 1024  # bytes, as CPython's obmalloc has it since 3.10
_POOL_HEADER: Final = 48
_MOST_SMALL: Final = 128 * 1024  # bytes of each size, if pools are of another kind


def _use_up_free_pieces() -> None:
    """Take what is free between the objects of the heap, for good.

    What a worker allocates then comes from the end of the heap, where pages hold nothing else.
    Written to a free piece it would copy a page that all workers share.
    """
    libc = ctypes.CDLL(None)
    take, give_back = libc.malloc, libc.free
    take.restype, take.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    give_back.argtypes = [ctypes.c_void_p]
    end = take(100_000) or 0  # larger than any free piece, so it lies behind them all
    left = _MOST
    for size in _SIZES:
        while (place := take(size) or 0) and place < end and left > 0:
            left -= size
        give_back(place)


def _use_up_small_pieces() -> None:
    """The same for objects of up to 512 bytes: Python has pools for them, each for one size.

    Until one comes from a pool that was empty: its first object, and then those behind it.
    """
    take = ctypes.pythonapi.PyObject_Malloc
    take.restype, take.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    for size in range(16, 513, 16):
        last = in_order = 0
        for _ in range(_MOST_SMALL // size):
            place = take(size) or 0
            follows = in_order and place == last + size
            in_order = in_order + 1 if follows else int(place % _POOL == _POOL_HEADER)
            if in_order == 4:
                break
            last = place


load_store("queue.db")  # what most pools have; a worker on a server loads that one besides

gc.collect()  # what nobody needs, and spare tuples and lists that lie all over the place
_use_up_small_pieces()
_use_up_free_pieces()
gc.freeze()  # a collection in a worker would write to every page, and so copy it
gc.enable()
