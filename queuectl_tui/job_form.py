"""A job as it is typed, field by field, and what is done with it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from queuectl_engine import (
    Act,
    After,
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
    secrets: str = ""
    retry_on: str = ""
    never_on: str = ""
    after_ok: str = ""
    after_any: str = ""
    after_fail: str = ""
    mutex: str = ""


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
    mutex: str | None


def add(form: Form, commands: Sequence[str], now: datetime) -> Deed[Told]:
    """Add a job for each command. Raises BadInput at once for a number or time that is none.

    `now` is aware and local: times without a zone are meant so.
    """
    policy = _policy(form, now)

    def deed(engine: Engine) -> Told:
        around = engine.context(
            cwd=form.directory or None,
            shell=form.shell or None,
            secrets=_names(form.secrets),
        )
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
                mutex=policy.mutex,
                after_ok=_names(form.after_ok),
                after_any=_names(form.after_any),
                after_fail=_names(form.after_fail),
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
        mutex=job.mutex or "",
        after_ok=_still(job, After.OK),
        after_any=_still(job, After.ANY),
        after_fail=_still(job, After.FAIL),
    )


def _still(job: Job, after: After) -> str:
    """What it still waits for, as it is typed."""
    return ",".join(str(need.job) for need in job.waits_for if need.after is after)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _other_parents(job: Job, form: Form) -> dict[str, Any]:
    """What it shall wait for, in the ways in which the form was changed."""
    before = of_job(job)
    names = (f"after_{after}" for after in After)
    return {
        name: _names(getattr(form, name))
        for name in names
        if getattr(form, name) != getattr(before, name)
    }


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
            mutex=policy.mutex,
            **_other_parents(job, form),
        )
        return kept(run_at=policy.run_at) if form.run_at else kept()

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
        mutex=form.mutex or None,
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
