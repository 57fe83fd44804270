"""The one reason why a job does not run, as a sentence with what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from queuectl_engine.job import Job, JobState, PoolInfo, State
from queuectl_engine.safe_text import safe_text


def explain(job: Job, pools: Sequence[PoolInfo], *, paused: bool, now: datetime) -> str:
    """Why the job is not running, or what it does, and which schedule added it.

    `pools` are all that are known; `paused` is its queue. The first reason in the order in which
    they would have to be removed.
    """
    added = f"; schedule {job.schedule_id} added it" if job.schedule_id else ""
    return _reason(job, pools, paused=paused, now=now) + added


def _reason(job: Job, pools: Sequence[PoolInfo], *, paused: bool, now: datetime) -> str:
    match job.stored:
        case State.PROCESSING:
            return _running(job)
        case State.COMPLETED | State.CANCELLED | State.DEAD:
            return _ended(job)
        case State.SCHEDULED | State.FAILED if job.run_at > now:
            return _later(job)
        case State.BLOCKED:
            return "it waits for another job"
    queue = safe_text(job.queue)
    if paused:
        return f"queue {queue} is paused; 'queuectl resume {queue}' lets it go on"
    return _unserved(job, pools) or "it is ready, and starts as soon as a worker looks"


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
    workers = [worker for pool in staying for worker in pool.workers if worker.alive]
    if not workers:
        return "the pools that serve it have no worker; 'queuectl scale +1' adds one"
    if all(worker.job is not None for worker in workers):
        return f"all {len(workers)} workers that serve it are busy with other jobs"
    return None
