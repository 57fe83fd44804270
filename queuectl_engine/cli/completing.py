"""What Tab offers after the name of a command: ids and keys of jobs, queues, pools.

Runs at each press of Tab, so it reads a window of one or two views and loads nothing that draws. It
never fails: where nothing can be read, nothing is offered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import click
from click.shell_completion import CompletionItem

from queuectl_engine.cli.session import Session
from queuectl_engine.engine import Engine, open_engine
from queuectl_engine.errors import QueuectlError
from queuectl_engine.job import Job, View
from queuectl_engine.safe_text import safe_text
from queuectl_engine.settings import choose_database

_OFFERED: Final = 100  # of each kind
_LONGEST_HELP: Final = 60
# Those whose jobs are meant, first what is likelier; the rest take any job, newest first.
_VIEWS: Final = {
    "requeue": (View.DEAD, View.FINISHED),
    "cancel": (View.PROCESSING, View.PENDING),
    "wait": (View.PROCESSING, View.PENDING),
    "logs": (View.PROCESSING, View.DEAD, View.FINISHED),
    "edit": (View.PENDING, View.DEAD),
    "explain": (View.PENDING,),
}
_PLAIN: Final = re.compile(r"[\w@%+=,./-]+")  # what no shell would read as something else


def jobs(ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Ids that begin as typed, and keys."""
    return _offer(ctx, lambda engine: _jobs(engine, ctx.info_name or "", typed))


def queues(ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Names of queues."""
    return _offer(ctx, lambda engine: _named((queue.name for queue in engine.queues()), typed))


def labels(ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Labels that jobs have."""
    return _offer(ctx, lambda engine: _named((label.name for label in engine.labels()), typed))


def pools(ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Names of pools."""
    return _offer(ctx, lambda engine: _named((pool.name for pool in engine.pools()), typed))


def _offer(
    ctx: click.Context, read: Callable[[Engine], Iterator[CompletionItem]]
) -> list[CompletionItem]:
    try:
        database = choose_database(ctx.ensure_object(Session).flag)
        with open_engine(database, read_only=True, timeout=0.2) as engine:
            return list(read(engine))
    except (QueuectlError, OSError):
        return []


def _jobs(engine: Engine, command: str, typed: str) -> Iterator[CompletionItem]:
    seen: set[int] = set()
    for view in _VIEWS.get(command, (View.ALL,)):
        found = engine.page(view, limit=_OFFERED, backwards=view is View.ALL).jobs
        for job in reversed(found) if view is View.ALL else found:
            if job.id not in seen and str(job.id).startswith(typed):
                seen.add(job.id)
                yield _item(str(job.id), job)
    if typed or not seen:
        for key, job_id in engine.keys_like(typed, limit=_OFFERED).items():
            if _PLAIN.fullmatch(key):
                yield CompletionItem(key, help=f"job {job_id}")


def _item(word: str, job: Job) -> CompletionItem:
    return CompletionItem(word, help=safe_text(f"{job.state} {job.command}")[:_LONGEST_HELP])


def _named(names: Iterable[str], typed: str) -> Iterator[CompletionItem]:
    for name in names:
        if name.startswith(typed) and _PLAIN.fullmatch(name):
            yield CompletionItem(name)
