"""Jobs that were added: stored whole, all or none, with ids and keys that mean one job."""

from __future__ import annotations

from datetime import timedelta

import pytest

from queuectl_engine.errors import KeyTaken
from queuectl_engine.job import Added, Event, JobState, State, View
from queuectl_engine.new_job import capture_context
from queuectl_engine.repository.protocol import JobRepository
from tests.repository.driver import Driver, OpenRepo
from tests.samples import CONTEXT, HOUR, MINUTE, NOON, new


def test_a_job_is_stored_as_it_was_asked_for(repo: JobRepository) -> None:
    job = new(
        ["printf", "%s", "it's \u00e9"],
        queue="print",
        priority=-7,
        max_retries=0,
        run_at=NOON + HOUR,
        timeout=1.5,
        key="page 1",
        allow_background=True,
        log_file="/logs/page",
    )

    (added,) = repo.add([job], now=NOON)
    stored = repo.get([added.id])[added.id]

    assert added == Added(stored.id, created=True, state=JobState.PENDING)
    assert (stored.command, stored.argv) == (job.command, job.argv)
    assert (stored.queue, stored.priority, stored.max_retries) == ("print", -7, 0)
    assert (stored.run_at, stored.timeout) == (NOON + HOUR, timedelta(seconds=1.5))
    assert (stored.key, stored.allow_background) == ("page 1", True)
    assert stored.log_file == "/logs/page"
    assert (stored.stored, stored.state) == (State.SCHEDULED, JobState.PENDING)
    assert (stored.attempts, stored.runs, stored.deaths) == (0, 0, 0)
    assert stored.created_at == stored.updated_at == NOON
    assert (stored.started_at, stored.finished_at, stored.reason) == (None, None, None)
    assert (stored.worker, stored.cancel_asked, stored.parked) == (None, False, None)


def test_a_plain_job_is_ready_at_once_in_the_default_queue(drive: Driver) -> None:
    job = drive.add("echo hi")

    assert (job.stored, job.queue, job.argv, job.run_at) == (State.READY, "default", None, NOON)


@pytest.mark.parametrize("ago", [HOUR, timedelta(0)])
def test_a_start_that_has_passed_is_ready_at_once(drive: Driver, ago: timedelta) -> None:
    assert drive.add(run_at=NOON - ago).stored is State.READY


def test_the_extreme_values_are_kept(drive: Driver) -> None:
    low = drive.add(priority=-(2**63) + 1, max_retries=1_000_000)
    high = drive.add(priority=2**63 - 1, timeout=timedelta(milliseconds=1))

    assert (low.priority, low.max_retries) == (-(2**63) + 1, 1_000_000)
    assert (high.priority, high.timeout) == (2**63 - 1, timedelta(milliseconds=1))
    assert drive.claimed(room=2) == [high.id, low.id]


def test_surroundings_are_stored_once_and_given_to_whoever_runs_the_job(
    repo: JobRepository, drive: Driver
) -> None:
    other = capture_context(env={"A": "\u00e9\n'"}, around={"PATH": "/x", "TZ": ""})
    jobs = [new("a"), new("b"), new("c")._replace(context=other)]
    first, second, third = [drive.get(added.id) for added in repo.add(jobs, now=NOON)]

    assert first.context_id == second.context_id != third.context_id
    assert repo.context(first.context_id) == CONTEXT
    assert repo.context(third.context_id) == other
    assert [claim.context for claim in drive.turn(room=3).claims] == [CONTEXT, CONTEXT, other]


def test_many_jobs_are_stored_in_their_order(repo: JobRepository, drive: Driver) -> None:
    added = repo.add([new(f"echo {n}") for n in range(250)], now=NOON)

    assert [one.id for one in added] == sorted({one.id for one in added})
    assert [job.command for job in repo.page(View.ALL, limit=500).jobs] == [
        f"echo {n}" for n in range(250)
    ]
    assert drive.claimed(room=3) == [one.id for one in added[:3]]


def test_no_jobs_are_no_work(repo: JobRepository) -> None:
    assert repo.add([], now=NOON) == []
    assert repo.get([]) == {}
    assert repo.find_keys([]) == {}


def test_unknown_ids_and_keys_are_left_out(repo: JobRepository, drive: Driver) -> None:
    job = drive.add(key="mine")

    assert repo.get([job.id, 999, 2**63 - 1]) == {job.id: job}
    assert repo.find_keys(["mine", "yours", "\udcff"]) == {"mine": job.id}


def test_the_first_event_is_the_add(repo: JobRepository, drive: Driver) -> None:
    job = drive.add()

    assert repo.events(job.id) == [Event(job.id, NOON, "added", "ada")]


# -- keys


def test_a_key_that_exists_with_the_same_command_changes_nothing(
    repo: JobRepository, drive: Driver
) -> None:
    first = drive.add("make", key="build", priority=1)
    drive.later()

    again = repo.add([new("make", key="build", priority=9)], now=drive.now)

    assert again == [Added(first.id, created=False, state=JobState.PENDING)]
    assert drive.get(first) == first
    assert repo.counts().of(*JobState) == 1


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (State.SCHEDULED, JobState.PENDING),
        (State.PROCESSING, JobState.PROCESSING),
        (State.FAILED, JobState.FAILED),
        (State.COMPLETED, JobState.COMPLETED),
        (State.DEAD, JobState.DEAD),
        (State.CANCELLED, JobState.CANCELLED),
    ],
)
def test_a_key_is_held_in_every_state_and_says_in_which(
    repo: JobRepository, drive: Driver, state: State, shown: JobState
) -> None:
    job = drive.job_in(state, key="once")

    (again,) = repo.add([new("true", key="once")], now=drive.now)

    assert again == Added(job.id, created=False, state=shown)


def test_a_key_of_another_command_is_refused(repo: JobRepository, drive: Driver) -> None:
    job = drive.add("make", key="build")

    with pytest.raises(KeyTaken, match=f"job {job.id}") as refused:
        repo.add([new("make clean", key="build")], now=NOON)
    assert str(refused.value).isprintable()


def test_a_shell_line_and_an_argv_that_read_alike_are_two_commands(
    repo: JobRepository, drive: Driver
) -> None:
    drive.add("echo hi", key="greet")

    with pytest.raises(KeyTaken):
        repo.add([new(["echo", "hi"], key="greet")], now=NOON)


def test_all_jobs_are_stored_or_none(repo: JobRepository, drive: Driver) -> None:
    drive.add("make", key="build")
    before = repo.counts()

    with pytest.raises(KeyTaken):
        repo.add([new("a", queue="fresh"), new("b", key="b"), new("c", key="build")], now=NOON)

    assert repo.counts() == before
    assert repo.find_keys(["b"]) == {}
    assert [queue.name for queue in repo.queues()] == ["default"]


def test_one_add_with_a_key_twice_makes_one_job(repo: JobRepository) -> None:
    first, second = repo.add([new("a", key="k"), new("a", key="k")], now=NOON)

    assert (first.created, second.created) == (True, False)
    assert first.id == second.id
    with pytest.raises(KeyTaken):
        repo.add([new("a", key="z"), new("b", key="z")], now=NOON)
    assert repo.find_keys(["z"]) == {}


def test_keys_are_unique_over_queues_and_told_apart_by_every_letter(
    repo: JobRepository, drive: Driver
) -> None:
    lower = drive.add(key="k", queue="a")

    (upper,) = repo.add([new(key="K", queue="b")], now=NOON)
    (same,) = repo.add([new(key="k", queue="b")], now=NOON)

    assert upper.created
    assert same == Added(lower.id, created=False, state=JobState.PENDING)


def test_two_connections_that_add_one_key_make_one_job(open_repo: OpenRepo) -> None:
    first, second = open_repo(), open_repo()

    (one,) = first.add([new("a", key="k")], now=NOON)
    (two,) = second.add([new("a", key="k")], now=NOON)

    assert (two.id, two.created) == (one.id, False)


def test_a_deleted_job_frees_its_key_at_once(repo: JobRepository, drive: Driver) -> None:
    old = drive.job_in(State.DELETED, key="k")

    assert repo.find_keys(["k"]) == {}
    (fresh,) = repo.add([new("another", key="k")], now=NOON)
    assert fresh.created
    assert fresh.id > old.id
    assert repo.find_keys(["k"]) == {"k": fresh.id}


def test_ids_are_never_used_again(repo: JobRepository, drive: Driver) -> None:
    last = drive.add()
    drive.delete(last)
    drive.later(2 * MINUTE)
    repo.maintain(now=drive.now)

    assert drive.add().id > last.id


def test_what_was_added_is_there_for_a_later_program(open_repo: OpenRepo) -> None:
    first = open_repo()
    (added,) = first.add([new("make", key="k")], now=NOON)
    job = first.get([added.id])
    first.close()

    assert open_repo().get([added.id]) == job


def test_the_words_of_a_job_are_kept_whatever_they_are(drive: Driver) -> None:
    hostile = "echo '\x1b]52;c;aGk=\x07' \u202e \ud7ff [/b] ; drop table job --\n%s ? :now"

    job = drive.add(hostile, key="'; --")

    assert job.command == hostile
    assert drive.claim().job.command == hostile
