"""One command, from its start to what its end means.

A `Run` owns a process that leads its own session, the pipes it writes to, and the ladder that ends
it: SIGTERM and SIGCONT to the group, patience, SIGKILL, then whatever is left of it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import select
import shutil
import signal
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from math import inf
from types import MappingProxyType
from typing import Final

from queuectl_engine.cause import signature_of
from queuectl_engine.job import Stream
from queuectl_engine.lifecycle import (
    Backoff,
    Completed,
    Ending,
    Exited,
    NotStarted,
    Signalled,
    TimedOut,
    outcome_of,
)
from queuectl_engine.plain_line import plain_words
from queuectl_engine.pool import processes
from queuectl_engine.pool.output import OutputBuffer
from queuectl_engine.repository.protocol import Claim, Ended, Leader, Output, Progress, Usage

_TICK: Final = 0.25  # seconds between two writes of a running job
_EARLY: Final = 0.005  # seconds; most short jobs have ended by then, and their pipes hold it all
DESCRIPTORS: Final = 3  # of one run, beside a log file: two pipes and its pidfd
_STUCK: Final = 5.0  # seconds after SIGKILL
_READ: Final = 65_536
_LARGE_READ: Final = 1024 * 1024  # what an ordinary user may make of a pipe (pipe(7))
_UNSURE: Final = 1024  # KiB: the kernel counts memory in batches
_NOTHING: Final = Output()
_LAST_READS: Final = 64  # of what stands in a pipe (at most 1 MiB) when the leader has ended
# What a program would go on ignoring: Python does so with SIGPIPE and SIGXFSZ, nohup with SIGHUP.
# All of them by name, as glibc looks first at each that is not named and then sets it as well; and
# as numbers, which are read in a moment.
_DEFAULT: Final = tuple(map(int, signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))
NOT_ITS_FAULT: Final = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
# What a shell answers (POSIX XCU 2.8.2): found but not executable, and not found.
CANNOT_EXECUTE: Final = 126
_NOT_FOUND: Final = 127


class NotRun(Exception):
    """The command did not start; `ending` says whose fault that is, `told` says it to people."""

    def __init__(self, ending: Ending, told: str) -> None:
        super().__init__(told)
        self.ending = ending
        self.told = told


class _NoProgram(FileNotFoundError):
    """No file of that name; execve(2) says the same when a script's interpreter is missing."""


class Run:
    """What a worker makes of a claim: a command that waits, runs or is over.

    The worker's loop calls it when one of its descriptors is ready or at `wake_at`; nothing here
    blocks, but for the moments that SIGKILL takes.
    `pid` is its leader; `pidfd` turns readable when that ends; `streams` are the pipes still open.
    They need not be read before `listen_at`: who ends earlier is heard of once, not three times.
    The worker's are: `environment`, all but its slot's; `refusal`, why it will not start; `slot`;
    `began_at`, when that is not at its claim; `parked`, what was said of one that cannot be ended.
    """

    # What most runs never change is of the class: each is made for one job, thousands a second.
    pid = 0
    pidfd = -1
    listen_at = inf
    environment: Mapping[str, str] = MappingProxyType({})
    refusal: NotRun | None = None
    slot = 0
    began_at: datetime | None = None
    parked: str | None = None
    _leader: Leader | None = None
    _leader_told = False
    _ending: Ending | None = None  # what the ladder was begun for, or why it never ran
    _kill_at = 0.0
    _killed = False
    _timeout_at = inf
    _tick_at = inf
    _copy: int | None = None  # its own log file
    _output: OutputBuffer | None = None  # once it has printed anything
    _unsaved: Output | None = None
    _status = 0
    _used: resource.struct_rusage | None = None
    _told: Ended | None = None

    def __init__(
        self,
        claim: Claim,
        *,
        grace: float,
        output_limit: int,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        """Does not start it. `grace`: seconds between SIGTERM and SIGKILL."""
        self._clock = clock or partial(datetime.now, UTC)
        self.claim = claim
        self._ended_at = claim.job.updated_at
        self.streams: dict[int, Stream] = {}
        self._read_size: dict[int, int] = {}
        self._grace = grace
        self._output_limit = output_limit

    def start(self, env: Mapping[str, str]) -> None:
        """Start the command. Raises NotRun when there is nothing to wait for."""
        context, job = self.claim.context, self.claim.job
        argv = job.argv or (context.shell, "-c", job.command)
        plain = plain_words(job.command) if job.argv is None and context.spares_shell else None
        pipes: list[int] = []
        try:
            pipes += os.pipe2(os.O_CLOEXEC)
            pipes += os.pipe2(os.O_CLOEXEC)
            with as_the_job(context.cwd, context.umask):
                self._copy = _opened(job.log_file)
                spared = plain and spawn_plain(plain, env, pipes[1], pipes[3])
                self.pid = spared or spawn(argv, env, pipes[1], pipes[3])
            self.pidfd = os.pidfd_open(self.pid)
        except OSError as error:
            for descriptor in pipes[::2]:
                os.close(descriptor)
            self._close_copy()
            raise _not_run(error, argv[0], self.claim) from error
        finally:
            for descriptor in pipes[1::2]:
                os.close(descriptor)
        out, err = pipes[::2]
        self.streams = {out: Stream.OUT, err: Stream.ERR}
        self._read_size = {out: _READ, err: _READ}
        now = time.monotonic()
        self.listen_at = now + _EARLY
        self._tick_at = _next_tick(now + _TICK)
        if job.timeout is not None:
            self._timeout_at = now + job.timeout.total_seconds()

    # -- while it runs

    @property
    def wake_at(self) -> float:
        """When, by the monotonic clock, something is to be done for it next."""
        if self._ending is None:
            return min(self._tick_at, self.listen_at, self._timeout_at)
        return min(self._tick_at, self.listen_at, inf if self._killed else self._kill_at)

    def listened(self) -> list[int]:
        """Its pipes, which are listened to from now on."""
        self.listen_at = inf
        self._never_block()
        return [*self.streams]

    def _never_block(self) -> None:
        for descriptor in self.streams:
            os.set_blocking(descriptor, False)

    def read(self, descriptor: int) -> bool:
        """Take what a pipe holds that is listened to; False when it is at its end, and closed."""
        try:
            data = os.read(descriptor, self._read_size[descriptor])
        except BlockingIOError:
            return True
        if len(data) == _READ:  # a flood: with a larger pipe it is slowed down less
            self._read_size[descriptor] = _enlarge(descriptor)
        if not data:
            del self.streams[descriptor]
            os.close(descriptor)
            return False
        self._take(self.streams[descriptor], data)
        return True

    def on_time(self, now: float) -> Progress | None:
        """Climb the ladder where due; at a tick, what there is to tell the store."""
        if self._ending is None and now >= self._timeout_at:
            assert self.claim.job.timeout is not None
            self.end(TimedOut(self.claim.job.timeout))
        if self._ending and not self._killed and now >= self._kill_at:
            self._killed = True
            processes.kill_group(self.pid, signal.SIGKILL)
        if now < self._tick_at:
            return None
        self._tick_at = _next_tick(now)
        return self._progress()

    def is_stuck(self, now: float) -> bool:
        """Whether even SIGKILL did not end it: it hangs in the kernel."""
        return self._killed and now >= self._kill_at + _STUCK

    def end(self, why: Ending) -> bool:
        """Begin the ladder, unless it is, or its leader has ended: then we hear of that next.

        The first cause decides what the job becomes.
        """
        if self._ending is not None or self._has_ended():
            return False
        self._ending = why
        self._kill_at = time.monotonic() + self._grace
        processes.kill_group(self.pid, signal.SIGTERM)
        processes.kill_group(self.pid, signal.SIGCONT)  # a stopped process handles nothing else
        return True

    def _has_ended(self) -> bool:
        ends = select.poll()
        ends.register(self.pidfd, select.POLLIN)
        return bool(ends.poll(0))

    def keep(self, unsaved: Progress) -> None:
        """Take back what the store could not write now; it comes with the next tick or the end."""
        self._unsaved = unsaved.output
        self._leader_told = self._leader_told and unsaved.leader is None

    def _progress(self) -> Progress:
        self._remember_leader()
        leader = None if self._leader_told else self._leader
        self._leader_told = True
        return Progress(self.claim.attempt, leader, self._take_output(self._clock()))

    def _remember_leader(self) -> None:
        if self._leader is None:
            self._leader = processes.leader_of(self.pid)

    def _take_output(self, at: datetime, *, last: bool = False) -> Output:
        output = self._output.take(at, last=last) if self._output else _NOTHING
        if self._unsaved is not None:
            output, self._unsaved = _joined(self._unsaved, output), None
        return output

    # -- when its leader has ended

    def reap(self, known: Collection[int]) -> None:
        """Clean up after the leader, which has ended; `known` are the leaders of other runs."""
        self._ended_at = self._clock()
        # What it left became our child when it ended, or comes from such a child.
        alone = {self.pid, *known} == set(processes.children())
        if self.on_ladder or not alone:
            self._remember_leader()  # a zombie still has its start time
        spared = self.claim.job.allow_background and self._ending is None
        if not (spared or alone):
            processes.kill_group(self.pid, signal.SIGKILL)  # before its number can be reused
        _, self._status, self._used = os.wait4(self.pid, 0)
        os.close(self.pidfd)
        if not alone:
            self._never_block()  # who was spared may read from a pipe, too
            mine = None if spared else self._leader
            processes.clear_adopted(self.claim.attempt.token, mine, known)
        self._read_the_rest()

    @property
    def leader(self) -> Leader | None:
        """Its leader, once it was looked at."""
        return self._leader

    @property
    def on_ladder(self) -> bool:
        """Whether it was made to end, so that all of it must be gone before its job goes on."""
        return self._ending is not None

    def refused(self, refusal: NotRun) -> None:
        """It never ran; its output says so in plain words."""
        told = f"queuectl: {refusal.told}\n"
        self._feed(Stream.ERR, told.encode("utf-8", "backslashreplace"))
        self.over(refusal.ending)

    def over(self, ending: Ending) -> None:
        """It ended so, without having run."""
        self._ending, self._ended_at = ending, self._clock()

    def ended(self, backoff: Backoff) -> Ended:
        """What the end means, once it is reaped and nothing is left over; always the same."""
        if self._told is None:
            self._told = self._tell(backoff)
        return self._told

    def _tell(self, backoff: Backoff) -> Ended:
        job, ending = self.claim.job, self._ending or _ending_of(self._status)
        outcome = outcome_of(job, ending, backoff, self._ended_at)
        signature = None
        if not isinstance(outcome, Completed):
            line = self._output.last_line if self._output else b""
            signature = signature_of(job.command, job.argv, ending, line)
        output = self._take_output(self._ended_at, last=True)
        return Ended(
            self.claim.attempt, ending, outcome, self._ended_at, output, signature,
            _usage_of(self._used) if self._used else None, self.began_at,
        )  # fmt: skip

    def _read_the_rest(self) -> None:
        # Not to the end: a process that was spared may hold a pipe open for ever. So each is read
        # when it holds something, and most jobs of a moment need no read at all.
        there = select.poll()
        for descriptor in self.streams:
            there.register(descriptor, select.POLLIN)
        for _ in range(_LAST_READS):
            full = [descriptor for descriptor, events in there.poll(0) if events & select.POLLIN]
            if not full:
                break
            for descriptor in full:
                try:
                    self._take(self.streams[descriptor], os.read(descriptor, _READ))
                except BlockingIOError:  # somebody else was faster
                    pass
        for descriptor in self.streams:
            os.close(descriptor)
        self.streams = {}
        self._close_copy()

    def _feed(self, stream: Stream, data: bytes) -> None:
        if self._output is None:
            self._output = OutputBuffer(self._output_limit)
        self._output.feed(stream, data)

    def _take(self, stream: Stream, data: bytes) -> None:
        self._feed(stream, data)
        if self._copy is None:
            return
        try:
            while data:
                data = data[os.write(self._copy, data) :]
        except OSError as error:  # its disk is full: the job goes on, and its output says so
            told = f"queuectl: cannot write {self.claim.job.log_file}: {error.strerror}\n"
            self._feed(Stream.ERR, told.encode("utf-8", "backslashreplace"))
            self._close_copy()

    def _close_copy(self) -> None:
        if self._copy is not None:
            os.close(self._copy)
            self._copy = None


def _next_tick(now: float) -> float:
    """A moment that is the same for all runs, so that many of them wake their worker no oftener."""
    return (now // _TICK + 1) * _TICK


def _joined(first: Output, then: Output) -> Output:
    """Both as one, without what is gone since: so it stays bounded however long it is kept."""
    gone = {seq for unit in then.gone for seq in unit}
    unstored = {chunk.seq for chunk in first.chunks} & gone
    return Output(
        tuple(chunk for chunk in first.chunks if chunk.seq not in unstored) + then.chunks,
        first.gone + tuple(unit for unit in then.gone if unstored.isdisjoint(unit)),
        then.total,
        then.dropped,
    )


class as_the_job:  # noqa: N801 - used as a statement
    """Be where the job will be: a spawn has no argument for its directory and umask.

    A worker has one thread, so nobody else sees it. A NUL or what is no UTF-8, which `add` refuses
    and only a foreign hand can have stored, raises OSError like all else that cannot be started.
    """

    def __init__(self, cwd: str, umask: int) -> None:
        """Goes nowhere yet."""
        self._cwd = cwd
        self._umask = umask

    def __enter__(self) -> None:
        """Go there."""
        self._umask = os.umask(self._umask)
        try:
            os.chdir(self._cwd)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Come back."""
        os.chdir("/")
        os.umask(self._umask)
        if isinstance(error, ValueError):
            raise OSError(errno.EINVAL, str(error)) from error


def spawn(argv: tuple[str, ...], env: Mapping[str, str], out: int, err: int) -> int:
    """Start a program as leader of its own session, with default signals and no files of ours."""
    name = argv[0]
    program = name if os.sep in name else shutil.which(name, path=env.get("PATH", os.defpath))
    if program is None:
        raise _NoProgram(errno.ENOENT, os.strerror(errno.ENOENT), name)
    try:
        return _spawn(program, argv, env, out, err)
    except FileNotFoundError as error:
        if os.path.exists(program):
            raise
        raise _NoProgram(errno.ENOENT, os.strerror(errno.ENOENT), name) from error


def spawn_plain(words: tuple[str, ...], env: Mapping[str, str], out: int, err: int) -> int | None:
    """The same for the words of a plain line; None where only a shell does as a shell would.

    So it is the shell that says that there is no such program, and that runs a script without #!.
    """
    path = env.get("PATH", "")
    if not path or "~" in path or "%" in path or f"BASH_FUNC_{words[0]}%%" in env:
        return None
    program = words[0] if os.sep in words[0] else shutil.which(words[0], path=path)
    if program is None:
        return None
    try:
        return _spawn(program, words, env, out, err)
    except OSError as error:
        if error.errno in NOT_ITS_FAULT:
            raise
        return None


def _spawn(program: str, argv: tuple[str, ...], env: Mapping[str, str], out: int, err: int) -> int:
    if processes.descriptors.roomy:
        with processes.descriptors.of_a_job(out, err) as low:
            return _posix_spawn(program, argv, env, *low)
    return _posix_spawn(program, argv, env, out, err)


def _posix_spawn(
    program: str, argv: tuple[str, ...], env: Mapping[str, str], out: int, err: int
) -> int:
    with processes.preferred_for_oom:
        return os.posix_spawn(
            program,
            argv,
            env,
            file_actions=(
                (os.POSIX_SPAWN_DUP2, processes.descriptors.null, 0),
                (os.POSIX_SPAWN_DUP2, out, 1),
                (os.POSIX_SPAWN_DUP2, err, 2),
            ),
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULT,
        )


def _opened(log_file: str | None) -> int | None:
    """A job's own log file, for appending; never waits, so a FIFO nobody reads is an error."""
    if log_file is None:
        return None
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    return os.open(log_file, flags, 0o666)


def _enlarge(pipe: int) -> int:
    """Make a pipe as large as we may; how much to read from it at once."""
    try:
        return fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _LARGE_READ)
    except OSError:  # this user has many large pipes already
        return _READ + 1  # so that it is not tried again


def _not_run(error: OSError, program: str, claim: Claim) -> NotRun:
    why = error.strerror
    if error.errno in NOT_ITS_FAULT:
        return NotRun(NotStarted(os.strerror(error.errno)), f"not started: {why}")
    if error.filename == claim.context.cwd:
        return NotRun(Exited(CANNOT_EXECUTE), f"cannot enter {claim.context.cwd}: {why}")
    if claim.job.log_file is not None and error.filename == claim.job.log_file:
        return NotRun(Exited(CANNOT_EXECUTE), f"cannot write {claim.job.log_file}: {why}")
    if error.errno != errno.ENOENT:
        return NotRun(Exited(CANNOT_EXECUTE), f"cannot run {program}: {why}")
    what = "not found" if isinstance(error, _NoProgram) else "its interpreter was not found"
    return NotRun(Exited(_NOT_FOUND), f"cannot run {program}: {what}")


def _usage_of(used: resource.struct_rusage) -> Usage:
    """What the leader used, with all that it waited for."""
    peak = used.ru_maxrss
    cpu = timedelta(seconds=used.ru_utime + used.ru_stime)
    return Usage(cpu, peak * 1024 if _our_peak.is_below(peak - _UNSURE) else None)


class _OurPeak:
    """The most memory that this process ever had, in KiB; it is asked for when that may matter.

    execve(2) counts the memory of the process that called it, which was a copy of ours, as the new
    program's: a peak about as low as our own says nothing.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._known = 0  # it never falls; a fork only begins with less

    def is_below(self, peak: int) -> bool:
        """Whether a child that had this much cannot have it from us."""
        if self._known < peak:
            self._known = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return self._known < peak


_our_peak: Final = _OurPeak()


def _ending_of(status: int) -> Ending:
    code = os.waitstatus_to_exitcode(status)
    return Exited(code) if code >= 0 else Signalled(-code)
