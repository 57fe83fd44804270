"""A program that uses queuectl as a library: type-checked strictly and run by the tests.

Usage: consumer_sample.py DATABASE
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from queuectl_engine import (
    Added,
    Attempt,
    Engine,
    Job,
    JobState,
    NewJob,
    QueuectlError,
    View,
    open_engine,
    parse_duration,
    safe_text,
)


def thumbnails(engine: Engine, names: Sequence[str]) -> Iterator[NewJob]:
    """One job a picture. Names go in as arguments, never as shell text."""
    context = engine.context(env={"SIZE": "200"})
    for name in names:
        yield engine.new_job(
            ["convert", name, "-resize", "200", f"small-{name}"],
            context,
            queue="pictures",
            key=f"thumbnail {name}",
            timeout=parse_duration("5m"),
            run_at=datetime.now(UTC) + timedelta(days=1),
        )


def report(engine: Engine) -> str:
    """What a status page would show."""
    counts: dict[JobState, int] = engine.counts().outward()
    waiting: list[Job] = list(engine.jobs(JobState.PENDING, queue="pictures", limit=3))
    newest: tuple[Job, ...] = engine.page(View.FINISHED, limit=1).jobs
    history: list[Attempt] = engine.attempts(newest[0].id) if newest else []
    lines = [safe_text(job.command) for job in (*waiting, *newest)]
    return f"{counts[JobState.PENDING]} pending, {len(history)} runs: " + "; ".join(lines)


def main(path: str) -> int:
    """Queue some pictures, cancel one, say what there is."""
    try:
        with open_engine(path, create=True) as engine:
            added: list[Added] = engine.add_many(thumbnails(engine, ["a.png", "b c.png"]))
            still_running: list[int] = engine.cancel(added[0].id)
            assert not still_running
            print(report(engine))  # noqa: T201 - a program prints
    except QueuectlError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
