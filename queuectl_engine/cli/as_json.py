"""The shapes of `--json`, one function a thing, and how they are printed.

Names are snake_case, moments UTC ISO 8601, durations seconds; lists are there even when empty.
"""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from queuectl_engine.cli.terminal import iso, on_terminal
from queuectl_engine.estimate import Estimate
from queuectl_engine.hook import Hook
from queuectl_engine.job import (
    OUTWARD,
    STORED_AS,
    Attempt,
    Cause,
    Chunk,
    Context,
    Counts,
    Event,
    Happening,
    Job,
    JobState,
    LabelInfo,
    Need,
    PoolInfo,
    QueueInfo,
    State,
    Stream,
    WorkerInfo,
)
from queuectl_engine.keeping import Copied, Finding, Pruned, Restored
from queuectl_engine.metrics import BUCKETS, Histogram, QueueMetrics
from queuectl_engine.plain_line import runs_directly
from queuectl_engine.schedule import Schedule
from queuectl_engine.settings import Database

Shape = dict[str, Any]


def job(job: Job) -> Shape:
    """A job without its history."""
    return {
        "id": job.id,
        "key": job.key,
        "command": job.command,
        "argv": None if job.argv is None else list(job.argv),
        "state": job.state.value,
        "attempts": job.attempts,
        "max_retries": job.max_retries,
        "runs": job.runs,
        "priority": job.priority,
        "queue": job.queue,
        "run_at": iso(job.run_at),
        "created_at": iso(job.created_at),
        "updated_at": iso(job.updated_at),
        "started_at": _iso(job.started_at),
        "finished_at": _iso(job.finished_at),
        "reason": job.reason,
        "worker": job.worker,
        "timeout": None if job.timeout is None else job.timeout.total_seconds(),
        "allow_background": job.allow_background,
        "log_file": job.log_file,
        "cancel_asked": job.cancel_asked,
        "parked": job.parked,
        "cause": job.cause_id,
        "labels": list(job.labels),
        "retry_on": list(job.retry_on),
        "no_retry_on": list(job.no_retry_on),
        "schedule": job.schedule_id,
        "on_dead": job.on_dead,
        "on_completed": job.on_completed,
        "mutex": job.mutex,
        "mutex_holder": job.mutex_holder,
        "waits_for": [need(each) for each in job.waits_for],
    }


def exported(stored: Job, context: Context, origin: str) -> Shape:
    """A job with all that another database needs to run it, also the values of its environment."""
    return {
        **job(stored),
        "cwd": context.cwd,
        "shell": context.shell,
        "shell_asked": context.shell_asked,
        "umask": f"{context.umask:04o}",
        "user": context.user,
        "captured": dict(context.captured),
        "env": dict(context.env),
        "secrets": list(context.secrets),
        "origin": origin,
    }


def need(need: Need) -> Shape:
    """A job that another waits for; `state` is null when it was deleted."""
    state = None if need.state is None else need.state.value
    return {"id": need.job, "after": need.after.value, "state": state}


def cause(cause: Cause) -> Shape:
    """Why jobs are dead, and how many."""
    return {
        "id": cause.id,
        "program": cause.program,
        "ended": cause.ended,
        "line": cause.line,
        "dead": cause.dead,
        "first_at": iso(cause.first_at),
        "last_at": iso(cause.last_at),
        "example": cause.example,
    }


def whole_job(
    stored: Job,
    attempts: Sequence[Attempt],
    events: Sequence[Event],
    output: Sequence[Chunk],
    context: Context,
    needs: Sequence[Need] = (),
) -> Shape:
    """A job with all that is known of it. `output` is that of its last attempt.

    Of the environment only the names that `--env` set: the values may be secrets.
    """
    return {
        **job(stored),
        "cwd": context.cwd,
        "shell": context.shell,
        "directly": runs_directly(stored, context),
        "umask": f"{context.umask:04o}",
        "user": context.user,
        "env": sorted(context.env),
        "secrets": list(context.secrets),
        "attempt_history": [attempt(each) for each in attempts],
        "events": [event(each) for each in events],
        "output": texts(output),
        "after": [{**need(each), "met": each.met} for each in needs],
    }


def attempt(attempt: Attempt) -> Shape:
    """One run of a job."""
    return {
        "number": attempt.number,
        "worker": attempt.worker,
        "started_at": iso(attempt.started_at),
        "ended_at": _iso(attempt.ended_at),
        "result": attempt.result,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "reason": attempt.reason,
        "late": attempt.late,
        "output_bytes": attempt.output_bytes,
        "dropped_bytes": attempt.dropped_bytes,
        "duration": _seconds(attempt.ran),
        "cpu": _seconds(attempt.cpu),
        "peak_memory": attempt.peak_memory,
    }


def event(event: Event) -> Shape:
    """What a person did to a job."""
    return {"at": iso(event.at), "kind": event.kind, "user": event.user, "detail": event.detail}


def happening(happening: Happening) -> Shape:
    """Something that happened to a job, with its number; null where it does not apply."""
    return {
        "id": happening.id,
        "at": iso(happening.at),
        "kind": happening.kind,
        "job": happening.job,
        "user": happening.user,
        "detail": happening.detail,
        "attempt": happening.attempt,
        "worker": happening.worker,
        "result": happening.result,
        "exit_code": happening.exit_code,
        "signal": happening.signal,
        "reason": happening.reason,
        "state": None if happening.state is None else OUTWARD[State(happening.state)].value,
    }


def texts(chunks: Iterable[Chunk]) -> list[Shape]:
    """Output in order of arrival, what one stream wrote in a row together.

    Bytes are read as UTF-8; what is not becomes U+FFFD.
    """
    decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in Stream}
    pieces = (piece for chunk in chunks for piece in chunk.pieces)
    found = []
    for stream, run in groupby(pieces, key=lambda piece: piece.stream):
        text = decoders[stream].decode(b"".join(piece.data for piece in run))
        found.append({"stream": stream_name(stream), "text": text})
    for stream, decoder in decoders.items():
        if rest := decoder.decode(b"", final=True):
            found.append({"stream": stream_name(stream), "text": rest})
    return found


def stream_name(stream: Stream) -> str:
    """`stdout` or `stderr`."""
    return "stdout" if stream is Stream.OUT else "stderr"


def queue(queue: QueueInfo, estimate: Estimate) -> Shape:
    """A queue with its counts, and in how many seconds it may be empty."""
    return {
        "name": queue.name,
        "paused": queue.paused,
        "counts": queue_counts(queue),
        "max_running": queue.max_running,
        "empty_in": _seconds(estimate.queues.get(queue.name)),
    }


def queue_counts(counted: QueueInfo | LabelInfo) -> dict[str, int]:
    """The counts of one queue or label by outward state, zeros included."""
    return {
        outward.value: sum(counted.counts.get(state, 0) for state in STORED_AS[outward])
        for outward in JobState
    }


def label(label: LabelInfo) -> Shape:
    """A label with the counts of the jobs that have it."""
    return {"name": label.name, "counts": queue_counts(label)}


def schedule(schedule: Schedule) -> Shape:
    """A schedule; `next_at` is null while it is paused."""
    job = schedule.job
    return {
        "id": schedule.id,
        "name": schedule.name,
        "expression": schedule.expression,
        "zone": schedule.zone,
        "paused": schedule.paused,
        "missed": schedule.missed.value,
        "overlap": schedule.overlap,
        "next_at": _iso(schedule.next_at),
        "last_at": _iso(schedule.last_at),
        "last_result": schedule.last_result,
        "last_job": schedule.last_job,
        "last_state": schedule.last_state.value if schedule.last_state else None,
        "skipped": schedule.skipped,
        "created_at": iso(schedule.created_at),
        "command": job.command,
        "argv": None if job.argv is None else list(job.argv),
        "queue": job.queue,
        "priority": job.priority,
        "max_retries": job.max_retries,
        "timeout": None if job.timeout is None else job.timeout.total_seconds(),
        "cwd": job.context.cwd,
        "secrets": list(job.context.secrets),
        "user": job.context.user,
    }


def hook(hook: Hook) -> Shape:
    """What a queue runs at an event."""
    return {
        "queue": hook.queue,
        "event": hook.event.value,
        "command": hook.command,
        "argv": None if hook.argv is None else list(hook.argv),
        "timeout": hook.timeout.total_seconds(),
        "cwd": hook.context.cwd,
        "user": hook.context.user,
    }


def metrics(metrics: QueueMetrics, now: datetime) -> Shape:
    """What monitoring wants of a queue; a histogram counts up to each of `bounds`, and beyond."""
    due = metrics.oldest_due
    return {
        "queue": metrics.queue,
        "oldest_ready_age": None if due is None else max(0.0, (now - due).total_seconds()),
        "results": dict(metrics.results),
        "retries": metrics.retries,
        "late": metrics.late,
        "run_time": _histogram(metrics.ran),
        "wait_time": _histogram(metrics.waited),
    }


def _histogram(histogram: Histogram) -> Shape:
    return {
        "count": histogram.count,
        "seconds": histogram.seconds,
        "bounds": BUCKETS,
        "counts": histogram.counts,
    }


def pool(pool: PoolInfo) -> Shape:
    """A pool with its workers. `alive` is null where it cannot be known from here."""
    return {
        "name": pool.name,
        "host": pool.host,
        "pid": pool.pid,
        "detached": pool.detached,
        "alive": pool.alive,
        "stopping": pool.stopping,
        "wanted": pool.wanted,
        "running": pool.running,
        "queues": list(pool.queues),
        "started_at": iso(pool.started_at),
        "trouble": pool.trouble,
        "log": pool.log,
        "workers": [worker(each) for each in pool.workers],
        "most_workers": pool.most_workers,
        "slots": pool.slots,
    }


def worker(worker: WorkerInfo) -> Shape:
    """One worker; `job` is what it runs."""
    return {
        "name": worker.name,
        "pid": worker.pid,
        "alive": worker.alive,
        "started_at": iso(worker.started_at),
        "job": worker.job,
        "jobs": list(worker.jobs),
        "job_since": _iso(worker.job_since),
    }


def status(
    database: Database,
    counts: Counts,
    queues: Sequence[QueueInfo],
    pools: Sequence[PoolInfo],
    estimate: Estimate,
    keep: timedelta | None,
    trouble: str | None,
) -> Shape:
    """Everything at a glance; `counts` goes from outward state to number."""
    return {
        "db": database.location,
        "counts": {state.value: number for state, number in counts.outward().items()},
        "queues": [queue(each, estimate) for each in queues],
        "pools": [pool(each) for each in pools],
        "empty_in": _seconds(estimate.total),
        "max_running": counts.max_running,
        "keep_completed": _seconds(keep),
        "trouble": trouble,
    }


def copied(copied: Copied) -> Shape:
    """A backup."""
    return {"path": copied.path, "bytes": copied.size, "counts": _numbers(copied.jobs)}


def restored(done: Restored) -> Shape:
    """What a restore changed; `before` is null where nothing could be counted."""
    return {
        "db": done.path,
        "before": None if done.before is None else _numbers(done.before),
        "counts": _numbers(done.jobs),
        "lost": [{"id": job, "state": state.value} for job, state in done.lost.items()],
        "kept": done.kept,
        "kept_whole": done.kept_whole,
        "generation": done.generation,
        "upgraded_from": done.upgraded_from,
    }


def pruned(done: Pruned, *, dry_run: bool) -> Shape:
    """What a prune removed, or would."""
    return {
        "removed": 0 if dry_run else done.count,
        "would_remove": done.count if dry_run else 0,
        "counts": _numbers(done.jobs),
        "output_bytes": done.output,
        "returned_bytes": done.returned,
        "waited_for": done.waited_for,
    }


def finding(finding: Finding) -> Shape:
    """What a check of `doctor` found; `level` is ok, note, warn or bad."""
    return {
        "check": finding.check,
        "level": finding.level.name.lower(),
        "text": finding.text,
        "advice": finding.advice,
    }


def _numbers(jobs: Mapping[JobState, int]) -> dict[str, int]:
    return {state.value: number for state, number in jobs.items()}


def print_json(value: object) -> None:
    """Print one value: indented ASCII on a terminal, where it cannot do harm, else one line."""
    person = on_terminal()
    json.dump(value, sys.stdout, indent=2 if person else None, ensure_ascii=person)
    sys.stdout.write("\n")


def print_json_line(value: object) -> None:
    """Print one value on one line, as an element of a stream."""
    sys.stdout.write(json.dumps(value, ensure_ascii=on_terminal()) + "\n")


def print_json_array(values: Iterable[object]) -> None:
    """Print an array of any length, an element a line, holding one element at a time."""
    person = on_terminal()
    before = "[\n"
    for value in values:
        sys.stdout.write(before + json.dumps(value, ensure_ascii=person))
        before = ",\n"
    sys.stdout.write("[]\n" if before == "[\n" else "\n]\n")


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds(), 3)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)
