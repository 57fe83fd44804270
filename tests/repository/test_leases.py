"""Leases, where hosts share a store: who is lost, and who may take over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from queuectl_engine.job import State
from queuectl_engine.lifecycle import Backoff, Exited, HostLost, outcome_of
from queuectl_engine.repository.postgres import PostgresRepository
from queuectl_engine.repository.protocol import Claim, Ended, Lease, PoolRow, Verdict
from tests.postgres import cluster
from tests.samples import NOON, new, pool_row

LONG = Lease(3600.0)


@pytest.fixture
def repo() -> Iterator[PostgresRepository]:
    """A connection to an empty database on a server."""
    with closing(PostgresRepository.open(cluster().queue(), timeout=20.0)) as repo:
        yield repo


def start(repo: PostgresRepository, lease: Lease) -> tuple[PoolRow, int]:
    """A pool and a worker of it, elsewhere."""
    pool = repo.start_pool(pool_row(repo.run_directory, lease=lease), now=NOON)
    return pool, repo.start_worker(pool.id, 1, now=NOON).id


def claim(repo: PostgresRepository, worker: int) -> tuple[Claim, ...]:
    """What it gets."""
    return repo.settle_and_claim(worker, [], room=1, queues=(), now=NOON).claims


def shorten(repo: PostgresRepository) -> None:
    """Let its lease end now."""
    repo._db.write(lambda db: db.run("UPDATE pool SET lease_until_ms = 1"))


def lost(taken: Claim) -> Ended:
    """What a rescuer makes of it."""
    ending = HostLost()
    return Ended(taken.attempt, ending, outcome_of(taken.job, ending, Backoff(), NOON), NOON)


def current(repo: PostgresRepository, pool: PoolRow) -> PoolRow:
    """The pool as it is now."""
    return next(row for row in repo.pools() if row.id == pool.id)


def test_a_pool_without_a_lease_claims_nothing_until_it_has_one_again(
    repo: PostgresRepository,
) -> None:
    repo.add([new()], now=NOON)
    pool, worker = start(repo, LONG)
    shorten(repo)

    lease = current(repo, pool).lease
    assert lease is not None
    assert (lease.seconds, lease.over) == (3600.0, True)
    assert not claim(repo, worker)
    assert repo.renew(pool.id)
    assert claim(repo, worker)


def test_only_a_lease_that_is_over_and_was_not_renewed_is_taken_over(
    repo: PostgresRepository,
) -> None:
    (job,) = repo.add([new()], now=NOON)
    pool, worker = start(repo, LONG)
    (taken,) = claim(repo, worker)

    assert not repo.take_over(pool, [lost(taken)], now=NOON), "its lease is not over"
    shorten(repo)
    seen = current(repo, pool)
    assert not repo.take_over(pool, [lost(taken)], now=NOON), "seen before that"
    assert not repo.take_over(seen, [], now=NOON), "it holds something that was not settled"
    assert repo.renew(pool.id)
    assert not repo.take_over(seen, [lost(taken)], now=NOON), "renewed since"
    assert repo.get([job.id])[job.id].stored is State.PROCESSING

    shorten(repo)
    assert repo.take_over(current(repo, pool), [lost(taken)], now=NOON)

    assert repo.get([job.id])[job.id].stored is State.READY
    assert repo.pools() == []
    assert not repo.renew(pool.id)
    assert not claim(repo, worker), "nobody would look for what it runs"


def test_a_result_after_that_is_kept_as_evidence_and_changes_nothing(
    repo: PostgresRepository,
) -> None:
    (job,) = repo.add([new()], now=NOON)
    pool, worker = start(repo, LONG)
    (taken,) = claim(repo, worker)
    shorten(repo)
    repo.take_over(current(repo, pool), [lost(taken)], now=NOON)

    ending = Exited(0)
    late = Ended(taken.attempt, ending, outcome_of(taken.job, ending, Backoff(), NOON), NOON)
    turn = repo.settle_and_claim(worker, [late], room=1, queues=(), now=NOON)

    assert (turn.verdicts, turn.claims) == ((Verdict.LOST,), ())
    assert repo.get([job.id])[job.id].stored is State.READY
    assert (repo.attempts(job.id)[0].late or "").startswith("exit 0")


def test_a_renewal_is_no_news(repo: PostgresRepository) -> None:
    pool, _ = start(repo, LONG)
    before = repo.version()
    assert repo.renew(pool.id)
    assert repo.version() == before
