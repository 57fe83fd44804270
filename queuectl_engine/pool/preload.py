"""What the fork server imports once, so that each worker it forks shares these pages."""

import gc

import queuectl_engine.pool.__main__  # each worker imports its main module again (multiprocessing)
import queuectl_engine.pool.worker  # noqa: F401 - as above
from queuectl_engine.repository import load_store

load_store("queue.db")  # what most pools have; a worker on a server loads that one besides

gc.collect()
gc.freeze()  # a collection in a worker would write to every page, and so copy it
