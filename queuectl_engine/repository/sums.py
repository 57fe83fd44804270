"""What happenings mean and how they are summed: the same in every store."""

from __future__ import annotations

from typing import Final

from queuectl_engine.job import Happening
from queuectl_engine.metrics import BUCKETS, Histogram, QueueMetrics
from queuectl_engine.repository.rows import Row, moment, moment_or_none

_NOT_RUN: Final = frozenset({"given back", "not started", "lost"})  # for how long, nobody knows


def bucket(duration: str) -> str:
    """SQL for the histogram's bucket of a duration in ms."""
    whens = (f"WHEN {duration} <= {int(b * 1000)} THEN {n}" for n, b in enumerate(BUCKETS))
    return f"CASE {' '.join(whens)} ELSE {len(BUCKETS)} END"


def gap(upto: int) -> Happening:
    """Stands for what is not kept any more."""
    detail = f"what happened up to {upto} is not kept any more"
    return Happening(upto, moment(0), "gap", None, detail=detail)


def metrics_of(queue: str, sums: list[Row], oldest: int | None) -> QueueMetrics:
    """The metrics of a queue from rows of kind, bucket, number and ms."""
    results: dict[str, int] = {}
    ran, waited, retries, late = Histogram(), Histogram(), 0, 0
    for kind, bucket, n, total in sums:
        one = Histogram.of(bucket, n, total / 1000)
        if kind in ("first", "retry"):
            waited, retries = waited + one, retries + (n if kind == "retry" else 0)
        elif kind == "late":
            late += n
        else:
            results[kind] = results.get(kind, 0) + n
            ran = ran if kind in _NOT_RUN else ran + one
    return QueueMetrics(queue, results, ran, waited, retries, late, moment_or_none(oldest))
