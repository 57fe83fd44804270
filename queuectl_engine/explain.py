"""The one reason why a job does not run, as a sentence with what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from queuectl_engine.job import (
    After,
    Counts,
    Job,
    JobState,
    PoolInfo,
    QueueInfo,
    State,
    WorkerInfo,
)
from queuectl_engine.safe_text import safe_text

_ENDED: Final = (JobState.COMPLETED, JobState.DEAD, JobState.CANCELLED)


def explain(
    job: Job, pools: Sequence[PoolInfo], *, queue: QueueInfo, counts: Counts, now: datetime
) -> str:
    """Why the job is not running, or what it does, and which schedule added it.

    `pools` are all that are known, `queue` is its queue, `counts` are over all queues. The first
    reason in the order in which they would have to be removed.
    """
    added = f"; schedule {job.schedule_id} added it" if job.schedule_id else ""
    return _reason(job, pools, queue=queue, counts=counts, now=now) + added


def _reason(
    job: Job, pools: Sequence[PoolInfo], *, queue: QueueInfo, counts: Counts, now: datetime
) -> str:
    match job.stored:
        case State.PROCESSING:
            return _running(job)
        case State.COMPLETED | State.CANCELLED | State.DEAD:
            return _ended(job)
        case State.SCHEDULED | State.FAILED if job.run_at > now:
            return _later(job)
        case State.BLOCKED if job.waits_for:
            return _waits(job)
    name = safe_text(job.queue)
    if queue.paused:
        return f"queue {name} is paused; 'queuectl resume {name}' lets it go on"
    return (
        _unserved(job, pools)
        or _limited(queue, counts)
        or _excluded(job)
        or _busy(job, pools)
        or "it is ready, and starts as soon as a worker looks"
    )


def _waits(job: Job) -> str:
    """The needs that only a person can meet come first."""
    need = min(job.waits_for, key=lambda each: not each.stuck)
    must = {After.OK: "complete", After.ANY: "end", After.FAIL: "die"}[need.after]
    if need.stuck:
        became = f"is {need.state}" if need.state else "was deleted"
        again = need.after is After.OK and need.state is not None
        way = f"'queuectl requeue {need.job}'" if again else f"'queuectl cancel {job.id}'"
        other = f"'queuectl edit {job.id} --after-{need.after} \"\"'"
        return f"it waits for job {need.job} to {must}, but that {became}; try {way} or {other}"
    if need.state in _ENDED:
        return f"job {need.job} is {need.state}: what waited for it is being freed"
    others = "" if len(job.waits_for) == 1 else ", and for others"
    return f"it waits for job {need.job}, which is {need.state}, to {must}{others}"


def _limited(queue: QueueInfo, counts: Counts) -> str | None:
    running, name = queue.counts.get(State.PROCESSING, 0), safe_text(queue.name)
    if queue.max_running is not None and running >= queue.max_running:
        more = f"'queuectl limit {name} --max-running N' changes it"
        return f"queue {name} runs its limit of {queue.max_running}; {more}"
    if counts.max_running is not None and counts.of(State.PROCESSING) >= counts.max_running:
        more = "'queuectl limit --max-running N' changes it"
        return f"all queues together run their limit of {counts.max_running}; {more}"
    return None


def _excluded(job: Job) -> str | None:
    if job.mutex is None or job.mutex_holder is None:
        return None
    return f"mutex {safe_text(job.mutex)} is held by job {job.mutex_holder}"


def _running(job: Job) -> str:
    if job.parked:
        return f"it is stuck in processing: {safe_text(job.parked)}"
    if job.cancel_asked:
        return "a cancel was asked for; its worker is ending it"
    return f"it runs on {job.worker or 'a worker that is gone; the next pool takes it over'}"


def _ended(job: Job) -> str:
    why = f" ({safe_text(job.reason)})" if job.reason and job.state is JobState.DEAD else ""
    return f"it is {job.state}{why}; 'queuectl requeue {job.id}' runs it again"


def _later(job: Job) -> str:
    at = job.run_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if job.stored is State.FAILED:
        return f"it failed ({safe_text(job.reason or '')}) and is tried again at {at}"
    return f"it is scheduled for {at}"


def _unserved(job: Job, pools: Sequence[PoolInfo]) -> str | None:
    living = [pool for pool in pools if pool.alive is not False]
    if not living:
        return "no pool runs; 'queuectl worker --detach' starts one"
    serving = [pool for pool in living if not pool.queues or job.queue in pool.queues]
    if not serving:
        return f"no pool that runs serves queue {safe_text(job.queue)}"
    staying = [pool for pool in serving if pool.stopping is None]
    if not staying:
        return "every pool that serves it is stopping"
    if not _workers(job, pools):
        return "the pools that serve it have no worker; 'queuectl scale +1' adds one"
    return None


def _busy(job: Job, pools: Sequence[PoolInfo]) -> str | None:
    workers = _workers(job, pools)
    slots = {worker.id: pool.slots for pool in pools for worker in pool.workers}
    if all(worker.running >= slots[worker.id] for worker in workers):
        if len(workers) == 1:
            return "the only worker that serves it is busy with other jobs"
        return f"all {len(workers)} workers that serve it are busy with other jobs"
    return None


def _workers(job: Job, pools: Sequence[PoolInfo]) -> list[WorkerInfo]:
    """Those that may take it."""
    return [
        worker
        for pool in pools
        if pool.alive is not False and pool.stopping is None
        if not pool.queues or job.queue in pool.queues
        for worker in pool.workers
        if worker.alive
    ]
