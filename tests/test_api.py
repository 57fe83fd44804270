"""The Python API as a program uses it: `open_engine` and the methods of `Engine`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import queuectl_engine
from queuectl_engine import (
    BadInput,
    Engine,
    ExitCode,
    Job,
    JobState,
    KeyTaken,
    NoSuchJob,
    NoSuchPool,
    NotAQueue,
    QueuectlError,
    ReadOnly,
    StorageError,
    View,
    WrongState,
    choose_database,
    engine,
    open_engine,
)
from queuectl_engine.new_job import Policy
from tests.samples import HOUR
from tests.waiting import until


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and current directory."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    for name in ("QUEUECTL_DB", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def queue(home: Path) -> Iterator[Engine]:
    """An engine on an empty database."""
    with open_engine(home / "queue.db", create=True) as queue:
        yield queue


def ids(jobs: list[Job]) -> list[int]:
    return [job.id for job in jobs]


# -- opening


def test_everything_that_is_promised_can_be_imported() -> None:
    assert all(hasattr(queuectl_engine, name) for name in queuectl_engine.__all__)
    assert sorted(set(queuectl_engine.__all__)) == sorted(queuectl_engine.__all__)


def test_the_users_own_database_is_made_when_it_is_first_needed(home: Path) -> None:
    with open_engine() as queue:
        assert queue.database.own
        assert queue.database.location == str(home / ".local/share/queuectl/queue.db")
        queue.add("true")
    with open_engine() as queue:
        assert queue.counts().of(JobState.PENDING) == 1


def test_a_named_database_is_made_only_when_asked(home: Path) -> None:
    with pytest.raises(NotAQueue, match="initdb"):
        open_engine("jobs.db")
    assert list(home.iterdir()) == []

    open_engine("jobs.db", create=True).close()
    with open_engine(choose_database("jobs.db")) as queue:
        assert queue.database.why == "--db"


def test_a_url_that_is_not_to_be_used_is_refused_in_words() -> None:
    with pytest.raises(BadInput, match="postgresql"):
        open_engine("mysql://ada@host/db")
    with pytest.raises(BadInput, match="password") as refusal:
        open_engine("postgresql://ada:opensesame@host/db")
    assert "opensesame" not in str(refusal.value)


def test_a_closed_engine_says_so(queue: Engine) -> None:
    queue.close()
    queue.close()

    with pytest.raises(StorageError, match="closed"):
        queue.counts()


def test_every_error_is_one_of_ours_with_an_exit_code() -> None:
    public = [value for value in vars(queuectl_engine).values() if isinstance(value, type)]
    errors = [error for error in public if issubclass(error, Exception)]

    assert len(errors) > 10
    for error in errors:
        assert issubclass(error, QueuectlError)
        assert isinstance(error.exit_code, ExitCode)


# -- adding


def test_a_line_an_argv_and_a_policy(queue: Engine) -> None:
    line = queue.add("echo hi | wc -l")
    argv = queue.add(["echo", "two words"], priority=5, key="greet", timeout=60)

    assert (line.command, line.argv, line.state) == ("echo hi | wc -l", None, JobState.PENDING)
    assert (argv.command, argv.argv) == ("echo 'two words'", ("echo", "two words"))
    assert (argv.priority, argv.key, argv.timeout) == (5, "greet", timedelta(minutes=1))


def test_where_it_was_added_is_where_it_runs(home: Path, queue: Engine) -> None:
    here = queue.context_of(queue.add("make"))
    there = queue.context_of(queue.add("make", context=queue.context(cwd="/", env={"A": "1"})))

    assert (here.cwd, here.shell) == (str(home), "/bin/sh")
    assert (there.cwd, there.env) == ("/", {"A": "1"})


def test_the_config_file_names_shell_and_captured_variables(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = home / ".config" / "queuectl" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('shell = "/bin/bash"\ncapture_env = ["FLAVOUR"]\n')
    monkeypatch.setenv("FLAVOUR", "sweet")

    with open_engine() as queue:
        context = queue.context_of(queue.add("make"))

    assert context.shell == "/bin/bash"
    assert context.captured["FLAVOUR"] == "sweet"


def test_a_key_that_exists_gives_the_job_that_has_it(queue: Engine) -> None:
    first = queue.add("make", key="build")

    assert queue.add("make", key="build") == first
    with pytest.raises(KeyTaken):
        queue.add("make clean", key="build")


def test_bad_input_stores_nothing(queue: Engine) -> None:
    policies: list[Policy] = [
        {"max_retries": -1},
        {"queue": "a b"},
        {"key": "7"},
        {"timeout": 0},
    ]
    for policy in policies:
        with pytest.raises(BadInput):
            queue.add("true", **policy)

    assert queue.counts().of(*JobState) == 0


def test_a_bulk_add_is_stored_in_chunks_and_says_where_it_stopped(
    queue: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ADDED_AT_ONCE", 3)
    queue.add("other", key="k5")
    jobs = [queue.new_job(f"echo {n}", key=f"k{n}") for n in range(8)]

    with pytest.raises(KeyTaken, match="k5"):
        queue.add_many(jobs)

    assert [job.command for job in queue.jobs()] == ["other", "echo 0", "echo 1", "echo 2"]


def test_lines_are_added_in_portions(queue: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LINES_AT_ONCE", 10)
    lines = [f"echo {n}" for n in range(25)]

    added = queue.add_lines(iter(lines), queue="mail", labels=["red"])

    stored = queue.get_all(added)
    assert [job.command for job in stored] == lines
    assert {(job.queue, job.labels) for job in stored} == {("mail", ("red",))}
    assert queue.add_lines([]) == []


@pytest.mark.parametrize("bad", ["", " ", "a\0b", "\ud800", "x" * 200_000, 7, ["echo", "7"]])
def test_a_bad_line_is_refused_with_its_portion(
    queue: Engine, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    """Whether it is the first of a portion or another one."""
    monkeypatch.setattr(engine, "LINES_AT_ONCE", 2)

    for before in (2, 3):
        with pytest.raises(BadInput):
            queue.add_lines(["true"] * before + [bad])

    assert queue.counts().of(JobState.PENDING) == 4


def test_a_key_is_not_for_many_lines(queue: Engine) -> None:
    with pytest.raises(BadInput, match="key"):
        queue.add_lines(["true"], key="mine")


def test_long_lines_of_few_bytes_are_taken(queue: Engine) -> None:
    line = "x" * (128 * 1024 - 1)

    assert queue.get(queue.add_lines(["true", line])[1]).command == line


def test_a_bulk_add_reads_its_jobs_as_it_goes(queue: Engine) -> None:
    context = queue.context()

    added = queue.add_many(queue.new_job(f"echo {n}", context) for n in range(12_000))

    assert len(added) == queue.counts().of(JobState.PENDING) == 12_000
    assert [one.id for one in added] == sorted(one.id for one in added)


# -- naming jobs


def test_a_job_is_named_by_id_by_text_of_the_id_or_by_key(queue: Engine) -> None:
    job = queue.add("true", key="nightly")

    assert queue.get(job.id) == queue.get(str(job.id)) == queue.get("nightly") == job
    assert ids(queue.get_all(["nightly", job.id])) == [job.id, job.id]
    assert queue.find([job.id, 99]) == {job.id: job}


@pytest.mark.parametrize(
    "name", [0, -1, 99, 2**63, 2**64, "99", "-1", "", "unheard", "9" * 6000, "\udcff", "\x1b[2J"]
)
def test_an_unknown_name_is_no_such_job(queue: Engine, name: int | str) -> None:
    job = queue.add("true", key="k")
    for act in (queue.get, queue.wait, queue.cancel, queue.requeue, queue.delete, queue.attempts):
        with pytest.raises(NoSuchJob) as refused:
            act(name)
        assert str(refused.value).isprintable()

    assert queue.get(job.id) == job


def test_the_first_unknown_one_among_many_is_named_and_nothing_changes(queue: Engine) -> None:
    job = queue.add("true")

    with pytest.raises(NoSuchJob, match="no job nope"):
        queue.cancel(job.id, "nope", "neither")

    assert queue.get(job.id) == job


# -- reading


def test_jobs_of_each_state_and_of_all(queue: Engine) -> None:
    pending = queue.add("a", priority=1, queue="q")
    first = queue.add("b", priority=9)
    gone = queue.add("c")
    queue.cancel(gone.id)

    assert ids(list(queue.jobs())) == [pending.id, first.id, gone.id]
    assert ids(list(queue.jobs(JobState.PENDING))) == [first.id, pending.id]
    assert ids(list(queue.jobs(JobState.CANCELLED))) == [gone.id]
    assert ids(list(queue.jobs(queue="q"))) == [pending.id]
    assert ids(list(queue.jobs(limit=2))) == [pending.id, first.id]
    for state in (JobState.PROCESSING, JobState.FAILED, JobState.COMPLETED, JobState.DEAD):
        assert list(queue.jobs(state)) == []


def test_all_jobs_are_read_over_the_edges_of_pages(
    queue: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_PAGE", 4)
    added = [job.id for job in queue.add_many(queue.new_job(f"echo {n}") for n in range(17))]

    assert ids(list(queue.jobs())) == added


def test_a_job_that_goes_while_others_are_read_hides_none(
    queue: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_PAGE", 4)
    added = [job.id for job in queue.add_many(queue.new_job(f"echo {n}") for n in range(12))]
    seen = []

    for job in queue.jobs():
        seen.append(job.id)
        queue.delete(job.id)

    assert seen == added


def test_history_events_and_output_of_a_job_that_never_ran(queue: Engine) -> None:
    job = queue.add("true")

    assert queue.attempts(job.id) == []
    assert queue.output(job.id) == queue.output(job.id, 1) == []
    assert [event.kind for event in queue.events(job.id)] == ["added"]
    page = queue.page(View.PENDING, limit=5)
    assert (page.jobs, page.keys) == ((job,), (queue.place(View.PENDING, job),))


# -- acting


def test_cancel_requeue_delete(queue: Engine) -> None:
    job = queue.add("true")

    assert queue.cancel(job.id) == []
    with pytest.raises(WrongState):
        queue.cancel(job.id)
    queue.requeue(job.id, run_at=datetime.now(UTC) + HOUR)
    assert queue.get(job.id).state is JobState.PENDING
    queue.delete(job.id)
    with pytest.raises(NoSuchJob):
        queue.get(job.id)


def test_a_job_named_twice_is_meant_once(queue: Engine) -> None:
    job = queue.add("true", key="k")

    assert queue.cancel(job.id, "k", str(job.id)) == []
    queue.requeue("k", job.id)
    queue.delete("k", job.id)

    assert queue.find([job.id]) == {}


@pytest.mark.parametrize(
    "run_at",
    [
        datetime(2026, 1, 31),  # noqa: DTZ001 - the naive datetime is the point
        datetime.max.replace(tzinfo=UTC) - HOUR,
    ],
)
def test_a_requeue_checks_its_time_as_an_add_does(queue: Engine, run_at: datetime) -> None:
    job = queue.add("true")
    queue.cancel(job.id)

    if run_at.tzinfo is None:
        with pytest.raises(BadInput, match="time zone"):
            queue.requeue(job.id, run_at=run_at)
        assert queue.get(job.id).state is JobState.CANCELLED
    else:
        queue.requeue(job.id, run_at=run_at)
        assert queue.get(job.id).run_at.year == 9999


def test_pause_and_resume(queue: Engine) -> None:
    queue.add("true", queue="mail")

    assert queue.pause("mail") == ["mail"]
    assert [(info.name, info.paused) for info in queue.queues()] == [("mail", True)]
    assert queue.resume() == ["mail"]
    with pytest.raises(BadInput):
        queue.resume("unheard")
    with pytest.raises(BadInput):
        queue.pause("two words")


def test_an_engine_that_only_looks_changes_nothing(queue: Engine) -> None:
    job = queue.add("true")
    with open_engine(queue.database, read_only=True) as looking:
        assert looking.get(job.id) == job
        acts: list[Callable[[], object]] = [
            lambda: looking.add("false"),
            lambda: looking.cancel(job.id),
            looking.pause,
            looking.start_pool,
        ]
        for act in acts:
            with pytest.raises(ReadOnly):
                act()
    assert queue.get(job.id) == job
    assert queue.pools() == []


def test_requeue_dead_without_dead_jobs_does_nothing(queue: Engine) -> None:
    assert queue.requeue_dead() == 0


# -- waiting and news


def test_wait_returns_at_once_what_has_ended(queue: Engine) -> None:
    job = queue.add("true")
    queue.cancel(job.id)

    assert [found.state for found in queue.wait(job.id)] == [JobState.CANCELLED]
    assert queue.wait() == []


def test_wait_gives_up_after_its_timeout(queue: Engine) -> None:
    job = queue.add("true")

    assert queue.wait(job.id, timeout=0) == [job]


@pytest.mark.parametrize("same", [True, False], ids=["this engine", "another one"])
def test_wait_hears_of_an_end_that_another_thread_wrote(queue: Engine, same: bool) -> None:
    first, second = queue.add("a"), queue.add("b")
    found: list[Job] = []
    waiter = threading.Thread(
        target=lambda: found.extend(queue.wait(first.id, second.id, timeout=60)), daemon=True
    )
    waiter.start()

    with open_engine("queue.db") as other:
        actor = queue if same else other
        actor.cancel(first.id)
        actor.changed()  # whoever else asks for news does not take it from the waiter
        actor.cancel(second.id)
        until(lambda: not waiter.is_alive(), timeout=20)

    assert [job.state for job in found] == [JobState.CANCELLED] * 2


def test_wait_for_a_job_that_is_deleted_meanwhile_ends(queue: Engine) -> None:
    job = queue.add("true")
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            queue.wait(job.id, timeout=60)
        except NoSuchJob as failure:
            failures.append(failure)

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    with open_engine("queue.db") as other:
        other.delete(job.id)
    until(lambda: not waiter.is_alive(), timeout=20)

    assert len(failures) == 1


# -- pools, without any


def test_without_a_pool_there_is_nothing_to_scale_or_stop(queue: Engine) -> None:
    assert queue.pools() == []
    acts: list[Callable[[], object]] = [
        queue.find_pool,
        lambda: queue.scale(by=1),
        queue.stop_pool,
    ]
    for act in acts:
        with pytest.raises(NoSuchPool) as refused:
            act()
        assert str(refused.value).isprintable()


@pytest.mark.parametrize(("to", "by"), [(None, None), (-1, None), (1, 1)])
def test_a_size_that_makes_no_sense_is_refused(
    queue: Engine, to: int | None, by: int | None
) -> None:
    with pytest.raises(BadInput):
        queue.scale(to=to, by=by)
