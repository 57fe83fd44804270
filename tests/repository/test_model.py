"""Any history of adds, turns, endings and acts leaves what the plain model says."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from queuectl_engine.errors import NoSuchJob, WrongState
from queuectl_engine.job import STORED_AS, Attempt, State, View
from queuectl_engine.lifecycle import (
    CancelObeyed,
    Ending,
    Exited,
    ForcedStop,
    NotStarted,
    RetryAt,
    Signalled,
    TimedOut,
    WorkerDied,
    result_of,
    state_after,
)
from queuectl_engine.plan import Act, Was
from queuectl_engine.repository.protocol import Claim, Ended, JobRepository, Verdict
from tests.repository.conftest import STORES
from tests.repository.driver import Driver
from tests.repository.model import Model, ModelJob
from tests.repository.test_views import naive
from tests.samples import MINUTE, SECOND, new

QUEUES = st.sampled_from(["a", "b"])
MOST = 8  # jobs, so that the same one is met again and again
DEATHS = (WorkerDied(True), WorkerDied(False))
ENDINGS = st.sampled_from(
    [
        Exited(0),
        Exited(1),
        Signalled(9),
        TimedOut(SECOND),
        CancelObeyed(),
        ForcedStop(),
        NotStarted("EAGAIN"),
        *DEATHS,
    ]
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
        self.undoable: list[Was] = []
        self.history: dict[tuple[int, int], Attempt] = {}  # what has ended

    def teardown(self) -> None:
        self.repo.close()

    @initialize(jobs=st.lists(st.tuples(QUEUES, st.integers(-1, 1)), min_size=4, max_size=MOST))
    def some_are_there(self, jobs: list[tuple[str, int]]) -> None:
        for queue, priority in jobs:
            self.add(queue=queue, priority=priority, retries=1, wait=0, key=None)

    @precondition(lambda self: len(self.model.existing()) < MOST)
    @rule(
        queue=QUEUES,
        priority=st.integers(min_value=-1, max_value=1),
        retries=st.integers(min_value=0, max_value=2),
        wait=st.sampled_from([0, 0, 0, 30]),
        key=st.sampled_from([None, None, "k", "l"]),
    )
    def add(self, queue: str, priority: int, retries: int, wait: int, key: str | None) -> None:
        run_at = self.drive.now + timedelta(seconds=wait)
        job = new(queue=queue, priority=priority, max_retries=retries, run_at=run_at, key=key)
        holder = self.model.holder(key)
        (added,) = self.repo.add([job], now=self.drive.now)
        if holder is not None:
            assert (added.id, added.created) == (holder.id, False)
            return
        assert added.created
        assert added.id > max(self.model.jobs, default=0)
        state = State.SCHEDULED if wait else State.READY
        self.model.jobs[added.id] = ModelJob(added.id, queue, priority, retries, state, run_at, key)
        self.model.jobs[added.id].updated = self.drive.now

    @rule(queues=st.lists(QUEUES, max_size=2, unique=True), room=st.integers(1, 3))
    def turn(self, queues: list[str], room: int) -> None:
        claims = self.drive.turn(room=room, queues=queues).claims
        self.model.promote(self.drive.now)
        assert [claim.job.id for claim in claims] == self.model.claim(queues, room, self.drive.now)
        self.claims += claims

    @rule(room=st.integers(1, 2))
    def turn_for_all(self, room: int) -> None:
        self.turn([], room)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, ending=ENDINGS, room=st.integers(0, 1))
    def end(self, pick: int, ending: Ending, room: int) -> None:
        ended = self.over(pick, ending)
        turn = self.drive.turn(ended, room=room)
        assert turn.verdicts == (Verdict.SETTLED,)
        self.model.promote(self.drive.now)
        assert [c.job.id for c in turn.claims] == self.model.claim((), room, self.drive.now)
        self.claims += turn.claims

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, ending=st.sampled_from(DEATHS))
    def lose(self, pick: int, ending: Ending) -> None:
        assert self.repo.lose([self.over(pick, ending)], now=self.drive.now) == (Verdict.SETTLED,)

    def over(self, pick: int, ending: Ending) -> Ended:
        """An attempt that ended, also in the model."""
        claim = self.claims.pop(pick % len(self.claims))
        self.stale.append(claim)
        job = self.model.jobs[claim.job.id]
        ended = self.drive.ended(claim, ending)
        if isinstance(ended.outcome, RetryAt) and not job.cancel_asked:
            job.run_at = ended.outcome.at
        job.deaths += ending == WorkerDied(True)
        state = state_after(ended.outcome)
        self.model.settle(job.id, ending, state, self.drive.now)
        return ended

    @precondition(lambda self: self.stale)
    @rule(pick=PICK, ending=ENDINGS)
    def end_again(self, pick: int, ending: Ending) -> None:
        claim = self.stale[pick % len(self.stale)]
        stored = self.history.get((claim.job.id, claim.attempt.number))
        same = stored and (stored.ended_at, stored.result) == (self.drive.now, result_of(ending))
        verdict = self.drive.lose(claim, ending)
        assert stored is None or verdict is (Verdict.SETTLED if same else Verdict.LOST)

    @precondition(lambda self: self.model.jobs)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        number = self.some_job(pick)
        running = self.model.cancel(number, self.drive.now)
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
        state = State.SCHEDULED if wait else State.READY
        if self.model.requeue(number, state, run_at, self.drive.now):
            at = run_at if wait else None
            self.repo.requeue([number], user="ada", now=self.drive.now, run_at=at)
        else:
            self.refused(number, "requeue")

    @precondition(lambda self: self.model.jobs)
    @rule(pick=PICK)
    def delete(self, pick: int) -> None:
        number = self.some_job(pick)
        if self.model.delete(number, self.drive.now):
            self.repo.delete([number], user="ada", now=self.drive.now)
            self.model.purge(self.drive.now - MINUTE)
        else:
            self.refused(number, "delete")

    @precondition(lambda self: self.model.jobs)
    @rule(pick=PICK, queue=QUEUES, priority=st.integers(-1, 1))
    def edit(self, pick: int, queue: str, priority: int) -> None:
        number = self.some_job(pick)
        job = self.model.jobs[number]
        to = new(queue=queue, priority=priority, max_retries=job.max_retries, key=job.key)
        edit = partial(self.repo.edit, number, to, user="ada", now=self.drive.now, moved=False)
        if self.model.edit(number, queue, priority, self.drive.now):
            edit()
        else:
            with pytest.raises(NoSuchJob if job.state is State.DELETED else WrongState):
                edit()

    @precondition(lambda self: self.model.jobs)
    @rule(picks=st.lists(PICK, min_size=1, max_size=3), what=st.sampled_from(list(Act)))
    def act(self, picks: list[int], what: Act) -> None:
        now = self.drive.now
        ids = list(dict.fromkeys(self.some_job(pick) for pick in picks))
        moved: dict[int, bool | None] = {}  # None: its worker was asked to end it
        for number in ids:
            match what:
                case Act.REQUEUE:
                    moved[number] = self.model.requeue(number, State.READY, now, now)
                case Act.CANCEL:
                    runs = self.model.cancel(number, now)
                    moved[number] = None if runs else runs is False
                case Act.DELETE:
                    moved[number] = self.model.delete(number, now)
        was, asked = self.repo.act(what, ids, asked=now, user="ada", now=now)
        assert [each.id for each in was] == [number for number in ids if moved[number]]
        assert asked == [number for number in ids if moved[number] is None]
        self.undoable += was

    @precondition(lambda self: self.undoable)
    @rule(pick=PICK)
    def undo(self, pick: int) -> None:
        was = self.undoable[pick % len(self.undoable)]
        undone = self.repo.undo([was], user="ada", now=self.drive.now)
        assert undone == self.model.undo(was, self.drive.now)

    @rule(queue=st.sampled_from(["a", "b", None]), limit=st.sampled_from([None, 1, 1]))
    def limit(self, queue: str | None, limit: int | None) -> None:
        self.repo.limit(None if queue is None else [queue], limit)
        self.model.limits[queue] = limit

    @rule(queue=QUEUES, paused=st.sampled_from([False, False, True]))
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
        self.model.purge(self.drive.now - MINUTE)
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
            assert [event.kind for event in self.repo.events(number)] == model.events

    @invariant()
    def attempts_are_only_ever_added(self) -> None:
        for number in self.repo.get(self.model.jobs):
            attempts = self.repo.attempts(number)
            assert [attempt.result for attempt in attempts] == self.model.jobs[number].results
            for attempt in attempts:
                ended = replace(attempt, late=None)  # what came too late is noted on it
                if attempt.ended_at is not None:
                    assert self.history.setdefault((number, attempt.number), ended) == ended

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


EXAMPLES = {"sqlite": 70, "postgres": 12}  # a database for each


@pytest.mark.parametrize("store", STORES)
def test_any_history_leaves_what_the_model_says(store: str, ram: Path) -> None:
    class OnAFreshStore(Histories):
        def __init__(self) -> None:
            super().__init__(STORES[store](Path(tempfile.mkdtemp(dir=ram)))())

    run_state_machine_as_test(
        OnAFreshStore,
        settings=settings(
            max_examples=EXAMPLES[store],
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
        ),
    )
