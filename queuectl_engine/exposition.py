"""Metrics as OpenMetrics text. Loaded only by those who print or serve it: it needs a library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from queuectl_engine.job import STORED_AS, JobState, PoolInfo, QueueInfo
from queuectl_engine.metrics import BUCKETS, Histogram, QueueMetrics

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_BOUNDS: Final = (*(f"{float(bound)}" for bound in BUCKETS), "+Inf")


def openmetrics(
    queues: Sequence[QueueInfo],
    metrics: Sequence[QueueMetrics],
    pools: Sequence[PoolInfo],
    now: datetime,
) -> bytes:
    """All of it as one page."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fixed([*_of_queues(queues), *_of_metrics(metrics, now), *_of_pools(pools)]))
    return bytes(generate_latest(registry))  # type: ignore[no-untyped-call] # theirs


class _Fixed:
    """What the registry asks for metrics: they are there already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        """The families, in their order."""
        return self._families


def _of_queues(queues: Sequence[QueueInfo]) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("queuectl_jobs", "Jobs by state.", labels=["queue", "state"])
    paused = GaugeMetricFamily("queuectl_queue_paused", "1 when it is paused.", labels=["queue"])
    for queue in queues:
        for state in JobState:
            number = sum(queue.counts.get(stored, 0) for stored in STORED_AS[state])
            jobs.add_metric([queue.name, state.value], number)
        paused.add_metric([queue.name], int(queue.paused))
    yield from (jobs, paused)


def _of_metrics(metrics: Sequence[QueueMetrics], now: datetime) -> Iterator[Metric]:
    age = GaugeMetricFamily(
        "queuectl_oldest_ready_age",
        "Since when the ready job that waits longest is due; 0 when none is ready.",
        labels=["queue"],
        unit="seconds",
    )
    attempts = CounterMetricFamily(
        "queuectl_attempts", "Ended attempts by result.", labels=["queue", "result"]
    )
    counters = {
        name: CounterMetricFamily(f"queuectl_{name}", text, labels=["queue"])
        for name, text in (
            ("retries", "Attempts that began because one before had failed."),
            ("rescues", "Jobs taken over from workers that had died: attempts that were lost."),
            ("late_results", "Results that came after their job had moved on, without effect."),
        )
    }
    ran = _histogram("queuectl_run_time", "How long attempts ran.")
    waited = _histogram("queuectl_wait_time", "How long jobs were due before an attempt began.")
    for one in metrics:
        due = one.oldest_due
        age.add_metric([one.queue], max(0.0, (now - due).total_seconds()) if due else 0.0)
        for result, number in sorted(one.results.items()):
            attempts.add_metric([one.queue, result], number)
        counters["retries"].add_metric([one.queue], one.retries)
        counters["rescues"].add_metric([one.queue], one.results.get("lost", 0))
        counters["late_results"].add_metric([one.queue], one.late)
        _add(ran, one.queue, one.ran)
        _add(waited, one.queue, one.waited)
    yield from (age, attempts, *counters.values(), ran, waited)


def _of_pools(pools: Sequence[PoolInfo]) -> Iterator[Metric]:
    families = {
        name: GaugeMetricFamily(f"queuectl_{name}", text, labels=["pool", "host"])
        for name, text in (
            ("pool_up", "1 when the pool's supervisor lives, 0 when it died without leave."),
            ("pool_workers", "Workers that live."),
            ("pool_workers_wanted", "Workers that the pool was told to have."),
            ("pool_workers_busy", "Workers that run a job."),
        )
    }
    for pool in pools:
        busy = sum(worker.alive and worker.job is not None for worker in pool.workers)
        numbers = (int(pool.alive is not False), pool.running, pool.wanted, busy)
        for family, number in zip(families.values(), numbers, strict=True):
            family.add_metric([pool.name, pool.host], number)
    yield from families.values()


def _histogram(name: str, text: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(name, text, labels=["queue"], unit="seconds")


def _add(family: HistogramMetricFamily, queue: str, histogram: Histogram) -> None:
    below = accumulate(histogram.counts)
    family.add_metric([queue], list(zip(_BOUNDS, below, strict=True)), histogram.seconds)
