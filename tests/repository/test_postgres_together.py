"""Many at once on one server: no claim waits, nothing is done twice, counts stay exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from threading import Barrier
from typing import TypeVar

import psycopg
import pytest

from queuectl_engine.hook import HookEvent, new_hook
from queuectl_engine.job import State
from queuectl_engine.lifecycle import Exited
from queuectl_engine.repository.postgres import PostgresRepository, schema
from queuectl_engine.repository.postgres.claiming import LOCK_BEST
from queuectl_engine.repository.protocol import Ended, JobRepository
from tests.postgres import cluster
from tests.repository.driver import Driver
from tests.samples import CONTEXT, NOON, new
from tests.waiting import until

T = TypeVar("T")
CROWD = 6


@pytest.fixture
def url() -> str:
    return cluster().queue()


@pytest.fixture
def drive(url: str) -> Iterator[Driver]:
    with closing(PostgresRepository.open(url, timeout=20.0)) as repo:
        yield Driver(repo)


@pytest.fixture
def crowd(url: str, drive: Driver) -> Iterator[list[Driver]]:
    """As many drivers, each with its own connection and its own pool with one worker."""
    with ExitStack() as opened:
        yield [
            Driver(opened.enter_context(closing(PostgresRepository.open(url, timeout=20.0))))
            for _ in range(CROWD)
        ]


def at_once(crowd: list[Driver], act: Callable[[Driver], T]) -> list[T]:
    """Let all of them do it at the same moment; what each got."""
    barrier = Barrier(len(crowd))

    def started(driver: Driver) -> T:
        barrier.wait(20)
        return act(driver)

    with ThreadPoolExecutor(len(crowd)) as threads:
        return list(threads.map(started, crowd))


def recounted(url: str) -> bool:
    """Whether every count is what counting the rows gives."""
    sql = """SELECT count(*) FROM (SELECT state, queue, count(*) AS n FROM queuectl.job
                                    GROUP BY state, queue) AS so
              FULL JOIN queuectl.counter USING (state, queue)
              WHERE so.n IS DISTINCT FROM counter.n"""
    with psycopg.connect(url) as raw:
        return raw.execute(sql).fetchall() == [(0,)]


def work_off(driver: Driver) -> list[int]:
    """Claim and complete until nothing is left; the ids in their order."""
    done: list[int] = []
    ended: list[Ended] = []
    while True:
        turn = driver.turn(*ended, room=1)
        ended = [driver.ended(claim, Exited(0)) for claim in turn.claims]
        done += [claim.job.id for claim in turn.claims]
        if not turn.claims and (turn.next_due is None or turn.next_due > driver.now):
            return done


def test_each_job_is_claimed_once(url: str, drive: Driver, crowd: list[Driver]) -> None:
    drive.repo.add([new(queue=f"q{n % 3}") for n in range(240)], now=NOON)

    done = Counter(job for each in at_once(crowd, work_off) for job in each)

    assert done == Counter(range(1, 241))
    assert drive.repo.counts().stored == {State.COMPLETED: 240}
    drive.repo.maintain(now=drive.now)
    assert recounted(url)
    assert drive.repo.counts().stored == {State.COMPLETED: 240}


def test_a_claim_passes_by_what_another_one_is_taking(url: str, drive: Driver) -> None:
    drive.repo.add([new(priority=2), new(priority=1), new(queue="other")], now=NOON)
    with psycopg.connect(url) as taking:  # a claim that takes its time
        taking.execute("SET search_path = queuectl")
        best = {"queue": 1, "floor": -(2**63), "skip": [], "suspects": True}
        row = taking.execute(LOCK_BEST.encode(), best).fetchone()
        assert row is not None
        assert row[0] == 1

        assert drive.claimed(room=1) == [2]
        assert drive.claimed(room=1) == [3]
        assert drive.turn(room=1).next_due == drive.now  # it may come free: look again

        taking.rollback()
    assert drive.claimed(room=1) == [1]


def test_of_a_queue_whose_best_is_being_taken_the_next_is_compared(url: str, drive: Driver) -> None:
    drive.repo.add([new(priority=9), new(priority=1), new(queue="other", priority=5)], now=NOON)
    with psycopg.connect(url) as taking:
        taking.execute("SET search_path = queuectl")
        taking.execute("SELECT 1 FROM job WHERE id = 1 FOR UPDATE")

        assert drive.claimed(room=1) == [3]


@pytest.mark.parametrize("name", ["default", None])
def test_a_limit_holds_however_many_claim(
    drive: Driver, crowd: list[Driver], name: str | None
) -> None:
    drive.repo.limit(name and [name], 2)
    drive.repo.add([new() for _ in range(20)], now=NOON)

    def claimed(driver: Driver) -> int:
        for _ in range(50):  # as a worker does, which looks again at once
            turn = driver.turn(room=1)
            if turn.claims or turn.next_due is None:
                return len(turn.claims)
        return 0

    assert sum(at_once(crowd, claimed)) == 2


def test_of_a_mutex_one_runs_and_all_come_to_their_turn(drive: Driver, crowd: list[Driver]) -> None:
    drive.repo.add([new(mutex="m", queue=f"q{n % 2}") for n in range(24)], now=NOON)

    def work(driver: Driver) -> list[int]:
        done: list[int] = []
        for _ in range(400):
            for claim in driver.turn(room=1).claims:
                running = driver.repo.counts().of(State.PROCESSING)
                assert running == 1
                done.append(claim.job.id)
                driver.end(claim, Exited(0))
            if driver.repo.counts().of(State.COMPLETED) == 24:
                break
        return done

    done = Counter(job for each in at_once(crowd, work) for job in each)
    assert done == Counter(range(1, 25))


def test_a_job_whose_parents_end_at_once_is_freed(drive: Driver, crowd: list[Driver]) -> None:
    for _ in range(8):
        parents = [drive.add(queue="parents") for _ in crowd]
        child = drive.add(queue="child", after_ok=[job.id for job in parents])
        claims = {driver: driver.claim("parents") for driver in crowd}

        at_once(crowd, lambda driver: driver.end(claims[driver], Exited(0)))  # noqa: B023
        while drive.repo.promote(now=drive.now):
            pass

        assert drive.get(child).stored is State.READY
        drive.run(Exited(0), "child")


def test_a_child_that_is_added_while_its_parent_ends_is_not_forgotten(
    drive: Driver, crowd: list[Driver]
) -> None:
    for _ in range(8):
        parent = drive.add(queue="parents")
        claim = crowd[0].claim("parents")

        def act(driver: Driver) -> None:
            if driver is crowd[0]:
                driver.end(claim, Exited(0))  # noqa: B023 - done before the next round
            else:
                driver.add(queue="children", after_ok=[parent.id])  # noqa: B023

        at_once(crowd, act)
        while drive.repo.promote(now=drive.now):
            pass

        assert drive.repo.counts().of(State.BLOCKED) == 0


def test_one_key_added_at_once_is_one_job(drive: Driver, crowd: list[Driver]) -> None:
    for number in range(5):
        job = new(key=f"k{number}", queue=f"new-{number}")

        added = at_once(crowd, lambda driver: driver.repo.add([job], now=NOON)[0])  # noqa: B023

        assert len({each.id for each in added}) == 1
        assert sum(each.created for each in added) == 1
    assert drive.repo.counts().of(State.READY) == 5


def test_the_last_of_two_that_end_at_once_tells_that_the_queue_is_drained(
    drive: Driver, crowd: list[Driver]
) -> None:
    drive.repo.set_hook(new_hook("default", HookEvent.ON_DRAINED, "true", CONTEXT, 1.0))
    for number in range(1, 6):
        for _ in crowd:
            drive.add()
        claims = {driver: driver.claim() for driver in crowd}

        at_once(crowd, lambda driver: driver.end(claims[driver], Exited(0)))  # noqa: B023

        (due,) = drive.repo.take_hooks(drive.pool.id, room=9)
        drive.repo.end_hook(due, drive.pool.id, failed=None, now=drive.now)
        assert drive.repo.counts().of(State.COMPLETED) == number * len(crowd)


def test_who_follows_misses_nothing_and_hears_nothing_twice(
    drive: Driver, crowd: list[Driver]
) -> None:
    heard: list[int] = []

    def act(driver: Driver) -> None:
        if driver is not crowd[0]:
            for _ in range(15):
                driver.add()
            return
        since, jobs = 0, 15 * (len(crowd) - 1)
        while len(heard) < jobs:
            found, since = driver.repo.happenings(since=since, limit=7)
            heard.extend(each.job or 0 for each in found)

    at_once(crowd, act)

    assert sorted(heard) == list(range(1, 15 * (len(crowd) - 1) + 1))


def test_readers_see_exact_counts_while_others_write(drive: Driver, crowd: list[Driver]) -> None:
    drive.repo.add([new() for _ in range(60)], now=NOON)

    def act(driver: Driver) -> None:
        if driver is crowd[0]:
            for _ in range(60):
                assert sum(driver.repo.counts().stored.values()) == 60
        elif driver is crowd[1]:
            for _ in range(20):
                driver.repo.maintain(now=driver.now)
        else:
            work_off(driver)

    at_once(crowd, act)


def test_all_make_the_schema_at_once_and_one_has_made_it() -> None:
    from queuectl_engine.repository.postgres import create

    server = cluster().server
    url = server.url(cluster().empty())
    with ThreadPoolExecutor(CROWD) as threads:
        made = list(threads.map(lambda _: create(url), range(CROWD)))

    assert sorted(made) == [False] * (CROWD - 1) + [True]
    repo: JobRepository
    with closing(PostgresRepository.open(url)) as repo:
        assert [added.id for added in repo.add([new()], now=NOON)] == [1]


def test_who_waited_while_another_made_the_schema_finds_it() -> None:
    """A small one: of so much news as all of ours a session would hear by itself."""
    from queuectl_engine.repository.postgres import create

    url = cluster().server.url(cluster().empty())
    waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with ThreadPoolExecutor(1) as thread, psycopg.connect(url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s, 0)", (schema.LOCK,))
        made = thread.submit(create, url)
        until(lambda: made.done() or other.execute(waits).fetchall() == [(1,)])
        other.execute("CREATE SCHEMA queuectl")
        other.execute("CREATE TABLE queuectl.meta (version integer, min_writer integer)")
        versions = (schema.VERSION, schema.MIN_WRITER)
        other.execute("INSERT INTO queuectl.meta VALUES (%s, %s)", versions)
        other.commit()
        assert made.result() is False


def test_who_lets_a_mutex_go_sees_who_was_set_aside_meanwhile(url: str, drive: Driver) -> None:
    waiting, running = drive.add(mutex="m"), drive.add(mutex="m", priority=1)
    claim = drive.claim()
    assert claim.job.id == running.id
    waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with (
        ThreadPoolExecutor(1) as thread,
        psycopg.connect(url) as claiming,  # which comes upon the other one
        psycopg.connect(url, autocommit=True) as watching,
    ):
        claiming.execute("SET search_path = queuectl")
        claiming.execute("SELECT lock_mutex('m')")
        aside = "UPDATE job SET state = 'blocked', waits = 'mutex' WHERE id = %s"
        claiming.execute(aside, (waiting.id,))
        ended = thread.submit(drive.end, claim, Exited(0))
        until(lambda: ended.done() or watching.execute(waits).fetchall() == [(1,)])
        claiming.commit()
        ended.result(20)

    drive.repo.promote(now=drive.now)
    assert drive.get(waiting).stored is State.READY
