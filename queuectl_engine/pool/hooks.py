"""Running due hooks: a few at once, each with its own time, outside of any transaction.

A hook is marked as this pool's before it starts and removed after its end. A pool that dies in
between leaves it to another one, which first kills what is left: so a hook runs at least once.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from typing import Final

from queuectl_engine.errors import QueuectlError
from queuectl_engine.hook import DueHook
from queuectl_engine.pool import processes
from queuectl_engine.pool.environment import surroundings, without_password
from queuectl_engine.pool.processes import TOKEN_VARIABLE
from queuectl_engine.pool.runner import NOT_ITS_FAULT, as_the_job, spawn
from queuectl_engine.repository.protocol import JobRepository, Leader, PoolRow
from queuectl_engine.safe_text import safe_output

AT_ONCE: Final = 4
_READ: Final = 65_536
_READS: Final = 16  # in one turn
_KEPT: Final = 2_048  # bytes at the end of its output, for the log
_TOLD: Final = 200  # characters of them on the job
_FULL_PAUSE: Final = 1.0


class RunningHook:
    """A hook's process, which leads its own session, and the end of what it prints.

    `over` says that there is none any more, or never was; `failed` why that is no success. `pidfd`
    turns readable when it ends, and is -1 without a process.
    """

    def __init__(self, due: DueHook, env: Mapping[str, str]) -> None:
        """Start it. Raises OSError only for what is not its fault, such as a full machine."""
        self.due = due
        self.failed: str | None = None
        self.over = False
        self.pid = 0
        self.pidfd = -1
        self._said = b""
        self._timed_out = False
        self._leader: Leader | None = None
        self._deadline = time.monotonic() + due.hook.timeout.total_seconds()
        self._pipe, end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._pipe, False)
        try:
            self._spawn(env, end)
        except OSError as error:
            self._end_at_once()
            if error.errno in NOT_ITS_FAULT:
                os.close(self._pipe)
                raise
            what = error.filename or due.hook.command
            self.failed, self.over = f"cannot run {what}: {error.strerror}", True
        finally:
            os.close(end)

    def _spawn(self, env: Mapping[str, str], end: int) -> None:
        hook = self.due.hook
        argv = hook.argv or (hook.context.shell, "-c", hook.command)
        with as_the_job(hook.context.cwd, hook.context.umask):
            self.pid = spawn(argv, env, end, end)
        self.pidfd = os.pidfd_open(self.pid)
        self._leader = processes.leader_of(self.pid)

    def _end_at_once(self) -> None:
        """It was started, but cannot be watched: no descriptor is left."""
        if self.pid:
            processes.kill_group(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def turn(self, now: float) -> None:
        """Hear what it says, end it when its time is up, and notice its end."""
        self._hear()
        if now >= self._deadline and not self._timed_out:
            self._timed_out = True
            self.kill()
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            self._reap()

    def kill(self) -> None:
        """End it with everything that it started."""
        processes.kill_all(self.due.token, self._leader)

    def close(self) -> None:
        """Give back the descriptors; they must not be polled any more."""
        for descriptor in (self._pipe, self.pidfd):
            if descriptor >= 0:
                os.close(descriptor)

    @property
    def said(self) -> str:
        """The last line that it printed."""
        lines = safe_output(self._said).splitlines()
        return next((line for line in reversed(lines) if line.strip()), "")

    def _hear(self) -> None:
        # Not polled for: a hook that floods is held up by its pipe, not the supervisor by it.
        for _ in range(_READS):
            try:
                data = os.read(self._pipe, _READ)
            except BlockingIOError:
                return
            if not data:
                return
            self._said = (self._said + data)[-_KEPT:]

    def _reap(self) -> None:
        processes.kill_group(self.pid, signal.SIGKILL)  # before its number can be reused
        _, status = os.waitpid(self.pid, 0)
        self._hear()
        code = os.waitstatus_to_exitcode(status)
        if self._timed_out:
            self.failed = f"timed out after {self.due.hook.timeout.total_seconds():g} s"
        elif code:
            self.failed = f"exit {code}" if code > 0 else f"killed by signal {-code}"
        self.over = True


class Hooks:
    """The hooks that a supervisor runs. Wakes its poll when one ends; owns their processes."""

    def __init__(
        self,
        repository: JobRepository,
        pool: PoolRow,
        db: str,
        poll: select.poll,
        log: Callable[..., None],
    ) -> None:
        self._repository = repository
        self._pool = pool
        self._db = db
        self._poll = poll
        self._log = log
        self._running: list[RunningHook] = []
        self._taken: list[DueHook] = []  # not started yet
        self._full_until = 0.0  # no process could be made: start none

    @property
    def idle(self) -> bool:
        """Whether none runs."""
        return not self._running and not self._taken

    @property
    def pids(self) -> frozenset[int]:
        """Their leaders: children that nobody else may reap."""
        return frozenset(hook.pid for hook in self._running if hook.pid)

    def turn(self, *, take: bool) -> None:
        """See to those that run and, to `take`, start what is due."""
        now = time.monotonic()
        for hook in list(self._running):
            if not hook.over:
                hook.turn(now)
            if hook.over:
                self._end(hook)
        if take:
            room = AT_ONCE - len(self._running) - len(self._taken)
            if room and self._repository.hooks_wait():
                self._taken += self._repository.take_hooks(self._pool.id, room=room)
        while self._taken and now >= self._full_until:
            self._start(self._taken.pop(0))

    def still_run(self) -> bool:
        """See to those that run, and write nothing of it: whether one has not ended yet."""
        for hook in self._running:
            if not hook.over:
                hook.turn(time.monotonic())
        return any(not hook.over for hook in self._running)

    def give_back(self) -> None:
        """End those that run; they stay due, for another pool."""
        for hook in self._running:
            if not hook.over:
                hook.kill()
                os.waitpid(hook.pid, os.WNOHANG)  # one that cannot be killed is left to init
            self._forget(hook)
        self._running, self._taken = [], []
        self._repository.give_back_hooks(self._pool.id)

    def _start(self, due: DueHook) -> None:
        if due.left is not None:
            processes.kill_all(due.left, None)
        try:
            hook = RunningHook(due, self._environment(due))
        except QueuectlError as error:  # a secret is missing, or others can read it
            failed, now = str(error), self._repository.clock()
            self._repository.end_hook(due, self._pool.id, failed=failed[:_TOLD], now=now)
            self._tell(due, failed, "")
            return
        except OSError as error:
            self._log("waiting", why=f"no process for a hook: {error.strerror}")
            self._taken.insert(0, due)
            self._full_until = time.monotonic() + _FULL_PAUSE
            return
        self._running.append(hook)
        if hook.over:
            self._end(hook)
        else:
            self._poll.register(hook.pidfd, select.POLLIN)

    def _end(self, hook: RunningHook) -> None:
        failed = hook.failed and f"{hook.failed}: {hook.said}"[:_TOLD].rstrip(": ")
        now = self._repository.clock()
        self._repository.end_hook(hook.due, self._pool.id, failed=failed, now=now)
        self._tell(hook.due, hook.failed, hook.said)
        self._running.remove(hook)
        self._forget(hook)

    def _forget(self, hook: RunningHook) -> None:
        if hook.pidfd >= 0:
            self._poll.unregister(hook.pidfd)
        hook.close()

    def _tell(self, due: DueHook, failed: str | None, said: str) -> None:
        hook = due.hook
        self._log(
            "hook",
            on=hook.event.value,
            queue=hook.queue,
            job=due.job,
            command=hook.command,
            failed=failed,
            said=said or None,
        )

    def _environment(self, due: DueHook) -> dict[str, str]:
        return {
            **surroundings(due.hook.context, without_password(self._db, os.environ)),
            "QUEUECTL_DB": self._db,
            "QUEUECTL_HOOK": due.hook.event.value,
            "QUEUECTL_QUEUE": due.hook.queue,
            **due.fields,
            TOKEN_VARIABLE: due.token,
        }
