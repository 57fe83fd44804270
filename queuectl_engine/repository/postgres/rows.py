"""The columns that make jobs and attempts; what they mean is the same in every store."""

from __future__ import annotations

from typing import Final

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
    CASE WHEN job.mutex IS NOT NULL THEN (SELECT holder.id FROM job AS holder
      WHERE holder.mutex = job.mutex AND holder.state = 'processing' AND holder.id <> job.id) END,
    CASE WHEN job.waits = 'jobs' THEN (
     SELECT json_agg(json_build_array(few.parent, few.after, parent.state) ORDER BY few.id)::text
      FROM (SELECT id, parent, after FROM need WHERE need.child = job.id AND NOT need.met
             ORDER BY id LIMIT 20) AS few
      LEFT JOIN job AS parent ON parent.id = few.parent) END
"""
ATTEMPT: Final = """
    job, number, worker, started_ms, ended_ms, result, exit_code, signal, reason, late,
    output_bytes, dropped_bytes, cpu_ms, peak_kib
"""
