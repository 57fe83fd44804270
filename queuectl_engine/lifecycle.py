"""The state machine as a table, and what the end of an attempt means: pure code.

No clock, no storage, no process: time and chance are arguments.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never

from queuectl_engine.errors import BadInput
from queuectl_engine.exit_codes import exit_codes_text
from queuectl_engine.job import Job
from queuectl_engine.states import FINAL as FINAL  # noqa: PLC0414 - can be had here
from queuectl_engine.states import MET_BY as MET_BY  # noqa: PLC0414
from queuectl_engine.states import State

# Every move there is. The SQL of each repository is tested against this table.
MOVES: Final[Mapping[State, frozenset[State]]] = {
    # due, edited, cancelled, deleted; made to wait for another job
    State.SCHEDULED: frozenset({State.READY, State.BLOCKED, State.CANCELLED, State.DELETED}),
    # claimed, edited, cancelled, deleted; set aside while another job holds its mutex
    State.READY: frozenset(
        {State.PROCESSING, State.SCHEDULED, State.BLOCKED, State.CANCELLED, State.DELETED},
    ),
    # what it waits for has ended; cancelled, deleted
    State.BLOCKED: frozenset({State.READY, State.SCHEDULED, State.CANCELLED, State.DELETED}),
    # settled; back to ready when given back or lost
    State.PROCESSING: frozenset(
        {State.COMPLETED, State.FAILED, State.DEAD, State.CANCELLED, State.READY},
    ),
    # due again or requeued, requeued for later, cancelled, deleted
    State.FAILED: frozenset({State.READY, State.SCHEDULED, State.CANCELLED, State.DELETED}),
    # requeued at once or for later, deleted: the same for the next two
    State.DEAD: frozenset({State.READY, State.SCHEDULED, State.DELETED}),
    # and one that was cancelled while it waited for others waits again
    State.CANCELLED: frozenset({State.READY, State.SCHEDULED, State.BLOCKED, State.DELETED}),
    State.COMPLETED: frozenset({State.READY, State.SCHEDULED, State.DELETED}),
    State.DELETED: frozenset(),
}

# What `undo` may take back, each guarded by what the job was: a requeue that has not started, a
# cancel of a job that waited, a delete within its minute.
UNDO: Final[Mapping[State, frozenset[State]]] = {
    State.READY: frozenset({State.DEAD, State.CANCELLED, State.COMPLETED, State.FAILED}),
    State.SCHEDULED: frozenset({State.DEAD, State.CANCELLED, State.COMPLETED, State.FAILED}),
    State.BLOCKED: frozenset({State.CANCELLED}),
    State.CANCELLED: frozenset({State.READY, State.SCHEDULED, State.BLOCKED, State.FAILED}),
    State.DELETED: frozenset(State) - {State.DELETED, State.PROCESSING},
}

REQUEUEABLE: Final = frozenset({State.DEAD, State.CANCELLED, State.COMPLETED, State.FAILED})
CANCELLABLE: Final = frozenset(
    state for state, targets in MOVES.items() if State.CANCELLED in targets
)
DELETABLE: Final = frozenset(state for state, targets in MOVES.items() if State.DELETED in targets)
_LONGEST_CAP: Final = timedelta(days=36525)
_SIGNALLED: Final = 128  # POSIX XCU 2.8.2: a shell reports a signal above this
POISON: Final = 3  # deaths of a worker that ran nothing else, under a living supervisor


# How an attempt ended, as its worker or its rescuer saw it.


@dataclass(frozen=True, slots=True)
class Exited:
    """The command's leader ended by itself with this status."""

    code: int


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal, not sent by the ladder, ended the command's leader."""

    signal: int


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The ladder ended it because it ran longer than the job allows."""

    after: timedelta


@dataclass(frozen=True, slots=True)
class CancelObeyed:
    """The ladder ended it because a person cancelled the job."""


@dataclass(frozen=True, slots=True)
class ForcedStop:
    """The ladder ended it because its pool had to stop now."""


@dataclass(frozen=True, slots=True)
class NotStarted:
    """No process could be made (EAGAIN, EMFILE, ENOMEM): not the job's fault."""

    error: str


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """The worker was found dead. `supervised`: its supervisor lived, so the job may be why.

    `alone`: the worker ran no other job, so this one is why.
    """

    supervised: bool
    alone: bool = True

    @property
    def counts(self) -> bool:
        """Whether it is a death that the job may have caused."""
        return self.supervised and self.alone


@dataclass(frozen=True, slots=True)
class HostLost:
    """Its host could not reach the database for so long that another one may run the job."""


Ending = (
    Exited | Signalled | TimedOut | CancelObeyed | ForcedStop | NotStarted | WorkerDied | HostLost
)


# What that means for the job.


@dataclass(frozen=True, slots=True)
class Completed:
    """Done."""


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Failed, and due again at `at`."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class RunAgain:
    """Lost with its worker: charged, and ready at once."""

    reason: str


@dataclass(frozen=True, slots=True)
class GivenBack:
    """Ready again, and nothing is charged."""

    reason: str


@dataclass(frozen=True, slots=True)
class Dead:
    """No retries left, an exit code that is not retried, or poison."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A person wanted it to end."""

    reason: str


Outcome = Completed | RetryAt | RunAgain | GivenBack | Dead | Cancelled


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a failed job rests: `base ** attempts` seconds, at most `cap`, and some jitter.

    `jitter` gives a number in [0, 1): the wait grows by up to a tenth of itself, so that jobs that
    failed together do not come back together.
    """

    base: float = 2.0
    cap: timedelta = timedelta(hours=1)
    jitter: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        """Raise BadInput for a base below 1, or a cap below 0 or above a hundred years."""
        if not self.base >= 1:
            raise BadInput(f"a backoff base of {self.base} would shrink the wait; use 1 or more")
        if not timedelta(0) <= self.cap <= _LONGEST_CAP:  # a date must be able to follow
            raise BadInput("a backoff cap must be from 0 to a hundred years")

    def delay(self, attempts: int) -> timedelta:
        """Wait after the `attempts`-th charged attempt, counted from 1."""
        try:
            seconds = min(self.base**attempts, self.cap.total_seconds())
        except OverflowError:  # a float power beyond 1e308
            seconds = self.cap.total_seconds()
        return timedelta(seconds=seconds * (1 + self.jitter() / 10))


def outcome_of(job: Job, ending: Ending, backoff: Backoff, now: datetime) -> Outcome:
    """Decide what an ended attempt means for its job, which was charged for it at the claim.

    A cancel that was asked for while it ran is not known here: `settle` applies `if_cancelled`.
    """
    if isinstance(ending, Exited) and ending.code == 0:
        return Completed()
    reason = words(ending)
    match ending:
        case Exited() | Signalled() | TimedOut():
            if rule := _rule_against(job, ending):
                return Dead(f"{reason}, which is not retried ({rule})")
            if job.attempts > job.max_retries:
                return Dead(reason)
            return RetryAt(now + backoff.delay(job.attempts), reason)
        case CancelObeyed():
            return Cancelled(reason)
        case ForcedStop() | NotStarted():
            return GivenBack(reason)
        case WorkerDied() | HostLost():
            if isinstance(ending, WorkerDied) and ending.counts and job.deaths + 1 >= POISON:
                return Dead(f"poison: its worker died {POISON} times")
            if job.attempts > job.max_retries:
                return Dead(reason)
            return RunAgain(reason)
    assert_never(ending)


def _rule_against(job: Job, ending: Ending) -> str | None:
    """The rule by which this exit code is not retried, as it was written; None when there is none.

    A time that ran out has no exit code: it is retried whatever the rules. A signal counts as the
    code that a shell makes of it, so that a shell around the command changes nothing.
    """
    match ending:
        case Exited(code=code):
            pass
        case Signalled(signal=number):
            code = _SIGNALLED + number
        case _:
            return None
    if code in job.no_retry_on:
        return f"--no-retry-on {exit_codes_text(job.no_retry_on)}"
    if job.retry_on and code not in job.retry_on:
        return f"--retry-on {exit_codes_text(job.retry_on)}"
    return None


def if_cancelled(outcome: Outcome) -> Outcome:
    """The outcome when a cancel had been asked before it was written: only success beats it."""
    return outcome if isinstance(outcome, Completed) else Cancelled("cancelled")


def words(ending: Ending) -> str:
    """What ended an attempt, in the words that every screen and log uses."""
    match ending:
        case Exited(code=code):
            return f"exit {code}"
        case Signalled(signal=number):
            return f"killed by signal {number}"
        case TimedOut(after=after):
            return f"timed out after {after.total_seconds():g} s"
        case CancelObeyed():
            return "cancelled"
        case ForcedStop():
            return "given back: its pool had to stop"
        case NotStarted(error=error):
            return f"not started: {error}"
        case WorkerDied():
            return "lost: worker died"
        case HostLost():
            return "lost: its host had no contact with the database"
    assert_never(ending)


def result_of(ending: Ending) -> str:
    """The one word for the history: completed, failed, timed out, cancelled, lost and so on."""
    match ending:
        case Exited(code=0):
            return "completed"
        case Exited() | Signalled():
            return "failed"
        case TimedOut():
            return "timed out"
        case CancelObeyed():
            return "cancelled"
        case ForcedStop():
            return "given back"
        case NotStarted():
            return "not started"
        case WorkerDied() | HostLost():
            return "lost"
    assert_never(ending)


def state_after(outcome: Outcome) -> State:
    """The stored state that an outcome leads to."""
    match outcome:
        case Completed():
            return State.COMPLETED
        case RetryAt():
            return State.FAILED
        case RunAgain() | GivenBack():
            return State.READY
        case Dead():
            return State.DEAD
        case Cancelled():
            return State.CANCELLED
    assert_never(outcome)
