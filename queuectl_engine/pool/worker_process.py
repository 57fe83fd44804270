"""The process of a worker, from its start to its end; what it does in between is in `worker`."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

from queuectl_engine.errors import QueuectlError, StorageMoved
from queuectl_engine.pool import processes
from queuectl_engine.pool.locks import HeldLock, worker_lock
from queuectl_engine.pool.log import Log
from queuectl_engine.pool.runner import DESCRIPTORS
from queuectl_engine.pool.worker import Post, Worker
from queuectl_engine.repository import load_store, open_repository
from queuectl_engine.repository.protocol import JobRepository

_LOCK_PATIENCE: Final = 1.0  # then it looks after its jobs again, and comes back
_OWN_DESCRIPTORS: Final = 64  # more than a worker has open for itself


def work(post: Post) -> None:
    """The life of a worker process. Returns when it may end; its row and its lock are gone then."""
    os.setpgid(0, 0)  # a terminal's Ctrl+C is for the supervisor alone
    os.chdir("/")
    os.umask(0o077)
    processes.adopt_orphans()
    processes.keep_descriptors()
    processes.descriptors.make_room(post.options.slots * DESCRIPTORS + _OWN_DESCRIPTORS)
    lock = HeldLock.take(post.directory / worker_lock(post.row.id), wait=True)
    if lock is None:
        return  # too late: the supervisor is dead, and we were taken for dead with it
    log = Log(post.options.log_format, Path(post.pool.log), to_file=post.options.detached)
    try:
        with closing(_open(post)) as repository:
            worker = Worker(repository, post, log)
            worker.run()
            if worker.unsettled is not None:
                raise worker.unsettled  # its row, and what it left, wait for a rescuer
            repository.end_worker(post.row.id)
            lock.release(remove=True)
    except QueuectlError as error:
        log("failed", worker=post.row.name, error=str(error))
        sys.exit(error.exit_code)
    finally:
        log.flush()


def _open(post: Post) -> JobRepository:
    """The database of our pool. Raises StorageMoved when another one has its place by now."""
    repository = open_repository(
        post.options.db,
        worker=True,
        timeout=_LOCK_PATIENCE,
        allow_owner=post.options.allow_owner,
    )
    load_store(post.options.db)
    if repository.incarnation() != post.database:
        repository.close()
        raise StorageMoved(f"{post.options.db} is another database than that of this pool")
    return repository
