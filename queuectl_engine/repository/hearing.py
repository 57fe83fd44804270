"""What those hear who watch: happenings in their order, and sums for monitoring, from any store.

A store writes a small row for each happening. The sums follow a few seconds later, from the
happenings, so that claims and settlements do not pay for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from queuectl_engine.job import Happening
from queuectl_engine.metrics import BUCKETS, Histogram, QueueMetrics
from queuectl_engine.repository.kinds import STATES, Kind
from queuectl_engine.repository.rows import Reader, Row, moment, moment_or_none

KEPT: Final = 500_000  # happenings
FORGOTTEN_AT_ONCE: Final = 20_000
TALLIED_AT_ONCE: Final = 20_000
TALLIED: Final = "SELECT upto FROM tallied"
_ROWS: Final = 200  # in one read; each stands for one happening or many
_LAST: Final = "SELECT id FROM happening ORDER BY id DESC LIMIT 1"
_FIRST: Final = "SELECT id, kind, n FROM happening ORDER BY id LIMIT 1"
_NOT_RUN: Final = frozenset({"given back", "not started", "lost"})  # for how long, nobody knows


@dataclass(frozen=True, slots=True)
class Hearing:
    """Reads what happened, in the SQL of one store.

    `read` has a place for `of_job`, its condition for one job. `jobs` and `events` tell between two
    ids, in their order, what rows of adds and acts stand for. `sums` is over the happenings of a
    range: by queue, kind and bucket. `oldest` is when the ready job that waits longest was due, by
    queue.
    """

    read: str
    of_job: str
    jobs: str
    events: str
    sums: str
    oldest: str

    def happenings(
        self, db: Reader, since: int | None, limit: int, job: int | None
    ) -> tuple[list[Happening], int]:
        """Those after number `since`, and the number up to which all was looked at."""
        kept_from = _first(db)
        if since is None:
            since = kept_from - 1
        elif since < kept_from - 1:
            return [_gap(kept_from - 1)], kept_from - 1
        sql = self.read.format(more="" if job is None else self.of_job)
        rows = db.run(sql, {"since": since, "rows": min(limit, _ROWS), "job": job})
        found: list[Happening] = []
        for row in rows:
            for happening in self._told(db, row, since, limit - len(found)):
                since = happening.id
                if job in (None, happening.job):
                    found.append(happening)
            if len(found) >= limit:
                return found, since
            since = row[0]
        return found, since if len(rows) == min(limit, _ROWS) else max(since, last(db))

    def metrics(self, db: Reader) -> list[QueueMetrics]:
        """Every queue by name; reads a few dozen rows a queue, whatever the number of jobs."""
        sums: dict[int, list[Row]] = {}
        since = db.value(TALLIED)
        rest = db.run(self.sums, {"since": since, "upto": since + TALLIED_AT_ONCE})
        for queue, *one in db.run("SELECT queue, kind, bucket, n, ms FROM tally") + rest:
            sums.setdefault(queue, []).append(tuple(one))
        oldest: dict[int, int] = dict(db.run(self.oldest))
        return [
            _metrics_of(name, sums.get(queue, []), oldest.get(queue))
            for queue, name in db.run("SELECT id, name FROM queue ORDER BY name")
        ]

    def oldest_due(self, db: Reader) -> datetime | None:
        """Since when the ready job that waits longest is due, over all queues."""
        return moment_or_none(min((due for _, due in db.run(self.oldest)), default=None))

    def _told(self, db: Reader, row: Row, since: int, limit: int) -> Iterator[Happening]:
        """What a row stands for, after number `since`; nothing for jobs that are gone."""
        number, kind, ref, attempt, n, began, over, worker, *ending = row
        if kind in (Kind.ADDED, Kind.ACT):
            before = number - n  # so the thing `ref + k` has the number `before + 1 + k`
            start = ref + max(0, since - before)
            stop = min(ref + n - 1, start + limit - 1)
            for thing, at, job, what, user, detail in db.run(
                self.jobs if kind == Kind.ADDED else self.events, (start, stop)
            ):
                yield Happening(
                    before + 1 + thing - ref, moment(at), what, job, user=user, detail=detail
                )
        elif worker is None or kind == Kind.LATE:
            return
        elif kind == Kind.ENDED:
            names = ("result", "exit_code", "signal", "reason")
            told: dict[str, Any] = dict(zip(names, ending, strict=True))
            state = STATES[n].value
            yield Happening(
                number,
                moment(over),
                "ended",
                ref,
                attempt=attempt,
                worker=worker,
                state=state,
                **told,
            )
        else:
            yield Happening(number, moment(began), "started", ref, attempt=attempt, worker=worker)


def last(db: Reader) -> int:
    """The number of the newest happening that has one, 0 before the first."""
    return int(db.value(_LAST) or 0)


def forget_before(db: Reader) -> int:
    """The number before which happenings may go, 0 when none need; never uncounted ones."""
    bound = min(last(db) - KEPT, db.value(TALLIED))
    return int(bound) if bound > 0 and _first(db) < bound else 0


def _first(db: Reader) -> int:
    """The smallest number that is kept."""
    rows = db.run(_FIRST)
    if not rows:
        return 1
    number, kind, n = rows[0]
    return int(number - n + 1 if kind in (Kind.ADDED, Kind.ACT) else number)


def bucket(duration: str) -> str:
    """SQL for the histogram's bucket of a duration in ms."""
    whens = (f"WHEN {duration} <= {int(b * 1000)} THEN {n}" for n, b in enumerate(BUCKETS))
    return f"CASE {' '.join(whens)} ELSE {len(BUCKETS)} END"


def _gap(upto: int) -> Happening:
    """Stands for what is not kept any more."""
    detail = f"what happened up to {upto} is not kept any more"
    return Happening(upto, moment(0), "gap", None, detail=detail)


def _metrics_of(queue: str, sums: list[Row], oldest: int | None) -> QueueMetrics:
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
