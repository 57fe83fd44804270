"""What storage promises: the seam between the queue's rules and a database.

Verbs of queueing, not of tables: no row, cursor or driver exception crosses it. Every method is
one transaction and raises only errors of `queuectl_engine.errors`; each may raise StorageBusy.
After an error nothing was changed, but for StoredUnconfirmed and OutcomeUnknown.
`now` is always an argument. One conformance suite in `tests/` runs on every implementation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

from queuectl_engine.cause import Signature
from queuectl_engine.filter import Filter
from queuectl_engine.hook import DueHook, Hook, HookEvent
from queuectl_engine.job import (
    Added,
    Attempt,
    Cause,
    Chunk,
    Context,
    Counts,
    Event,
    Happening,
    Job,
    LabelInfo,
    Need,
    NewJob,
    QueueInfo,
    Ran,
    State,
    View,
)
from queuectl_engine.lifecycle import Ending, Outcome
from queuectl_engine.metrics import QueueMetrics
from queuectl_engine.plan import Act, Was
from queuectl_engine.schedule import Fired, NewSchedule, Schedule

Key = tuple[int, ...]  # a job's place in a view; only the repository that gave it reads it


@dataclass(frozen=True, slots=True)
class Page:
    """Neighbouring jobs of a view, in its order, each with its place."""

    jobs: tuple[Job, ...]
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Matches:
    """Places and ids of matching jobs, and where to go on, None at the end of the view."""

    found: tuple[tuple[Key, int], ...]
    rest: Key | None


@dataclass(frozen=True, slots=True)
class Scan:
    """Matching neighbours of a view with their places, and where a search goes on."""

    jobs: tuple[Job, ...]
    keys: tuple[Key, ...]
    rest: Key | None


@dataclass(frozen=True, slots=True)
class Removed:
    """What a `remove` came to: how many jobs by state, and the bytes of their output.

    `waited_for` of the others stay because another job waits for them; `left` are for the next
    call.
    """

    jobs: Mapping[State, int]
    output: int
    waited_for: int
    left: tuple[int, ...]


class AttemptId(NamedTuple):
    """One attempt, and the random token that proves its ownership of the job."""

    job: int
    number: int
    token: str


class Claim(NamedTuple):
    """A job that is ours to run. `job` is PROCESSING and charged for this attempt.

    `ahead`: claimed when there was no room for it, so that it begins later, or not at all.
    """

    attempt: AttemptId
    job: Job
    context: Context
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class Leader:
    """The process that leads a running command: `ticks` is its start time, against pid reuse."""

    pid: int
    ticks: int


class Output(NamedTuple):
    """Output of an attempt that is not stored yet.

    `chunks` are new, in order. Stored chunks whose `seq` is in one of `gone` are out of bounds or
    overwritten now, and go. `total` and `dropped` count bytes since the attempt began.
    """

    chunks: tuple[Chunk, ...] = ()
    gone: tuple[range, ...] = ()
    total: int = 0
    dropped: int = 0


class Progress(NamedTuple):
    """What a running attempt has to say: its leader (once) and new output."""

    attempt: AttemptId
    leader: Leader | None = None
    output: Output = Output()


class Usage(NamedTuple):
    """What an attempt used: see `Attempt`. `peak_memory` is in bytes, None when not known."""

    cpu: timedelta
    peak_memory: int | None


class Ended(NamedTuple):
    """An attempt that is over, what that means, its last output, and why it failed if it did.

    `began_at` only when that was not at its claim.
    """

    attempt: AttemptId
    ending: Ending
    outcome: Outcome
    ended_at: datetime
    output: Output = Output()
    signature: Signature | None = None
    usage: Usage | None = None
    began_at: datetime | None = None


class Verdict(StrEnum):
    """What became of a settlement. LOST: the job had moved on; the result is kept as evidence.

    The same settlement once more, after an error that left in doubt whether it was written, changes
    nothing and is SETTLED.
    """

    SETTLED = "settled"
    LOST = "lost"


class Turn(NamedTuple):
    """One worker's turn: a verdict for each ended attempt, then what it may run next.

    `more` says that further jobs are ready for it. `next_due` is when the next scheduled or failed
    job falls due, None when there is none. `stop` is what its pool was asked: "graceful" or "now";
    such a pool gets no more claims. `hold`: take nothing more until all that runs has ended.
    """

    verdicts: tuple[Verdict, ...]
    claims: tuple[Claim, ...]
    more: bool
    next_due: datetime | None
    stop: str | None = None
    hold: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What people asked of running work: tokens to cancel, and a stop of the pool."""

    cancelled: frozenset[str] = frozenset()
    stop: str | None = None  # "graceful" or "now"


@dataclass(frozen=True, slots=True)
class Lease:
    """For how long a pool owns what it holds, where hosts share a store, by the store's clock.

    `until` is another one after each renewal; `over` says whether that time had come when it was
    read.
    """

    seconds: float
    until: datetime | None = None
    over: bool = False


@dataclass(frozen=True)  # no slots: see Post
class PoolRow:
    """A pool as it registers itself. `directory` is where its wake-up FIFO and its locks are.

    `slots` is how many jobs each of its workers runs at once.
    `lease` is what it asks for; a store for one host, where locks say who lives, gives none.
    """

    name: str
    host: str
    boot: str
    pid_namespace: str
    pid: int
    is_init: bool
    detached: bool
    wanted: int
    queues: tuple[str, ...]
    directory: str
    log: str
    id: int = 0
    started_at: datetime | None = None
    stop: str | None = None
    trouble: str | None = None
    most_workers: int | None = None
    slots: int = 1
    lease: Lease | None = None


@dataclass(frozen=True)  # no slots: see Post
class WorkerRow:
    """A worker as its supervisor registers it, before it starts; `pid` 0 until it runs."""

    id: int
    pool: int
    number: int
    pid: int
    started_at: datetime

    @property
    def name(self) -> str:
        """Short enough for a column: w1, w2."""
        return f"w{self.number}"


@dataclass(frozen=True, slots=True)
class Orphan:
    """A job in processing, with all that is known of the attempt that holds it.

    `suspect`: its worker died before, so now it ran alone. `ahead`: it was claimed ahead, and the
    store has not heard yet that it began.
    """

    job: Job
    attempt: AttemptId
    worker: int
    leader: Leader | None
    suspect: bool = False
    ahead: bool = False


class JobRepository(Protocol):
    """Durable jobs. Usable from several threads, one call at a time; never across a fork.

    Whoever makes a job ready rings the pools by itself, after its commit. `run_directory` is where
    this host's pools of this database keep their locks and logs, one directory each.
    """

    @property
    def run_directory(self) -> Path:
        """See above."""

    many_hosts: bool  # pools that have no directory here may live on other hosts

    # -- people: jobs

    def add(self, jobs: Sequence[NewJob], *, now: datetime) -> list[Added]:
        """Store all of them or none. A key that exists with the same command changes nothing.

        Nor does an origin that was stored before, be its job still there or not.

        One that waits for jobs which have not ended so is BLOCKED; jobs before it in `jobs` may be
        among them, by key. Raises KeyTaken when a key belongs to a job with another command, and
        NoSuchJob for one to wait for that does not exist.
        """

    def add_lines(self, first: NewJob, lines: Sequence[str], *, now: datetime) -> Sequence[int]:
        """Store a job, and one like it for each of these lines: all or none; their ids in order.

        `first` runs under its shell, and has no key and no origin. Raises NoSuchJob.
        """

    def identity(self) -> str:
        """A name of this database that no other has."""

    def get(self, ids: Collection[int]) -> dict[int, Job]:
        """The jobs that exist, by id; unknown and deleted ones are left out."""

    def find_keys(self, keys: Collection[str]) -> dict[str, int]:
        """The ids of the jobs that hold these keys."""

    def keys_like(self, prefix: str, *, limit: int) -> dict[str, int]:
        """Keys that begin so, in their order, and their jobs; cost follows `limit`."""

    def page(
        self,
        view: View,
        *,
        limit: int,
        at: Key | None = None,
        backwards: bool = False,
        queue: str | None = None,
        states: Collection[State] | None = None,
        cause: int | None = None,
    ) -> Page:
        """At most `limit` jobs of a view from place `at` on (inclusive), always in view order.

        Without `at` the first ones, or the last ones when `backwards`. `at` need not exist any
        more. `cause` keeps to the dead jobs of that cause. Cost follows `limit`, not the size of
        the view, unless `queue` or `states` filter.
        """

    def scan(
        self,
        view: View,
        wanted: Filter,
        *,
        limit: int,
        budget: int,
        at: Key | None = None,
        backwards: bool = False,
        cause: int | None = None,
        until: datetime | None = None,
    ) -> Matches:
        """The first `limit` jobs that match, looking at no more than `budget` of a view.

        From place `at` on, in the direction of the walk. With `until`, only jobs that have not
        moved since then match.
        """

    def causes(self, *, limit: int, wanted: Filter) -> list[Cause]:
        """Causes that have dead jobs, newest death first; without a filter cost follows `limit`.

        The filter is one for causes.
        """

    def cause(self, cause_id: int) -> Cause | None:
        """One of them, None when nothing is dead of it."""

    def place(self, view: View, job: Job) -> Key:
        """Where the job stands in the view, or would."""

    def counts(self) -> Counts:
        """Exact counts by stored state; reads a row per non-empty queue and state."""

    def queues(self) -> list[QueueInfo]:
        """Every queue by name, with its counts."""

    def last_ran(self, *, limit: int) -> list[Ran]:
        """The last jobs that completed or died, newest first; looks at twice `limit` at most."""

    def labels(self, *, limit: int) -> list[LabelInfo]:
        """The first labels by name that jobs have, with their counts; cost follows `limit`."""

    def needs(self, job: int) -> list[Need]:
        """Every job that it waits for or waited for, in the order in which they were named."""

    def dependants(self, job: int, *, limit: int) -> list[int]:
        """The first jobs that still wait for it."""

    def attempts(self, job: int) -> list[Attempt]:
        """Its history, oldest first."""

    def events(self, job: int) -> list[Event]:
        """What people did to it, oldest first; the first is its add."""

    def output(self, job: int, number: int, *, after: int = -1, limit: int = 0) -> list[Chunk]:
        """Output of an attempt with `seq` above `after`; its last `limit` bytes, 0 for all."""

    def context(self, context_id: int) -> Context:
        """The captured environment that a job refers to."""

    def happenings(
        self, *, since: int | None, limit: int, job: int | None = None
    ) -> tuple[list[Happening], int]:
        """At most `limit` that came after number `since`, of all jobs or one, in their order.

        Also the number up to which all was looked at, from which to go on: `since` at the end.
        None is before the first that is kept. What happened to jobs that are gone is left out; a
        gap stands for what is not kept.
        """

    def last_happening(self) -> int:
        """The number of the newest, 0 before the first."""

    def metrics(self) -> list[QueueMetrics]:
        """Sums and ages of every queue, by name; cost follows the number of queues."""

    def oldest_due(self) -> datetime | None:
        """Since when the ready job that waits longest is due; None when none is ready."""

    # -- people: acts. Ids are known to exist when asked; each is all or nothing.

    def requeue(
        self,
        ids: Sequence[int],
        *,
        user: str,
        now: datetime,
        run_at: datetime | None = None,
    ) -> None:
        """Send them back to pending with a fresh budget. Raises NoSuchJob or WrongState."""

    def cancel(self, ids: Sequence[int], *, user: str, now: datetime) -> list[int]:
        """Cancel waiting jobs, and ask for it on those that run. Returns the ids that still run.

        Raises NoSuchJob, or WrongState for a job that has ended.
        """

    def delete(self, ids: Sequence[int], *, user: str, now: datetime) -> None:
        """Hide them and free their keys. Raises NoSuchJob, or WrongState for one that runs."""

    def ended_before(self, before: datetime) -> Key:
        """The place in FINISHED and DEAD from which on all jobs ended at this moment or earlier."""

    def remove(
        self,
        ids: Sequence[int],
        *,
        before: datetime,
        states: Collection[State],
        count_only: bool = False,
    ) -> Removed:
        """Remove for good those of these jobs that are in such a state and ended before a moment.

        A bounded number; the others are `left` for the next call. Jobs that another job waits for
        stay. With `count_only` nothing is removed.
        """

    def shrink(self) -> int:
        """Give some unused space back to the file system; how many bytes, 0 when none is left."""

    def retention(self) -> timedelta | None:
        """How long completed jobs are kept; None: until a person removes them."""

    def set_retention(self, keep: timedelta | None) -> None:
        """Change it; supervisors keep to it in `maintain`."""

    def act(
        self,
        what: Act,
        ids: Sequence[int],
        *,
        asked: datetime,
        user: str,
        now: datetime,
        run_at: datetime | None = None,
    ) -> tuple[list[Was], list[int]]:
        """Do it to those of these jobs that have not moved since `asked` and can be done to.

        Returns what they were, and the ids of those whose cancel was asked of their worker.
        """

    def undo(self, jobs: Sequence[Was], *, user: str, now: datetime) -> int:
        """Make them what they were, unless they have moved on or their key is taken; how many."""

    def edit(self, job: int, to: NewJob, *, user: str, now: datetime, moved: bool) -> None:
        """Make a job that does not run what `to` says; with `moved`, also when it shall run.

        What `to.after` names replaces what it waited for in those ways; only jobs that came before
        it may be named, and only for a pending one. Raises NoSuchJob, WrongState, KeyTaken,
        BadInput.
        """

    def pause(self, names: Sequence[str] | None, *, paused: bool) -> list[str]:
        """Pause or resume these queues, or all, later ones too. Returns the names touched.

        Raises BadInput for the resume of a queue that does not exist; a pause makes it.
        """

    def limit(self, names: Sequence[str] | None, max_running: int | None) -> None:
        """Let at most so many jobs of each of these queues run, or of all queues together.

        None takes the limit away. What runs already goes on.
        """

    # -- workers

    def settle_and_claim(
        self,
        worker: int,
        ended: Sequence[Ended],
        *,
        room: int,
        queues: Sequence[str],
        now: datetime,
        running: int = 0,
        pass_on: bool = True,
        ahead: int = 0,
    ) -> Turn:
        """Write what ended, promote what is due, then take up to `room` ready jobs.

        Jobs come highest priority first, over the unpaused `queues` (all when empty) that are below
        their limit; queues whose best jobs have the same priority take turns, within one the oldest
        comes first. Of jobs with the same mutex, one runs at a time. A bounded number of jobs that
        waited for what ended are freed; `next_due` is now when there are more.

        A job whose worker died under its supervisor runs alone until it has ended in another way:
        a worker that runs `running` other jobs does not get it. The first of its pool gets nothing
        more then, so that what it runs can end.

        When there was a job for all of its room it claims up to `ahead` more, which wait in the
        worker: no more than a fair share of what is ready, none that belongs to a mutex, and none
        while any limit is set, as they count as running. A store that several hosts share claims
        none ahead: nobody could tell of a lost host's which have begun.

        Without `pass_on` it does not say whether there is `more`: a worker that nobody woke, and
        that goes on with the next job, changes nothing for others.

        Each claimed job is PROCESSING and belongs to `worker`; its token is the proof that every
        later write about this attempt carries. Claims of a turn that ended in an error, but were
        stored all the same, are among those of the next turn, also when there is no room.
        """

    def progress(self, worker: int, items: Sequence[Progress], *, now: datetime) -> Asked:
        """Write leaders and output; learn what was asked. Nothing to say writes nothing.

        To be told again after any error: what was stored is not stored twice.
        """

    # -- what may happen to the file

    def incarnation(self) -> str:
        """Which database this is, and since which restore: results of another one are not its own.

        Costs microseconds.
        """

    def free_space(self) -> tuple[int, int] | None:
        """Bytes left for us on its disk, and the size of that; None where that cannot be known."""

    def damage(self) -> str | None:
        """Why nothing is claimed or written, in words with what to do: it is marked as damaged."""

    def suspect(self, why: str) -> None:
        """Let nobody claim or write until `verify` has found it sound.

        For a pool that sees that another file was put into the place of its own.
        """

    def verify(self, *, unclean: bool, seconds: float) -> str | None:
        """Before a pool starts: look whether the database is sound, if there is reason to doubt it.

        All of it when it was marked as damaged, which ends when nothing is found; after an
        `unclean` end as much as `seconds` allow. What was done, in words for the log. Raises
        StorageDamaged.
        """

    # -- pools

    def distrusted(self) -> str | None:
        """Why no pool of this user on this machine should run what is stored; None if it may."""

    def outdated(self) -> bool:
        """Whether a newer program has changed the store since it was opened here."""

    def start_pool(self, pool: PoolRow, *, now: datetime) -> PoolRow:
        """Register a pool; returns it with its id."""

    def renew(self, pool: int) -> bool:
        """Let the pool own what all its workers hold for the time of its lease, from now on.

        False when it is registered no more. Nothing to do where there are no leases.
        """

    def take_over(self, pool: PoolRow, ended: Sequence[Ended], *, now: datetime) -> bool:
        """Settle these attempts of a pool whose lease is over, and forget it with its workers.

        Whether it is forgotten: not, and nothing is settled, when it has renewed its lease since
        `pool` was read; nor while its workers hold anything else.
        """

    def end_pool(self, pool: int) -> None:
        """Forget a pool and its workers. Its jobs must have been settled or rescued."""

    def start_worker(self, pool: int, number: int, *, now: datetime) -> WorkerRow:
        """Register a worker, before its process exists."""

    def set_worker_pid(self, worker: int, pid: int) -> None:
        """Write down which process it is."""

    def end_worker(self, worker: int) -> None:
        """Forget a worker that holds no job. All that it committed is on disk when this returns.

        What an erroneous turn claimed for it is given back.
        """

    def pools(self) -> list[PoolRow]:
        """Every pool registered, alive or not, oldest first."""

    def workers(self) -> list[WorkerRow]:
        """Every worker registered, alive or not."""

    def held_by(self, worker: int) -> list[Orphan]:
        """The jobs in processing that belong to this worker.

        Not a claim of ours of which nobody could say whether it was stored: our next turn takes it.
        """

    def strays(self) -> list[Orphan]:
        """The jobs in processing whose worker is registered nowhere."""

    def lose(self, ended: Sequence[Ended], *, now: datetime) -> tuple[Verdict, ...]:
        """Settle the attempts of a dead worker, once all that they started is gone."""

    def park(self, attempt: AttemptId, why: str) -> None:
        """Keep the job in processing, with the reason, until a person cancels it."""

    def resize(self, pool: int, *, by: int | None = None, to: int | None = None) -> int:
        """Change the wanted size, never below 0; returns the new one.

        Raises BadInput for more than `most_workers` of the pool, NoSuchPool when it has ended.
        """

    def ask_stop(self, pool: int, how: str) -> None:
        """Ask a pool to stop: "graceful" or "now"."""

    def set_trouble(self, pool: int, trouble: str | None) -> None:
        """Show, or clear, a pool's worry."""

    # -- schedules

    def add_schedule(self, new: NewSchedule, *, now: datetime) -> tuple[int, bool]:
        """Store it; its number, and whether it is new. The same under the same name is not.

        Raises KeyTaken when the name belongs to another schedule.
        """

    def schedules(self) -> list[Schedule]:
        """Every schedule, oldest first."""

    def schedule(self, name: int | str) -> Schedule:
        """One by number or name. Raises NoSuchSchedule."""

    def due_schedules(self, *, now: datetime) -> list[Schedule]:
        """Those with a time to meet, the longest due first; a bounded number."""

    def next_firing(self) -> datetime | None:
        """When the next schedule is due; costs the same for any number of them."""

    def fire(
        self,
        schedule: Schedule,
        then: datetime | None,
        *,
        now: datetime,
        skip: str | None = None,
        trouble: str | None = None,
    ) -> Fired | None:
        """Meet the time `schedule.next_at`: add the job and move on to `then`, as one change.

        None, and nothing is changed, when that time has been met or the schedule was paused or
        deleted meanwhile. No job is added with a reason to `skip`, or while the last one has not
        ended and overlap is not allowed. `trouble` says why there is no next time.
        """

    def run_schedule(self, schedule: Schedule, *, now: datetime) -> int:
        """Add its job now, besides its times; the job's id.

        Raises WrongState while its last job has not ended, unless overlap is allowed.
        """

    def pause_schedule(self, schedule: int, *, then: datetime | None) -> None:
        """Fire no more, or with `then` go on at that time."""

    def delete_schedule(self, schedule: int) -> None:
        """Forget it; its jobs stay."""

    # -- hooks. Those that are due are noted by the settlement that they tell of.

    def set_hook(self, hook: Hook) -> None:
        """Make it what its queue runs at its event, instead of what it ran so far."""

    def hooks(self) -> list[Hook]:
        """Those of all queues, by queue and event."""

    def delete_hook(self, queue: str, event: HookEvent) -> None:
        """Forget it, also where it is due and nobody runs it. Raises NoSuchHook."""

    def hooks_wait(self) -> bool:
        """Whether a due hook waits for a pool. Costs microseconds."""

    def take_hooks(self, pool: int, *, room: int) -> list[DueHook]:
        """The oldest due hooks that no registered pool runs, now this pool's."""

    def end_hook(self, due: DueHook, pool: int, *, failed: str | None, now: datetime) -> None:
        """It ran to its end, and is not due any more. A failure becomes an event of its job."""

    def give_back_hooks(self, pool: int) -> None:
        """This pool runs none of those that it has taken and not ended."""

    # -- time, news and upkeep

    def patiently(self) -> AbstractContextManager[None]:
        """For who waits for hours: meanwhile a server that is gone is waited for, for minutes."""

    def clock(self) -> datetime:
        """The time that all who use this database go by: what `now` should be.

        Of a file the machine's own; of a server the server's, so that hosts whose clocks differ
        agree on what is due. Costs microseconds.
        """

    def promote(self, *, now: datetime) -> bool:
        """Make due jobs ready and free those whose wait is over, a bounded number of them.

        Whether there are more. Nothing to do writes nothing.
        """

    def clamp_retries(self, *, now: datetime) -> None:
        """After the clock was set back: no retry waits longer than was planned when it failed."""

    def remaining(self, pool: PoolRow) -> Mapping[State, int]:
        """What this pool still has to do: counts over its unpaused queues (all when it names none).

        PROCESSING counts only what its own workers run. One moment's truth, not several.
        """

    def stirring(self) -> bool:
        """Whether blocked jobs are being freed, or may be when a job that runs now ends."""

    def changed(self) -> bool:
        """Whether anyone else has committed since the last call. Costs microseconds."""

    def version(self) -> int:
        """A number that is another one once anyone else has committed; for many that look.

        Like `changed` it raises StorageMoved or StorageDamaged when the database is not any more
        what was opened, or was marked as damaged.
        """

    def ring(self, pool: PoolRow | None = None, *, wake_fd: int | None = None) -> None:
        """Wake one sleeping worker of each pool, or of this one. Never blocks, never fails.

        `wake_fd` is what the method gave for this pool, still open: with it, a ring costs least.
        """

    def wake_fd(self, pool: PoolRow) -> int:
        """A descriptor that turns readable when this pool is rung. The caller owns it."""

    def maintain(self, *, now: datetime) -> None:
        """Purge what was deleted more than a minute ago, keep to `retention`, keep files small."""

    def sync_if_due(self, worker: int, *, now: datetime) -> float | None:
        """Put the commits of the last second on disk, if none did since.

        Returns in how many seconds there will be such to look after, None when all is on disk.
        """

    def close(self) -> None:
        """Give back every resource. Further use raises StorageError."""
