"""Any history of adds, turns, endings and acts leaves what the plain model says."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from queuectl_engine.errors import NoSuchJob, WrongState
from queuectl_engine.job import STORED_AS, State, View
from queuectl_engine.lifecycle import (
    Ending,
    Exited,
    ForcedStop,
    NotStarted,
    RetryAt,
    Signalled,
    WorkerDied,
    result_of,
    state_after,
)
from queuectl_engine.repository.protocol import Claim, JobRepository, Verdict
from tests.repository.conftest import STORES
from tests.repository.driver import Driver
from tests.repository.model import Model, ModelJob
from tests.repository.test_views import naive
from tests.samples import new

QUEUES = st.sampled_from(["a", "b", "c"])
ENDINGS = st.sampled_from(
    [Exited(0), Exited(1), Signalled(9), ForcedStop(), NotStarted("EAGAIN"), WorkerDied(True)]
)
PICK = st.integers(min_value=0, max_value=10_000)


class Histories(RuleBasedStateMachine):
    """Plays a history on a repository and on the model at once."""

    def __init__(self, repo: JobRepository) -> None:
        super().__init__()
        self.repo = repo
        self.drive = Driver(self.repo)
        self.model = Model()
        self.claims: list[Claim] = []
        self.stale: list[Claim] = []

    def teardown(self) -> None:
        self.repo.close()

    @rule(
        queue=QUEUES,
        priority=st.integers(min_value=-1, max_value=1),
        retries=st.integers(min_value=0, max_value=2),
        wait=st.sampled_from([0, 0, 30]),
        key=st.sampled_from([None, None, "k", "l"]),
    )
    def add(self, queue: str, priority: int, retries: int, wait: int, key: str | None) -> None:
        run_at = self.drive.now + timedelta(seconds=wait)
        job = new(queue=queue, priority=priority, max_retries=retries, run_at=run_at, key=key)
        holder = next(
            (
                job
                for job in self.model.jobs.values()
                if key is not None and job.key == key and job.state is not State.DELETED
            ),
            None,
        )
        (added,) = self.repo.add([job], now=self.drive.now)
        if holder is not None:
            assert (added.id, added.created) == (holder.id, False)
            return
        assert added.created
        assert added.id > max(self.model.jobs, default=0)
        state = State.SCHEDULED if wait else State.READY
        self.model.jobs[added.id] = ModelJob(added.id, queue, priority, retries, state, run_at, key)

    @rule(queues=st.lists(QUEUES, max_size=2, unique=True), room=st.integers(0, 3))
    def turn(self, queues: list[str], room: int) -> None:
        claims = self.drive.turn(room=room, queues=queues).claims
        self.model.promote(self.drive.now)
        assert [claim.job.id for claim in claims] == self.model.claim(queues, room)
        self.claims += claims

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, ending=ENDINGS)
    def end(self, pick: int, ending: Ending) -> None:
        claim = self.claims.pop(pick % len(self.claims))
        job = self.model.jobs[claim.job.id]
        ended = self.drive.ended(claim, ending)
        state = state_after(ended.outcome)
        if isinstance(ended.outcome, RetryAt) and not job.cancel_asked:
            job.run_at = ended.outcome.at
        assert self.drive.turn(ended).verdicts == (Verdict.SETTLED,)
        self.model.settle(claim.job.id, result_of(ending), state)
        self.model.promote(self.drive.now)
        self.stale.append(claim)

    @precondition(lambda self: self.stale)
    @rule(pick=PICK, ending=ENDINGS)
    def end_again(self, pick: int, ending: Ending) -> None:
        claim = self.stale[pick % len(self.stale)]
        assert self.drive.lose(claim, ending) in (Verdict.LOST, Verdict.SETTLED)

    @precondition(lambda self: self.model.jobs)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        number = self.some_job(pick)
        running = self.model.cancel(number)
        if running is None:
            self.refused(number, "cancel")
        else:
            asked = self.repo.cancel([number], user="ada", now=self.drive.now)
            assert asked == ([number] if running else [])

    @precondition(lambda self: self.model.jobs)
    @rule(pick=PICK, wait=st.sampled_from([None, 30]))
    def requeue(self, pick: int, wait: int | None) -> None:
        number = self.some_job(pick)
        run_at = self.drive.now + timedelta(seconds=wait or 0)
        if self.model.requeue(number, State.SCHEDULED if wait else State.READY, run_at):
            at = run_at if wait else None
            self.repo.requeue([number], user="ada", now=self.drive.now, run_at=at)
        else:
            self.refused(number, "requeue")

    @precondition(lambda self: self.model.jobs)
    @rule(pick=PICK)
    def delete(self, pick: int) -> None:
        number = self.some_job(pick)
        if self.model.delete(number):
            self.repo.delete([number], user="ada", now=self.drive.now)
        else:
            self.refused(number, "delete")

    @rule(queue=QUEUES, paused=st.booleans())
    def pause(self, queue: str, paused: bool) -> None:
        if not paused:
            self.repo.pause([queue], paused=True)  # so that it exists
        self.repo.pause([queue], paused=paused)
        (self.model.paused.add if paused else self.model.paused.discard)(queue)

    @rule(seconds=st.sampled_from([1, 5, 61]))
    def time_passes(self, seconds: int) -> None:
        self.drive.later(timedelta(seconds=seconds))

    @rule()
    def upkeep(self) -> None:
        self.repo.maintain(now=self.drive.now)
        self.repo.promote(now=self.drive.now)
        self.model.promote(self.drive.now)

    def some_job(self, pick: int) -> int:
        numbers = list(self.model.jobs)
        return numbers[pick % len(numbers)]

    def refused(self, number: int, act: str) -> None:
        expected = NoSuchJob if self.model.jobs[number].state is State.DELETED else WrongState
        with pytest.raises(expected):
            getattr(self.repo, act)([number], user="ada", now=self.drive.now)

    @invariant()
    def every_job_is_as_the_model_says(self) -> None:
        stored = self.repo.get(self.model.jobs)
        assert set(stored) == set(self.model.in_states(set(State) - {State.DELETED}))
        for number, job in stored.items():
            model = self.model.jobs[number]
            seen = (job.stored, job.attempts, job.runs, job.run_at, job.cancel_asked)
            wanted = (model.state, model.attempts, model.runs, model.run_at, model.cancel_asked)
            assert seen == wanted
            assert [attempt.result for attempt in self.repo.attempts(number)] == model.results

    @invariant()
    def counts_and_views_follow_from_the_jobs(self) -> None:
        stored = self.repo.get(self.model.jobs).values()
        counts = self.repo.counts()
        for outward, states in STORED_AS.items():
            assert counts.of(outward) == len(self.model.in_states(states))
        for view in View:
            assert self.drive.listed(view) == naive(view, stored)

    @invariant()
    def keys_name_the_job_that_holds_them(self) -> None:
        holders = {
            job.key: job.id
            for job in self.model.jobs.values()
            if job.key is not None and job.state is not State.DELETED
        }
        assert self.repo.find_keys(["k", "l"]) == holders


@pytest.mark.parametrize("store", STORES)
def test_any_history_leaves_what_the_model_says(store: str, tmp_path: Path) -> None:
    class OnAFreshStore(Histories):
        def __init__(self) -> None:
            super().__init__(STORES[store](Path(tempfile.mkdtemp(dir=tmp_path)))())

    run_state_machine_as_test(
        OnAFreshStore,
        settings=settings(max_examples=40, stateful_step_count=30, deadline=None),
    )
