"""Hooks with real pools and processes: what they see, and what becomes of them."""

from __future__ import annotations

import errno
import os
import select
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from queuectl_engine import Engine, Job, PoolInfo
from queuectl_engine.hook import new_hook
from queuectl_engine.lifecycle import Exited
from queuectl_engine.pool.hooks import AT_ONCE, Hooks
from queuectl_engine.repository import open_repository
from queuectl_engine.repository.protocol import JobRepository
from tests.pool.conftest import StartPool, ended
from tests.repository.driver import Driver
from tests.samples import CONTEXT
from tests.waiting import until


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[JobRepository]:
    with closing(open_repository(str(tmp_path / "other.db"), create=True)) as opened:
        yield opened


@pytest.fixture
def drive(repo: JobRepository) -> Driver:
    return Driver(repo)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def failures(engine: Engine, job: Job) -> list[str | None]:
    return [event.detail for event in engine.events(job.id) if event.kind == "hook failed"]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] in "ZX"
    except FileNotFoundError:
        return True


def log_of(pool: PoolInfo) -> str:
    return Path(pool.log).read_text()


def test_a_hook_sees_its_job_and_where_it_was_set(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    here = engine.context(cwd=str(tmp_path), env={"WHO": "ada"})
    line = (
        'echo "$QUEUECTL_HOOK $QUEUECTL_QUEUE $QUEUECTL_JOB_ID $QUEUECTL_STATE $QUEUECTL_REASON'
        ' $QUEUECTL_EXIT_CODE $QUEUECTL_COMMAND $QUEUECTL_DB $WHO $PWD" >> told'
    )
    engine.set_hook("mail", "on_dead", line, context=here)
    start_pool()
    job = ended(engine, engine.add("exit 7", queue="mail", max_retries=0))
    ended(engine, engine.add("true", queue="mail"))

    (said,) = until(lambda: lines(told))

    db = engine.database.location
    assert said == f"on_dead mail {job.id} dead exit 7 7 exit 7 {db} ada {tmp_path}"


def test_argv_runs_without_a_shell(engine: Engine, start_pool: StartPool, tmp_path: Path) -> None:
    engine.set_hook("default", "on_completed", ["touch", str(tmp_path / "it's $HOME")])
    start_pool()
    engine.add("true")

    until((tmp_path / "it's $HOME").exists)


def test_a_failure_is_on_the_job_and_in_the_log_and_starts_nothing(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    engine.set_hook("default", "on_dead", f"echo x >> {count}; echo no mail >&2; exit 3")
    pool = start_pool()
    job = ended(engine, engine.add("false", max_retries=0, on_dead="/no/such/program"))

    until(lambda: len(failures(engine, job)) == 2)
    after = ended(engine, engine.add("true"))

    assert sorted(filter(None, failures(engine, job))) == [
        "on_dead: exit 127: /bin/sh: 1: /no/such/program: not found",
        "on_dead: exit 3: no mail",
    ]
    assert 'failed="exit 3" said="no mail"' in log_of(pool)
    assert lines(count) == ["x"]
    assert [each.id for each in engine.jobs()] == [job.id, after.id]


def test_a_directory_that_is_gone_is_told(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    engine.set_hook("default", "on_completed", "x", context=engine.context(cwd=f"{tmp_path}/gone"))
    (tmp_path / "gone").rmdir()
    start_pool()
    job = ended(engine, engine.add("true"))

    (failed,) = until(lambda: failures(engine, job))

    assert failed == f"on_completed: cannot run {tmp_path}/gone: No such file or directory"


def test_its_time_ends_it_with_all_that_it_started(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    line = f"setsid sleep 1000 & echo $! >> {pids}; echo $$ >> {pids}; trap '' TERM; wait"
    engine.set_hook("default", "on_completed", line, timeout=0.5)
    start_pool()
    job = ended(engine, engine.add("true"))

    (failed,) = until(lambda: failures(engine, job))

    assert failed == "on_completed: timed out after 0.5 s"
    assert len(lines(pids)) == 2
    assert all(gone(int(pid)) for pid in lines(pids))


def test_a_pool_that_dies_leaves_its_hook_to_the_next_one(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    pids, block = tmp_path / "pids", tmp_path / "block"
    block.touch()
    line = f"echo $$ >> {pids}; while [ -e {block} ]; do sleep 0.05; done; echo done >> {pids}"
    engine.set_hook("default", "on_completed", line)
    first = start_pool(name="first")
    ended(engine, engine.add("true"))
    (one,) = until(lambda: lines(pids))

    os.kill(first.pid, signal.SIGKILL)
    start_pool(name="second")
    until(lambda: len(lines(pids)) == 2)
    assert gone(int(one))
    block.unlink()

    until(lambda: "done" in lines(pids))
    engine.stop_pool("second", timeout=30)
    assert lines(pids).count("done") == 1


def test_a_pool_that_drains_waits_for_its_hooks(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    engine.set_hook("default", "on_completed", f"sleep 0.2; echo completed >> {told}")
    engine.set_hook("default", "on_drained", f"echo drained >> {told}")
    for _ in range(2 * AT_ONCE):
        engine.add("true")

    start_pool(name="brief", drain=True)
    until(lambda: not engine.pools())

    assert sorted(lines(told)) == ["completed"] * 2 * AT_ONCE + ["drained"]


def test_a_forced_stop_ends_a_hook_and_leaves_it_to_the_next_pool(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    pids, block = tmp_path / "pids", tmp_path / "block"
    block.touch()
    line = f"echo $$ >> {pids}; while [ -e {block} ]; do sleep 0.05; done"
    engine.set_hook("default", "on_completed", line)
    start_pool(name="first")
    ended(engine, engine.add("true"))
    (one,) = until(lambda: lines(pids))

    engine.stop_pool("first", now=True, timeout=30)
    assert gone(int(one))
    block.unlink()
    start_pool(name="second")

    until(lambda: len(lines(pids)) == 2)


def test_only_a_few_run_at_once(engine: Engine, start_pool: StartPool, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    line = f"echo + >> {marks}; sleep 0.3; echo - >> {marks}"
    engine.set_hook("default", "on_completed", line)
    for _ in range(3 * AT_ONCE):
        engine.add("true")

    start_pool(workers=2)
    until(lambda: len(lines(marks)) == 6 * AT_ONCE)

    height, highest = 0, 0
    for mark in lines(marks):
        height += 1 if mark == "+" else -1
        highest = max(highest, height)
    assert 1 <= highest <= AT_ONCE


def test_a_full_machine_is_not_the_fault_of_a_hook(
    repo: JobRepository, drive: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor's hooks without a supervisor: a process is refused, and made a moment later."""
    told = tmp_path / "told"
    monkeypatch.chdir("/")
    repo.set_hook(new_hook("default", "on_completed", ["touch", str(told)], CONTEXT))
    drive.add()
    drive.run(Exited(0))
    log: list[tuple[str, dict[str, object]]] = []
    hooks = Hooks(
        repo, drive.pool, "db", select.poll(), lambda event, **fields: log.append((event, fields))
    )

    with monkeypatch.context() as full:
        full.setattr("queuectl_engine.pool.hooks.spawn", refuse)
        hooks.turn(take=True)
    assert (log[0][0], hooks.idle, told.exists()) == ("waiting", False, False)
    until(lambda: idle_after_a_turn(hooks))

    assert told.exists()
    assert [event for event, _ in log] == ["waiting", "hook"]
    assert not repo.hooks_wait()


def idle_after_a_turn(hooks: Hooks) -> bool:
    hooks.turn(take=False)
    return hooks.idle


def refuse(*_: object) -> int:
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def test_a_hook_that_floods_holds_up_nobody_but_itself(
    engine: Engine, start_pool: StartPool
) -> None:
    engine.set_hook("default", "on_completed", "yes", timeout=2)
    start_pool()
    job = ended(engine, engine.add("true"))
    ended(engine, engine.add("true", queue="other"))

    (failed,) = until(lambda: failures(engine, job))

    assert failed == "on_completed: timed out after 2 s: y"
