"""What runs in a worker: each job from where it begins to where nothing of it is left."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from datetime import datetime
from functools import partial
from math import inf
from typing import Final

from queuectl_engine.errors import QueuectlError
from queuectl_engine.lifecycle import Ending, Exited, NotStarted
from queuectl_engine.pool import failpoints, processes
from queuectl_engine.pool.ahead import Ahead
from queuectl_engine.pool.environment import Environments
from queuectl_engine.pool.lease import CLAIM, Fence, Lease
from queuectl_engine.pool.listening import Listener
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.pool.runner import CANNOT_EXECUTE, NotRun, Run
from queuectl_engine.pool.slots import free_slot, slot_environment
from queuectl_engine.repository.protocol import Claim

_TOO_LATE: Final = "no contact with the database"


class Running:
    """The runs of a worker, in its slots.

    `runs` are those whose leader lives, by token; `lingering` those that are over, but for these
    processes, which could not be killed. Both are only looked at by others. The listener hears of
    what they print and of their ends. Owns their descriptors.
    """

    def __init__(
        self,
        options: PoolOptions,
        number: int,
        *,
        clock: Callable[[], datetime],
        listener: Listener,
        ahead: Ahead,
        lease: Lease,
    ) -> None:
        """Nothing runs. `number` is the worker's among those of its pool."""
        self.runs: dict[str, Run] = {}
        self.lingering: dict[Run, Collection[int]] = {}
        self._reaped: list[Run] = []  # since the last look at what is left of them
        self._options = options
        self._number = number
        self._clock = clock
        self._listener = listener
        self._ahead = ahead
        self._lease = lease
        self._environments = Environments(options.db, os.environ)
        self._fence = Fence(lease) if lease.ends else None

    def open(self) -> None:
        """From now on what runs is killed before the lease is over, though the worker may hang."""
        if self._fence:
            self._fence.start()

    def close(self) -> None:
        """Nothing runs any more."""
        if self._fence:
            self._fence.stop()

    @property
    def count(self) -> int:
        """How many slots are taken."""
        return len(self.runs) + len(self.lingering)

    @property
    def tokens(self) -> set[str]:
        """Of all of which anything may be left."""
        over = (*self.lingering, *self._reaped)
        return {run.claim.attempt.token for run in over}.union(self.runs)

    def prepared(self, claim: Claim) -> Run:
        """Its run, with all that can be had before it begins: between two commands it is dearer."""
        run = Run(
            claim,
            grace=self._options.grace,
            output_limit=self._options.output_limit,
            clock=self._clock,
        )
        try:
            run.environment = self._environments.of(claim)
        except QueuectlError as error:  # a secret is missing, or others can read it
            run.refusal = NotRun(Exited(CANNOT_EXECUTE), str(error))
        return run

    def begin(self, run: Run) -> None:
        """Start it in a free slot. Raises NotRun."""
        claim = run.claim
        if run.refusal is not None:
            raise run.refusal
        if self._lease.is_past(CLAIM):
            raise NotRun(NotStarted(_TOO_LATE), _TOO_LATE)
        run.slot = self._free_slot()
        slot = slot_environment(run.slot, self._options.per_slot)
        if claim.ahead:
            self._note_begin(claim)
        run.start({**run.environment, **slot})
        failpoints.reach(failpoints.SPAWNED)
        self.runs[claim.attempt.token] = run
        if self._fence:
            self._fence.guard(claim.attempt.token, run.pid)
        self._listener.watch(run.pidfd, partial(self._leader_ended, run))

    def _free_slot(self) -> int:
        taken = {run.slot for run in (*self.runs.values(), *self.lingering)}
        return free_slot(self._number, self._options.slots, taken)

    def _note_begin(self, claim: Claim) -> None:
        try:
            self._ahead.begin(claim.attempt.token)
        except OSError as error:  # its disk is full
            why = f"cannot note that it begins: {error.strerror}"
            raise NotRun(NotStarted(why), f"not started: {why}") from error

    def listen_to(self, run: Run) -> None:
        """To what it prints, from now on: it has not ended at once."""
        for descriptor in run.listened():
            self._listener.watch(descriptor, partial(self._read, run, descriptor))

    def _read(self, run: Run, descriptor: int) -> None:
        if descriptor in run.streams and not run.read(descriptor):
            self._listener.closed(descriptor)

    def end_all(self, why: Ending) -> list[Run]:
        """Make all end that runs; those of which this is the cause."""
        return [run for run in self.runs.values() if run.end(why)]

    def _leader_ended(self, run: Run) -> None:
        soon = run.listen_at != inf
        self._ahead.ended(soon=soon)
        for descriptor in (run.pidfd, *(() if soon else run.streams)):
            self._listener.closed(descriptor)  # as it is in a moment
        del self.runs[run.claim.attempt.token]
        if self._fence:
            self._fence.release(run.claim.attempt.token)
        run.reap({other.pid for other in self.runs.values()})
        failpoints.reach(failpoints.EXITED)
        self._reaped.append(run)

    def gone(self) -> list[Run]:
        """Those of which nothing is left since the last call; only then a job may go on."""
        if not (self._reaped or self.lingering):
            return []
        reaped, self._reaped = [*self.lingering, *self._reaped], []
        laddered = {run.claim.attempt.token: run.leader for run in reaped if run.on_ladder}
        left = processes.kill_each(laddered) if laddered else {}
        self.lingering = {
            run: left[run.claim.attempt.token]
            for run in reaped
            if left.get(run.claim.attempt.token)
        }
        return [run for run in reaped if run not in self.lingering]
