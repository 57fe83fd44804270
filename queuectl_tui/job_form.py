"""A job as it is typed, field by field, and what is done with it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from queuectl_engine import (
    Act,
    BadInput,
    Engine,
    Job,
    JobState,
    Selection,
    exit_codes_text,
    parse_duration,
    parse_moment,
    safe_text,
)
from queuectl_tui.acts import Told
from queuectl_tui.hands import Deed


@dataclass(frozen=True, slots=True)
class Form:
    """Text in every field, empty for the default."""

    command: str
    queue: str = ""
    priority: str = ""
    retries: str = ""
    timeout: str = ""
    run_at: str = ""
    directory: str = ""
    key: str = ""
    shell: str = ""
    labels: str = ""
    retry_on: str = ""
    never_on: str = ""


@dataclass(frozen=True, slots=True)
class _Policy:
    queue: str
    priority: int
    max_retries: int
    timeout: timedelta | None
    run_at: datetime | None
    key: str | None
    labels: tuple[str, ...]
    retry_on: str
    no_retry_on: str


def add(form: Form, commands: Sequence[str], now: datetime) -> Deed[Told]:
    """Add a job for each command. Raises BadInput at once for a number or time that is none.

    `now` is aware and local: times without a zone are meant so.
    """
    policy = _policy(form, now)

    def deed(engine: Engine) -> Told:
        around = engine.context(cwd=form.directory or None, shell=form.shell or None)
        jobs = [
            engine.new_job(
                command,
                around,
                queue=policy.queue,
                priority=policy.priority,
                max_retries=policy.max_retries,
                timeout=policy.timeout,
                run_at=policy.run_at,
                key=policy.key,
                labels=policy.labels,
                retry_on=policy.retry_on,
                no_retry_on=policy.no_retry_on,
            )
            for command in commands
        ]
        added = engine.add_many(jobs)
        first = added[0]
        if not first.created:
            text = f"job {first.id} has this key already: it is {first.state}, nothing is added"
            return Told(text, job=first.id)
        upto = f" to {added[-1].id}" if len(added) > 1 else ""
        return Told(f"added as {first.id}{upto}", job=added[-1].id)

    return deed


def of_job(job: Job) -> Form:
    """The form filled with what a job is."""
    return Form(
        command=job.command,
        queue=job.queue,
        priority=str(job.priority),
        retries=str(job.max_retries),
        timeout=f"{job.timeout.total_seconds():g}s" if job.timeout else "",
        key=job.key or "",
        labels=", ".join(job.labels),
        retry_on=exit_codes_text(job.retry_on),
        never_on=exit_codes_text(job.no_retry_on),
    )


def edit(job: Job, form: Form, now: datetime) -> Deed[Told]:
    """Change a job in place; a dead one is requeued then. Raises BadInput at once."""
    policy = _policy(form, now)
    command: str | list[str] = form.command
    if job.argv is not None:
        command = list(job.argv) if form.command == job.command else _words(form.command)

    def change(engine: Engine) -> Job:
        kept = partial(
            engine.edit,
            job.id,
            command=command,
            queue=policy.queue,
            priority=policy.priority,
            max_retries=policy.max_retries,
            timeout=policy.timeout,
            key=policy.key,
            labels=policy.labels,
            retry_on=policy.retry_on,
            no_retry_on=policy.no_retry_on,
        )
        return kept() if policy.run_at is None else kept(run_at=policy.run_at)

    def deed(engine: Engine) -> Told:
        edited = change(engine)
        command_line = f"queuectl edit {job.id}"
        if edited.state is not JobState.DEAD:
            return Told(f"{job.id} changed", command_line, job=job.id)
        plan = engine.plan(Act.REQUEUE, Selection(ids=(job.id,)), run_at=policy.run_at)
        done = engine.carry_out(plan)
        return Told(
            f"{job.id} changed and requeued · u takes it back to the dead",
            command_line,
            job=job.id,
            undo=done.undo,
        )

    return deed


def _policy(form: Form, now: datetime) -> _Policy:
    return _Policy(
        queue=form.queue or "default",
        priority=_whole(form.priority or "0", "priority"),
        max_retries=_whole(form.retries or "3", "retries"),
        timeout=None if form.timeout in ("", "none") else parse_duration(form.timeout),
        run_at=None if form.run_at in ("", "now") else parse_moment(form.run_at, now=now),
        key=form.key or None,
        labels=tuple(part.strip() for part in form.labels.split(",") if part.strip()),
        retry_on=form.retry_on,
        no_retry_on=form.never_on,
    )


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise BadInput(f"the words cannot be told apart: {error}") from None


def _whole(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadInput(f"{name} '{safe_text(text)}' is no whole number") from None
