"""Causes, searches, acts on many jobs, undo and edit: the same on every repository."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from queuectl_engine.cause import Signature
from queuectl_engine.errors import KeyTaken, WrongState
from queuectl_engine.filter import Field, Filter, parse_filter
from queuectl_engine.job import Job, State, View
from queuectl_engine.lifecycle import Exited
from queuectl_engine.plan import Act
from queuectl_engine.repository.filtering import Filtering
from queuectl_engine.repository.postgres import filtering as postgres_filtering
from queuectl_engine.repository.protocol import JobRepository
from queuectl_engine.repository.sqlite import filtering as sqlite_filtering
from tests.repository.driver import Driver
from tests.samples import HOUR, NOON, SECOND, new

CURL = Signature("curl", "exit 22", "error: N")
RSYNC = Signature("rsync", "timed out", "")


def die(drive: Driver, signature: Signature | None, **policy: object) -> Job:
    """A job that is dead of this."""
    job = drive.add(max_retries=0, **policy)  # type: ignore[arg-type]
    claim = drive.claim()
    assert claim.job.id == job.id
    drive.turn(drive.ended(claim, Exited(1))._replace(signature=signature))
    drive.later()
    return drive.get(job)


def ids(jobs: Sequence[Job]) -> list[int]:
    return [job.id for job in jobs]


def test_dead_jobs_are_counted_by_cause(repo: JobRepository, drive: Driver) -> None:
    one, two, three = die(drive, CURL), die(drive, RSYNC), die(drive, CURL)
    die(drive, None)

    curl, rsync = repo.causes(limit=9, wanted=Filter())

    assert (curl.program, curl.ended, curl.line) == ("curl", "exit 22", "error: N")
    assert (curl.dead, curl.example, rsync.dead, rsync.example) == (2, three.id, 1, two.id)
    assert (curl.first_at, curl.last_at) == (one.finished_at, three.finished_at)
    assert repo.counts().causes == 2
    assert ids(repo.page(View.DEAD, limit=9, cause=curl.id).jobs) == [three.id, one.id]
    assert three.cause_id == curl.id
    assert repo.causes(limit=1, wanted=Filter()) == [curl]


def test_a_cause_follows_its_jobs_out_of_death_and_back(repo: JobRepository, drive: Driver) -> None:
    one, two = die(drive, CURL), die(drive, CURL)
    (cause,) = repo.causes(limit=9, wanted=Filter())

    drive.requeue(two)
    left = repo.cause(cause.id)
    assert left
    assert (left.dead, left.example, left.last_at) == (1, one.id, one.finished_at)
    done, _ = repo.act(Act.DELETE, [one.id], asked=drive.now, user="ada", now=drive.now)
    assert repo.cause(cause.id) is None
    assert repo.causes(limit=9, wanted=Filter()) == []
    assert repo.counts().causes == 0
    repo.undo(done, user="ada", now=drive.now)
    back = repo.cause(cause.id)
    assert back
    assert back.dead == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "abcd"),
        ("CURL", "ac"),
        ("!curl", "bd"),
        ("100%", "d"),
        ("queue:mail", "bc"),
        ("queue:none", ""),
        ("exit:1", "abcd"),
        ("exit:killed", ""),
        ("key:night", "b"),
        ("night", "b"),
        ("!key:night", "acd"),
        ("state:dead curl queue:mail", "c"),
        ("state:pending", ""),
        ("age>1h", "ab"),
        ("age<1h", "cd"),
    ],
)
def test_a_search_finds_what_matches(
    repo: JobRepository, drive: Driver, text: str, found: str
) -> None:
    jobs = {"a": die(drive, CURL, command="curl one")}
    jobs["b"] = die(drive, CURL, queue="mail", key="nightly", command="rsync")
    drive.later(HOUR)
    jobs["c"] = die(drive, CURL, queue="mail", command="exec Curl two")
    jobs["d"] = die(drive, CURL, command="echo 100%")
    names = {job.id: name for name, job in jobs.items()}
    wanted = parse_filter(text, now=drive.now - SECOND)

    matches = repo.scan(View.DEAD, wanted, limit=9, budget=99)

    assert matches.rest is None
    assert "".join(sorted(names[job] for _, job in matches.found)) == found


@pytest.mark.parametrize("filtering", [sqlite_filtering.FILTERING, postgres_filtering.FILTERING])
def test_every_field_has_its_condition(filtering: Filtering) -> None:
    assert set(filtering.of_job) == set(Field)
    assert set(filtering.of_cause) == {Field.WORD, Field.EXIT}


def test_a_search_finds_the_exit_code_that_was_not_retried(
    repo: JobRepository, drive: Driver
) -> None:
    job = drive.add(no_retry_on=[2])
    drive.run(Exited(2))
    drive.add(max_retries=0)
    drive.run(Exited(22))
    for text, ids in (("exit:2", [job.id]), ("!exit:22", [job.id]), ("exit:22", [job.id + 1])):
        matches = repo.scan(View.DEAD, parse_filter(text, now=drive.now), limit=9, budget=9)
        assert [found for _, found in matches.found] == ids


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["rsync", "curl", "mail"]),
        ("ERROR", ["curl", "mail"]),
        ("error !mail", ["curl"]),
        ("exit:22", ["curl"]),
        ("exit:timeout", ["rsync"]),
        ("!exit:timeout", ["curl", "mail"]),
        ("exit:killed", ["mail"]),
        ("100%", []),
    ],
)
def test_causes_are_found_by_their_words_and_endings(
    repo: JobRepository, drive: Driver, text: str, found: list[str]
) -> None:
    for signature in (Signature("mail", "killed 9", "error: N"), CURL, RSYNC):
        die(drive, signature)

    causes = repo.causes(limit=9, wanted=parse_filter(text, now=NOON))

    assert [cause.program for cause in causes] == found


def test_a_search_within_a_cause_looks_at_no_other_jobs(repo: JobRepository, drive: Driver) -> None:
    mine = [die(drive, CURL, command=f"curl {n}") for n in range(3)]
    for n in range(20):
        die(drive, RSYNC, command=f"rsync {n}")
    cause = mine[0].cause_id
    wanted = parse_filter(f"cause:{cause} !2", now=NOON)
    assert wanted.cause == cause

    matches = repo.scan(View.DEAD, wanted, limit=9, budget=3)

    assert [job for _, job in matches.found] == [mine[1].id, mine[0].id]
    assert matches.rest is None, "three jobs were looked at, and no more are there"
    elsewhere = repo.scan(View.ALL, wanted, limit=9, budget=99)
    assert [job for _, job in elsewhere.found] == [mine[0].id, mine[1].id]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("view", list(View))
def test_a_search_in_slices_misses_and_doubles_nothing(
    repo: JobRepository, drive: Driver, view: View, backwards: bool
) -> None:
    chance = random.Random(7)
    for number in range(30):
        drive.add(f"job {number % 3}", priority=chance.randint(0, 2), max_retries=0)
    for _ in range(15):
        drive.run(Exited(chance.randint(0, 1)))
        drive.later()
    wanted = parse_filter('"job 1"', now=drive.now)
    page = repo.page(view, limit=99, backwards=backwards)
    expected = [job.id for job in page.jobs if job.command == "job 1"]

    found, at = list[int](), None
    while True:
        budget, limit = chance.randint(1, 7), chance.randint(1, 3)
        matches = repo.scan(view, wanted, limit=limit, budget=budget, at=at, backwards=backwards)
        found += [job for _, job in matches.found]
        if (at := matches.rest) is None:
            break

    assert found == (expected[::-1] if backwards else expected)


def test_only_jobs_that_have_not_moved_since_are_touched(
    repo: JobRepository, drive: Driver
) -> None:
    one, two = die(drive, CURL), die(drive, CURL)
    asked = drive.now
    drive.later()
    drive.requeue(two)
    drive.run(Exited(1))
    drive.later()
    three = die(drive, CURL)
    everything = parse_filter("", now=drive.now)

    matches = repo.scan(View.DEAD, everything, limit=9, budget=9, until=asked)
    assert [job for _, job in matches.found] == [one.id]
    done, running = repo.act(
        Act.REQUEUE, [one.id, two.id, three.id, 99], asked=asked, user="ada", now=drive.now
    )

    assert ([was.id for was in done], running) == ([one.id], [])
    assert drive.get(two).stored is drive.get(three).stored is State.DEAD


@pytest.mark.parametrize(
    ("act", "state"),
    [
        *[(Act.REQUEUE, s) for s in (State.DEAD, State.CANCELLED, State.COMPLETED, State.FAILED)],
        *[(Act.CANCEL, s) for s in (State.READY, State.SCHEDULED, State.BLOCKED, State.FAILED)],
        *[(Act.DELETE, s) for s in State if s not in (State.PROCESSING, State.DELETED)],
    ],
)
def test_what_was_done_is_taken_back_exactly(
    repo: JobRepository, drive: Driver, act: Act, state: State
) -> None:
    job = drive.job_in(state, key="nightly")
    before = drive.get(job)
    drive.later()
    done, _ = repo.act(act, [job.id], asked=drive.now, user="ada", now=drive.now)
    assert len(done) == 1

    drive.later()
    assert repo.undo(done, user="ada", now=drive.now) == 1

    after = drive.get(job)
    same = ("stored", "attempts", "runs", "deaths", "run_at", "finished_at", "reason", "key")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
    assert repo.events(job.id)[-1].kind == "undone"
    assert repo.undo(done, user="ada", now=drive.now) == 0


def test_what_has_moved_on_is_not_taken_back(repo: JobRepository, drive: Driver) -> None:
    started, taken = die(drive, CURL), die(drive, CURL, key="k")
    requeued, _ = repo.act(Act.REQUEUE, [started.id], asked=drive.now, user="ada", now=drive.now)
    deleted, _ = repo.act(Act.DELETE, [taken.id], asked=drive.now, user="ada", now=drive.now)
    drive.claim()
    drive.add(key="k")

    assert repo.undo([*requeued, *deleted], user="ada", now=drive.now) == 0
    assert drive.get(started).stored is State.PROCESSING


def test_what_went_away_and_came_back_is_not_taken_back(repo: JobRepository, drive: Driver) -> None:
    job = die(drive, CURL)
    requeued, _ = repo.act(Act.REQUEUE, [job.id], asked=drive.now, user="ada", now=drive.now)
    drive.later()
    repo.cancel([job.id], user="bob", now=drive.now)
    repo.requeue([job.id], user="bob", now=drive.now)
    assert drive.get(job).stored is State.READY

    assert repo.undo(requeued, user="ada", now=drive.now) == 0
    assert drive.get(job).stored is State.READY


def test_a_cancel_of_running_jobs_is_asked_and_told(repo: JobRepository, drive: Driver) -> None:
    job = drive.job_in(State.PROCESSING)
    done, running = repo.act(Act.CANCEL, [job.id], asked=drive.now, user="ada", now=drive.now)
    assert (done, running) == ([], [job.id])
    assert drive.get(job).cancel_asked


@pytest.mark.parametrize("state", [State.READY, State.SCHEDULED, State.FAILED, State.DEAD])
def test_a_job_is_edited_in_place(repo: JobRepository, drive: Driver, state: State) -> None:
    job = drive.job_in(state)
    to = new(["echo", "a b"], queue="new", priority=7, max_retries=9, timeout=5.0, key="k")

    repo.edit(job.id, to, user="ada", now=drive.now, moved=False)

    after = drive.get(job)
    assert (after.argv, after.queue, after.priority) == (("echo", "a b"), "new", 7)
    assert (after.stored, after.run_at, after.runs) == (state, job.run_at, job.runs)
    assert after.key == "k"
    event = repo.events(job.id)[-1]
    assert (event.kind, event.user) == ("edited", "ada")
    assert "priority" in (event.detail or "")
    assert [info.name for info in repo.queues() if info.counts] == ["new"]


@pytest.mark.parametrize("state", [State.PROCESSING, State.COMPLETED, State.CANCELLED])
def test_what_runs_or_has_ended_is_not_edited(
    repo: JobRepository, drive: Driver, state: State
) -> None:
    job = drive.job_in(state)
    with pytest.raises(WrongState):
        repo.edit(job.id, new("x"), user="ada", now=drive.now, moved=False)
    assert drive.get(job) == job


def test_an_edit_moves_a_waiting_job_in_time_and_takes_no_key(
    repo: JobRepository, drive: Driver
) -> None:
    job, other = drive.add(), drive.add(key="k")
    repo.edit(job.id, new("x", run_at=NOON + HOUR), user="ada", now=drive.now, moved=True)
    assert (drive.get(job).stored, drive.get(job).run_at) == (State.SCHEDULED, NOON + HOUR)
    repo.edit(job.id, new("x"), user="ada", now=drive.now, moved=True)
    assert drive.get(job).stored is State.READY
    with pytest.raises(KeyTaken, match=str(other.id)):
        repo.edit(job.id, new("x", key="k"), user="ada", now=drive.now, moved=False)
