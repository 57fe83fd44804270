"""Jobs that leave evidence of each start and end, and the checker of what may never happen."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from queuectl_engine import Engine, Job, JobState
from queuectl_engine.lifecycle import FINAL

_CHARGED: Final = {"completed", "failed", "timed out", "lost", "cancelled"}


@dataclass(frozen=True)
class Mark:
    """A line of evidence: which attempt of which job began or ended, by the boot clock."""

    job: int
    token: str
    what: str
    at: int


def command(evidence: Path, work: str = "true") -> str:
    """A shell line that marks its start and its end around some work.

    Each line is one small append, which is atomic; times are nanoseconds since boot.
    """
    mark = (
        f"echo \"$QUEUECTL_JOB_ID $QUEUECTL_TOKEN %s $(cut -d' ' -f1 /proc/uptime)\" >> {evidence}"
    )
    return f"{mark % 'start'}; {work}; code=$?; {mark % 'end'}; exit $code"


def read(evidence: Path) -> list[Mark]:
    """All marks in the order in which they were written."""
    marks = []
    for line in evidence.read_text().splitlines() if evidence.exists() else []:
        job, token, what, at = line.split()
        marks.append(Mark(int(job), token, what, round(float(at) * 1000)))
    return marks


def check(engine: Engine, acknowledged: list[int], evidence: Path) -> None:
    """Assert what must hold when a storm is over and everything has come to rest.

    Order in the file is the order of events: each mark is appended when it happens.
    """
    marks = read(evidence)
    by_job: dict[int, list[Mark]] = defaultdict(list)
    for mark in marks:
        by_job[mark.job].append(mark)
    jobs = engine.get_all(acknowledged)
    for job in jobs:
        assert job.stored in FINAL, f"{job} has not come to an end"
        _check_job(engine, job, by_job[job.id])
    counted = Counter(job.stored for job in engine.jobs())
    assert dict(counted) == dict(engine.counts().stored), "counters differ from a recount"


def check_tokens(engine: Engine, evidence: Path) -> None:
    """Assert what holds even when the store has forgotten its last moments.

    What ran then may run once more, beside it even, but each time by another token: no token began
    twice, and a job is completed only after its command has ended.
    """
    began = Counter(mark.token for mark in read(evidence) if mark.what == "start")
    ended = {mark.job for mark in read(evidence) if mark.what == "end"}
    assert set(began.values()) == {1}, f"began more than once: {began.most_common(3)}"
    for job in engine.jobs():
        attempts = engine.attempts(job.id)
        assert [a.number for a in attempts] == list(range(1, len(attempts) + 1))
        assert all(a.result for a in attempts), f"an attempt of {job.id} never ended"
        if job.state is JobState.COMPLETED:
            assert attempts[-1].result == "completed"
            assert job.id in ended, f"job {job.id} completed without an end"
    counted = Counter(job.stored for job in engine.jobs())
    assert dict(counted) == dict(engine.counts().stored), "counters differ from a recount"


def _check_job(engine: Engine, job: Job, marks: list[Mark]) -> None:
    attempts = engine.attempts(job.id)
    assert [a.number for a in attempts] == list(range(1, len(attempts) + 1))
    assert all(a.result for a in attempts), f"an attempt of {job.id} never ended"
    charged = sum(a.result in _CHARGED for a in attempts)
    assert charged <= job.max_retries + 1, f"job {job.id} was charged {charged} times"

    starts = [mark.token for mark in marks if mark.what == "start"]
    assert len(starts) == len(set(starts)), f"an attempt of {job.id} began twice"
    assert len(starts) <= len(attempts)
    if job.state is JobState.COMPLETED:
        assert attempts[-1].result == "completed"
        assert marks[-1].what == "end", f"job {job.id} completed without an end"
    # Attempts may not overlap: after a start nothing of an earlier attempt is heard again.
    current: str | None = None
    seen: set[str] = set()
    for mark in marks:
        if mark.token != current:
            assert mark.token not in seen, f"two attempts of job {job.id} ran at once: {marks}"
            assert mark.what == "start"
            current = mark.token
            seen.add(mark.token)
