"""`queuectl edit`: change a job that does not run, in `$EDITOR` or by options."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import (
    after_options,
    db_option,
    duration,
    exit_codes,
    job_argument,
    json_option,
    label_option,
    moment,
)
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.terminal import can_ask, say
from queuectl_engine.errors import BadInput, QueuectlError
from queuectl_engine.exit_codes import exit_codes_text
from queuectl_engine.job import Job, JobState
from queuectl_engine.new_job import Changes, separated
from queuectl_engine.safe_text import safe_text

_COMMAND = "--- command ---"


@click.command(cls=Command, context_settings=CONTEXT)
@job_argument
@click.option("--command", metavar="LINE", help="The new command.")
@click.option("--queue", metavar="NAME", help="The new queue.")
@click.option("--priority", type=int, metavar="N", help="The new priority.")
@click.option("--max-retries", type=click.IntRange(min=0), metavar="N", help="The new retries.")
@click.option("--timeout", type=duration, metavar="DURATION", help="The new timeout.")
@click.option("--key", metavar="KEY", help="The new key.")
@click.option("--run-at", type=moment, metavar="WHEN", help="The new time of a pending job.")
@label_option("The new labels, instead of all it has; repeatable; '' for none.")
@click.option(
    "--retry-on", type=exit_codes, metavar="CODES", help="Retry only these exit codes; '' for any."
)
@click.option(
    "--no-retry-on", type=exit_codes, metavar="CODES", help="Never retry these; '' for none."
)
@click.option("--requeue", is_flag=True, help="Send it back to pending then, if it is dead.")
@after_options
@click.option("--mutex", metavar="NAME", help="The new mutex; empty for none.")
@json_option
@db_option
@click.pass_obj
def edit(
    session: Session,
    job: str,
    command: str | None,
    queue: str | None,
    priority: int | None,
    max_retries: int | None,
    timeout: timedelta | None,
    key: str | None,
    run_at: datetime | None,
    labels: tuple[str, ...],
    retry_on: tuple[int, ...] | None,
    no_retry_on: tuple[int, ...] | None,
    requeue: bool,
    after_ok: tuple[str, ...] | None,
    after_any: tuple[str, ...] | None,
    after_fail: tuple[str, ...] | None,
    mutex: str | None,
    as_json: bool,
) -> None:
    """Change a job that is pending, retrying or dead.

    Without options it opens $EDITOR. A dead job stays dead until it is requeued, as with
    --requeue. The jobs named after --after-ok and the like replace those it waited for in that
    way; "" stands for none.
    """
    with session.open() as engine:
        found = engine.get(job)
        changes = _given(
            command=None if command is None else _as_before(found, command),
            queue=queue,
            priority=priority,
            max_retries=max_retries,
            timeout=timeout,
            key=key,
            run_at=run_at,
            labels=[label for label in labels if label] if labels else None,
            retry_on=retry_on,
            no_retry_on=no_retry_on,
            after_ok=after_ok,
            after_any=after_any,
            after_fail=after_fail,
        )
        if mutex is not None:
            changes["mutex"] = mutex or None
        if not changes:
            changes = _in_editor(found)
        edited = engine.edit(found.id, **changes)
        again = requeue and edited.state is JobState.DEAD
        if again:
            engine.requeue(edited.id)
            edited = engine.get(edited.id)
    if as_json:
        shapes.print_json(shapes.job(edited))
    else:
        say(f"Job {edited.id} edited" + (" and requeued" if again else ""))


def _given(**values: object) -> Changes:
    given = Changes()
    for name, value in values.items():
        if value is not None:
            given[name] = value  # type: ignore[literal-required]
    return given


def _in_editor(job: Job) -> Changes:
    if not can_ask():
        raise BadInput("nothing to change; give an option such as --command, or use a terminal")
    before = _as_text(job)
    after = click.edit(before, extension=".txt", require_save=True)
    if after is None or after == before:
        raise QueuectlError("nothing was changed, as you said")
    return changes_of(job, after)


def _as_text(job: Job) -> str:
    timeout = f"{job.timeout.total_seconds():g}s" if job.timeout else "none"
    return (
        f"# Job {job.id}. Save and close to change it; close without saving to leave it.\n"
        f"queue: {job.queue}\n"
        f"priority: {job.priority}\n"
        f"retries: {job.max_retries}\n"
        f"timeout: {timeout}\n"
        f"key: {job.key or ''}\n"
        f"labels: {', '.join(job.labels)}\n"
        f"retry on: {exit_codes_text(job.retry_on)}\n"
        f"never on: {exit_codes_text(job.no_retry_on)}\n"
        f"mutex: {job.mutex or ''}\n"
        f"{_COMMAND}\n"
        f"{job.command}\n"
    )


def changes_of(job: Job, text: str) -> Changes:
    """What a person wrote about a job. Raises BadInput that names the line."""
    head, found, command = text.partition(f"{_COMMAND}\n")
    if not found:
        raise BadInput(f"the line '{_COMMAND}' is gone; nothing was changed")
    changes = Changes(command=_as_before(job, command.removesuffix("\n")))
    for line in head.splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, value = line.partition(":")
            _read(changes, name.strip(), value.strip())
    return changes


def _read(changes: Changes, name: str, value: str) -> None:
    if name not in _LINES:
        raise BadInput(f"'{safe_text(name)}' cannot be changed here")
    field, read = _LINES[name]
    try:
        changes[field] = read(value)  # type: ignore[literal-required]
    except ValueError:
        raise BadInput(f"{name}: '{safe_text(value)}' is no number") from None


def _timeout(value: str) -> timedelta | None:
    return None if value in ("", "none") else duration(value)


def _or_none(value: str) -> str | None:
    return value or None


# What stands in the editor: a line's name, the field it is, and how it is read.
_LINES: Final[Mapping[str, tuple[str, Callable[[str], object]]]] = {
    "queue": ("queue", str),
    "priority": ("priority", int),
    "retries": ("max_retries", int),
    "timeout": ("timeout", _timeout),
    "key": ("key", _or_none),
    "labels": ("labels", separated),
    "retry on": ("retry_on", str),
    "never on": ("no_retry_on", str),
    "mutex": ("mutex", _or_none),
}


def _as_before(job: Job, command: str) -> str | Sequence[str]:
    """A line for the shell, or the words of a program, as the job had it."""
    if job.argv is None:
        return command
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise BadInput(f"cannot split the command into words: {error}") from error
