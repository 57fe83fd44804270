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


load_store("queue.db")  # what most pools have; a worker on a server loads that one besides

_use_up_free_pieces()
gc.freeze()  # a collection in a worker would write to every page, and so copy it
gc.enable()
