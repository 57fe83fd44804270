"""What a person does to the queue: each act runs in one thread, with an engine of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from queuectl_engine import (
    BadInput,
    Engine,
    Job,
    JobState,
    NoSuchPool,
    PoolInfo,
    QueuectlError,
    StorageError,
    WrongState,
    parse_duration,
    parse_moment,
    safe_text,
)
from queuectl_tui import words

REQUEUEABLE: Final = frozenset(
    {JobState.DEAD, JobState.CANCELLED, JobState.COMPLETED, JobState.FAILED}
)
CANCELLABLE: Final = frozenset({JobState.PENDING, JobState.FAILED, JobState.PROCESSING})
DELETABLE: Final = frozenset(JobState) - {JobState.PROCESSING}


@dataclass(frozen=True, slots=True)
class Done:
    """An act's result: what to say, the command line that does the same, the job to show.

    `gone` are jobs that exist no more.
    """

    text: str
    command: str = ""
    job: int | None = None
    gone: frozenset[int] = frozenset()


Act = Callable[[Engine], Done]
Tell = Callable[[Done | QueuectlError], object]


class Hands:
    """The thread that acts, one act after the other. `tell` is called from it."""

    def __init__(self, open_engine: Callable[[], Engine]) -> None:
        self._open = open_engine
        self._engine: Engine | None = None
        self._todo: queue.SimpleQueue[tuple[Act, Tell] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="queuectl-acts", daemon=True)

    def start(self) -> None:
        """Be ready. The engine is opened at the first act."""
        self._thread.start()

    def stop(self) -> None:
        """End after the act at hand; an act that hangs is left behind."""
        self._todo.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def do(self, act: Act, tell: Tell) -> None:
        """Act soon, and tell what came of it."""
        self._todo.put((act, tell))

    def _run(self) -> None:
        while (todo := self._todo.get()) is not None:
            act, tell = todo
            tell(self._result(act))
        if self._engine is not None:
            self._engine.close()

    def _result(self, act: Act) -> Done | QueuectlError:
        try:
            self._engine = self._engine or self._open()
            return act(self._engine)
        except StorageError as error:
            self._engine = None  # opened again by the next act
            return error
        except QueuectlError as error:
            return error


@dataclass(frozen=True, slots=True)
class Form:
    """A job as it is typed: text in every field, empty for the default."""

    command: str
    queue: str = ""
    priority: str = ""
    retries: str = ""
    timeout: str = ""
    run_at: str = ""
    directory: str = ""
    key: str = ""
    shell: str = ""


def add(form: Form, now: datetime) -> Act:
    """Add a job. Raises BadInput at once for a number or time that is none.

    `now` is aware and local: times without a zone are meant so.
    """
    priority = _whole(form.priority or "0", "priority")
    retries = _whole(form.retries or "3", "retries")
    timeout = None if form.timeout in ("", "none") else parse_duration(form.timeout)
    run_at = None if form.run_at in ("", "now") else parse_moment(form.run_at, now=now)

    def act(engine: Engine) -> Done:
        job = engine.new_job(
            form.command,
            engine.context(cwd=form.directory or None, shell=form.shell or None),
            queue=form.queue or "default",
            priority=priority,
            max_retries=retries,
            timeout=timeout,
            run_at=run_at,
            key=form.key or None,
        )
        [added] = engine.add_many([job])
        if not added.created:
            text = f"job {added.id} has this key already: it is {added.state}, nothing is added"
            return Done(text, job=added.id)
        return Done(f"added as {added.id}", job=added.id)

    return act


def requeue(ids: Collection[int]) -> Act:
    """Send jobs back to pending with a fresh budget: those that still can be."""
    return _each("requeue", "requeued", ids, REQUEUEABLE, lambda engine, ids: engine.requeue(*ids))


def cancel(ids: Collection[int]) -> Act:
    """Cancel jobs that wait, end those that run."""
    return _each("cancel", "cancelled", ids, CANCELLABLE, lambda engine, ids: engine.cancel(*ids))


def delete(ids: Collection[int]) -> Act:
    """Delete jobs that do not run."""
    deleted = _each("delete", "deleted", ids, DELETABLE, lambda engine, ids: engine.delete(*ids))
    return lambda engine: replace(deleted(engine), job=None, gone=frozenset(ids))


def scale(by: int, pool: str | None) -> Act:
    """One worker more or less."""

    def act(engine: Engine) -> Done:
        found = engine.scale(by=by, pool=pool)
        wanted = words.workers(found.wanted)
        return Done(f"pool {safe_text(found.name)}: {wanted} wanted", _scale_line(found))

    return act


def start_pool() -> Act:
    """Start a pool in the background."""

    def act(engine: Engine) -> Done:
        pool = engine.start_pool()
        return Done(
            f"pool {safe_text(pool.name)} runs in the background", "queuectl worker --detach"
        )

    return act


def more_workers(pool: str | None) -> Act:
    """One worker more, or a first pool where there is none after all."""
    scaled, started = scale(1, pool), start_pool()

    def act(engine: Engine) -> Done:
        try:
            return scaled(engine)
        except NoSuchPool:
            if engine.pools():
                raise
            return started(engine)

    return act


def _scale_line(pool: PoolInfo) -> str:
    return f"queuectl scale {pool.wanted} --pool {safe_text(pool.name)}"


def _each(
    verb: str,
    done: str,
    ids: Collection[int],
    states: Collection[JobState],
    do: Callable[[Engine, list[int]], object],
) -> Act:
    def act(engine: Engine) -> Done:
        """Touch only those that are still what they were when it was asked."""
        found = engine.find(ids)
        fit = [job_id for job_id in ids if _in(found.get(job_id), states)]
        if len(ids) > 1 and not fit:
            raise WrongState(f"none of the {words.jobs(len(ids))} can be {done} any more")
        do(engine, fit if len(ids) > 1 else list(ids))
        left = len(ids) - len(fit) if len(ids) > 1 else 0
        rest = f" · {words.number(left)} had moved on" if left else ""
        named = " ".join(map(str, fit[:5])) + (" …" if len(fit) > 5 else "")
        only = next(iter(ids)) if len(ids) == 1 else None
        what = f"{only} {done}" if only else f"{words.jobs(len(fit))} {done}"
        return Done(what + rest, f"queuectl {verb} {named}", job=only)

    return act


def _in(job: Job | None, states: Collection[JobState]) -> bool:
    return job is not None and job.state in states


def _whole(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadInput(f"{name} '{safe_text(text)}' is no whole number") from None
