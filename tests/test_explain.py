"""Why a job does not run: the first reason that would have to go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from queuectl_engine.explain import explain
from queuectl_engine.job import (
    After,
    Counts,
    JobState,
    Need,
    PoolInfo,
    QueueInfo,
    State,
    WorkerInfo,
)
from tests.samples import HOUR, NOON, stored

WORKER = WorkerInfo(1, "w1", 11, NOON, alive=True)
POOL = PoolInfo(
    id=1, name="default", host="here", pid=10, detached=True, wanted=1, stopping=None, queues=(),
    started_at=NOON, alive=True, trouble=None, log="", workers=(WORKER,),
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "pools", "paused", "words"),
    [
        ({"stored": State.PROCESSING}, [POOL], False, "it runs on w1"),
        ({"stored": State.PROCESSING, "parked": "cannot kill 7"}, [], False, "stuck"),
        ({"stored": State.PROCESSING, "cancel_asked": True}, [POOL], False, "ending it"),
        ({"stored": State.DEAD, "reason": "exit 7"}, [], True, "it is dead (exit 7)"),
        ({"stored": State.COMPLETED}, [], False, "requeue 42"),
        ({"stored": State.SCHEDULED, "run_at": NOON + HOUR}, [], True, "is scheduled for"),
        ({"stored": State.FAILED, "run_at": NOON + HOUR}, [], True, "tried again at"),
        (
            {"stored": State.BLOCKED, "waits_for": (Need(7, After.OK, JobState.PROCESSING),)},
            [],
            False,
            "it waits for job 7, which is processing, to complete",
        ),
        (
            {
                "stored": State.BLOCKED,
                "waits_for": (
                    Need(7, After.OK, JobState.PENDING),
                    Need(8, After.OK, JobState.DEAD),
                ),
            },
            [],
            True,
            "for job 8 to complete, but that is dead; try 'queuectl requeue 8' or 'queuectl edit",
        ),
        (
            {"stored": State.BLOCKED, "waits_for": (Need(7, After.FAIL, None),)},
            [],
            False,
            "for job 7 to die, but that was deleted; try 'queuectl cancel 42'",
        ),
        (
            {"stored": State.BLOCKED, "mutex": "db", "mutex_holder": 7},
            [POOL],
            False,
            "mutex db is held by job 7",
        ),
        ({"stored": State.READY}, [], True, "is paused; 'queuectl resume default'"),
        ({"stored": State.READY}, [], False, "no pool runs"),
        ({"stored": State.READY}, [replace(POOL, alive=False)], False, "no pool runs"),
        ({"stored": State.READY}, [replace(POOL, queues=("x",))], False, "serves queue default"),
        ({"stored": State.READY}, [replace(POOL, stopping="now")], False, "is stopping"),
        ({"stored": State.READY}, [replace(POOL, workers=())], False, "have no worker"),
        (
            {"stored": State.READY},
            [replace(POOL, workers=(replace(WORKER, job=7),))],
            False,
            "the only worker that serves it is busy",
        ),
        ({"stored": State.READY}, [POOL], False, "starts as soon as"),
        ({"stored": State.FAILED, "run_at": NOON}, [], False, "no pool runs"),
    ],
)
def test_the_first_reason_is_told(
    changes: dict[str, Any], pools: list[PoolInfo], paused: bool, words: str
) -> None:
    queue = QueueInfo("default", paused, {})
    told = explain(stored(**changes), pools, queue=queue, counts=Counts(), now=NOON)
    assert words in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("queue_limit", "limit", "running", "words"),
    [
        (2, None, 2, "queue default runs its limit of 2; 'queuectl limit default --max-running N'"),
        (2, 5, 1, "starts as soon as"),
        (None, 5, 5, "all queues together run their limit of 5; 'queuectl limit --max-running N'"),
    ],
)
def test_a_limit_that_is_reached_is_the_reason(
    queue_limit: int | None, limit: int | None, running: int, words: str
) -> None:
    counts = {State.PROCESSING: running}
    queue = QueueInfo("default", False, counts, queue_limit)

    told = explain(
        stored(stored=State.READY),
        [POOL],
        queue=queue,
        counts=Counts(counts, max_running=limit),
        now=NOON,
    )

    assert words in told
