"""`queuectl worker`: run a pool here, or start one in the background."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import click

from queuectl_engine.cli.as_json import pool as pool_shape
from queuectl_engine.cli.as_json import print_json
from queuectl_engine.cli.command import CONTEXT, Command, option
from queuectl_engine.cli.options import (
    db_option,
    duration,
    json_option,
    queue_option,
    size,
)
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.terminal import counted, note, say
from queuectl_engine.errors import BadInput, PoolRefused
from queuectl_engine.lifecycle import Backoff
from queuectl_engine.new_job import check_queue
from queuectl_engine.pool.options import (
    DEFAULT_GRACE,
    DEFAULT_LEASE,
    DEFAULT_OUTPUT_LIMIT,
    PoolOptions,
)
from queuectl_engine.pool.slots import MOST_SLOTS, parse_per_slot

_DETACHED_NAME: Final = "default"


@click.command(cls=Command, context_settings=CONTEXT)
@option(
    "-n",
    "--workers",
    also=("-j", "--jobs", "--count"),
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many workers; each runs a job at a time, or --slots.",
)
@option(
    "--slots",
    type=click.IntRange(min=1, max=MOST_SLOTS),
    default=1,
    show_default=True,
    metavar="K",
    help="Jobs that each worker runs at once.",
)
@queue_option("queues", help="Serve only this queue; repeatable.", multiple=True)
@option(
    "--backoff-base",
    type=click.FloatRange(min=1),
    default=2.0,
    show_default=True,
    metavar="B",
    help="Wait B ** attempts seconds before a retry.",
)
@option(
    "--backoff-cap",
    type=duration,
    metavar="DURATION",
    default="1h",
    show_default=True,
    help="Longest wait before a retry.",
)
@option("--drain", is_flag=True, help="Stop when nothing is ready, failed or running.")
@option("--detach", is_flag=True, help="Run in the background and return.")
@option("--name", metavar="NAME", help="Name of the pool.  [default: 'default' or fg-PID]")
@option(
    "--grace",
    type=duration,
    metavar="DURATION",
    default=f"{DEFAULT_GRACE:g}s",
    show_default=True,
    help="Patience between SIGTERM and SIGKILL when a job must end.",
)
@option(
    "--stop-timeout",
    type=duration,
    metavar="DURATION",
    help="End running jobs so long after a stop was asked for.",
)
@option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A line for people, or a JSON object, for each event.",
)
@option(
    "--output-limit",
    type=click.IntRange(min=1),
    default=DEFAULT_OUTPUT_LIMIT,
    show_default=True,
    metavar="BYTES",
    help="Keep so much of the start and of the end of a run's output.",
)
@option(
    "--per-slot",
    type=parse_per_slot,
    metavar="NAME=V,V...",
    multiple=True,
    help="Variable with a value for each slot; repeatable.",
)
@option(
    "--min-free",
    type=size,
    metavar="SIZE",
    help="Start no job with less left on the database's disk.  [default: 64M, at most 1 % of it]",
)
@option(
    "--lease",
    type=duration,
    metavar="DURATION",
    default=f"{DEFAULT_LEASE:g}s",
    show_default=True,
    help="On PostgreSQL: without contact for so long, other hosts run its jobs.",
)
@option(
    "--metrics-listen", metavar="ADDRESS:PORT", help="Serve /metrics there, like 127.0.0.1:9188."
)
@option("--metrics-public", is_flag=True, help="Serve them to other hosts, too.")
@json_option
@db_option
@click.pass_obj
def worker(
    session: Session,
    workers: int,
    slots: int,
    queues: tuple[str, ...],
    backoff_base: float,
    backoff_cap: timedelta,
    drain: bool,
    detach: bool,
    name: str | None,
    grace: timedelta,
    stop_timeout: timedelta | None,
    log_format: str,
    output_limit: int,
    per_slot: tuple[tuple[str, tuple[str, ...]], ...],
    min_free: int | None,
    lease: timedelta,
    metrics_listen: str | None,
    metrics_public: bool,
    as_json: bool,
) -> None:
    """Run a pool of workers here, or in the background.

    Ctrl+C lets the running jobs finish; a second one ends them and gives them back to the queue.

    Each running job has a slot of its own, 0 and up, in QUEUECTL_SLOT. --per-slot
    CUDA_VISIBLE_DEVICES=0,1 gives each its own GPU, and the pool never more than 2 workers. Values
    that hold commas have ; between them.

    With --slots 100 two workers run 200 jobs at once in little memory, which is good for many that
    mostly wait. A worker that is killed then takes all of its jobs along; each is run again, alone.
    """
    for queue in queues:
        check_queue(queue)
    Backoff(backoff_base, backoff_cap)  # refuses what it cannot compute with
    if as_json and not detach:
        raise BadInput("--json goes with --detach; the log of a pool is --log-format json")
    with session.open() as engine:  # whether it can be used, before anything starts
        options = PoolOptions(
            db=engine.database.location,
            workers=workers,
            name=_DETACHED_NAME if name is None and detach else name,
            queues=queues,
            backoff_base=backoff_base,
            backoff_cap=backoff_cap.total_seconds(),
            grace=grace.total_seconds(),
            stop_timeout=None if stop_timeout is None else stop_timeout.total_seconds(),
            drain=drain,
            detached=detach,
            log_format=log_format,
            output_limit=output_limit,
            per_slot=per_slot,
            min_free=min_free,
            slots=slots,
            lease=lease.total_seconds(),
            metrics_listen=metrics_listen,
            metrics_public=metrics_public,
            allow_owner=engine.database.allow_owner,
        )
    if detach:
        _detach(session, options, as_json)
        return
    from queuectl_engine.pool.background import exec_foreground

    exec_foreground(options)


def _detach(session: Session, options: PoolOptions, as_json: bool) -> None:
    from queuectl_engine.pool.background import start_detached
    from queuectl_engine.pool.systemd import logout_warning

    started = start_detached(options)
    with session.open(quiet=True) as engine:
        pool = engine.find_pool(options.name)
    if not started:
        raise PoolRefused(
            f"pool {pool.name} runs already (pid {pool.pid}); 'queuectl scale' changes its size"
        )
    if as_json:
        print_json(pool_shape(pool))
    else:
        each = f" of {pool.slots} slots" if pool.slots > 1 else ""
        wanted = counted(pool.wanted, "worker") + each
        say(f"Pool {pool.name} runs with {wanted}: pid {pool.pid}, log {pool.log}")
    if warning := logout_warning():
        note(warning)
