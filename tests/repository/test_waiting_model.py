"""After any history: no job ran too early, no limit was exceeded, and nothing waits for ever."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from queuectl_engine.job import After, Job, State
from queuectl_engine.lifecycle import (
    CANCELLABLE,
    DELETABLE,
    MET_BY,
    REQUEUEABLE,
    Ending,
    Exited,
    ForcedStop,
    WorkerDied,
)
from queuectl_engine.plan import Act, Was
from queuectl_engine.repository.protocol import Claim, JobRepository
from tests.repository.conftest import STORES
from tests.repository.driver import Driver
from tests.samples import HOUR, new

QUEUES = st.sampled_from(["a", "b"])
MUTEXES = st.sampled_from([None, "m", "m", "n"])
LIMITS = st.sampled_from([1, 2, None])
PICK = st.integers(min_value=0, max_value=10_000)
ENDINGS = st.sampled_from([Exited(0), Exited(0), Exited(1), ForcedStop(), WorkerDied(True)])
WISHES = st.dictionaries(st.sampled_from(list(After)), st.lists(PICK, max_size=2), max_size=2)
ENDED = frozenset(state for states in MET_BY.values() for state in states)
LEFT_ALONE = {Act.REQUEUE: REQUEUEABLE, Act.CANCEL: CANCELLABLE, Act.DELETE: DELETABLE}


@dataclass
class Need:
    parent: int
    after: After
    met: bool


class Waiting(RuleBasedStateMachine):
    """The needs of each job are followed by watching how its parents end."""

    def __init__(self, repo: JobRepository) -> None:
        super().__init__()
        self.repo = repo
        self.drive = Driver(repo)
        self.states: dict[int, State] = {}
        self.needs: dict[int, list[Need]] = {}
        self.limits: dict[str | None, int | None] = {}
        self.claims: list[Claim] = []
        self.undoable: list[Was] = []

    # -- what may happen

    @rule(
        queue=QUEUES,
        priority=st.integers(0, 1),
        retries=st.integers(0, 1),
        wait=st.sampled_from([0, 0, 30]),
        mutex=MUTEXES,
        wishes=WISHES,
    )
    def add(
        self,
        queue: str,
        priority: int,
        retries: int,
        wait: int,
        mutex: str | None,
        wishes: dict[After, list[int]],
    ) -> None:
        job = self.drive.add(
            queue=queue,
            priority=priority,
            max_retries=retries,
            mutex=mutex,
            run_at=self.drive.now + timedelta(seconds=wait),
            **self.named(wishes, self.existing()),  # type: ignore[arg-type]
        )
        self.needs[job.id] = self.wished(wishes, self.existing())
        self.states[job.id] = job.stored
        assert (job.stored is State.BLOCKED and bool(job.waits_for)) == self.must_wait(job.id)

    @precondition(lambda self: self.states)
    @rule(pick=PICK, wishes=WISHES, mutex=MUTEXES)
    def edit(self, pick: int, wishes: dict[After, list[int]], mutex: str | None) -> None:
        job = self.pick(pick)
        if job is None or job.stored not in (State.READY, State.SCHEDULED, State.BLOCKED):
            return
        older = [each for each in self.existing() if each < job.id]
        to = new(
            queue=job.queue,
            priority=job.priority,
            max_retries=job.max_retries,
            mutex=mutex,
            **self.named(wishes, older),  # type: ignore[arg-type]
        )
        self.repo.edit(job.id, to, user="ada", now=self.drive.now, moved=False)
        kept = [need for need in self.needs[job.id] if need.after not in wishes]
        self.needs[job.id] = kept + self.wished(wishes, older)
        self.watch()

    @rule(room=st.integers(1, 3))
    def claim(self, room: int) -> None:
        self.look_at(list(self.drive.turn(room=room).claims))

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, ending=ENDINGS, room=st.integers(0, 2))
    def end(self, pick: int, ending: Ending, room: int) -> None:
        claim = self.claims.pop(pick % len(self.claims))
        turn = self.drive.turn(self.drive.ended(claim, ending), room=room)
        self.look_at(list(turn.claims))

    @precondition(lambda self: self.states)
    @rule(pick=PICK, act=st.sampled_from(list(Act)))
    def act(self, pick: int, act: Act) -> None:
        if (job := self.pick(pick)) is None:
            return
        now = self.drive.now
        done, running = self.repo.act(act, [job.id], asked=now, user="ada", now=now)
        assert bool(done or running) == (job.stored in LEFT_ALONE[act])
        self.undoable += done
        self.watch()

    @precondition(lambda self: self.undoable)
    @rule(pick=PICK)
    def undo(self, pick: int) -> None:
        was = self.undoable.pop(pick % len(self.undoable))
        self.repo.undo([was], user="ada", now=self.drive.now)
        self.watch()

    @rule(queue=st.sampled_from(["a", "b", None]), limit=LIMITS)
    def limit(self, queue: str | None, limit: int | None) -> None:
        self.repo.limit(None if queue is None else [queue], limit)
        self.limits[queue] = limit

    @rule(queue=QUEUES, paused=st.booleans())
    def pause(self, queue: str, paused: bool) -> None:
        self.repo.pause([queue], paused=True)
        self.repo.pause([queue], paused=paused)

    @rule(seconds=st.sampled_from([1, 60, 120]))
    def time_passes(self, seconds: int) -> None:
        self.drive.later(timedelta(seconds=seconds))
        self.repo.maintain(now=self.drive.now)
        self.repo.promote(now=self.drive.now)
        self.watch()

    def teardown(self) -> None:
        try:
            self.all_that_can_run_does()
        finally:
            self.repo.close()

    # -- what must be so

    def look_at(self, claims: list[Claim]) -> None:
        self.watch()
        self.claims += claims
        running = [claim.job for claim in self.claims]
        per_queue = Counter(job.queue for job in running)
        for claim in claims:
            assert not self.must_wait(claim.job.id)
            assert per_queue[claim.job.queue] <= (self.limits.get(claim.job.queue) or 99)
        if claims:
            assert len(running) <= (self.limits.get(None) or 99)
        held = [job.mutex for job in running if job.mutex]
        assert len(held) == len(set(held))

    def all_that_can_run_does(self) -> None:
        for queue in ("a", "b", None):
            self.limit(queue, None)
            self.repo.pause(["a", "b"], paused=True)
            self.repo.pause(["a", "b"], paused=False)
        for _ in range(10 * len(self.states) + 10):
            self.drive.later(2 * HOUR)
            self.repo.maintain(now=self.drive.now)
            ended = [self.drive.ended(claim, Exited(0)) for claim in self.claims]
            self.claims = []
            self.look_at(list(self.drive.turn(*ended, room=99).claims))
        waiting = {
            job.id
            for job in self.repo.get(self.states).values()
            if job.stored not in (State.COMPLETED, State.DEAD, State.CANCELLED)
        }
        assert waiting == {number for number in self.existing() if self.waits_for_ever(number)}
        assert all(self.states[number] is State.BLOCKED for number in waiting)
        assert not self.repo.stirring()

    def waits_for_ever(self, number: int) -> bool:
        ended = self.states[number] in (State.COMPLETED, State.DEAD, State.CANCELLED)
        return not ended and self.must_wait(number)

    def must_wait(self, number: int) -> bool:
        return not all(need.met for need in self.needs[number])

    # -- following

    def watch(self) -> None:
        """See who has ended since we looked, and tell those who wait for that."""
        stored = self.repo.get(self.states)
        for number, before in list(self.states.items()):
            now = stored[number].stored if number in stored else State.DELETED
            self.states[number] = now
            if now is not before and now in ENDED:
                self.tell(number, now)

    def tell(self, parent: int, state: State) -> None:
        for need in [need for needs in self.needs.values() for need in needs]:
            if need.parent == parent and state in MET_BY[need.after]:
                need.met = True

    def existing(self) -> list[int]:
        return [number for number, state in self.states.items() if state is not State.DELETED]

    def pick(self, pick: int) -> Job | None:
        number = list(self.states)[pick % len(self.states)]
        return self.repo.get([number]).get(number)

    def named(self, wishes: dict[After, list[int]], among: list[int]) -> dict[str, list[int]]:
        """A policy's dependencies."""
        return {f"after_{after}": self.some(picks, among) for after, picks in wishes.items()}

    def wished(self, wishes: dict[After, list[int]], among: list[int]) -> list[Need]:
        return [
            Need(parent, after, self.states[parent] in MET_BY[after])
            for after, picks in wishes.items()
            for parent in self.some(picks, among)
        ]

    def some(self, picks: list[int], among: list[int]) -> list[int]:
        return list(dict.fromkeys(among[pick % len(among)] for pick in picks)) if among else []


EXAMPLES = {"sqlite": 60, "postgres": 12}  # a database for each


@pytest.mark.parametrize("store", STORES)
def test_any_history_of_waiting_jobs(store: str, tmp_path: Path) -> None:
    class OnAFreshStore(Waiting):
        def __init__(self) -> None:
            super().__init__(STORES[store](Path(tempfile.mkdtemp(dir=tmp_path)))())

    run_state_machine_as_test(
        OnAFreshStore,
        settings=settings(max_examples=EXAMPLES[store], stateful_step_count=40, deadline=None),
    )
