"""The supervisor: keeps the wanted number of workers alive and loses nothing when one dies.

It sleeps on signals and on its workers' deaths, and looks twice a second at what people ask. It
runs no job, so it can always answer.
"""

from __future__ import annotations

import os
import secrets
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

from queuectl_engine.errors import PoolRefused, StorageError, StorageMoved
from queuectl_engine.job import State
from queuectl_engine.pool import processes
from queuectl_engine.pool.firing import fire_due
from queuectl_engine.pool.fork_server import ForkServer
from queuectl_engine.pool.hooks import Hooks
from queuectl_engine.pool.host import this_host
from queuectl_engine.pool.lease import RENEW, Lease, boot_time
from queuectl_engine.pool.listening import FORCED, GRACEFUL
from queuectl_engine.pool.locks import SUPERVISOR, HeldLock, is_free, worker_lock
from queuectl_engine.pool.log import Log
from queuectl_engine.pool.options import PoolOptions, listen_address
from queuectl_engine.pool.rescue import (
    Watch,
    bury_directory,
    rescue_pools,
    rescue_receipts,
    rescue_worker,
)
from queuectl_engine.pool.slots import most_workers
from queuectl_engine.pool.space import low_space
from queuectl_engine.pool.worker import CUT_OFF, LAST_TRIES, Post
from queuectl_engine.pool.worker_process import work
from queuectl_engine.repository import protocol
from queuectl_engine.repository.protocol import JobRepository, PoolRow, WorkerRow

if TYPE_CHECKING:
    from queuectl_engine.pool.metrics_server import MetricsServer

_TURN: Final = 0.5  # seconds between two looks at what people ask
_DRAIN_TURN: Final = 0.1
_START_TURN: Final = 0.02
_RESCUE_EVERY: Final = 1.0
_QUIET_AFTER: Final = 5.0  # nobody has written for so long: then these turns come more seldom,
_QUIET_TURN: Final = 1.0
_QUIET_RESCUE: Final = 5.0  # and this one, unless there are other pools
_CLOCK_SLIP: Final = 1.0
_UPKEEP_EVERY: Final = 5.0
_LONGEST_PAUSE: Final = 30.0
_LIVED_WELL: Final = 60.0  # seconds after which a death is no series any more
_SERIES: Final = 3
_PORTIONS: Final = 10  # of jobs to promote in one turn
_STARTS: Final = 16  # workers to start in one turn
_NO_PROCESS_PAUSE: Final = 1.0
_UPGRADED: Final = "a newer queuectl has upgraded the database; start the pool anew with that one"
_CHECKED_FOR: Final = 10.0  # seconds of looking for damage after the machine went down
_LAST_HOOKS: Final = 10.0  # seconds in which a pool without workers still starts hooks


@dataclass(slots=True)
class _Member:
    """A worker process as its supervisor sees it. `sent` are the signals it got already."""

    row: WorkerRow
    pidfd: int
    born: float
    leaving: bool = False
    dead: bool = False
    sent: set[int] = field(default_factory=set)


class NameTaken(PoolRefused):
    """A pool of that name runs already."""


class Supervisor:
    """One pool instance, from its start to its end. Owns its directory, its locks, its workers."""

    def __init__(
        self,
        repository: JobRepository,
        options: PoolOptions,
        fork_server: ForkServer,
        ready: Callable[[PoolRow], None],
    ) -> None:
        """`ready` is called once, when the first workers live. Raises PoolRefused."""
        self._repository = repository
        self._options = options
        self._tell_ready: Callable[[PoolRow], None] | None = ready
        self._members: dict[int, _Member] = {}  # by pidfd
        self._poll = select.poll()
        self._fork_server = fork_server
        self._stop: str | None = None
        self._told_to_stop = False  # by a person
        self._tell_stopping: Callable[[], None] = lambda: None
        self._forced_at = float("inf")
        self._deaths = 0  # in a row
        self._degraded: str | None = None
        self._trouble: str | None = None  # as it is stored
        self._waits_for: StorageError | None = None  # why storage cannot be used now
        self._give_up_at = float("inf")  # leave without it
        self.cut_off: StorageError | None = None  # the database is not ours to use any more
        self.left: StorageError | None = None  # why the end could not be written
        self._lacking = 0  # wanted workers for which no slot is free yet
        self._filling = False  # a turn has started all it may: the next one comes at once
        self.interrupted = False
        self._start_after = 0.0
        self._rescue_at = 0.0
        self._clock_ahead = float("inf")  # of the time since boot; the first look always clamps
        self._upkeep_at = 0.0
        self._fires_at: datetime | None = None  # the next schedule
        self._quiet_from = 0.0  # nobody has written for a while then
        self._news = True  # others wrote something that no turn has looked at to its end
        self._name_lock: HeldLock | None = None
        self._metrics: MetricsServer | None = None
        self._database = repository.incarnation()
        sent = boot_time()
        self._pool, self._log = self._register()
        self._lease = Lease(self._pool, self._directory)
        self._lease.publish(sent)
        self._watch = Watch()
        self._hooks = Hooks(repository, self._pool, options.db, self._poll, self._log)
        self._hooks_until = float("inf")  # a stopping pool starts none later
        self._over = False
        self._own_children = frozenset(processes.children())

    def run(self, stopping: Callable[[], None]) -> None:
        """Supervise until told to stop, or drained; then let running jobs end.

        `stopping` is called when that begins. `interrupted` says afterwards whether a second
        signal cut those short.
        """
        self._tell_stopping = stopping
        with self._signals() as ears:
            self._poll.register(ears, select.POLLIN)
            self._log("pool", name=self._pool.name, pid=self._pool.pid, workers=self._pool.wanted)
            if self._metrics:
                self._log("metrics", listen=self._metrics.start())
            while not self._over:
                self._guarded_turn()
                if self._over:
                    break
                for descriptor, _ in self._poll.poll(self._patience() * 1000):
                    if descriptor == ears:
                        self._heard(os.read(ears, 64))
        self._leave()

    # -- one turn

    def _guarded_turn(self) -> None:
        try:
            if self.cut_off is None:
                self._turn()
            else:
                self._wind_up()
            self._waits_for = None
        except CUT_OFF as error:
            self._part_with(error)
        except StorageError as error:  # jobs run on; what was to be written comes round again
            self._wait(error)

    def _wait(self, error: StorageError) -> None:
        if str(error) != str(self._waits_for):
            self._log("waiting", why=str(error))
        self._waits_for = error
        if self._stop and not any(map(_lives, self._members)):
            now = time.monotonic()
            self._give_up_at = min(self._give_up_at, now + LAST_TRIES)
            self._over = now >= self._give_up_at
        time.sleep(_TURN)

    def _part_with(self, error: StorageError) -> None:
        """Write to this database no more; what runs ends, and its results are kept beside it."""
        self.cut_off = error
        self._log("cut off", pool=self._pool.name, why=str(error))
        if isinstance(error, StorageMoved):
            with suppress(StorageError):
                self._repository.suspect("it was put here while a pool had another one open")
        self._begin_stop("graceful")

    def _wind_up(self) -> None:
        """The last turns of a pool without a database."""
        self._send(FORCED if time.monotonic() >= self._forced_at else GRACEFUL)
        if self._pool.is_init:
            processes.reap_adopted(self._known_children())
        self._over = not any(map(_lives, self._members)) and not self._hooks.still_run()

    @property
    def forgotten(self) -> bool:
        """Whether others took this pool's host for lost; it may begin anew."""
        return self._lease.forgotten and not self._told_to_stop

    def _turn(self) -> None:
        self._lease.renew(self._repository.renew, after=RENEW)
        if self._lease.forgotten:
            self._begin_stop("now")
        self._bury_the_dead()
        self._news |= self._repository.changed()
        now = time.monotonic()
        if self._news:
            self._quiet_from = now + _QUIET_AFTER
            self._rescue_at = min(self._rescue_at, now + _RESCUE_EVERY)
            self._read_wishes()
        rescue = now >= self._rescue_at
        look = self._news or rescue  # what we write ourselves is no news
        if self._stop:
            self._send(FORCED if now >= self._forced_at else GRACEFUL)
        else:
            if look or self._fires():
                self._fires_at = fire_due(self._repository, self._repository.clock(), self._log)
            self._fill_up(now)
            self._stop_if_drained()
        if rescue:
            self._rescue_at = now + _RESCUE_EVERY
            self._show_trouble()
            others = rescue_pools(self._repository, self._pool.id, self._watch, self._log)
            if not (others or self._news):
                self._rescue_at = now + _QUIET_RESCUE
            self._mind_the_clock()
            self._promote()
            self._log.rotate()
        if now >= self._upkeep_at:
            self._upkeep_at = now + _UPKEEP_EVERY
            self._repository.maintain(now=self._repository.clock())
        if look or self._stop or not self._hooks.idle:
            self._see_to_hooks()
        self._report_ready()
        self._news = False

    def _fires(self) -> bool:
        return self._fires_at is not None and self._fires_at <= self._repository.clock()

    def _promote(self) -> None:
        """Make due jobs ready and free those whose wait is over; no more than a moment's work."""
        for _ in range(_PORTIONS):
            if not self._repository.promote(now=self._repository.clock()):
                return

    def _mind_the_clock(self) -> None:
        """A wall clock that was set back must not keep retries waiting."""
        ahead = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        if ahead < self._clock_ahead - _CLOCK_SLIP:
            self._repository.clamp_retries(now=self._repository.clock())
        self._clock_ahead = ahead

    def _patience(self) -> float:
        if self._tell_ready or (self._filling and not self._stop):
            return _START_TURN
        if self._stop:
            return _TURN
        quiet = time.monotonic() >= self._quiet_from and not self._lease.ends
        turn = _DRAIN_TURN if self._options.drain else _QUIET_TURN if quiet else _TURN
        return (
            turn
            if self._fires_at is None
            else min(turn, _until(self._fires_at, self._repository.clock()))
        )

    def _bury_the_dead(self) -> None:
        for descriptor, _ in self._poll.poll(0):
            if member := self._members.get(descriptor):
                self._bury(member)
        if self._pool.is_init:  # in a container the orphans of all jobs come to us
            processes.reap_adopted(self._known_children())

    def _known_children(self) -> frozenset[int]:
        return self._own_children | self._hooks.pids | {self._fork_server.pid}

    def _bury(self, member: _Member) -> None:
        """A worker's process has ended: free its jobs, unless it said goodbye by itself."""
        if member.row.id in {row.id for row in self._repository.workers()}:
            if not (member.dead or self._stop):
                member.dead = True
                self._note_death(member)
            if not rescue_worker(
                self._repository, self._pool, member.row, self._log, supervised=True
            ):
                return  # something of it cannot be killed yet: look again
        self._poll.unregister(member.pidfd)
        os.close(member.pidfd)
        del self._members[member.pidfd]

    def _note_death(self, member: _Member) -> None:
        now = time.monotonic()
        self._deaths = 1 if now - member.born > _LIVED_WELL else self._deaths + 1
        pause = min(2.0 ** (self._deaths - 1), _LONGEST_PAUSE)
        self._start_after = now + pause
        self._log("died", worker=member.row.name, pid=member.row.pid, restart=f"{pause:.0f}s")
        if self._deaths >= _SERIES:
            self._degraded = f"degraded: workers died {self._deaths} times in a row"

    def _show_trouble(self) -> None:
        low = low_space(self._repository.free_space(), self._options.min_free)
        trouble = self._degraded or low
        if _kind(trouble) != _kind(self._trouble):
            self._repository.set_trouble(self._pool.id, trouble)
            self._log("trouble", why=trouble or "none any more")
            self._trouble = trouble

    # -- what people ask

    def _read_wishes(self) -> None:
        mine = [pool for pool in self._repository.pools() if pool.id == self._pool.id]
        self._pool = mine[0] if mine else replace(self._pool, stop="graceful")
        self._lease.forgotten |= self._lease.ends and not mine
        if self._pool.stop:
            self._told_to_stop = bool(mine)
            self._begin_stop(self._pool.stop)

    def _heard(self, signals: bytes) -> None:
        if signal.SIGHUP in signals:  # the terminal is gone
            self._log.to_file()
            self._send(signal.SIGHUP)
        for number in signals:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._told_to_stop = True
                self._begin_stop("now" if self._stop else "graceful")
                self.interrupted = self._stop == "now"

    def _begin_stop(self, how: str) -> None:
        """The first time: take nothing new. With "now": end what runs."""
        now = time.monotonic()
        if not self._stop:
            self._log("stopping", pool=self._pool.name, jobs=how, why=self._why_stop())
            if not self._lease.forgotten:  # then another one comes after it
                self._tell_stopping()
            if self._metrics:  # the next pool may have the address, as it may have the name
                self._metrics.close()
            self._forced_at = now + (self._options.stop_timeout or float("inf"))
            if self._name_lock:
                self._name_lock.release(remove=True)
                self._name_lock = None
        if how == "now":
            self._forced_at = now
        if self._stop not in (how, "now"):
            self._stop = how
            if self.cut_off is None:
                with suppress(StorageError):  # workers get a signal, too
                    self._repository.ask_stop(self._pool.id, how)

    def _why_stop(self) -> str | None:
        if self._lease.forgotten:
            return "this host was out of touch for so long that others took its jobs over"
        with suppress(StorageError):  # there may be nobody to ask
            return _UPGRADED if self._repository.outdated() else None
        return None

    def _stop_if_drained(self) -> None:
        if not self._options.drain or self._tell_ready:
            return
        stirring = self._repository.stirring()  # asked first: what is freed by then is counted
        left = self._repository.remaining(self._pool)
        if any(left.get(state) for state in (State.READY, State.FAILED, State.PROCESSING)):
            return
        later, blocked = left.get(State.SCHEDULED, 0), left.get(State.BLOCKED, 0)
        if blocked and stirring:
            return  # what they wait for is ending, here or in another pool
        self._log("drained", pool=self._pool.name, scheduled=later, blocked=blocked)
        self._begin_stop("graceful")
        self._send(GRACEFUL)  # now: the next turn may be a while

    # -- hooks

    def _see_to_hooks(self) -> None:
        """Run what is due. When its workers have gone, a pool still tells of what they did last."""
        now = time.monotonic()
        leaving = bool(self._stop) and not self._members
        if leaving and not self._options.drain:
            self._hooks_until = min(self._hooks_until, now + _LAST_HOOKS)
        forced = bool(self._stop) and now >= self._forced_at
        if forced and not self._hooks.idle:
            self._hooks.give_back()
        self._hooks.turn(take=not forced and now < self._hooks_until)
        self._over = leaving and self._hooks.idle

    # -- how many

    def _fill_up(self, now: float) -> None:
        """Come closer to the wanted size. A few at a time: who mistyped it can take it back."""
        staying = [member for member in self._members.values() if not member.leaving]
        missing = max(self._pool.wanted - len(staying), 0)
        self._tell_places(missing - self._free_places())
        self._filling = False
        numbers = list(islice(self._free_numbers(), min(missing, _STARTS)))
        for number in numbers:
            if now < self._start_after:
                return
            self._start_worker(number)
        self._filling = len(numbers) == _STARTS
        surplus = len(staying) - self._pool.wanted
        if surplus > 0:
            idle_first = sorted(staying, key=lambda m: (self._is_busy(m), -m.row.number))
            for member in idle_first[:surplus]:
                member.leaving = True
                self._log("leaving", worker=member.row.name, pid=member.row.pid)
                _signal(member, GRACEFUL)
        if self._deaths and staying and all(now - m.born > _LIVED_WELL for m in staying):
            self._deaths, self._degraded = 0, None

    def _tell_places(self, lacking: int) -> None:
        if lacking > 0 and lacking != self._lacking:
            why = "as many workers still end their last jobs, and hold their slots"
            self._log("waiting", workers=lacking, why=why)
        self._lacking = lacking

    def _is_busy(self, member: _Member) -> bool:
        return bool(self._repository.held_by(member.row.id))

    def _free_places(self) -> int:
        wanted = self._pool.wanted
        return wanted - sum(member.row.number <= wanted for member in self._members.values())

    def _free_numbers(self) -> Iterator[int]:
        """Numbers of which no worker is left, so that none of its jobs is: they make the slots.

        Never above what is wanted: who comes back while others still leave waits for their places.
        """
        taken = {member.row.number for member in self._members.values()}
        return (number for number in range(1, self._pool.wanted + 1) if number not in taken)

    def _start_worker(self, number: int) -> None:
        row = self._repository.start_worker(self._pool.id, number, now=self._repository.clock())
        post = Post(self._options, self._pool, row, self._directory, self._database)
        try:
            pid = self._fork_server.fork(work, post)
            pidfd = os.pidfd_open(pid)
        except OSError as error:  # no process to be had, or it ended at once
            self._log("no worker", why=str(error))
            self._start_after = time.monotonic() + _NO_PROCESS_PAUSE
            rescue_worker(self._repository, self._pool, row, self._log, supervised=True)
            return
        row = replace(row, pid=pid)
        self._repository.set_worker_pid(row.id, pid)
        self._members[pidfd] = _Member(row, pidfd, time.monotonic())
        self._poll.register(pidfd, select.POLLIN)

    def _send(self, number: int) -> None:
        for member in self._members.values():
            if number not in member.sent:
                _signal(member, number)

    # -- beginning and end

    def _register(self) -> tuple[PoolRow, Log]:
        """Take the name and the locks, then say in the database that this pool exists."""
        if why := self._repository.distrusted():
            raise PoolRefused(
                f"this database runs nothing here: {why}; "
                f"look at its jobs, then run: queuectl initdb --trust"
            )
        options, host = self._options, this_host()
        crashed = any(pool.boot != host.boot for pool in self._repository.pools())
        checked = self._repository.verify(unclean=crashed, seconds=_CHECKED_FOR)
        name = options.name or f"fg-{os.getpid()}"
        root = self._repository.run_directory
        root.mkdir(mode=0o700, exist_ok=True)
        self._name_lock = HeldLock.take(root / f"{name}.lock")
        if self._name_lock is None:
            raise NameTaken(f"a pool named {name} runs already; 'queuectl pools' shows it")
        self._metrics = _metrics_server(options)
        self._directory = root / f"{name}-{secrets.token_hex(4)}"
        self._directory.mkdir(mode=0o700)
        self._lock = HeldLock.take(self._directory / SUPERVISOR)
        log = Log(options.log_format, root / f"{name}.log", to_file=options.detached)
        if checked is not None:
            log("checked", why=checked)
        pool = PoolRow(
            name=name,
            host=host.name,
            boot=host.boot,
            pid_namespace=host.pid_namespace,
            pid=os.getpid(),
            is_init=os.getpid() == 1,
            detached=options.detached,
            wanted=options.workers,
            queues=options.queues,
            directory=self._directory.name,
            log=str(root / f"{name}.log"),
            most_workers=most_workers(options.per_slot, options.slots),
            slots=options.slots,
            lease=protocol.Lease(options.lease),
        )
        try:
            rescue_receipts(self._repository, log)
            return self._repository.start_pool(pool, now=self._repository.clock()), log
        except StorageError:
            self._name_lock.release(remove=True)
            if self._lock:
                self._lock.release()
            bury_directory(self._directory)
            raise

    def _report_ready(self) -> None:
        """Tell whoever started us once the first worker lives."""
        if self._tell_ready is None:
            return
        locks = [self._directory / worker_lock(m.row.id) for m in self._members.values()]
        if self._stop or not self._pool.wanted or not all(is_free(lock) for lock in locks):
            self._tell_ready(self._pool)
            self._tell_ready = None

    def _leave(self) -> None:
        """Say goodbye; where that cannot be written, all stays for whoever rescues the workers."""
        self.left = self.cut_off or self._waits_for
        self._log("stopped", pool=self._pool.name, why=self.left and str(self.left))
        try:
            if self.left is None:
                self._repository.end_pool(self._pool.id)
                bury_directory(self._directory)
        except StorageError as error:
            self.left = error
            self._log("waiting", why=str(error))
        if self._lock:
            self._lock.release()
        self._lease.close()

    @contextmanager
    def _signals(self) -> Iterator[int]:
        """Signals wake the loop through a pipe; their handlers do nothing."""
        ears, mouth = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
        try:
            yield ears
        finally:
            signal.set_wakeup_fd(-1)
            os.close(ears)
            os.close(mouth)


def _until(moment: datetime, now: datetime) -> float:
    # A little more than what is left, as poll() rounds down: else it would be asked in vain.
    return max(0.0, (moment - now).total_seconds()) + 0.001


def _lives(pidfd: int) -> bool:
    """Whether the process has not ended yet; a zombie has (pidfd_open(2))."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return not poll.poll(0)


def _kind(trouble: str | None) -> str | None:
    """The trouble without its numbers, which change all the time."""
    return trouble and trouble.partition(":")[0]


def _metrics_server(options: PoolOptions) -> MetricsServer | None:
    """What serves metrics, bound already; a pool that serves none loads nothing for it."""
    if options.metrics_listen is None:
        return None
    from queuectl_engine.pool.metrics_server import MetricsServer

    address = listen_address(options.metrics_listen, public=options.metrics_public)
    return MetricsServer(address, options.db, allow_owner=options.allow_owner)


def _signal(member: _Member, number: int) -> None:
    member.sent.add(number)
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(member.pidfd, number)
