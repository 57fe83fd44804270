"""What `doctor` looks at in the pools of a database. One function a check, as for storage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from queuectl_engine.job import State
from queuectl_engine.keeping import Finding, Level
from queuectl_engine.pool.census import census
from queuectl_engine.pool.host import this_host
from queuectl_engine.pool.locks import is_free, worker_lock
from queuectl_engine.pool.receipts import left_receipts, read_receipts, receipts_file
from queuectl_engine.pool.systemd import logout_warning, user_manager_warning
from queuectl_engine.repository.protocol import JobRepository
from queuectl_engine.safe_text import safe_text

Found = Iterator[Finding]
Check = Callable[[JobRepository], Found]

_SETTLE: Final = "the next pool that starts settles them: queuectl worker --detach"


def pools(repository: JobRepository) -> Found:
    """Those that are registered live, and are well."""
    found = census(repository)
    living = [pool for pool in found if pool.alive]
    for pool in found:
        if pool.alive and pool.trouble:
            text = f"{safe_text(pool.name)}: {safe_text(pool.trouble)}"
            yield Finding("pools", Level.WARN, text, f"look at its log: {safe_text(pool.log)}")
        elif pool.alive is False:
            text = f"{safe_text(pool.name)} (process {pool.pid}) died"
            advice = "any pool takes its jobs over: queuectl worker --detach"
            yield Finding("pools", Level.NOTE if living else Level.WARN, text, advice)
    if living:
        names = ", ".join(
            f"{safe_text(pool.name)} with {pool.running} of {pool.wanted} workers"
            for pool in living
        )
        yield Finding("pools", Level.OK, names)
    elif waiting := _ready(repository):
        text = f"none runs; ready jobs: {waiting:,}"
        yield Finding("pools", Level.WARN, text, "queuectl worker --detach starts one")
    else:
        yield Finding("pools", Level.NOTE, "none runs")


def logout(repository: JobRepository) -> Found:
    """Pools outlive the end of their user's session."""
    here = this_host()
    for pool in census(repository):
        if pool.alive and pool.host == here.name:
            why = user_manager_warning(pool.pid) or (logout_warning() if pool.detached else None)
            level = Level.WARN if why else Level.OK
            yield Finding("logout", level, f"{safe_text(pool.name)}: {why or 'it goes on'}")


def receipts(repository: JobRepository) -> Found:
    """No pool that lost its database left results in files."""
    left: Counter[tuple[str, Path]] = Counter()
    for path in _abandoned(repository.run_directory):
        try:
            left.update((of, path.parent) for of, _ in read_receipts(path))
        except ValueError as error:
            text = f"{safe_text(str(path))} cannot be understood: {safe_text(str(error))}"
            yield Finding("receipts", Level.WARN, text, "keep that file, and report this")
    for (of, directory), count in left.items():
        where = f"{count:,}, in {safe_text(str(directory))}"
        if of == repository.incarnation():
            text, advice = f"results not settled yet: {where}", _SETTLE
            yield Finding("receipts", Level.WARN, text, advice)
        else:
            before = of.startswith(f"{repository.identity()}/")
            whose = "before the last restore" if before else "another database"
            text = f"results of {whose}, which no pool settles here: {where}"
            yield Finding("receipts", Level.NOTE, text, "look at them, then remove them")


def _abandoned(run_directory: Path) -> Iterator[Path]:
    """Files with results whose worker is dead, and so leaves no more in them."""
    for directory, worker in left_receipts(run_directory):
        if is_free(directory / worker_lock(worker)):
            yield receipts_file(directory, worker)


def _ready(repository: JobRepository) -> int:
    """Jobs that a worker would take."""
    queues = [queue for queue in repository.queues() if not queue.paused]
    return sum(queue.counts.get(State.READY, 0) for queue in queues)


CHECKS: Final[dict[str, Check]] = {"pools": pools, "logout": logout, "receipts": receipts}
