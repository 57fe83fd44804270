"""The columns that make jobs and attempts; what they mean is the same in every store."""

from __future__ import annotations

from typing import Final

from queuectl_engine.repository.rows import (
    attempt_of,
    body_of,
    chunk_of,
    context_of,
    ids_text,
    job_of,
    labels_text,
    marks_of,
    moment,
    moment_or_none,
    ms,
    need_of,
)

__all__ = [
    "ATTEMPT",
    "JOB",
    "JOB_WIDTH",
    "attempt_of",
    "body_of",
    "chunk_of",
    "context_of",
    "ids_text",
    "job_of",
    "labels_text",
    "marks_of",
    "moment",
    "moment_or_none",
    "ms",
    "need_of",
]

# In the order of the fields of `Job`. A job whose worker is not registered any more shows none.
JOB: Final = """
    job.id, job.key, job.command, job.argv, job.state,
    (SELECT name FROM queue WHERE queue.id = job.queue),
    job.priority, job.attempts, job.runs, job.deaths, job.max_retries, job.timeout_ms,
    job.allow_background, job.log_file, job.run_at_ms, job.created_ms, job.updated_ms,
    job.started_ms, job.finished_ms, job.reason,
    (SELECT 'w' || number FROM worker WHERE worker.id = job.worker),
    job.cancel_ms, job.parked, job.context, job.cause,
    job.labels, job.retry_on, job.no_retry_on, job.schedule, job.on_dead, job.on_completed,
    job.mutex,
    iif(job.mutex IS NULL, NULL, (SELECT holder.id FROM job AS holder
      WHERE holder.mutex = job.mutex AND holder.state = 'processing' AND holder.id <> job.id)),
    iif(job.waits IS 'jobs', (
     SELECT json_group_array(json_array(few.parent, few.after, parent.state))
      FROM (SELECT id, parent, after FROM need WHERE need.child = job.id AND need.met = 0
             ORDER BY id LIMIT 20) AS few
      LEFT JOIN job AS parent ON parent.id = few.parent), NULL)
"""
JOB_WIDTH: Final = 34
ATTEMPT: Final = """
    job, number, worker, started_ms, ended_ms, result, exit_code, signal, reason, late,
    output_bytes, dropped_bytes, cpu_ms, peak_kib
"""
