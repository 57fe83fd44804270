"""`queuectl pools`, `scale`, `stop`: the pools that run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import db_option, json_option, pool_option
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.tables import Column, print_table
from queuectl_engine.cli.terminal import counted, note, on_terminal, say, when
from queuectl_engine.errors import BadInput
from queuectl_engine.job import PoolInfo, WorkerInfo
from queuectl_engine.safe_text import safe_text

COLUMNS: Final = (
    Column("POOL"),
    Column("STATE"),
    Column("WORKERS", right=True),
    Column("BUSY", right=True),
    Column("PID", right=True),
    Column("HOST"),
    Column("SINCE"),
    Column("QUEUES"),
    Column("TROUBLE", last=True),
)
WORKERS: Final = (
    Column("POOL"),
    Column("WORKER"),
    Column("PID", right=True),
    Column("SINCE"),
    Column("DOES", last=True),
)


@click.command(cls=Command, context_settings=CONTEXT)
@json_option
@db_option
@click.pass_obj
def pools(session: Session, as_json: bool) -> None:
    """List the pools of this database and their workers."""
    with session.open() as engine:
        found = engine.pools()
    if as_json:
        shapes.print_json_array(shapes.pool(pool) for pool in found)
    elif found:
        print_pools(found)
        if on_terminal():
            say("")
            print_workers(found)
    else:
        note("no pool runs; 'queuectl worker' starts one")


def workers_wanted(text: str) -> tuple[int | None, int | None]:
    """A number of workers, or with a sign how many more or fewer: (to, by). Raises BadInput."""
    try:
        number = int(text)
    except ValueError:
        raise BadInput(f"'{safe_text(text)}' is no number; try 4, +1 or -1") from None
    return (None, number) if text.startswith(("+", "-")) else (number, None)


# Without this, click reads -1 as an option.
@click.command(cls=Command, context_settings={**CONTEXT, "ignore_unknown_options": True})
@click.argument("wanted", metavar="N|+N|-N", type=workers_wanted)
@pool_option
@json_option
@db_option
@click.pass_obj
def scale(
    session: Session, wanted: tuple[int | None, int | None], pool: str | None, as_json: bool
) -> None:
    """Change how many workers a running pool has.

    A worker that runs a job finishes it first.
    """
    to, by = wanted
    with session.open() as engine:
        found = engine.scale(to=to, by=by, pool=pool)
    if as_json:
        shapes.print_json(shapes.pool(found))
    else:
        say(f"Pool {found.name} wants {counted(found.wanted, 'worker')}, {found.running} run now")


@click.command(cls=Command, context_settings=CONTEXT)
@click.option("--now", is_flag=True, help="End running jobs and give them back to the queue.")
@pool_option
@json_option
@db_option
@click.pass_obj
def stop(session: Session, now: bool, pool: str | None, as_json: bool) -> None:
    """Stop a pool and return when it is gone.

    Running jobs end first, unless --now.
    """
    with session.open() as engine:
        found = engine.find_pool(pool)
        busy = _busy(found)
        if busy and not now:
            note(f"waits for {counted(busy, 'running job')}; --now would end them")
        stopped = engine.stop_pool(found.name, now=now)
    if as_json:
        shapes.print_json(shapes.pool(stopped))
    else:
        say(f"Pool {stopped.name} stopped")


def print_pools(found: Sequence[PoolInfo]) -> None:
    """Print the pools as a table."""
    print_table(COLUMNS, map(_row, found))


def print_workers(found: Sequence[PoolInfo]) -> None:
    """Print what each worker does as a table."""
    print_table(WORKERS, (_worker(pool, worker) for pool in found for worker in pool.workers))


def _row(pool: PoolInfo) -> tuple[str, ...]:
    return (
        pool.name,
        _state(pool),
        f"{pool.running}/{pool.wanted}" + (f"×{pool.slots}" if pool.slots > 1 else ""),
        str(_busy(pool)),
        str(pool.pid),
        pool.host,
        when(pool.started_at),
        ",".join(pool.queues) or "all",
        pool.trouble or "",
    )


def _worker(pool: PoolInfo, worker: WorkerInfo) -> tuple[str, ...]:
    does = f"job {worker.job} since {when(worker.job_since)}" if worker.job else "waits"
    does += f", and {counted(worker.running - 1, 'other')}" if worker.running > 1 else ""
    does = does if worker.alive else "dead; its jobs are taken over"
    return (pool.name, worker.name, str(worker.pid), when(worker.started_at), does)


def _state(pool: PoolInfo) -> str:
    if pool.alive is None:
        return "elsewhere"
    if not pool.alive:
        return "dead"
    return "stopping" if pool.stopping else "running"


def _busy(pool: PoolInfo) -> int:
    return sum(worker.running for worker in pool.workers)
