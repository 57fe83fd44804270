"""Labels: found by, counted, changed, and gone with the last job that has them."""

from __future__ import annotations

import random
from collections.abc import Collection

import pytest

from queuectl_engine.filter import parse_filter
from queuectl_engine.job import Job, State, View
from queuectl_engine.lifecycle import Exited
from queuectl_engine.plan import Act
from queuectl_engine.repository.protocol import JobRepository
from tests.repository.driver import Driver
from tests.samples import HOUR, MINUTE, new


def counted(repo: JobRepository) -> dict[str, dict[State, int]]:
    return {label.name: dict(label.counts) for label in repo.labels(limit=99)}


def recount(jobs: Collection[Job]) -> dict[str, dict[State, int]]:
    """What the counters must say, from the jobs themselves."""
    found: dict[str, dict[State, int]] = {}
    for job in jobs:
        for label in job.labels:
            states = found.setdefault(label, {})
            states[job.stored] = states.get(job.stored, 0) + 1
    return found


def every(repo: JobRepository) -> tuple[Job, ...]:
    return repo.page(View.ALL, limit=9_999).jobs


def found(repo: JobRepository, drive: Driver, text: str, view: View = View.ALL) -> list[int]:
    wanted = parse_filter(text, now=drive.now)
    return [job for _, job in repo.scan(view, wanted, limit=99, budget=99).found]


def test_a_job_has_its_labels_in_the_order_given(repo: JobRepository, drive: Driver) -> None:
    job = drive.add(labels=["nightly", "déjà vu", "nightly"])
    assert job.labels == ("nightly", "déjà vu")
    assert drive.claim().job.labels == job.labels
    assert drive.add().labels == ()


def test_a_filter_finds_exactly_the_jobs_with_a_label(repo: JobRepository, drive: Driver) -> None:
    one = drive.add(labels=["nightly"]).id
    two = drive.add(labels=["nightly", "slow"]).id
    three = drive.add("nightly").id
    four = drive.add(labels=["night", "a b"]).id

    assert found(repo, drive, "label:nightly") == [one, two]
    assert found(repo, drive, "label:nightly label:slow") == [two]
    assert found(repo, drive, "label:nightly !label:slow", View.PENDING) == [one]
    assert found(repo, drive, "!label:nightly") == [three, four]
    assert found(repo, drive, 'label:"a b"') == [four]
    assert found(repo, drive, "label:NIGHTLY label:none") == []


@pytest.mark.parametrize("state", State)
def test_labels_are_counted_in_every_state(
    repo: JobRepository, drive: Driver, state: State
) -> None:
    job = drive.job_in(state, labels=["nightly"])
    drive.add(labels=["slow"])
    here: dict[str, dict[State, int]] = (
        {} if state is State.DELETED else {"nightly": {job.stored: 1}}
    )
    assert counted(repo) == {**here, "slow": {State.READY: 1}}


def test_counts_equal_a_recount_after_anything(repo: JobRepository, drive: Driver) -> None:
    chance = random.Random(5)
    names = ["a", "b", "c"]
    for _ in range(150):
        jobs = every(repo)
        some = [job.id for job in chance.sample(jobs, min(3, len(jobs)))]
        match chance.randrange(7):
            case 0 | 1:
                labels = chance.sample(names, chance.randint(0, 3))
                drive.add(labels=labels, max_retries=0)
            case 2 | 3:
                turn = drive.turn(room=2)
                drive.turn(*(drive.ended(c, Exited(chance.randint(0, 1))) for c in turn.claims))
            case 4 | 5:
                act = chance.choice(list(Act))
                done, _ = repo.act(act, some, asked=drive.now, user="ada", now=drive.now)
                if chance.random() < 0.5:
                    repo.undo(done, user="ada", now=drive.now)
            case 6:
                waiting = [job for job in jobs if job.stored in (State.READY, State.DEAD)]
                for job in waiting[:2]:
                    to = new()._replace(labels=tuple(chance.sample(names, chance.randint(0, 2))))
                    repo.edit(job.id, to, user="ada", now=drive.now, moved=False)
        drive.later()
        if chance.random() < 0.1:
            drive.later(HOUR)
            repo.maintain(now=drive.now)
        assert counted(repo) == recount(every(repo))
        for name in names:
            having = sorted(job.id for job in every(repo) if name in job.labels)
            assert found(repo, drive, f"label:{name}") == having


def test_an_edit_changes_labels_and_says_so(repo: JobRepository, drive: Driver) -> None:
    job = drive.add(labels=["nightly", "slow"])
    repo.edit(job.id, new(labels=["slow", "new"]), user="ada", now=drive.now, moved=False)

    assert drive.get(job).labels == ("slow", "new")
    assert counted(repo) == {"slow": {State.READY: 1}, "new": {State.READY: 1}}
    assert repo.events(job.id)[-1].detail == "labels"
    assert found(repo, drive, "label:nightly") == []


def test_a_deleted_job_keeps_its_labels_for_undo_and_takes_them_with_it(
    repo: JobRepository, drive: Driver
) -> None:
    job = drive.add(labels=["nightly"])
    done, _ = repo.act(Act.DELETE, [job.id], asked=drive.now, user="ada", now=drive.now)
    assert counted(repo) == {}
    assert repo.undo(done, user="ada", now=drive.now) == 1
    assert counted(repo) == {"nightly": {State.READY: 1}}

    drive.delete(job)
    drive.later(2 * MINUTE)
    repo.maintain(now=drive.now)
    again = drive.add(labels=["nightly"])
    assert found(repo, drive, "label:nightly") == [again.id]


def test_labels_come_by_name_and_as_many_as_asked(repo: JobRepository, drive: Driver) -> None:
    for name in ("b", "c", "a"):
        drive.add(labels=[name])
    assert [label.name for label in repo.labels(limit=2)] == ["a", "b"]
