"""A day of a queue, in a second: every verb that writes, by people, a worker and a supervisor.

Each in the hands of the connection that it has in life: people and supervisors sync every commit,
the worker at most once a second. What was acknowledged is marked in the log of the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Final

import pytest

from queuectl_engine.job import State, View
from queuectl_engine.lifecycle import Ending, Exited, Signalled, WorkerDied, outcome_of, result_of
from queuectl_engine.plan import Act
from queuectl_engine.repository.protocol import Claim, Ended, Leader, Output, Progress
from queuectl_engine.repository.sqlite import SqliteRepository, connection, schema
from queuectl_engine.schedule import new_schedule
from tests.durability.disk import Disk, in_use
from tests.repository.driver import STEADY, output_of
from tests.samples import NOON, SECOND, new, pool_row

Fact = tuple[str, int, *tuple[object, ...]]  # what it is, of which job, and which one
_ENDINGS: Final[Sequence[Ending]] = (Exited(0), Exited(1), Exited(0), Signalled(9))


@dataclass(frozen=True)
class Acknowledged:
    """From now on these are there; `relaxed` is what a worker may lose of its last second."""

    facts: tuple[Fact, ...]
    relaxed: bool = False


@dataclass(frozen=True)
class Purging:
    """From now on these jobs may be gone for good."""

    jobs: frozenset[int]


@dataclass(frozen=True)
class Purged:
    """From now on these jobs are gone for good."""

    jobs: frozenset[int]


@dataclass
class Clock:
    """Stands in for `time` in the module that decides when to sync."""

    now: float = 1000.0

    def moment(self) -> datetime:
        """The same for people."""
        return NOON + timedelta(seconds=self.now - 1000.0)


@dataclass
class Story:
    """The workload, its connections and what it acknowledged."""

    disk: Disk
    clock: Clock
    durability: str
    events: dict[tuple[int, str], int] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    syncs_when_quiet: bool = True

    def tell(self, patch: pytest.MonkeyPatch) -> None:
        """From an empty file of an older version to the end of the day."""
        self._older_version(patch)
        with ExitStack() as opened:
            self.people = self._open(opened)
            self.supervisor = self._open(opened)
            self.worker = self._open(opened, worker=True)
            self._morning()
            self._work(14)
            self._acts()
            self._work(10)
            self._lose_one()
            self._clean_up()
            self._work(8)
        with ExitStack() as opened:
            self.people = self._open(opened)
            self._add(new("evening"))

    # -- parts of the day

    def _older_version(self, patch: pytest.MonkeyPatch) -> None:
        """A file with the first step of the schema only, and a job in it."""
        with patch.context() as old:
            old.setattr(schema, "STEPS", schema.STEPS[:1])
            old.setattr(schema, "VERSION", 1)
            with closing(
                SqliteRepository.open(self.disk.path, create=True, durability=self.durability)
            ) as self.people:
                self._add(new("old"))

    def _morning(self) -> None:
        now = self.clock.moment()
        pool = self.supervisor.start_pool(pool_row(self.people.run_directory), now=now)
        self.pool = pool.id
        self.row = self.supervisor.start_worker(pool.id, 1, now=now)
        self.supervisor.set_worker_pid(self.row.id, 4711)
        self._add(new("one", key="k", labels=["a", "b"]))
        self._add(new("later", run_at=now + 3 * SECOND), new("urgent", priority=5))
        self._add(*(new(f"bulk {number}", queue="q", mutex=None) for number in range(30)))
        self._add(new("alone", mutex="m"), new("behind", mutex="m"), new("after", after_ok=["k"]))

    def _work(self, turns: int) -> None:
        """Turns of the worker with people in between now and then."""
        ended: list[Ended] = []
        for turn in range(turns):
            claims = self._turn(ended, room=2)
            if turn % 3 == 0 and claims:
                self._progress(claims[0], turn)
            ended = [self._ended(claim, turn + n) for n, claim in enumerate(claims)]
            if turn % 7 == 6:
                self._add(new(f"between {turn}"))
            self._pass(0.17)
        self._turn(ended, room=0)
        self._pass(1.3)

    def _acts(self) -> None:
        now = self.clock.moment
        people = self.people
        pending = [job.id for job in people.page(View.PENDING, limit=50).jobs]
        finished = [job.id for job in people.page(View.FINISHED, limit=5).jobs]
        people.requeue(finished[:1], user="ada", now=now())
        self._acted("requeued", finished[:1])
        people.cancel(pending[-2:], user="ada", now=now())
        self._acted("cancelled", pending[-2:])
        people.edit(pending[-3], new("edited"), user="ada", now=now(), moved=False)
        self._acted("edited", [pending[-3]])
        done, _ = people.act(Act.DELETE, finished[1:3], asked=now(), user="ada", now=now())
        self._acted("deleted", [was.id for was in done])
        people.undo(done[:1], user="ada", now=now())
        self._acted("undone", [done[0].id])
        self.deleted.add(done[1].id)
        people.delete(pending[-2:-1], user="ada", now=now())
        self._acted("deleted", pending[-2:-1])
        self.deleted.add(pending[-2])
        people.pause(["q"], paused=True)
        people.pause(["q"], paused=False)
        people.limit(["q"], 3)
        self._schedule()

    def _schedule(self) -> None:
        now = self.clock.moment()
        plan = new_schedule("* * * * *", new("tick"), now=now, zone="UTC")
        number, _ = self.people.add_schedule(plan, now=now)
        self._acknowledge(("schedule", -number))
        schedule = self.people.schedule(number)
        assert schedule.next_at is not None
        fired = self.supervisor.fire(schedule, schedule.next_at + 60 * SECOND, now=now)
        assert fired is not None
        assert fired.job is not None
        self._acknowledge(("job", fired.job))

    def _lose_one(self) -> None:
        """What a supervisor does for a worker that died."""
        self._add(new("doomed", priority=9))
        (claim,) = self._turn([], room=1)
        ended = self._ended(claim, 0, WorkerDied(True))
        self.supervisor.lose([ended], now=self.clock.moment())
        self._acknowledge(_settled(ended))

    def _clean_up(self) -> None:
        """What was deleted goes for good, what is due is promoted, the log is written back."""
        self.clock.now += 61
        self._pass(0.0)
        self.disk.mark(Purging(frozenset(self.deleted)))
        self.supervisor.maintain(now=self.clock.moment())
        self.supervisor.promote(now=self.clock.moment())
        self._prune()

    def _prune(self) -> None:
        old = [job.id for job in self.people.page(View.FINISHED, limit=4).jobs]
        self.disk.mark(Purging(frozenset(old)))
        before, states = self.clock.moment(), [State.COMPLETED]
        removed = self.people.remove(old, before=before, states=states)
        assert removed.jobs[State.COMPLETED]
        left = self.people.get(old)
        self.disk.mark(Purged(frozenset(old) - frozenset(left)))
        self.people.shrink()

    # -- verbs, with what they acknowledge

    def _add(self, *jobs: object) -> None:
        added = self.people.add(jobs, now=self.clock.moment())  # type: ignore[arg-type]
        self._acknowledge(*(("job", one.id) for one in added))
        self._pass(0.02)

    def _turn(self, ended: Sequence[Ended], room: int) -> Sequence[Claim]:
        now = self.clock.moment()
        turn = self.worker.settle_and_claim(self.row.id, ended, room=room, queues=(), now=now)
        claimed = [("claim", claim.job.id, claim.attempt.token) for claim in turn.claims]
        self._acknowledge(*(_settled(one) for one in ended), *claimed, relaxed=True)
        return turn.claims

    def _progress(self, claim: Claim, turn: int) -> None:
        said = output_of("x" * 700, f"line {turn}\n")
        item = Progress(claim.attempt, Leader(4712, turn), said)
        self.worker.progress(self.row.id, [item], now=self.clock.moment())
        facts = [("output", claim.job.id, claim.attempt.number, n) for n in (0, 1)]
        self._acknowledge(*facts, relaxed=True)

    def _ended(self, claim: Claim, number: int, ending: Ending | None = None) -> Ended:
        now = self.clock.moment()
        ending = ending or _ENDINGS[number % len(_ENDINGS)]
        outcome = outcome_of(claim.job, ending, STEADY, now)
        return Ended(claim.attempt, ending, outcome, now, Output())

    def _acted(self, kind: str, jobs: Iterable[int]) -> None:
        facts: list[Fact] = []
        for job in jobs:
            self.events[job, kind] = self.events.get((job, kind), 0) + 1
            facts.append(("event", job, kind, self.events[job, kind]))
        self._acknowledge(*facts)
        self._pass(0.02)

    def _acknowledge(self, *facts: Fact, relaxed: bool = False) -> None:
        self.disk.mark(Acknowledged(facts, relaxed))

    # -- time

    def _pass(self, seconds: float) -> None:
        """Time goes by, and the worker wakes when it has to bring something to disk."""
        end = self.clock.now + seconds
        while True:
            left = self._sync()
            if left is None or self.clock.now + left > end:
                break
            self.clock.now += left
        self.clock.now = end

    def _sync(self) -> float | None:
        worker = getattr(self, "worker", None)
        if worker is None or not self.syncs_when_quiet:
            return None
        left: float | None = worker.sync_if_due(self.row.id, now=self.clock.moment())
        return left

    def _open(self, opened: ExitStack, *, worker: bool = False) -> SqliteRepository:
        return opened.enter_context(closing(SqliteRepository.open(self.disk.path, worker=worker)))


def _settled(ended: Ended) -> Fact:
    return ("settled", ended.attempt.job, ended.attempt.token, result_of(ended.ending))


def recorded(
    path: str, durability: str, patch: pytest.MonkeyPatch, *, syncs_when_quiet: bool = True
) -> Disk:
    """What the disk was asked to do in the course of the day."""
    clock = Clock()
    fake = SimpleNamespace(monotonic=lambda: clock.now, sleep=lambda seconds: None)
    with patch.context() as patched:
        patched.setattr(connection, "time", fake)
        patched.setattr(connection, "_CHECKPOINT_PAGES", 150)
        with in_use(Disk(path, lambda: clock.now)) as disk:
            Story(disk, clock, durability, syncs_when_quiet=syncs_when_quiet).tell(patched)
    return disk
