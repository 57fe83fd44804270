"""What SQLite does for a claim, for counts and for a window: the same however many jobs there are.

Measured in steps of its virtual machine, which do not depend on the machine that runs the test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol, TypeVar

import apsw
import apsw.ext
import pytest

from queuectl_engine.cause import Signature
from queuectl_engine.filter import Filter, parse_filter
from queuectl_engine.hook import HookEvent, new_hook
from queuectl_engine.job import JobState, NewJob, View
from queuectl_engine.keeping import Pruned
from queuectl_engine.lifecycle import Exited
from queuectl_engine.pruning import prune
from queuectl_engine.repository import open_repository
from queuectl_engine.repository.protocol import Claim, Ended
from tests.repository.driver import Driver
from tests.samples import CONTEXT, NOON, SECOND, new

ERROR = parse_filter("error", now=NOON)
SIZES = (900, 9_000)
RUNNING = 45  # never more than there are workers, so the same in both sizes


def kind_of(number: int) -> int:
    """What becomes of a job: a fifth of them each, in every queue alike."""
    return (number - 1) // 3 % 5


class Measured(Protocol):
    """What can be measured: the connection below a repository."""

    db: apsw.Connection


C = TypeVar("C", bound=Measured)


class Crowd:
    """A database with a number of jobs: ready, completed, dead, failed, and a few processing."""

    def __init__(self, path: Path, size: int, connections: list[apsw.Connection]) -> None:
        self.repo = open_repository(str(path), create=True)
        self.db = connections[-1]
        self.drive = Driver(self.repo)
        self.repo.pause(["q9"], paused=True)  # a queue that has no jobs
        self.repo.add([self.job(n + 1) for n in range(size)], now=NOON)
        claims = self.drive.turn(room=size * 4 // 5).claims
        self.drive.turn(
            *(
                self.ended(claim, Exited(int(kind_of(claim.job.id) in (2, 3))))
                for claim in claims
                if kind_of(claim.job.id) != 4 or claim.job.id > 5 * RUNNING
            )
        )
        self.drive.later(SECOND / 2)  # no retry is due
        self.repo.maintain(now=self.drive.now)  # the sums are stored
        self.middle = {view: self.repo.page(view, limit=size // 20).keys[-1] for view in View}

    def ended(self, claim: Claim, ending: Exited) -> Ended:
        """Those that fail do so of one of three causes, whatever the size."""
        signature = Signature("curl", "exit 1", f"error {claim.job.id % 3}")
        ended = self.drive.ended(claim, ending)
        return ended._replace(signature=signature) if ending.code else ended

    def job(self, number: int) -> NewJob:
        """Kind 0 comes last in line, so it stays ready; kind 2 dies, kind 3 is retried."""
        kind = kind_of(number)
        priority = number % 7 if kind else -1 - number % 2
        return new(queue=f"q{number % 3}", priority=priority, max_retries=int(kind == 3))


@contextmanager
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Crowd]]:
    connections: list[apsw.Connection] = []
    apsw.connection_hooks.append(connections.append)
    try:
        crowds = [
            Crowd(tmp_path_factory.mktemp("crowd") / "queue.db", size, connections)
            for size in SIZES
        ]
    finally:
        apsw.connection_hooks.remove(connections.append)
    with ExitStack() as stack:
        for crowd in crowds:
            stack.enter_context(closing(crowd.repo))
        yield crowds


@pytest.fixture(scope="module")
def crowds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Crowd]]:
    """A small and a tenfold database."""
    with made(tmp_path_factory) as crowds:
        yield crowds


@pytest.fixture
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Crowd]]:
    """The same, and no other test has run any of its jobs."""
    with made(tmp_path_factory) as crowds:
        yield crowds


def window(view: View, *, middle: bool = False, up: bool = False) -> Callable[[Crowd], object]:
    return lambda crowd: crowd.repo.page(
        view, limit=20, at=crowd.middle[view] if middle else None, backwards=up
    )


def settle_with_hooks(crowd: Crowd) -> None:
    """In a queue that has every hook."""
    for event in HookEvent:
        crowd.repo.set_hook(new_hook("q2", event, "true", CONTEXT))
    crowd.drive.run(Exited(0), "q2")
    for due in crowd.repo.take_hooks(crowd.drive.pool.id, room=9):
        crowd.repo.end_hook(due, crowd.drive.pool.id, failed=None, now=NOON)
    for event in HookEvent:
        crowd.repo.delete_hook("q2", event)


def limits(crowd: Crowd) -> None:
    """A claim and an end where every limit is looked at; none is in the way."""
    crowd.repo.limit(None, 1_000_000)
    crowd.repo.limit(["q0", "q1", "q2"], 1_000_000)
    crowd.drive.run(Exited(0))
    crowd.repo.limit(["q0", "q1", "q2"], None)
    crowd.repo.limit(None, None)


def retention(crowd: Crowd) -> None:
    """A setting by which nothing is too old yet."""
    crowd.repo.set_retention(timedelta(days=1))
    crowd.repo.maintain(now=crowd.drive.now)
    crowd.repo.set_retention(None)


def prune_nothing(crowd: Crowd) -> Pruned:
    before = NOON - timedelta(days=1)
    return prune(
        crowd.repo, before, (JobState.COMPLETED, JobState.DEAD), Filter(), count_only=False
    )


WORK: dict[str, Callable[[Crowd], object]] = {
    "claim": lambda crowd: crowd.drive.claim(),
    "claim of one queue": lambda crowd: crowd.drive.claim("q1"),
    "settle": lambda crowd: crowd.drive.run(Exited(0)),
    "settle with hooks": settle_with_hooks,
    "claim and settle with limits": limits,
    "counts": lambda crowd: crowd.repo.counts(),
    "causes": lambda crowd: crowd.repo.causes(limit=50, wanted=Filter()),
    "causes that match": lambda crowd: crowd.repo.causes(limit=50, wanted=ERROR),
    "queues": lambda crowd: crowd.repo.queues(),
    "last runs": lambda crowd: crowd.repo.last_ran(limit=50),
    "remaining": lambda crowd: crowd.repo.remaining(crowd.drive.pool),
    "oldest due": lambda crowd: crowd.repo.oldest_due(),
    "last happening": lambda crowd: crowd.repo.last_happening(),
    "the next happenings": lambda crowd: crowd.repo.happenings(
        since=crowd.repo.last_happening() - 20, limit=20
    ),
    "pause": lambda crowd: crowd.repo.pause(["q9"], paused=True),
    "no hook": lambda crowd: crowd.repo.hooks_wait(),
    "nothing to prune": prune_nothing,
    "nothing fires": lambda crowd: crowd.repo.next_firing(),
    "nothing due": lambda crowd: crowd.repo.promote(now=crowd.drive.now),
    "add": lambda crowd: crowd.drive.add(queue="q0", key=None),
    **{f"first window of {view}": window(view) for view in View},
    **{f"last window of {view}": window(view, up=True) for view in View},
    **{f"next window of {view}": window(view, middle=True) for view in View},
    **{f"window before in {view}": window(view, middle=True, up=True) for view in View},
}


# What reads the sums has as many rows as there were kinds of ends and of waits, and of which kind
# were those that other tests ran is not the same in both.
OF_SUMS: dict[str, Callable[[Crowd], object]] = {
    "metrics": lambda crowd: crowd.repo.metrics(),
    "retention": retention,
}


@contextmanager
def traced(db: apsw.Connection) -> Iterator[list[dict[str, object]]]:
    """What SQLite reports of each statement that runs meanwhile."""
    statements: list[dict[str, object]] = []
    db.trace_v2(apsw.SQLITE_TRACE_PROFILE, statements.append, id=statements)
    try:
        yield statements
    finally:
        db.trace_v2(0, None, id=statements)


def steps(crowd: C, work: Callable[[C], object]) -> int:
    with traced(crowd.db) as statements:
        work(crowd)
    # That one follows a checkpoint, which comes when the log is long: of all that was done so far.
    counted = [each for each in statements if each["sql"] != "PRAGMA shrink_memory"]
    statuses = [statement["stmt_status"] for statement in counted]
    return sum(
        status["SQLITE_STMTSTATUS_VM_STEP"] for status in statuses if isinstance(status, dict)
    )


@pytest.mark.parametrize("name", WORK)
def test_ten_times_the_jobs_cost_not_one_step_more(crowds: list[Crowd], name: str) -> None:
    small, large = (steps(crowd, WORK[name]) for crowd in crowds)

    assert 0 < large <= small


@pytest.mark.parametrize("name", OF_SUMS)
def test_neither_do_sums(untouched: list[Crowd], name: str) -> None:
    small, large = (steps(crowd, OF_SUMS[name]) for crowd in untouched)

    assert 0 < large <= small


def plans(crowd: C, work: Callable[[C], object]) -> list[str]:
    """Every line of the query plans of all statements that the work ran."""
    with traced(crowd.db) as statements:
        work(crowd)
    lines: list[str] = []

    def walk(plan: apsw.ext.QueryPlan) -> None:
        lines.append(plan.detail)
        for part in plan.sub or []:
            walk(part)

    for sql in {str(statement["sql"]) for statement in statements}:
        if sql.lstrip().startswith(("SELECT", "WITH", "UPDATE", "INSERT", "DELETE")):
            plan = apsw.ext.query_info(crowd.db, sql, explain_query_plan=True).query_plan
            assert plan is not None
            walk(plan)
    return lines


@pytest.mark.parametrize(
    "name", [name for name in WORK | OF_SUMS if not name.endswith(str(View.ALL))]
)
def test_no_plan_walks_through_all_jobs(crowds: list[Crowd], name: str) -> None:
    lines = plans(crowds[0], (WORK | OF_SUMS)[name])

    assert lines
    # Walking an index of one state from its best end is no walk through all jobs.
    assert [line for line in lines if line.startswith("SCAN job") and "INDEX" not in line] == []


@pytest.mark.parametrize("name", [name for name in WORK if "window" in name])
def test_no_window_sorts(crowds: list[Crowd], name: str) -> None:
    assert [line for line in plans(crowds[0], WORK[name]) if "TEMP B-TREE" in line] == []


def test_the_claim_takes_the_top_of_the_ready_index(crowds: list[Crowd]) -> None:
    lines = plans(crowds[0], WORK["claim"])

    assert any("job_ready (queue=?" in line for line in lines)


def test_the_crowd_has_jobs_in_every_state_that_is_measured(crowds: list[Crowd]) -> None:
    for crowd in crowds:
        assert len(crowd.repo.causes(limit=9, wanted=ERROR)) == 3
        assert all(crowd.repo.counts().of(state) for state in set(JobState) - {JobState.CANCELLED})
