"""What labels cost on SQLite: nothing for jobs without, and never more with more jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import apsw
import pytest

from queuectl_engine.job import NewJob
from queuectl_engine.lifecycle import Exited
from tests.repository.test_sqlite_cost import Crowd, plans, steps

SIZES = (300, 3_000)


class Labelled(Crowd):
    """The same crowd, and every job has two of four labels."""

    def job(self, number: int) -> NewJob:
        return super().job(number)._replace(labels=("all", f"label-{number % 3}"))


Crowds = dict[str, Crowd]


@pytest.fixture(scope="module")
def crowds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowds]:
    """A small and a tenfold database of labelled jobs, and one without labels."""
    connections: list[apsw.Connection] = []
    apsw.connection_hooks.append(connections.append)
    try:
        kinds: dict[str, tuple[type[Crowd], int]] = {
            "small": (Labelled, SIZES[0]),
            "large": (Labelled, SIZES[1]),
            "plain": (Crowd, SIZES[0]),
        }
        made = {
            name: kind(tmp_path_factory.mktemp(name) / "queue.db", size, connections)
            for name, (kind, size) in kinds.items()
        }
    finally:
        apsw.connection_hooks.remove(connections.append)
    with ExitStack() as stack:
        for crowd in made.values():
            stack.enter_context(closing(crowd.repo))
        yield made


WORK: dict[str, Callable[[Crowd], object]] = {
    "list of labels": lambda crowd: crowd.repo.labels(limit=99),
    # Once from each queue, as they take turns.
    "claim": lambda crowd: [crowd.drive.claim() for _ in range(3)],
    "settle": lambda crowd: [crowd.drive.run(Exited(0)) for _ in range(3)],
    "add": lambda crowd: crowd.drive.add(queue="q0", labels=["all"]),
}


@pytest.mark.parametrize("name", WORK)
def test_ten_times_the_labelled_jobs_cost_not_one_step_more(crowds: Crowds, name: str) -> None:
    small, large = (steps(crowds[size], WORK[name]) for size in ("small", "large"))
    assert 0 < large <= small


@pytest.mark.parametrize("name", WORK)
def test_no_plan_walks_through_all_jobs_or_all_that_have_a_label(crowds: Crowds, name: str) -> None:
    lines = plans(crowds["small"], WORK[name])
    walks = [line for line in lines if line.startswith(("SCAN job", "SCAN job_label"))]
    assert [line for line in walks if "INDEX" not in line] == []


def test_a_job_without_labels_costs_the_same_beside_labels(crowds: Crowds) -> None:
    def life(crowd: Crowd) -> None:
        crowd.drive.add(queue="alone")
        crowd.drive.run(Exited(0), "alone")

    assert steps(crowds["small"], life) == steps(crowds["plain"], life)
