"""What waits in a worker for its room, what is noted of it, and what a rescuer makes of that."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from queuectl_engine.errors import StorageMoved
from queuectl_engine.job import State, View
from queuectl_engine.lifecycle import Exited, NotStarted
from queuectl_engine.pool.ahead import Ahead, begun_by, begun_file
from queuectl_engine.pool.host import this_host
from queuectl_engine.pool.log import Log
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.pool.receipts import read_receipts, receipts_file
from queuectl_engine.pool.rescue import rescue_worker
from queuectl_engine.pool.runner import NotRun, Run
from queuectl_engine.pool.worker import Post, Worker
from queuectl_engine.repository import open_repository
from queuectl_engine.repository.protocol import Claim, Leader, Progress
from tests.repository.driver import Driver
from tests.samples import NOON, new
from tests.waiting import until

WORKER = 7
MOST = 31
TOKENS = [f"{n:032x}" for n in range(20)]


# -- what waits, and what has begun


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Driver]:
    """A database with forty ready jobs of one try, and one worker."""
    with closing(open_repository(str(tmp_path / "queue.db"), create=True)) as repository:
        drive = Driver(repository)
        for _ in range(40):
            drive.add(max_retries=0)
        yield drive


def test_one_more_is_wanted_for_every_four_short_jobs_in_a_row(tmp_path: Path) -> None:
    ahead = Ahead(tmp_path, WORKER)
    wanted = []
    for _ in range(200):
        wanted.append(ahead.wanted())
        ahead.ended(soon=True)

    assert wanted == [min(MOST, n // 4) for n in range(200)]
    ahead.ended(soon=False)
    assert ahead.wanted() == MOST // 2
    for _ in range(6):
        ahead.ended(soon=False)
    assert ahead.wanted() == 0


def run_of(claim: Claim) -> Run:
    """What a worker makes of it."""
    return Run(claim, grace=1.0, output_limit=1000)


def over(claim: Claim, *, more_tries: bool = False) -> Run:
    """The same, completed."""
    if more_tries:
        claim = claim._replace(job=claim.job._replace(max_retries=1))
    run = run_of(claim)
    run.over(Exited(0))
    return run


def test_no_more_is_wanted_while_any_waits(drive: Driver, tmp_path: Path) -> None:
    ahead = short(Ahead(tmp_path, WORKER))
    runs = [run_of(claim) for claim in drive.turn(room=1, ahead=2).claims[1:]]

    ahead.wait(runs)
    assert (bool(ahead.waiting), ahead.wanted()) == (True, 0)

    assert [ahead.next(), ahead.next()] == runs
    assert (bool(ahead.waiting), ahead.wanted()) == (False, MOST)


def test_what_is_given_up_is_all_that_waits_and_short_jobs_count_anew(
    drive: Driver, tmp_path: Path
) -> None:
    ahead = short(Ahead(tmp_path, WORKER))
    runs = [run_of(claim) for claim in drive.turn(room=1, ahead=2).claims]
    ahead.wait(runs)
    ahead.next()

    assert ahead.give_up() == runs[1:]
    assert (bool(ahead.waiting), ahead.wanted(), ahead.give_up()) == (False, 0, [])


def test_there_is_a_time_until_which_they_wait_only_while_any_does(
    drive: Driver, tmp_path: Path
) -> None:
    ahead = Ahead(tmp_path, WORKER)
    assert ahead.until == inf
    before = time.monotonic()
    ahead.wait([run_of(claim) for claim in drive.turn(room=1, ahead=2).claims[1:]])
    first = ahead.until
    assert before < first <= time.monotonic() + 0.1
    ahead.next()
    assert first <= ahead.until < inf, "each gets its own time"
    then = ahead.until
    ahead.wait([])
    assert ahead.until == then, "but no turn in between gives it more"
    ahead._latest = then - 1.0
    ahead.next()
    assert ahead.until == inf


def test_none_waits_longer_than_all_may(drive: Driver, tmp_path: Path) -> None:
    ahead = Ahead(tmp_path, WORKER)
    ahead.wait([run_of(claim) for claim in drive.turn(room=1, ahead=3).claims])
    ahead._latest = latest = time.monotonic() + 0.001
    ahead.next()
    assert ahead.until == latest


def test_none_is_wanted_while_it_cannot_be_noted_that_it_begins(tmp_path: Path) -> None:
    ahead = short(Ahead(tmp_path, WORKER))
    begun_file(tmp_path, WORKER).mkdir()
    assert ahead.wanted() == 0
    begun_file(tmp_path, WORKER).rmdir()
    assert ahead.wanted() == MOST


def noted(directory: Path, worker: int = WORKER) -> frozenset[str]:
    """The tokens in its file, which is there."""
    begun = begun_by(directory, worker)
    assert begun is not None
    return begun


def short(ahead: Ahead) -> Ahead:
    """After many short jobs."""
    for _ in range(200):
        ahead.ended(soon=True)
    return ahead


def test_what_begins_is_noted_until_another_takes_its_place(tmp_path: Path) -> None:
    ahead = short(Ahead(tmp_path, WORKER))
    assert begun_by(tmp_path, WORKER) is None
    assert ahead.wanted()
    assert noted(tmp_path) == frozenset()

    for token in TOKENS[:3]:
        ahead.begin(token)
    assert noted(tmp_path) == set(TOKENS[:3])
    ahead.settled(TOKENS[1])
    ahead.settled("of one that was not claimed ahead")
    assert noted(tmp_path) >= {TOKENS[0], TOKENS[2]}
    ahead.begin(TOKENS[3])
    ahead.begin(TOKENS[4])

    assert noted(tmp_path) == {TOKENS[n] for n in (0, 2, 3, 4)}
    assert begun_by(tmp_path, WORKER + 1) is None


def test_its_file_grows_with_what_is_not_settled_and_not_with_what_ran(tmp_path: Path) -> None:
    chance = random.Random(5)
    ahead = short(Ahead(tmp_path, WORKER))
    assert ahead.wanted()
    unsettled: list[str] = []
    most = 0
    for n in range(1000):
        unsettled.append(f"{n:032x}")
        ahead.begin(unsettled[-1])
        most = max(most, len(unsettled))
        assert noted(tmp_path) >= set(unsettled)
        if len(unsettled) > chance.randint(0, 8):
            for token in chance.sample(unsettled, chance.randint(1, len(unsettled))):
                unsettled.remove(token)
                ahead.settled(token)

    assert begun_file(tmp_path, WORKER).stat().st_size == most * len(TOKENS[0])


def test_its_file_is_private_and_goes_with_it(tmp_path: Path) -> None:
    ahead = short(Ahead(tmp_path, WORKER))
    file = begun_file(tmp_path, WORKER)
    ahead.close()
    assert not file.exists()

    assert ahead.wanted()
    assert file.stat().st_mode & 0o777 == 0o600
    ahead.close()
    ahead.close()

    assert not file.exists()
    assert begun_by(tmp_path, WORKER) is None


# -- a worker, step by step


class Steps:
    """A worker whose one slot is taken by a job that never ends, and in which three others wait."""

    def __init__(self, drive: Driver, log: Path) -> None:
        self.drive = drive
        (self.row,) = drive.repo.workers()
        (self.pool,) = drive.repo.pools()
        self.directory = drive.repo.run_directory / self.pool.directory
        options = PoolOptions("queue.db")
        post = Post(options, self.pool, self.row, self.directory, drive.repo.incarnation())
        self.log = Log("text", log, to_file=True)
        self.worker = Worker(drive.repo, post, self.log)
        another: Any = SimpleNamespace(
            claim=SimpleNamespace(ahead=False),
            listen_at=inf,
            wake_at=inf,
            is_stuck=lambda _: False,
            on_time=lambda _: None,
        )
        self.worker._running.runs["another"] = self.run = another
        self.worker._space_at = inf  # whatever disk this is
        assert short(self.worker._ahead).wanted()
        self.first, *self.waiting = drive.turn(room=1, ahead=3).claims
        self.worker._ahead.wait([run_of(claim) for claim in self.waiting])

    def rescue(self) -> None:
        """Take over, as if it had died."""
        assert rescue_worker(self.drive.repo, self.pool, self.row, self.log, supervised=True)

    def states(self) -> list[tuple[State, int]]:
        """Of the job that began first and of those that wait: how each is, and its attempts."""
        jobs = [self.drive.get(claim.job) for claim in (self.first, *self.waiting)]
        return [(job.stored, job.attempts) for job in jobs]


HELD, FREE = (State.PROCESSING, 1), (State.READY, 0)
ALL_HELD, GIVEN_BACK = [HELD] * 4, [HELD, FREE, FREE, FREE]


@pytest.fixture
def steps(drive: Driver, tmp_path: Path) -> Steps:
    """A worker in which three jobs wait."""
    return Steps(drive, tmp_path / "log")


def test_a_result_may_wait_for_those_that_wait_but_not_that_of_a_last_try(steps: Steps) -> None:
    worker, claim = steps.worker, steps.first
    before = time.monotonic()

    worker._end(over(claim, more_tries=True))
    assert before < worker._settle_at <= time.monotonic() + 0.1
    worker._settle_at += 60.0  # so that no slow machine comes too late
    worker._ahead.until = inf
    worker._take_turn()
    assert steps.states() == ALL_HELD
    assert worker._patience(room=0) > 0.0, "it sleeps meanwhile"
    worker._ended.clear()

    worker._end(over(claim))
    assert worker._patience(room=0) == 0.0
    worker._take_turn()
    assert steps.states() == [(State.COMPLETED, 1), HELD, HELD, HELD]


def test_a_result_does_not_wait_when_nothing_else_does(steps: Steps) -> None:
    steps.worker._ahead.give_up()
    claim = steps.first

    steps.worker._end(over(claim, more_tries=True))
    assert steps.worker._patience(room=0) == 0.0
    steps.worker._take_turn()

    assert steps.states()[0] == (State.COMPLETED, 1)


def test_results_wait_for_the_last_of_a_streak_to_be_settled_with_it(steps: Steps) -> None:
    worker, claim = steps.worker, steps.first
    worker._options = replace(worker._options, queues=("another",))  # nothing more to claim
    for _ in steps.waiting:
        worker._ahead.next()
    steps.run.claim.ahead = True
    worker._end(over(claim, more_tries=True))
    worker._settle_at += 60.0  # so that no slow machine comes too late

    worker._take_turn()
    assert steps.states() == ALL_HELD
    assert worker._patience(room=0) > 0.0, "it sleeps meanwhile"

    del worker._running.runs["another"]
    worker._take_turn()
    assert steps.states() == [(State.COMPLETED, 1), HELD, HELD, HELD]


def test_they_do_not_wait_for_it_where_others_could_run_beside_it(steps: Steps) -> None:
    worker, claim = steps.worker, steps.first
    worker._options = replace(worker._options, slots=2, queues=("another",))
    for _ in steps.waiting:
        worker._ahead.next()
    steps.run.claim.ahead = True
    worker._end(over(claim, more_tries=True))
    worker._settle_at += 60.0

    assert worker._patience(room=1) == 0.0
    worker._take_turn()
    assert steps.states()[0] == (State.COMPLETED, 1)


def test_a_result_waits_no_longer_than_its_time(steps: Steps) -> None:
    claim = steps.first
    steps.worker._end(over(claim, more_tries=True))

    until(lambda: time.monotonic() >= steps.worker._settle_at)
    steps.worker._take_turn()

    assert steps.states() == [(State.COMPLETED, 1), HELD, HELD, HELD]


def test_the_first_result_that_waits_says_how_long(steps: Steps) -> None:
    claim = steps.first

    steps.worker._end(over(claim, more_tries=True))
    until_then = steps.worker._settle_at
    until(lambda: time.monotonic() > until_then)
    steps.worker._end(over(claim, more_tries=True))

    assert steps.worker._settle_at == until_then


def test_what_is_settled_leaves_its_place_to_the_next(steps: Steps) -> None:
    first, second = (claim.attempt.token for claim in steps.waiting[:2])
    steps.worker._ahead.begin(first)
    steps.worker._end(over(steps.waiting[0]))
    steps.worker._take_turn()

    steps.worker._ahead.begin(second)

    assert noted(steps.directory, steps.row.id) == {second}


def test_what_waits_behind_a_long_job_is_given_back(steps: Steps) -> None:
    worker = steps.worker
    assert worker._patience(room=0) <= 0.1
    until(lambda: time.monotonic() >= worker._ahead.until)

    worker._on_time()
    worker._take_turn()

    assert steps.states() == GIVEN_BACK
    assert worker._ahead.wanted() == 0


def test_it_is_not_given_back_before(steps: Steps) -> None:
    steps.worker._ahead.until += 60.0  # so that no slow machine comes too late

    steps.worker._on_time()
    steps.worker._take_turn()

    assert steps.states() == ALL_HELD


def test_a_stop_gives_back_what_waits(steps: Steps) -> None:
    steps.worker._stop(None)
    steps.worker._take_turn()

    assert steps.states() == GIVEN_BACK


def test_a_full_machine_gives_back_what_waits(steps: Steps) -> None:
    steps.worker._full_until = inf
    steps.worker._take_turn()

    assert steps.states() == GIVEN_BACK


def test_without_its_database_it_gives_back_what_waits_through_a_file(steps: Steps) -> None:
    steps.worker._part_with(StorageMoved("the file is another one"))
    assert steps.states() == ALL_HELD
    assert len(read_receipts(receipts_file(steps.directory, steps.row.id))) == 3

    steps.rescue()

    assert steps.states() == [(State.DEAD, 1), FREE, FREE, FREE]


def test_what_cannot_be_noted_does_not_begin(steps: Steps) -> None:
    """There is no space left: its rescuer could not tell that it began."""
    os.close(steps.worker._ahead._descriptor)
    steps.worker._running.runs.clear()

    steps.worker._take_turn()
    steps.worker._take_turn()

    assert steps.states() == GIVEN_BACK
    assert steps.drive.results(steps.waiting[0].job) == ["not started"]


@pytest.mark.parametrize(("listen_at", "short_ones"), [(60.0, 101), (inf, 50)])
def test_one_that_had_to_be_listened_to_was_not_short(
    steps: Steps, listen_at: float, short_ones: int
) -> None:
    worker = steps.worker
    worker._ahead._short = 100
    ear, mouth = os.pipe()
    run: Any = SimpleNamespace(
        claim=steps.first, pidfd=ear, streams={}, listen_at=listen_at, reap=lambda _: None
    )
    worker._running.runs[steps.first.attempt.token] = run
    worker._running.runs["another"].pid = 1
    worker._listener.watch(ear, lambda: None)

    worker._running._leader_ended(run)

    assert worker._ahead._short == short_ones
    os.close(ear)
    os.close(mouth)


def test_it_is_noted_before_it_begins(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[bool] = []

    def start(run: Run, _: object) -> None:
        known.append(run.claim.attempt.token in noted(steps.directory, steps.row.id))
        raise NotRun(NotStarted("no memory"), "no memory")  # none is needed

    monkeypatch.setattr(Run, "start", start)
    steps.worker._running.runs.clear()
    steps.worker._take_turn()

    assert known == [True]


def test_a_worker_does_not_leave_while_any_waits(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They could not begin just then, and the turn that settles the rest hears of a stop."""
    worker, begin = steps.worker, steps.worker._begin_waiting
    looks = count()
    monkeypatch.setattr(worker, "_begin_waiting", lambda: begin() if next(looks) else 0)
    worker._running.runs.clear()
    worker._end(over(steps.first))
    steps.drive.repo.ask_stop(steps.pool.id, "graceful")

    worker.run()

    assert steps.states() == [(State.COMPLETED, 1), FREE, FREE, FREE]


def test_none_begins_before_the_result_of_a_last_try_is_settled(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could take the worker with it, and the result."""
    found: list[list[tuple[State, int]]] = []

    def start(run: Run, _: object) -> None:
        found.append(steps.states())
        raise NotRun(NotStarted("no memory"), "no memory")  # none is needed

    monkeypatch.setattr(Run, "start", start)
    steps.worker._running.runs.clear()
    steps.worker._end(over(steps.first))
    steps.worker._take_turn()

    assert found == [[(State.COMPLETED, 1), HELD, HELD, HELD]]


# -- a worker that died


def test_a_rescuer_gives_back_what_had_not_begun(steps: Steps) -> None:
    steps.worker._ahead.begin(steps.waiting[0].attempt.token)

    steps.rescue()

    assert steps.states() == [(State.DEAD, 1), (State.DEAD, 1), FREE, FREE]
    reasons = [attempt.reason for attempt in steps.drive.attempts(steps.waiting[2].job)]
    assert reasons == ["not started: its worker died before it could begin"]
    assert steps.drive.repo.workers() == []
    assert not begun_file(steps.directory, steps.row.id).exists()


@pytest.mark.parametrize("same_boot", [True, False])
def test_without_its_file_all_have_begun_unless_the_power_failed(
    steps: Steps, same_boot: bool
) -> None:
    """That may have taken the file, and the last second of starts is not counted then."""
    begun_file(steps.directory, steps.row.id).unlink()
    host = this_host()
    boot = host.boot if same_boot else "another"
    steps.pool = replace(steps.pool, boot=boot, pid_namespace=host.pid_namespace)

    steps.rescue()

    waited = (State.DEAD, 1) if same_boot else FREE
    assert steps.states() == [(State.DEAD, 1), waited, waited, waited]


def test_a_rescuer_believes_the_store_that_one_has_begun(steps: Steps) -> None:
    """It told of its process, whatever became of the note."""
    begun = steps.waiting[1].attempt
    steps.drive.repo.progress(steps.row.id, [Progress(begun, Leader(1 << 22, 1))], now=NOON)

    steps.rescue()

    assert steps.states() == [(State.DEAD, 1), FREE, (State.DEAD, 1), FREE]


@pytest.mark.parametrize(("begun", "deaths"), [(0, [1]), (1, [0, 0]), (2, [0, 0, 0])])
def test_only_one_that_had_begun_alone_can_be_why(
    drive: Driver, tmp_path: Path, begun: int, deaths: list[int]
) -> None:
    for job in drive.listed(View.PENDING):
        drive.delete(drive.get(job))
    drive.repo.add([new(max_retries=3)] * 40, now=NOON)
    steps = Steps(drive, tmp_path / "log")
    for claim in steps.waiting[:begun]:
        steps.worker._ahead.begin(claim.attempt.token)

    steps.rescue()

    lost = [steps.first, *steps.waiting[:begun]]
    assert [drive.get(claim.job).deaths for claim in lost] == deaths
    assert steps.states() == [(State.READY, 1)] * len(lost) + [FREE] * (3 - begun)
