"""The processes of an attempt, found in /proc and killed until none is left.

An attempt's processes are those that carry its token in their environment, or are in the session
that its leader made. Both are checked again through a pidfd before a signal is sent, so that a
reused pid is never hit.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from queuectl_engine.repository.protocol import Leader

TOKEN_VARIABLE: Final = "QUEUECTL_TOKEN"  # noqa: S105 - its name, no secret
PATIENCE: Final = 2.0  # seconds until what SIGKILL did not end counts as unkillable
_TOKEN: Final = re.compile(rb"(?<![^\0])QUEUECTL_TOKEN=([0-9a-f]+)\0")
_STDERR: Final = 2
_PART: Final = 65_536
_ALL_OF_IT: Final = 4_080  # the kernel fills a page, at least, unless that was the end
_LOOKS: Final = 100  # at a process that begins another program
_PAUSE: Final = 0.0002  # seconds
_PF_KTHREAD: Final = 0x00200000  # include/linux/sched.h
_OOM_SCORE: Final = 300
_PR_SET_CHILD_SUBREAPER: Final = 36  # prctl(2)
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/PID/stat that tell processes apart (proc(5))."""

    state: str
    session: int
    ticks: int
    flags: int = 0

    @property
    def of_the_kernel(self) -> bool:
        """A thread of the kernel is nobody's attempt."""
        return bool(self.flags & _PF_KTHREAD)

    @property
    def dead(self) -> bool:
        """A zombie runs nothing any more."""
        return self.state in "ZX"


def stat_of(pid: int) -> Stat | None:
    """What a process is, None when there is none of that pid."""
    try:
        text = _contents(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(b")") + 2 :].split()  # the name before may hold anything
    return Stat(fields[0].decode("ascii"), int(fields[3]), int(fields[19]), int(fields[6]))


def leader_of(pid: int) -> Leader | None:
    """A child of ours as a leader to remember, None when it is gone already."""
    stat = stat_of(pid)
    return Leader(pid, stat.ticks) if stat else None


def adopt_orphans() -> None:
    """Make this process the parent of what its descendants leave behind."""
    if _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class OomPreference:
    """When memory runs out the kernel shall end a job, not the pool (proc(5), oom_score_adj).

    A child begins with its parent's score, so ours is a job's for the moment of the spawn: to look
    up the file of each new process in /proc takes four times as long. Whoever may raise a score may
    set it back to what it was.
    """

    def __init__(self) -> None:
        """Opens nothing yet."""
        self._mine = False
        self._descriptor = -1
        self._ours = self._theirs = b""
        os.register_at_fork(after_in_child=self._forked)

    def __enter__(self) -> None:
        """What is spawned from here on is preferred."""
        if not self._mine:  # the first time here, or the first after a fork
            self._open()
        self._set(self._theirs)

    def __exit__(self, *_: object) -> None:
        """From here on nothing is."""
        self._set(self._ours)

    def _set(self, score: bytes) -> None:
        if self._descriptor >= 0:
            try:
                os.pwrite(self._descriptor, score, 0)
            except OSError:  # not ours to say where we run
                pass

    def _open(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._mine, self._descriptor = True, -1
        with suppress(OSError):
            self._descriptor = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
            self._ours = os.pread(self._descriptor, _PART, 0).strip()
            self._theirs = str(max(_OOM_SCORE, int(self._ours))).encode("ascii")

    def _forked(self) -> None:
        self._mine = False


preferred_for_oom: Final = OomPreference()


def keep_descriptors() -> None:
    """Let no child inherit what is open here: the fork server handed us pipes without that flag."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > _STDERR:
            with suppress(OSError):  # the descriptor of the listing itself
                os.set_inheritable(int(name), False)


class Descriptors:
    """How many descriptors this process may have open, and how many the jobs it starts.

    Those get what we began with, whatever we need ourselves: a program that uses select() relies
    on 1024 or fewer.
    """

    def __init__(self) -> None:
        """As the process was started."""
        self._jobs = self._ours = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._low: tuple[int, ...] = ()  # numbers that a job's limit allows, held by /dev/null
        self._null = -1

    def make_room(self, wanted: int) -> None:
        """Let this process open so many, if the hard limit allows."""
        soft, hard = self._jobs
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return
        self._low = tuple(os.dup(self.null) for _ in range(2))
        self._ours = (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, self._ours)

    @property
    def null(self) -> int:
        """/dev/null, for reading: to open it in each job takes ten times as long as to hand it on.

        From the first time on, and by then few others are open.
        """
        if self._null < 0:
            self._null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        return self._null

    @property
    def roomy(self) -> bool:
        """Whether we may have more than a job, so that `of_a_job` has something to do."""
        return bool(self._low)

    @contextmanager
    def of_a_job(self, out: int, err: int) -> Iterator[tuple[int, int]]:
        """A job's limit holds meanwhile, and these two descriptors have numbers within it.

        Lowering a limit closes nothing (setrlimit(2)), but posix_spawn refuses what lies above.
        """
        low = self._low
        os.dup2(out, low[0], inheritable=False)
        os.dup2(err, low[1], inheritable=False)
        resource.setrlimit(resource.RLIMIT_NOFILE, self._jobs)
        try:
            yield low[0], low[1]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._ours)
            for number in low:
                os.dup2(self.null, number, inheritable=False)


descriptors: Final = Descriptors()


class Children:
    """The pids of the children of the thread that asks, adopted ones included.

    Asked for each job, so the file of /proc stays open: to read it again is one call of four.
    """

    def __init__(self) -> None:
        """Opens nothing yet."""
        self._thread = 0
        self._descriptor = -1

    def __call__(self) -> list[int]:
        """As of now."""
        thread = threading.get_native_id()
        if thread != self._thread:  # the first time here, or the first after a fork
            self._open(thread)
        if self._descriptor < 0:
            return []
        found = part = os.pread(self._descriptor, _PART, 0)
        while len(part) > _ALL_OF_IT:  # each further read counts from the start of a newer list
            part = os.pread(self._descriptor, _PART, len(found))
            found += part
        return [int(pid) for pid in found.split()]

    def _open(self, thread: int) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._thread, self._descriptor = thread, -1
        with suppress(FileNotFoundError):  # a kernel without CONFIG_PROC_CHILDREN
            name = f"/proc/self/task/{thread}/children"
            self._descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)


children: Final = Children()


def _contents(path: str) -> bytes:
    """All of a file of /proc: two are read a job, and a file object costs thrice as much."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = b""
        while part := os.read(descriptor, _PART):
            found += part
        return found
    finally:
        os.close(descriptor)


def reap_adopted(known: Collection[int]) -> None:
    """Reap adopted children that have ended. By pid: the known ones belong to somebody else."""
    for pid in children():
        if pid not in known:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def clear_adopted(token: str, leader: Leader | None, known: Collection[int]) -> None:
    """Reap adopted children that have ended; with a leader, first end those of its attempt.

    When these have ended, theirs come to us next: so it is over when nobody new has come while we
    looked at those we knew of.
    """
    deadline = time.monotonic() + PATIENCE
    while leader is not None and time.monotonic() < deadline:
        there = children()
        mine = [pid for pid in there if pid not in known and _belongs(pid, token, leader)]
        for pid in mine:
            _signal(pid, token, leader)
        if mine:
            time.sleep(0.001)
        elif children() == there:
            break
        reap_adopted(known)
    reap_adopted(known)


def kill_all(token: str, leader: Leader | None, *, patience: float = PATIENCE) -> list[int]:
    """SIGKILL everything of an attempt, in rounds until a scan finds nothing.

    Returns the pids that are still there after `patience` seconds: uninterruptible, or not ours to
    signal.
    """
    return kill_each({token: leader}, patience=patience)[token]


def kill_each(
    attempts: Mapping[str, Leader | None], *, patience: float = PATIENCE
) -> dict[str, list[int]]:
    """The same for several attempts, by token: one scan looks for all of them."""
    if not attempts:
        return {}
    deadline = time.monotonic() + patience
    pause = 0.001
    left = _left(attempts)
    while any(left.values()) and time.monotonic() <= deadline:
        for token, pids in left.items():
            for pid in pids:
                _signal(pid, token, attempts[token])
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
        left = _left(attempts)
    return left


def kill_group(pid: int, number: int) -> None:
    """Signal a process group; one that is gone, or holds only the dead, is no error."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def _left(attempts: Mapping[str, Leader | None]) -> dict[str, list[int]]:
    left: dict[str, list[int]] = {token: [] for token in attempts}
    sessions = {leader.pid: token for token, leader in attempts.items() if leader}
    for name in os.listdir("/proc"):
        if name.isdecimal() and (token := _token_of(int(name), attempts, sessions)):
            left[token].append(int(name))
    return left


def _belongs(pid: int, token: str, leader: Leader | None) -> bool:
    sessions = {leader.pid: token} if leader else {}
    return _token_of(pid, {token: leader}, sessions) is not None


def _token_of(
    pid: int, attempts: Mapping[str, Leader | None], sessions: Mapping[int, str]
) -> str | None:
    """Of which of these attempts a process is; `sessions` are their tokens by leader."""
    stat = stat_of(pid)
    if stat is None or stat.dead or stat.of_the_kernel or pid == os.getpid():
        return None
    if token := sessions.get(stat.session):
        leader = attempts[token]
        if leader is not None and _number_still_its(leader):
            return token
    try:
        carried = _TOKEN.findall(_environment_of(pid) + b"\0")
    except OSError:  # gone, or another user's
        return None
    return next((t for t in map(bytes.decode, carried) if t in attempts), None)


def _environment_of(pid: int) -> bytes:
    """Its environment; waits for a process that begins another program, or ends.

    Within execve(2) it has none for a moment, nor any words, and neither just before it is dead and
    its children are another's. One with words has none indeed when it has none twice: the first
    time may have been before. Raises OSError.
    """
    spoke = False
    for _ in range(_LOOKS):
        environment = speaks = b""
        with suppress(ProcessLookupError):  # what Linux 6.15 and newer say of one without memory
            environment = _contents(f"/proc/{pid}/environ")
            speaks = _contents(f"/proc/{pid}/cmdline")
        stat = stat_of(pid)
        if environment or (speaks and spoke) or stat is None or stat.dead:
            return environment
        spoke = bool(speaks)
        time.sleep(_PAUSE)
    return b""


def _number_still_its(leader: Leader) -> bool:
    # The kernel reuses no pid while it names a session, so a session of this number is the
    # leader's unless another process has the number now.
    stat = stat_of(leader.pid)
    return stat is None or stat.ticks == leader.ticks


def _signal(pid: int, token: str, leader: Leader | None) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if _belongs(pid, token, leader):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except OSError:  # ended meanwhile, or not ours to signal: the next scan tells
        pass
    finally:
        os.close(descriptor)
