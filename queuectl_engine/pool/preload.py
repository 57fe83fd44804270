"""What the fork server imports once, so that each worker it forks shares these pages."""

import gc

import queuectl_engine.pool.__main__  # each worker imports its main module again (multiprocessing)
import queuectl_engine.pool.worker
import queuectl_engine.repository.sqlite.claiming
import queuectl_engine.repository.sqlite.pools
import queuectl_engine.repository.sqlite.turns  # noqa: F401 - imported by the verbs that use them

gc.collect()
gc.freeze()  # a collection in a worker would write to every page, and so copy it
