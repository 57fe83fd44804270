"""When queues will be empty: from the last busy period, and nothing where nobody knows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from queuectl_engine.estimate import Estimate, about, estimate
from queuectl_engine.job import PoolInfo, QueueInfo, Ran, State
from tests.samples import HOUR, MINUTE, NOON, SECOND

POOL = PoolInfo(
    id=1, name="default", host="here", pid=10, detached=True, wanted=1, stopping=None, queues=(),
    started_at=NOON, alive=True, trouble=None, log="",
)  # fmt: skip
NOTHING = Estimate()


def queue(name: str = "default", *, paused: bool = False, **counts: int) -> QueueInfo:
    return QueueInfo(name, paused, {State(state): n for state, n in counts.items()})


def row(count: int, each: timedelta, name: str = "default", until: timedelta = SECOND) -> list[Ran]:
    """Runs one after the other, newest first; the last one ended `until` before noon."""
    ends = [NOON - until - n * each for n in range(count)]
    return [Ran(name, end - each, end) for end in ends]


def test_what_is_left_is_divided_by_the_speed() -> None:
    ran = row(11, 6 * SECOND, until=6 * SECOND)  # ten ended in the 66 seconds since the first
    busy = queue(ready=99, processing=1)
    found = estimate(ran, [busy], [POOL], NOON)
    assert found.total == found.queues["default"] == 100 * 66 * SECOND / 10


def test_what_came_before_a_pause_says_nothing() -> None:
    now = row(6, SECOND)
    slow = [replace(run, finished_at=run.finished_at - HOUR, started_at=run.started_at - HOUR)
            for run in row(100, MINUTE)]  # fmt: skip
    busy = queue(ready=10)
    assert estimate(now + slow, [busy], [POOL], NOON) == estimate(now, [busy], [POOL], NOON)
    assert estimate(now[:4] + slow, [busy], [POOL], NOON) == NOTHING  # too few since


def test_runs_beside_one_another_have_no_pause_between_them() -> None:
    long = Ran("default", NOON - HOUR, NOON - 30 * SECOND)
    ran = [long, *row(6, SECOND, until=20 * MINUTE)]  # within the long one
    found = estimate(ran, [queue(ready=6, processing=1)], [POOL], NOON)
    assert found.total is not None
    assert found.total > 20 * MINUTE


@pytest.mark.parametrize(
    ("counts", "pools"),
    [
        ({}, [POOL]),
        ({"scheduled": 9, "dead": 3, "completed": 99}, [POOL]),
        ({"failed": 9}, [POOL]),  # all of them rest
        ({"blocked": 9}, [POOL]),
        ({"ready": 9, "paused": True}, [POOL]),
        ({"ready": 9}, []),
        ({"ready": 9}, [replace(POOL, alive=False)]),
        ({"ready": 9}, [replace(POOL, stopping="graceful")]),
        ({"ready": 9}, [replace(POOL, queues=("other",))]),
    ],
)
def test_where_nothing_moves_nothing_is_said(counts: dict[str, Any], pools: list[PoolInfo]) -> None:
    assert estimate(row(50, SECOND), [queue(**counts)], pools, NOON) == NOTHING


def test_a_queue_at_rest_gives_no_speed_unless_it_runs_something() -> None:
    ran = row(20, SECOND, until=MINUTE)
    assert estimate(ran, [queue(ready=9)], [POOL], NOON) == NOTHING
    assert estimate(ran, [queue(ready=9, processing=1)], [POOL], NOON).total is not None
    assert estimate([], [queue(ready=9, processing=1)], [POOL], NOON) == NOTHING


def test_each_queue_has_its_own_speed_and_none_outlasts_all() -> None:
    ran = [run for pair in zip(row(40, SECOND, "a"), row(40, SECOND, "b"), strict=True)
           for run in pair]  # fmt: skip
    ran += row(2, SECOND, "c", until=41 * SECOND)
    queues = [queue("a", ready=10), queue("b", ready=1000), queue("c", ready=5)]
    found = estimate(ran, queues, [POOL], NOON)
    assert set(found.queues) == {"a", "b"}  # too few of c have ended
    assert found.total is not None
    assert found.queues["a"] < found.queues["b"] == found.total


def test_a_paused_queue_counts_for_nothing() -> None:
    alone = estimate(row(20, SECOND), [queue(ready=9)], [POOL], NOON)
    beside = [queue(ready=9), queue("other", ready=999, paused=True)]
    assert estimate(row(20, SECOND), beside, [POOL], NOON) == alone


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (timedelta(0), "under 1 min"),
        (59 * SECOND, "under 1 min"),
        (61 * SECOND, "about 2 min"),
        (11.5 * MINUTE, "about 12 min"),
        (99 * MINUTE, "about 99 min"),
        (100 * MINUTE, "about 2 h"),
        (47 * HOUR, "about 47 h"),
        (50 * HOUR, "about 2 days"),
    ],
)
def test_it_is_said_in_round_numbers(span: timedelta, said: str) -> None:
    assert about(span) == said
