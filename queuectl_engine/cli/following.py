"""Staying with a job until it has ended: its output, its exit code, and what Ctrl+C means."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Final

import click

from queuectl_engine.cli.terminal import counted, note, person_listens
from queuectl_engine.errors import ExitCode, JobFailed
from queuectl_engine.safe_text import safe_text
from queuectl_engine.states import JobState

if TYPE_CHECKING:
    from queuectl_engine.engine import Engine
    from queuectl_engine.job import Attempt, Job

TIMED_OUT: Final = 124  # what timeout(1) answers
_AT_ONCE: Final = 500
_NOTED: Final = 5


def leave(engine: Engine, job_id: int) -> None:
    """End the program with the exit code of a job that has ended, and say why it is not 0."""
    job = engine.get(job_id)
    if code := exit_code(engine, job):
        sys.stderr.write(f"error: {safe_text(how_it_failed(job))}\n")
        raise click.exceptions.Exit(code)


def follow_and_exit(engine: Engine, job_id: int) -> None:
    """Print what the job prints, each stream to its own, and leave with the job's exit code."""
    from queuectl_engine.cli.output import Apart

    out = Apart()
    for part in engine.follow(job_id):
        if part.chunk is None:
            out.end()
            _note_retry(engine, job_id, part.attempt)
        else:
            out.write(part.chunk.pieces)
    if code := exit_code(engine, engine.get(job_id)):
        raise click.exceptions.Exit(code)


def wait_for_many(engine: Engine, ids: Iterator[int]) -> None:
    """Wait for jobs, however many; raises JobFailed when one did not complete."""
    failed: list[Job] = []
    more = 0
    while chunk := list(islice(ids, _AT_ONCE)):
        note_stuck(engine, chunk)
        with going_on(chunk):
            ended = engine.wait(*chunk)
        bad = [job for job in ended if job.state is not JobState.COMPLETED]
        failed, more = (failed or bad[:1]), more + len(bad)
    if failed:
        raise failure(failed[0], more)


def exit_code(engine: Engine, job: Job) -> int:
    """What a job that has ended answers, as a shell would say it.

    Its last attempt's own code; 128 + n for a signal; 124 for a timeout. A job that ended without
    one, cancelled or with its worker, answers 4.
    """
    if job.state is JobState.COMPLETED:
        return ExitCode.OK
    attempts = engine.attempts(job.id)
    if job.state is not JobState.DEAD or not attempts:
        return ExitCode.JOB_FAILED
    return _code_of(attempts[-1])


def _code_of(attempt: Attempt) -> int:
    if attempt.result == "timed out":
        return TIMED_OUT
    if attempt.signal is not None:
        return 128 + attempt.signal
    return attempt.exit_code or ExitCode.JOB_FAILED


def failure(first: Job, count: int) -> JobFailed:
    """What is wrong when so many jobs did not complete."""
    also = f", and {counted(count - 1, 'other job')} failed" if count > 1 else ""
    return JobFailed(how_it_failed(first, also))


def note_stuck(engine: Engine, ids: Sequence[int]) -> None:
    """Say of jobs that wait for what will not come, unless a person acts."""
    if not person_listens():
        return
    for job in engine.get_all(ids[:_NOTED]):
        if any(need.stuck for need in job.waits_for):
            note(f"job {job.id}: {engine.explain(job.id)}")


def how_it_failed(job: Job, also: str = "") -> str:
    """One line about a job that did not complete."""
    why = f" ({job.reason})" if job.reason and job.state is JobState.DEAD else ""
    return f"job {job.id} is {job.state}{why}{also}; 'queuectl show {job.id}' tells"


def _note_retry(engine: Engine, job_id: int, attempt: int) -> None:
    job = engine.get(job_id)
    if job.state is JobState.FAILED:
        when = job.run_at.astimezone()
        note(f"run {attempt} of job {job_id} failed ({job.reason}); the next at {when:%H:%M:%S}")


@contextmanager
def going_on(jobs: Sequence[int]) -> Iterator[None]:
    """Ctrl+C ends only the looking on: say so, and how to end the jobs."""
    try:
        yield
    except KeyboardInterrupt:
        if person_listens():
            sys.stderr.write("\n")  # after the ^C that the terminal drew
        one, ids = len(jobs) == 1, " ".join(map(str, jobs[:5]))
        what = f"job {ids} goes on" if one else f"the {len(jobs)} jobs go on"
        more = "" if len(jobs) <= 5 else " …"
        note(f"{what}; 'queuectl cancel {ids}{more}' ends {'it' if one else 'them'}")
        raise
