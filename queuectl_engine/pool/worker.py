"""A worker: it claims jobs, runs them and settles what became of them.

One event loop over everything it waits for: the ends and the output of its commands, their time,
its supervisor's life, signals, and the bell that says that a job is ready.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from pathlib import Path
from random import uniform
from typing import Final

from queuectl_engine.errors import StorageBusy, StorageDamaged, StorageError, StorageMoved
from queuectl_engine.lifecycle import (
    Backoff,
    CancelObeyed,
    Completed,
    Ending,
    ForcedStop,
    HostLost,
    NotStarted,
    RetryAt,
    state_after,
    words,
)
from queuectl_engine.pool import failpoints
from queuectl_engine.pool.ahead import Ahead
from queuectl_engine.pool.lease import CLAIM, END, STEP_IN, Lease
from queuectl_engine.pool.listening import FORCED, GRACEFUL, Bell, Listener, watch_signals
from queuectl_engine.pool.locks import SUPERVISOR, is_free
from queuectl_engine.pool.log import Log
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.pool.receipts import Receipts
from queuectl_engine.pool.rescue import host_lost
from queuectl_engine.pool.runner import NotRun, Run
from queuectl_engine.pool.running import Running
from queuectl_engine.pool.space import low_space
from queuectl_engine.repository.protocol import (
    Ended,
    JobRepository,
    PoolRow,
    Progress,
    Turn,
    Verdict,
    WorkerRow,
)

_LOOK_AGAIN: Final = 5.0  # seconds; a bell that was missed costs no more
_BUSY_PAUSE: Final = (0.05, 0.2)
_BROKEN_PAUSE: Final = (1.0, 2.0)
_FULL_PAUSE: Final = 1.0
_SPACE_EVERY: Final = 0.1
_SYNC_WITHIN: Final = 1.0  # of a commit; then it is on disk
CUT_OFF: Final = (StorageMoved, StorageDamaged)  # what does not heal while we run
_SETTLE_WITHIN: Final = 0.1  # of an end, while jobs that were claimed ahead begin first
LAST_TRIES: Final = 2.0  # seconds to wait for storage with nothing else left to do


@dataclass(frozen=True)  # no slots: pickle then fills it without code that copies shared pages
class Post:
    """Where a worker serves; made by its supervisor."""

    options: PoolOptions
    pool: PoolRow
    row: WorkerRow
    directory: Path
    database: str  # its incarnation


class Worker:
    """Runs as many jobs at once as it has slots.

    Owns its runs and their descriptors, not the repository.
    """

    def __init__(self, repository: JobRepository, post: Post, log: Log) -> None:
        """Ready to `run`."""
        self._repository = repository
        self._post = post
        self._log = log
        self._options = post.options
        self._id = post.row.id
        self._name = post.row.name
        self._backoff = Backoff(
            post.options.backoff_base, timedelta(seconds=post.options.backoff_cap)
        )
        self._ended: list[Run] = []  # not settled yet
        self._settle_at = 0.0  # at the latest
        self._ahead = Ahead(post.directory, post.row.id)
        self._stopping = False
        self._holding = False  # take nothing more until what runs has ended
        self._look = True  # there may be something to claim
        self._woken = True  # and perhaps for others too
        self._look_at = 0.0  # look anyway at this time
        self._next_due: datetime | None = None
        self._version: int | None = None  # of the database, when it was last looked at anyway
        self._busy_until = 0.0  # storage could not be used: hold what ended
        self._sync_at = inf  # what was committed last is on disk by then
        self._full_until = 0.0  # no process could be made, or no space is left: claim nothing
        self._low = False  # on space
        self._space_at = 0.0  # look again at this time
        self._receipts = Receipts(post.directory, post.row.id)
        self._database = post.database
        self._give_up_at = inf  # put what ended into receipts
        self.cut_off: StorageError | None = None  # the database is not ours to use any more
        self.unsettled: StorageError | None = None  # why results went into receipts
        self._lease = Lease(post.pool, post.directory)
        self._compare_at = 0.0  # what we run with what the store says that we run
        self._report_after = 0.0  # storage could not be used: let output wait
        self._listener = Listener()
        self._running = Running(
            post.options,
            post.row.number,
            clock=repository.clock,
            listener=self._listener,
            ahead=self._ahead,
            lease=self._lease,
        )

    def run(self) -> None:
        """Work until told to stop, or until the supervisor is gone; then let running jobs end."""
        self._bell = Bell(self._listener, self._repository.wake_fd(self._post.pool), self._rung)
        self._watch_supervisor()
        watch_signals(self._listener, self._heard)
        self._running.open()
        self._log.gather()
        while True:
            if self._lease.ends:
                self._mind_the_lease()
                self._give_back_strangers()
            self._take_turn()
            if time.monotonic() >= self._sync_at:
                self._sync()
            if self._stopping and not (self._running.count or self._ended):
                break
            room = 0 if self._ahead.waiting else self._room()
            self._bell.want(room > 0)
            if not self._ahead.waiting:
                self._log.flush()
            self._listener.wait(self._patience(room=room))
            self._on_time()
        self._running.close()
        self._lease.close()
        self._receipts.close()
        if self.unsettled is None:
            self._ahead.close()
        signal.set_wakeup_fd(-1)

    # -- claim and settle

    def _room(self) -> int:
        running = self._running.count
        if self._stopping or running >= self._options.slots or (self._holding and running):
            return 0
        if time.monotonic() < self._full_until or self._lease.is_past(CLAIM):
            return 0
        return self._options.slots - running

    def _take_turn(self) -> None:
        """Settle what ended and claim what is next, while that leads to anything."""
        if self.cut_off is not None:
            self._leave_receipts(self.cut_off)
            return
        if self._woken or time.monotonic() >= self._space_at:
            self._mind_the_space()
        while True:
            room = self._begin_waiting()
            if not (self._ended or (room and self._should_look())):
                return
            if time.monotonic() < self._turn_at(room=room):
                return
            now = self._repository.clock()
            try:
                turn = self._repository.settle_and_claim(
                    self._id,
                    self._results(),
                    room=room,
                    queues=self._options.queues,
                    now=now,
                    running=self._running.count,
                    pass_on=self._woken or not self._ended,
                    ahead=self._ahead.wanted(),
                )
            except StorageError as error:  # keep what ended, for as long as it takes
                self._hold(error)
                return
            if room:
                self._look = self._woken = False
                self._holding = turn.hold
            self._next_due = turn.next_due
            self._look_at = time.monotonic() + _until(turn.next_due, now)
            self._follow(turn)
            if not (turn.claims or self._ahead.waiting):
                return  # when more is to be told or promoted, after a look at all else

    def _follow(self, turn: Turn) -> None:
        """Tell what was settled, and start what was claimed."""
        self._committed()
        failpoints.reach(failpoints.CLAIMED if turn.claims else failpoints.SETTLED)
        for run, verdict in zip(self._ended, turn.verdicts, strict=True):
            self._tell(run, verdict)
            self._ahead.settled(run.claim.attempt.token)
        self._ended = []
        for claim in turn.claims:
            if not claim.ahead:
                self._begin(self._running.prepared(claim))
        self._ahead.wait([self._running.prepared(claim) for claim in turn.claims if claim.ahead])
        self._heed(turn.stop)
        if turn.more and (turn.claims or turn.hold):
            self._repository.ring(self._post.pool, wake_fd=self._bell.descriptor)

    def _turn_at(self, *, room: int) -> float:
        """When what has ended is to be settled.

        Later, while what waits can begin, or the last of it runs and is to end as soon.
        """
        if self._ahead.waiting or (
            not room and any(run.claim.ahead for run in self._running.runs.values())
        ):
            return max(self._busy_until, self._settle_at)
        return self._busy_until

    def _begin_waiting(self) -> int:
        """Begin what waits as far as there is room; how much of it is left for other jobs."""
        if self._ahead.waiting and (self._stopping or time.monotonic() < self._full_until):
            self._give_back_waiting("its worker takes nothing more")
        while (room := self._room()) and self._ahead.waiting:
            if self._ended and time.monotonic() >= self._turn_at(room=room):
                return 0  # first the turn: the next job could take us with it
            self._begin(self._ahead.next())
        return room

    def _give_back_waiting(self, why: str) -> None:
        for run in self._ahead.give_up():
            run.over(NotStarted(why))
            self._end(run)

    def _mind_the_space(self) -> None:
        """Claim nothing while the disk is nearly full: what runs has to end on it."""
        if self._room() or self._low:
            self._space_at = time.monotonic() + _SPACE_EVERY
            low = low_space(self._repository.free_space(), self._options.min_free) is not None
            self._woken |= self._low and not low
            self._look |= self._woken
            self._low = low
            if low:
                self._full_until = time.monotonic() + _FULL_PAUSE

    def _hold(self, error: StorageError) -> None:
        if isinstance(error, CUT_OFF):
            self._part_with(error)
            return
        if self._stopping and not self._running.count:
            self._give_up_at = min(self._give_up_at, time.monotonic() + LAST_TRIES)
            if time.monotonic() >= self._give_up_at:
                self._leave_receipts(error)
                return
        pause = _BUSY_PAUSE if isinstance(error, StorageBusy) else _BROKEN_PAUSE
        self._busy_until = time.monotonic() + uniform(*pause)
        self._log("waiting", worker=self._name, why=str(error))

    def _part_with(self, error: StorageError) -> None:
        """Write to this database no more and take nothing; what runs ends, and its results stay."""
        if self.cut_off is None:
            self._log("cut off", worker=self._name, why=str(error))
            self.cut_off = self.unsettled = error
            self._stopping = True
        self._give_back_waiting("its worker has no database any more")
        self._leave_receipts(error)

    def _leave_receipts(self, why: StorageError) -> None:
        """Put what ended where a supervisor finds it."""
        if not self._ended or time.monotonic() < self._busy_until:
            return
        try:
            self._receipts.write(self._database, self._results())
        except OSError as error:
            self._log("waiting", worker=self._name, why=f"no receipts: {error.strerror}")
            self._give_up_at = min(self._give_up_at, time.monotonic() + LAST_TRIES)
            if time.monotonic() < self._give_up_at + LAST_TRIES:
                self._busy_until = time.monotonic() + uniform(*_BROKEN_PAUSE)
                return
        for ended in self._results():
            self._log(
                "unsettled",
                worker=self._name,
                job=ended.attempt.job,
                attempt=ended.attempt.number,
                result=words(ended.ending),
            )
        self._ended, self.unsettled = [], why

    def _should_look(self) -> bool:
        """Woken, or time has come; but when only a bell may have been missed, if anyone wrote."""
        if self._look:
            return True
        if time.monotonic() < self._look_at:
            return False
        now = self._repository.clock()
        self._look_at = time.monotonic() + _until(self._next_due, now)
        if self._next_due is not None and self._next_due <= now:
            return True
        try:
            version = self._repository.version()
        except StorageError:  # the turn meets it, too
            return True
        self._look, self._version = version != self._version, version
        return self._look

    def _begin(self, run: Run) -> None:
        claim = run.claim
        if claim.ahead:
            run.began_at = self._repository.clock()
        self._log(
            "started",
            worker=self._name,
            job=claim.job.id,
            attempt=claim.attempt.number,
            queue=claim.job.queue,
            command=claim.job.command,
        )
        try:
            self._running.begin(run)
        except NotRun as refusal:
            run.refused(refusal)
            self._end(run)
            if isinstance(refusal.ending, NotStarted):  # the machine is full: wait, not the job
                self._full_until = time.monotonic() + _FULL_PAUSE

    def _park(self, run: Run, why: str) -> None:
        """Say for all to see why this job goes nowhere."""
        if run.parked == why:
            return
        run.parked = why
        self._log("parked", worker=self._name, job=run.claim.job.id, why=why)
        with suppress(StorageError):
            self._repository.park(run.claim.attempt, why)
            self._committed()

    def _end(self, run: Run) -> None:
        if not self._ended:
            self._settle_at = time.monotonic() + _SETTLE_WITHIN
        job = run.claim.job
        if job.attempts > job.max_retries:  # lost with us it would not run again
            self._settle_at = 0.0
        self._ended.append(run)
        self._look = True

    def _results(self) -> list[Ended]:
        """What became of all that ended: made together, as it is dearer between two commands."""
        return [run.ended(self._backoff) for run in self._ended]

    def _tell(self, run: Run, verdict: Verdict) -> None:
        claim, ended = run.claim, run.ended(self._backoff)
        outcome, late = ended.outcome, verdict is Verdict.LOST
        retry = outcome.at if isinstance(outcome, RetryAt) else None
        ran = ended.ended_at - (ended.began_at or claim.job.started_at or ended.ended_at)
        self._log(
            "late" if late else state_after(outcome),
            worker=self._name,
            job=claim.job.id,
            attempt=claim.attempt.number,
            why=_why(ended, late),
            ran=f"{ran.total_seconds():.1f}s",
            retry=retry.isoformat(timespec="seconds") if retry else None,
        )

    # -- time, and what people ask

    def _on_time(self) -> None:
        now = time.monotonic()
        for run in self._running.gone():
            self._end(run)
        for run, pids in self._running.lingering.items():
            self._park(run, f"cannot kill process {', '.join(map(str, pids))}")
        if now >= self._ahead.until:
            self._give_back_waiting("the job before it takes longer")
        items: list[Progress] = []
        for run in self._running.runs.values():
            if now >= run.listen_at:
                self._running.listen_to(run)
            if run.is_stuck(now):
                self._park(run, f"process {run.pid} does not end after SIGKILL")
            if item := run.on_time(now):
                items.append(item)
        if items:
            self._report(items)

    def _committed(self) -> None:
        self._sync_at = min(self._sync_at, time.monotonic() + _SYNC_WITHIN)

    def _sync(self) -> None:
        """See to it that what was committed is on disk within a second, however quiet it gets."""
        left: float | None = None if self.cut_off else _SYNC_WITHIN
        if self.cut_off is None:
            with suppress(StorageError):  # it comes round again
                left = self._repository.sync_if_due(self._id, now=self._repository.clock())
        self._sync_at = inf if left is None else time.monotonic() + left

    def _report(self, items: list[Progress]) -> None:
        """Write what running jobs printed, and hear what is asked of them and of the pool."""
        written = any(item.leader or item.output.chunks for item in items)
        try:
            if self.cut_off is not None:
                raise self.cut_off
            if time.monotonic() < self._report_after:
                raise StorageError("could not be used just now")
            if not written and not self._repository.changed():
                return
            asked = self._repository.progress(self._id, items, now=self._repository.clock())
        except StorageError as error:
            for item in items:
                self._running.runs[item.attempt.token].keep(item)
            if not isinstance(error, StorageBusy) and time.monotonic() >= self._report_after:
                self._report_after = time.monotonic() + uniform(*_BROKEN_PAUSE)
            if isinstance(error, CUT_OFF):
                self._part_with(error)
            return
        self._committed()
        for token in asked.cancelled:
            if token in self._running.runs:
                self._running.runs[token].end(CancelObeyed())
        self._heed(asked.stop)

    def _heed(self, stop: str | None) -> None:
        if stop:
            self._stop(ForcedStop() if stop == "now" else None)

    def _stop(self, why: Ending | None) -> None:
        """Take nothing new; with a reason, end what runs."""
        self._stopping = True
        if why is not None:
            self._running.end_all(why)

    def _patience(self, *, room: int) -> float:
        """Seconds until something is due."""
        now = time.monotonic()
        look_again = now + (1.0 if self._running.lingering else _LOOK_AGAIN)
        due = min(self._sync_at, self._ahead.until, look_again)
        for run in self._running.runs.values():
            due = min(due, run.wake_at)
        if self._ended:
            due = min(due, self._turn_at(room=room))
        elif room:
            due = min(due, max(self._look_at, self._busy_until))
        elif now < self._full_until:
            due = min(due, self._full_until)
        return max(0.0, due - now)

    def _mind_the_lease(self) -> None:
        """Renew it where the supervisor does not; end what runs before it is over."""
        if self._stopping and not self._running.runs:
            return
        if self._lease.is_past(END):
            self._end_all(HostLost(), "no contact with the database")
        try:
            self._lease.renew(self._repository.renew, after=STEP_IN)
        except StorageError as error:
            self._log("waiting", worker=self._name, why=str(error))
        if self._lease.forgotten and not self._stopping:
            self._end_all(HostLost(), "the database has forgotten this pool")
            self._stopping = True

    def _give_back_strangers(self) -> None:
        """Free what the store says that we run, and we know nothing of.

        A claim whose answer was lost in an outage, or one that we have settled, and the standby
        that took over never heard of it. Nobody else looks for it as long as we live.
        """
        if time.monotonic() < self._compare_at:
            return
        self._compare_at = time.monotonic() + self._lease.lasts(STEP_IN)
        known = {run.claim.attempt.token for run in self._ended} | self._running.tokens
        try:
            held = self._repository.held_by(self._id)
            if strangers := [one for one in held if one.attempt.token not in known]:
                self._repository.lose(
                    [host_lost(one, self._repository.clock()) for one in strangers],
                    now=self._repository.clock(),
                )
                self._committed()
        except StorageError as error:
            self._log("waiting", worker=self._name, why=str(error))
            return
        for one in strangers:
            self._log("lost", worker=self._name, job=one.attempt.job, why="unknown here")
            self._look = True

    def _end_all(self, ending: Ending, why: str) -> None:
        for run in self._running.end_all(ending):
            self._log("ending", worker=self._name, job=run.claim.job.id, why=why)

    # -- what it listens to

    def _watch_supervisor(self) -> None:
        try:
            descriptor = os.pidfd_open(self._post.pool.pid)
        except ProcessLookupError:
            self._stopping = True
            return
        self._listener.watch(descriptor, lambda: self._supervisor_died(descriptor))
        # If its lock is free it died before we looked, and the pid is another's by now.
        if is_free(self._post.directory / SUPERVISOR):
            self._stopping = True

    def _supervisor_died(self, descriptor: int) -> None:
        self._listener.ignore(descriptor)
        self._log("orphaned", worker=self._name, why="its supervisor is gone")
        self._stopping = True

    def _heard(self, signals: bytes) -> None:
        if signal.SIGHUP in signals:
            self._log.to_file()
        if GRACEFUL in signals or FORCED in signals:
            self._stop(ForcedStop() if FORCED in signals else None)

    def _rung(self) -> None:
        self._look = self._woken = True


def _why(ended: Ended, late: bool) -> str | None:
    if not isinstance(ended.outcome, Completed):
        return ended.outcome.reason
    return words(ended.ending) if late else None


def _until(due: datetime | None, now: datetime) -> float:
    if due is None:
        return _LOOK_AGAIN
    return min(_LOOK_AGAIN, max(0.0, (due - now).total_seconds()))
