"""What real workers make of real commands."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from queuectl_engine import Context, Engine, JobState, open_engine
from queuectl_engine.lifecycle import (
    Backoff,
    CancelObeyed,
    Ending,
    Exited,
    ForcedStop,
    HostLost,
)
from queuectl_engine.pool import processes
from queuectl_engine.pool.ahead import Ahead
from queuectl_engine.pool.lease import Lease
from queuectl_engine.pool.listening import Listener
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.pool.runner import Run
from queuectl_engine.pool.running import Running
from queuectl_engine.repository.protocol import AttemptId, Claim
from tests.pool.conftest import StartPool, ended, printed, running
from tests.samples import pool_row, stored
from tests.waiting import until

FLEETING = 400  # jobs


def test_a_job_runs_and_completes_and_its_output_is_kept(
    engine: Engine, start_pool: StartPool
) -> None:
    start_pool()
    job = ended(engine, engine.add("echo out; echo err >&2"))

    assert job.state is JobState.COMPLETED
    pieces = [p for chunk in engine.output(job.id) for p in chunk.pieces]
    assert sorted((p.stream.value, p.data) for p in pieces) == [("e", b"err\n"), ("o", b"out\n")]
    (attempt,) = engine.attempts(job.id)
    assert (attempt.result, attempt.exit_code, attempt.worker) == ("completed", 0, "w1")


def test_a_failing_job_is_retried_with_backoff_then_dead_then_requeued(
    engine: Engine, start_pool: StartPool
) -> None:
    start_pool(backoff_base=1.0, backoff_cap=0.05)
    job = ended(engine, engine.add("exit 7", max_retries=2))

    assert (job.state, job.reason, job.attempts) == (JobState.DEAD, "exit 7", 3)
    assert [(a.number, a.exit_code) for a in engine.attempts(job.id)] == [(1, 7), (2, 7), (3, 7)]

    engine.requeue(job.id)
    until(lambda: engine.get(job.id).runs == 6)
    job = ended(engine, job)
    assert (job.state, job.attempts) == (JobState.DEAD, 3)
    assert [a.number for a in engine.attempts(job.id)] == [1, 2, 3, 4, 5, 6]


def test_an_argv_reaches_its_program_unchanged(engine: Engine, start_pool: StartPool) -> None:
    start_pool()
    words = ["a b", "$HOME", "it's", "", "*", "ü\n"]
    job = ended(engine, engine.add(["printf", "<%s>", *words]))
    assert printed(engine, job) == "".join(f"<{word}>" for word in words)


def test_a_job_sees_directory_umask_and_environment_of_its_add(
    engine: Engine, start_pool: StartPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_pool()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    monkeypatch.setenv("VIRTUAL_ENV", "/some/venv")
    monkeypatch.setenv("SECRET", "must not be stored")
    before = os.umask(0o027)
    try:
        command = 'pwd; umask; echo "$VIRTUAL_ENV|$SECRET|$MODE"'
        job = ended(engine, engine.add(command, context=engine.context(env={"MODE": "x"})))
    finally:
        os.umask(before)
    assert printed(engine, job) == f"{tmp_path}/there\n0027\n/some/venv||x\n"


def test_a_job_has_default_signals_no_input_no_descriptors_and_its_own_session(
    engine: Engine, start_pool: StartPool
) -> None:
    start_pool()
    job = ended(
        engine,
        engine.add(
            "grep -E '^Sig(Ign|Blk)' /proc/self/status; cat; ls /proc/$$/fd;"
            " awk '{print ($1 == $6)}' /proc/$$/stat"
        ),
    )
    assert printed(engine, job).split() == [
        # glibc ignores its own two, 32 and 33, which no program can use
        *["SigBlk:", "0000000000000000", "SigIgn:", "0000000180000000"],
        *["0", "1", "2"],
        "1",
    ]


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        (["no-such-program"], 127, "cannot run no-such-program: not found"),
        (["/etc/passwd"], 126, "cannot run /etc/passwd: Permission denied"),
        (["{here}/script"], 127, "script: its interpreter was not found"),
    ],
)
def test_a_program_that_is_none_is_told_in_plain_words(
    engine: Engine,
    start_pool: StartPool,
    tmp_path: Path,
    command: list[str],
    code: int,
    told: str,
) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    start_pool()
    argv = [word.format(here=tmp_path) for word in command]
    job = ended(engine, engine.add(argv, max_retries=0))
    assert (job.state, job.reason) == (JobState.DEAD, f"exit {code}")
    assert told in printed(engine, job)
    assert engine.advice(job, engine.attempts(job.id)[-1])


def test_a_directory_that_is_gone_is_told_in_plain_words(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    job = engine.add("true", context=engine.context(cwd=str(tmp_path / "gone")), max_retries=0)
    (tmp_path / "gone").rmdir()
    start_pool()

    assert ended(engine, job).reason == "exit 126"
    assert "cannot enter" in printed(engine, job)


def test_a_signal_that_ends_a_job_is_named(engine: Engine, start_pool: StartPool) -> None:
    start_pool()
    job = ended(engine, engine.add("kill -9 $$", max_retries=0))
    assert (job.state, job.reason) == (JobState.DEAD, "killed by signal 9")
    assert engine.attempts(job.id)[0].signal == 9


def test_a_job_that_runs_too_long_is_ended_with_all_its_children(
    engine: Engine, start_pool: StartPool
) -> None:
    start_pool(grace=0.2)
    job = engine.add(
        "trap '' TERM; setsid sleep 321 & setsid sh -c 'setsid sleep 322 &' & sleep 323; sleep 324",
        timeout=0.3,
        max_retries=0,
    )
    job = ended(engine, job)
    assert (job.state, job.reason) == (JobState.DEAD, "timed out after 0.3 s")
    assert engine.attempts(job.id)[0].result == "timed out"
    assert not _sleepers("321", "322", "323", "324")


def test_the_ladder_finds_what_carries_the_token_wherever_it_was_started(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    start_pool()
    token = tmp_path / "token"
    job = engine.add(f"echo $QUEUECTL_TOKEN > {token}; sleep 325")
    until(lambda: token.exists() and token.read_text().endswith("\n"))
    env = {"QUEUECTL_TOKEN": token.read_text().strip()}
    with subprocess.Popen(["/bin/sleep", "326"], env=env) as elsewhere:
        engine.cancel(job.id)
        assert ended(engine, job).state is JobState.CANCELLED
        assert elsewhere.wait(timeout=0) == -signal.SIGKILL


def test_a_stopped_job_is_ended_too(engine: Engine, start_pool: StartPool) -> None:
    start_pool(grace=1000.0)
    job = engine.add("kill -STOP $$; echo never", timeout=0.3, max_retries=0)
    job = ended(engine, job)  # SIGTERM alone would wait until SIGKILL
    assert job.reason == "timed out after 0.3 s"


def test_cancel_ends_a_running_job_and_nothing_retries_it(
    engine: Engine, start_pool: StartPool
) -> None:
    start_pool()
    job = engine.add("sleep 331")
    until(lambda: running(engine, job))

    assert engine.cancel(job.id) == [job.id]

    job = ended(engine, job)
    assert (job.state, job.reason) == (JobState.CANCELLED, "cancelled")
    assert not _sleepers("331")


def test_what_a_job_leaves_behind_ends_with_it_unless_spared(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    start_pool()
    job = ended(engine, engine.add("(sleep 341; true) & (sleep 342; true) & echo done"))
    assert (job.state, printed(engine, job)) == (JobState.COMPLETED, "done\n")
    assert not _sleepers("341", "342")

    pid_file = tmp_path / "pid"
    command = f"setsid sleep 343 >/dev/null 2>&1 & echo $! > {pid_file}"
    ended(engine, engine.add(command, allow_background=True))
    until(lambda: _sleepers("343"))  # its program may not have begun yet
    os.kill(int(pid_file.read_text()), signal.SIGKILL)


def test_the_group_ends_with_its_leader_where_children_cannot_be_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claim = Claim(AttemptId(1, 1, "cafe"), stored(command="sleep 353 & true"), Context("/", 0o022))
    run = Run(claim, grace=1.0, output_limit=1000)
    run.start({"PATH": os.defpath, "QUEUECTL_TOKEN": "cafe"})
    select.select([run.pidfd], [], [])
    monkeypatch.setattr(processes, "children", list)  # a kernel without CONFIG_PROC_CHILDREN

    run.reap(())

    until(lambda: not _sleepers("353"))


class AlwaysReadable:
    """A poll that says so of each pipe: what it held is taken by somebody else just then."""

    def __init__(self) -> None:
        self._descriptors: list[int] = []

    def register(self, descriptor: int, _: int) -> None:
        self._descriptors.append(descriptor)

    def poll(self, _: int) -> list[tuple[int, int]]:
        return [(descriptor, select.POLLIN) for descriptor in self._descriptors]


def test_a_pipe_from_which_another_process_reads_blocks_no_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = stored(command="sleep 348 & true", allow_background=True)
    run = Run(Claim(AttemptId(1, 1, "cafe"), job, Context("/", 0o022)), grace=1, output_limit=9)
    run.start({"PATH": os.defpath})
    select.select([run.pidfd], [], [])
    monkeypatch.setattr(processes, "children", list)  # it is not known to be alone
    monkeypatch.setattr(select, "poll", AlwaysReadable)

    run.reap(())

    until(lambda: _sleepers("348"))  # it may still be the shell that becomes it
    for pid in _sleepers("348"):
        os.kill(pid, signal.SIGKILL)


def test_a_pipe_that_is_listened_to_and_holds_nothing_blocks_no_worker() -> None:
    claim = Claim(AttemptId(1, 1, "cafe"), stored(command="sleep 349"), Context("/", 0o022))
    run = Run(claim, grace=1.0, output_limit=9)
    run.start({"PATH": os.defpath})

    assert all(run.read(descriptor) for descriptor in run.listened())

    os.kill(run.pid, signal.SIGKILL)
    run.reap(())


@pytest.mark.parametrize("why", [ForcedStop(), HostLost(), CancelObeyed()])
def test_what_has_ended_by_itself_is_not_made_to_end(tmp_path: Path, why: Ending) -> None:
    """A worker that comes late to its loop hears of both at once: what was first counts."""
    listener = Listener()
    here = Running(
        PoolOptions("queue.db", slots=2),
        1,
        clock=partial(datetime.now, UTC),
        listener=listener,
        ahead=Ahead(tmp_path, 1),
        lease=Lease(pool_row(tmp_path, lease=None), tmp_path),
    )
    over, lasting = (
        here.prepared(
            Claim(AttemptId(number, 1, f"{number:032x}"), stored(command=line), Context("/", 0o022))
        )
        for number, line in enumerate(("true", "sleep 352"))
    )
    for run in (over, lasting):
        here.begin(run)
    select.select([over.pidfd], [], [])

    assert here.end_all(why) == [lasting]

    select.select([lasting.pidfd], [], [])
    listener.wait(0.0)
    endings = {run: run.ended(Backoff(2.0, timedelta())).ending for run in here.gone()}
    assert endings == {over: Exited(0), lasting: why}
    assert here.count == 0


def test_a_daemon_that_left_the_session_ends_with_its_job(
    engine: Engine, start_pool: StartPool
) -> None:
    start_pool()
    job = ended(engine, engine.add("setsid sh -c 'sleep 344 & sleep 345' & sleep 0.1"))
    assert job.state is JobState.COMPLETED
    assert not _sleepers("344", "345")


def test_what_begins_or_ends_just_then_ends_with_its_job(
    engine: Engine, start_pool: StartPool
) -> None:
    """For a moment a process has no environment to be known by: of so many, some are caught in it.

    Looked at only once, two or three jobs of a hundred left something behind.
    """
    start_pool(3)
    engine.add_lines(["setsid sh -c 'sleep 346 & sleep 347' & sleep 0.002"] * FLEETING)
    until(lambda: engine.counts().of(JobState.COMPLETED) == FLEETING, timeout=60)
    assert not _sleepers("346", "347")


def test_a_job_ends_with_its_leader_even_if_a_child_keeps_the_pipe(
    engine: Engine, start_pool: StartPool
) -> None:
    start_pool()
    job = engine.add("setsid sleep 351 & echo first", allow_background=True)
    assert ended(engine, job).state is JobState.COMPLETED
    assert printed(engine, job) == "first\n"
    until(lambda: _sleepers("351"))  # its program may not have begun yet
    for pid in _sleepers("351"):
        os.kill(pid, signal.SIGKILL)


def test_output_is_seen_while_the_job_runs(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    start_pool()
    go_on = tmp_path / "go-on"
    job = engine.add(f"echo first; until test -e {go_on}; do sleep 0.02; done; echo second")
    until(lambda: running(engine, job) and printed(engine, job) == "first\n")
    go_on.touch()
    ended(engine, job)
    assert printed(engine, job) == "first\nsecond\n"


def test_endless_output_is_bounded_and_counted(engine: Engine, start_pool: StartPool) -> None:
    start_pool(output_limit=10_000)
    job = ended(engine, engine.add("seq 1 200000; echo the end"))
    text, (attempt,) = printed(engine, job), engine.attempts(job.id)
    assert text.startswith("1\n2\n3\n")
    assert text.endswith("200000\nthe end\n")
    assert 20_000 <= len(text) <= 30_000
    assert attempt.output_bytes == sum(len(f"{n}\n") for n in range(1, 200_001)) + 8
    assert attempt.dropped_bytes == attempt.output_bytes - len(text)


def test_a_log_file_gets_everything_and_keeps_what_it_has(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    start_pool(output_limit=100)
    log = tmp_path / "log"
    log.write_text("before\n")
    context = engine.context(cwd=str(tmp_path))
    job = ended(engine, engine.add("seq 1 9999; echo e >&2", context=context, log_file="log"))
    assert job.log_file == str(log)
    assert len(printed(engine, job)) < 500
    lines = log.read_text().splitlines()
    assert lines[0] == "before"
    assert sorted(lines[1:]) == sorted([*map(str, range(1, 10_000)), "e"])


def test_a_log_file_that_cannot_be_written_starts_nothing(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    start_pool()
    job = engine.add("touch ran", log_file=str(tmp_path / "no" / "log"), max_retries=0)
    assert ended(engine, job).reason == "exit 126"
    assert "cannot write" in printed(engine, job)


def test_a_full_disk_under_the_log_file_does_not_stop_the_job(
    engine: Engine, start_pool: StartPool
) -> None:
    start_pool()
    job = ended(engine, engine.add("echo a; sleep 0.1; echo b", log_file="/dev/full"))
    assert job.state is JobState.COMPLETED
    assert (
        printed(engine, job) == "a\nqueuectl: cannot write /dev/full: No space left on device\nb\n"
    )


def test_a_flood_of_output_costs_no_memory(engine: Engine, start_pool: StartPool) -> None:
    start_pool()
    job = ended(engine, engine.add("head -c 300M /dev/zero"))
    (attempt,) = engine.attempts(job.id)
    assert attempt.output_bytes == 300 * 1024 * 1024
    assert attempt.output_bytes - attempt.dropped_bytes < 4 * 1024 * 1024
    status = Path(f"/proc/{engine.find_pool().workers[0].pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    assert int(peak.split()[1]) < 64 * 1024  # KiB
    assert Path(engine.database.location).stat().st_size < 20 * 1024 * 1024


def test_a_trickle_without_line_ends_is_seen_and_kept(
    engine: Engine, start_pool: StartPool
) -> None:
    start_pool()
    job = engine.add("for i in $(seq 300); do printf x; sleep 0.001; done")
    until(lambda: 0 < len(printed(engine, job)) < 300)
    assert printed(engine, ended(engine, job)) == "x" * 300


def test_any_bytes_are_kept(engine: Engine, start_pool: StartPool) -> None:
    start_pool()
    job = ended(engine, engine.add(r"printf '\377\000\033]52;c;x\a\200'"))
    data = b"".join(p.data for chunk in engine.output(job.id) for p in chunk.pieces)
    assert data == b"\xff\0\x1b]52;c;x\a\x80"


def test_a_job_that_adds_jobs_finds_its_database(engine: Engine, start_pool: StartPool) -> None:
    start_pool()
    job = ended(engine, engine.add('echo "$QUEUECTL_DB $QUEUECTL_JOB_ID $QUEUECTL_ATTEMPT"'))
    assert printed(engine, job) == f"{engine.database.location} {job.id} 1\n"
    with open_engine(printed(engine, job).split()[0]) as other:
        assert other.get(job.id).state is JobState.COMPLETED


def _sleepers(*seconds: str) -> list[int]:
    return _processes(lambda argv: argv[:1] == [b"sleep"] and argv[1].decode() in seconds)


def _processes(wanted: Callable[[list[bytes]], bool]) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                argv = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if wanted(argv):
                found.append(int(entry.name))
    return found
