"""`queuectl show`: everything about one job."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import db_option, job_argument, json_option
from queuectl_engine.cli.output import printer
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.terminal import note, on_terminal, say, when
from queuectl_engine.engine import Engine
from queuectl_engine.exit_codes import exit_codes_text
from queuectl_engine.job import After, Attempt, Context, Event, Job, JobState
from queuectl_engine.plain_line import runs_directly

ON_TERMINAL: Final = 64 * 1024  # bytes of output, at the end
_SHOWN: Final = 20  # jobs that a line names


@click.command(cls=Command, context_settings=CONTEXT)
@job_argument
@json_option
@db_option
@click.pass_obj
def show(session: Session, job: str, as_json: bool) -> None:
    """Show a job: details, history and the output of its last run.

    ID is an id or a key. With --json, "output" is a list of {stream, text} in order of arrival.
    """
    with session.open() as engine:
        found = engine.get(job)
        attempts = engine.attempts(found.id)
        events = engine.events(found.id)
        context = engine.context_of(found)
        if as_json:
            output = engine.output(found.id, found.runs)
            needs = engine.needs(found.id)
            shapes.print_json(shapes.whole_job(found, attempts, events, output, context, needs))
            return
        for name, value in _details(found, context):
            _field(name, value)
        for name, value in _dependencies(engine, found):
            _field(name, value)
        _history(attempts, events)
        if attempts:
            _advise(engine, found, attempts[-1])
            _last_output(engine, found, attempts[-1])


def _details(job: Job, context: Context) -> Iterator[tuple[str, str]]:
    yield "job", str(job.id)
    yield from [("key", job.key)] if job.key else []
    yield "state", job.state.value
    yield "command", job.command
    yield "shell", _shell(job, context)
    yield "directory", context.cwd
    yield from [("environment", " ".join(sorted(context.env)))] if context.env else []
    yield from [("secrets", " ".join(context.secrets))] if context.secrets else []
    yield "queue", job.queue
    yield from [("labels", ", ".join(job.labels))] if job.labels else []
    yield from [("schedule", str(job.schedule_id))] if job.schedule_id else []
    yield "priority", str(job.priority)
    yield "runs", f"{job.attempts} of {job.max_retries + 1}"
    yield from [("retry on", exit_codes_text(job.retry_on))] if job.retry_on else []
    yield from [("never on", exit_codes_text(job.no_retry_on))] if job.no_retry_on else []
    yield from [("timeout", f"{job.timeout.total_seconds():g} s")] if job.timeout else []
    yield from [("log file", job.log_file)] if job.log_file else []
    yield from [("on dead", job.on_dead)] if job.on_dead else []
    yield from [("on complete", job.on_completed)] if job.on_completed else []
    yield "due", when(job.run_at)
    yield "created", when(job.created_at)
    yield from [("started", when(job.started_at))] if job.started_at else []
    yield from [("finished", when(job.finished_at))] if job.finished_at else []
    yield from [("worker", job.worker)] if job.worker else []
    yield from [("reason", job.reason)] if job.reason else []
    yield from [("stuck", job.parked)] if job.parked else []
    yield from [("cancel", "asked for; it is being ended")] if job.cancel_asked else []


def _shell(job: Job, context: Context) -> str:
    if job.argv:
        return "none: program and arguments"
    return "none needed: run directly" if runs_directly(job, context) else context.shell


def _dependencies(engine: Engine, job: Job) -> Iterator[tuple[str, str]]:
    """What it waits for or waited for, and who waits for it."""
    needs = engine.needs(job.id)
    for after in After:
        named = [f"{need.job} ({need.state or 'deleted'})" for need in needs if need.after is after]
        yield from [(f"after {after}", _few(named))] if named else []
    waiting = [str(each) for each in engine.dependants(job.id, limit=_SHOWN + 1)]
    yield from [("needed by", _few(waiting))] if waiting else []
    yield from [("mutex", job.mutex)] if job.mutex else []
    if job.state is JobState.PENDING and job.waiting:
        yield "waits", engine.explain(job.id)


def _few(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", and more" if len(names) > _SHOWN else "")


def _field(name: str, value: str) -> None:
    say(f"{name:<12}{value}")


def _history(attempts: list[Attempt], events: list[Event]) -> None:
    for attempt in attempts:
        _field(f"attempt {attempt.number}", _sentence(attempt))
    for event in events:
        detail = f": {event.detail}" if event.detail else ""
        _field(event.kind, f"{when(event.at)} by {event.user}{detail}")


def _sentence(attempt: Attempt) -> str:
    parts = [when(attempt.started_at)]
    if attempt.ran is None:
        parts.append("running")
    else:
        parts.append(f"{attempt.result or 'ended'} after {attempt.ran.total_seconds():.1f} s")
    if attempt.cpu is not None:
        parts.append(f"cpu {attempt.cpu.total_seconds():.2f} s")
    if attempt.peak_memory is not None:
        parts.append(f"memory {attempt.peak_memory / 1e6:.0f} MB")
    if attempt.reason:
        parts.append(attempt.reason)
    if attempt.late:
        parts.append(f"reported too late: {attempt.late}")
    return ", ".join(parts)


def _advise(engine: Engine, job: Job, attempt: Attempt) -> None:
    if told := engine.advice(job, attempt):
        _field("try", told)


def _last_output(engine: Engine, job: Job, attempt: Attempt) -> None:
    limit = ON_TERMINAL if on_terminal() else 0
    chunks = engine.output(job.id, attempt.number, limit=limit)
    size = sum(chunk.size for chunk in chunks)
    if not size:
        return
    say(f"output of attempt {attempt.number}:")
    sys.stdout.flush()
    out = printer()
    for chunk in chunks:
        out.write(chunk.pieces)
    out.end()
    if size < attempt.output_bytes:
        kept = attempt.output_bytes - attempt.dropped_bytes
        more = f"; 'queuectl logs {job.id}' shows {kept}" if size < kept else ""
        note(f"{size} of {attempt.output_bytes} bytes are shown{more}")
