"""The public API: one open database, and everything that can be asked of it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar, Unpack

from queuectl_engine.errors import (
    BadInput,
    NoSuchCause,
    NoSuchJob,
    ReadOnly,
    StorageError,
    StoredUnconfirmed,
)
from queuectl_engine.intake import DEFAULT_HOOK_TIMEOUT
from queuectl_engine.new_job import (
    alike_in_portions,
    capture_context,
    check_limit,
    check_moment,
    check_queue,
    edited,
    in_portions,
    new_job,
    user_name,
)
from queuectl_engine.repository import copy_database, open_repository, restore_database
from queuectl_engine.safe_text import safe_text
from queuectl_engine.settings import Database, choose_database, load_settings
from queuectl_engine.states import FINAL, STORED_AS, JobState, State, Stream, View

# Each method imports what it alone uses: who adds a job pays for nothing else.
if TYPE_CHECKING:
    from queuectl_engine.estimate import Estimate
    from queuectl_engine.filter import Filter
    from queuectl_engine.following import Printed
    from queuectl_engine.hook import Hook, HookEvent
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
        PoolInfo,
        QueueInfo,
    )
    from queuectl_engine.keeping import Copied, Finding, Pruned, Restored
    from queuectl_engine.metrics import QueueMetrics
    from queuectl_engine.new_job import Changes, Policy, Surroundings
    from queuectl_engine.plan import Act, Done, Plan, Selection, Undo
    from queuectl_engine.repository.protocol import JobRepository, Key, Matches, Page, Scan
    from queuectl_engine.schedule import Recurrence, Schedule
    from queuectl_engine.settings import Settings

CHUNK: Final = 1_000  # jobs in one transaction of a bulk act
ADDED_AT_ONCE: Final = 5_000
LINES_AT_ONCE: Final = 10_000  # most are copies, which take a tenth of the time of those
SLICE: Final = 5_000  # jobs that one step of a search looks at
COUNTED_SLICES: Final = 40  # a larger selection is not counted before it is asked about
_T = TypeVar("_T")
_POLL: Final = 0.05  # seconds between two looks for a change while waiting


def open_engine(
    db: str | os.PathLike[str] | Database | None = None,
    *,
    create: bool = False,
    timeout: float = 5.0,
    read_only: bool = False,
    allow_owner: bool = False,
) -> Engine:
    """Open a database: a path, a URL, or None for the one that a command started here would use.

    The user's own default database is made when it does not exist, another only with `create`.
    `timeout` is how many seconds to wait for a lock before StorageBusy. With `read_only` every act
    raises ReadOnly, and nothing is made. With `allow_owner` another user may own it, who can then
    run commands as us. Raises NotAQueue or UnsafeStorage for a file that must not be used.
    """
    chosen = db if isinstance(db, Database) else choose_database(os.fspath(db) if db else None)
    if allow_owner:
        chosen = chosen._replace(allow_owner=True)
    repository = open_repository(
        chosen.location,
        create=not read_only and (create or chosen.own),
        timeout=timeout,
        read_only=read_only,
        allow_owner=chosen.allow_owner,
    )
    return Engine(repository, chosen, load_settings(), read_only=read_only)


def restore(
    db: str | os.PathLike[str] | Database | None, backup: str | os.PathLike[str]
) -> Restored:
    """Let a database hold what a backup of it holds; it is named as for `open_engine`.

    What was there is kept beside it, and `Restored` says how it is called. Jobs that ran when the
    backup was made are settled as lost. Raises StorageBusy while a pool runs on the database,
    NotAQueue or StorageError for a file that cannot be taken back; then nothing has changed.
    """
    chosen = db if isinstance(db, Database) else choose_database(os.fspath(db) if db else None)
    return restore_database(
        chosen.location,
        os.fspath(backup),
        user=user_name(),
        now=_now(),
        allow_owner=chosen.allow_owner,
    )


def examine(
    db: str | os.PathLike[str] | Database | None = None,
    *,
    quick: bool = False,
    recount: bool = False,
) -> Iterator[Finding]:
    """Look whether all is well with a database and its pools, each finding as it is found.

    It may be damaged, locked or missing: that is a finding then, and nothing is raised but
    BadInput. `quick` leaves out what reads the whole database; `recount` mends counts that are
    wrong.
    """
    from queuectl_engine import doctor

    chosen = db if isinstance(db, Database) else choose_database(os.fspath(db) if db else None)
    return doctor.examine(
        chosen.location, quick=quick, recount=recount, allow_owner=chosen.allow_owner
    )


class Engine:
    """One open database. Close it, or use it as a context manager.

    May be used from several threads, one call at a time: a lock inside makes others wait. Refuses
    use in a process forked after it was opened (UsedAfterFork). Every method may raise StorageBusy
    when another process keeps the database locked, and StorageError when it cannot be used.
    Wherever a job is named, its id or its key will do.
    """

    def __init__(
        self,
        repository: JobRepository,
        database: Database,
        settings: Settings,
        *,
        read_only: bool = False,
    ) -> None:
        """Use `open_engine`. The engine owns the repository and closes it."""
        self._repository = repository
        self._read_only = read_only
        self.settings = settings
        self.database = database

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the database. Closing twice is harmless."""
        self._repository.close()

    # -- adding

    def context(self, **around: Unpack[Surroundings]) -> Context:
        """Capture what jobs added from here will see; share it between the jobs of a bulk add.

        `secrets` are names: their values are read when a job starts, by its worker. Raises BadInput
        for a directory, shell or name that cannot be.
        """
        return capture_context(
            cwd=around.get("cwd"),
            env=around.get("env"),
            shell=around.get("shell") or self.settings.shell,
            secrets=around.get("secrets") or (),
            shell_asked=bool(around.get("shell")),
            also=self.settings.capture_env,
        )

    def new_job(
        self,
        command: str | Sequence[str],
        context: Context | None = None,
        **policy: Unpack[Policy],
    ) -> NewJob:
        """A checked job, ready for `add_many`. Raises BadInput."""
        return new_job(command, context or self.context(), **policy)

    def add(
        self,
        command: str | Sequence[str],
        *,
        context: Context | None = None,
        **policy: Unpack[Policy],
    ) -> Job:
        """Store a job; when this returns it is on disk and will be run.

        A string runs under the shell, a sequence is an argv that runs without one. With a `key`
        that exists, the job that has it is returned unchanged. Raises BadInput, KeyTaken when the
        key belongs to another command, or NoSuchJob for one to wait for.
        """
        added = self.add_many([self.new_job(command, context, **policy)])[0]
        return self._read_back(f"stored job {added.id}", lambda: self.get(added.id))

    def add_many(self, jobs: Iterable[NewJob]) -> list[Added]:
        """Store many jobs in transactions of a few thousand, in order.

        An error leaves the chunks before it stored and nothing of its own.
        """
        added: list[Added] = []
        for portion in in_portions(jobs, ADDED_AT_ONCE):
            added += self._repository.add(portion, now=self._now())
        return added

    def add_lines(
        self, lines: Iterable[str], *, context: Context | None = None, **policy: Unpack[Policy]
    ) -> list[int]:
        """Store a job for each line of shell, all of one policy; their ids in order.

        The fastest way to add many. Like `add_many` in portions of a few thousand: an error leaves
        those before it stored. Raises BadInput, also for a `key`: it could name only one of them.
        """
        copies = not (policy.get("labels") or policy.get("mutex"))
        at_once = LINES_AT_ONCE if copies else ADDED_AT_ONCE
        ids: list[int] = []
        for first, rest in alike_in_portions(lines, at_once, context or self.context(), **policy):
            ids += self._repository.add_lines(first, rest, now=self._now())
        return ids

    # -- reading

    def get(self, id_or_key: int | str) -> Job:
        """One job. Raises NoSuchJob."""
        return self.get_all([id_or_key])[0]

    def get_all(self, ids_or_keys: Iterable[int | str]) -> list[Job]:
        """These jobs in this order. Raises NoSuchJob that names the first unknown one."""
        wanted = list(ids_or_keys)
        ids = self._ids(wanted)
        found = self._repository.get(ids)
        for name, job_id in zip(wanted, ids, strict=True):
            if job_id not in found:
                raise self._no_job(name)
        return [found[job_id] for job_id in ids]

    def find(self, ids: Iterable[int]) -> dict[int, Job]:
        """Those of these jobs that exist, by id."""
        return self._repository.get(list(ids))

    def keys_like(self, prefix: str, *, limit: int = 100) -> dict[str, int]:
        """Keys that begin so, in their order, and the ids of their jobs."""
        return self._repository.keys_like(prefix, limit=limit)

    def jobs(
        self, state: JobState | None = None, *, queue: str | None = None, limit: int | None = None
    ) -> Iterator[Job]:
        """Jobs of one outward state, or of every state by id; read in pages as you go."""
        most = None if limit is None else min(limit, sys.maxsize)
        return islice(self._all_jobs(state, queue), most)

    def page(
        self,
        view: View,
        *,
        limit: int,
        at: Key | None = None,
        backwards: bool = False,
        cause: int | None = None,
    ) -> Page:
        """A window of a view, from place `at` on, inclusive; always in view order.

        Without `at` the first jobs, or the last ones when `backwards`; with `cause` only the dead
        jobs of that cause. The cost follows `limit`.
        """
        return self._repository.page(view, limit=limit, at=at, backwards=backwards, cause=cause)

    def place(self, view: View, job: Job) -> Key:
        """Where the job stands in a view, or would: an `at` for `page`."""
        return self._repository.place(view, job)

    def attempts(self, id_or_key: int | str) -> list[Attempt]:
        """The whole history of a job, oldest first. Raises NoSuchJob."""
        return self._repository.attempts(self.get(id_or_key).id)

    def events(self, id_or_key: int | str) -> list[Event]:
        """What people did to it, oldest first. Raises NoSuchJob."""
        return self._repository.events(self.get(id_or_key).id)

    def output(
        self,
        id_or_key: int | str,
        attempt: int | None = None,
        *,
        after: int = -1,
        limit: int = 0,
    ) -> list[Chunk]:
        """What an attempt (the last one by default) printed: chunks with `seq` above `after`.

        With `limit`, only the last chunks that hold so many bytes. Live while the attempt runs.
        """
        job = self.get(id_or_key)
        number = job.runs if attempt is None else attempt
        return self._repository.output(job.id, number, after=after, limit=limit)

    def context_of(self, job: Job) -> Context:
        """The directory, environment and shell that the job was added with."""
        return self.context_of_id(job.context_id)

    def context_of_id(self, context_id: int) -> Context:
        """The same by the job's `context_id`, which many jobs share."""
        return self._repository.context(context_id)

    def advice(self, job: Job, attempt: Attempt) -> str | None:
        """What to try after an attempt that failed in a well-known way; None when we know none."""
        from queuectl_engine.advice import advice

        chunks = self._repository.output(job.id, attempt.number, limit=_ADVICE_BYTES)
        pieces = [p.data for chunk in chunks for p in chunk.pieces if p.stream is Stream.ERR]
        return advice(job, attempt, b"".join(pieces)[-_ADVICE_BYTES:].decode("utf-8", "replace"))

    def causes(self, limit: int = 200, wanted: Filter | None = None) -> list[Cause]:
        """Why jobs are dead: causes that have dead jobs, newest death first; cheap at any size.

        A filter may have words, which are found in program, ending and line, and `exit:`. Raises
        BadInput for others.
        """
        from queuectl_engine.filter import Filter

        wanted = (wanted or Filter()).for_causes()
        return self._repository.causes(limit=limit, wanted=wanted)

    def cause(self, cause_id: int) -> Cause:
        """One cause. Raises NoSuchCause when no job is dead of it."""
        if (found := self._repository.cause(cause_id)) is None:
            raise NoSuchCause(f"no job is dead of cause {cause_id}; 'queuectl failures' lists them")
        return found

    def explain(self, id_or_key: int | str) -> str:
        """The one reason why a job does not run, or what it does, in a sentence."""
        from queuectl_engine.explain import explain

        job = self.get(id_or_key)
        queue = next(queue for queue in self.queues() if queue.name == job.queue)
        return explain(job, self.pools(), queue=queue, counts=self.counts(), now=self._now())

    def needs(self, id_or_key: int | str) -> list[Need]:
        """The jobs that it waits for or waited for, in the order named. Raises NoSuchJob."""
        return self._repository.needs(self.get(id_or_key).id)

    def dependants(self, id_or_key: int | str, limit: int = 100) -> list[int]:
        """Ids of the first jobs that still wait for it. Raises NoSuchJob."""
        return self._repository.dependants(self.get(id_or_key).id, limit=limit)

    def identity(self) -> str:
        """A name of this database that no other has, wherever it is moved."""
        return self._repository.identity()

    def trouble(self) -> str | None:
        """Why nothing is claimed from this database or written to it: it was marked as damaged.

        None when it was not. Reading goes on as far as it can.
        """
        return self._repository.damage()

    def counts(self) -> Counts:
        """Exact numbers of jobs by state; costs the same at any size."""
        return self._repository.counts()

    def queues(self) -> list[QueueInfo]:
        """Every queue, with its counts and whether it is paused."""
        return self._repository.queues()

    def labels(self, limit: int = 1000) -> list[LabelInfo]:
        """The labels that jobs have, by name, with their counts; cheap at any size."""
        return self._repository.labels(limit=limit)

    def estimate(self, pools: Sequence[PoolInfo] | None = None) -> Estimate:
        """When the queues will be empty, by the speed of the last runs; cheap at any size.

        What is scheduled for later is left out, as are queues that no pool serves. `pools` saves
        looking for them.
        """
        from queuectl_engine.estimate import SAMPLE, estimate

        ran, found = self._repository.last_ran(limit=SAMPLE), self._repository.queues()
        return estimate(ran, found, self.pools() if pools is None else pools, self._now())

    def changed(self) -> bool:
        """Whether another connection has committed since the last call. Costs microseconds."""
        return self._repository.changed()

    def wait(self, *ids_or_keys: int | str, timeout: float | None = None) -> list[Job]:
        """Block until each of these jobs is completed, dead or cancelled; return them so.

        After `timeout` seconds it returns them as they are. Raises NoSuchJob, also for one that is
        deleted meanwhile.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        jobs = self.get_all(ids_or_keys)
        with self._repository.patiently():
            return self._wait_for(jobs, deadline)

    def _wait_for(self, jobs: list[Job], deadline: float | None) -> list[Job]:
        while not all(job.stored in FINAL for job in jobs):
            if deadline is not None and time.monotonic() >= deadline:
                break
            # Not `changed`: it is silent about other threads of this engine, and tells only one.
            time.sleep(_POLL)
            self._repository.version()  # raises when the database is not any more what it was
            found = self.get_all([job.id for job in jobs if job.stored not in FINAL])
            newer = {job.id: job for job in found}
            jobs = [newer.get(job.id, job) for job in jobs]
        return jobs

    def wait_until_empty(self, queue: str | None = None, *, timeout: float | None = None) -> bool:
        """Block until no job of this queue, or of any, waits, retries or runs.

        Jobs that are added meanwhile count too. False when `timeout` seconds were not enough.
        """
        from queuectl_engine import following

        return following.until_empty(self._repository, queue, timeout)

    def follow(self, *ids_or_keys: int | str, attempt: int | None = None) -> Iterator[Printed]:
        """What these jobs print, as it comes, from their last attempt on, until each has ended.

        With `attempt` only that one of each. Raises NoSuchJob, also for one that is deleted
        meanwhile.
        """
        from queuectl_engine import following

        jobs = self.get_all(ids_or_keys)
        return following.follow(self._repository, jobs, attempt=attempt, missing=self._no_job)

    def journal(
        self, *, since: int | None = None, job: int | str | None = None, follow: bool = False
    ) -> Iterator[Happening]:
        """What happened after number `since`, to all jobs or one, in its order.

        Without `since` from the oldest that is kept, or with `follow` from now on; `follow` waits
        for more and never ends. What happened to jobs that are deleted for good is left out.
        Raises NoSuchJob; BadInput for a number that is still to come.
        """
        from queuectl_engine import following

        only = None if job is None else self.get(job).id
        newest = self._repository.last_happening()
        if since is not None and not 0 <= since <= newest:
            raise BadInput(f"nothing has the number {since} yet; the newest is {newest}")
        start = newest if since is None and follow else since
        return following.journal(self._repository, since=start, job=only, keep_on=follow)

    def metrics(self) -> list[QueueMetrics]:
        """Sums and ages of every queue, for monitoring; cheap at any number of jobs."""
        return self._repository.metrics()

    def oldest_due(self) -> datetime | None:
        """Since when the ready job that waits longest is due; None when none is ready."""
        return self._repository.oldest_due()

    # -- acting

    def requeue(self, *ids_or_keys: int | str, run_at: datetime | None = None) -> None:
        """Send jobs back to pending with a fresh budget; all of them or none.

        Raises NoSuchJob, or WrongState for one that is pending or processing.
        """
        if run_at is not None:
            check_moment(run_at)
        ids = self._distinct(ids_or_keys)
        self._repository.requeue(ids, user=user_name(), now=self._now(), run_at=run_at)

    def requeue_dead(self, *, queue: str | None = None) -> int:
        """Requeue every job that is dead now, in chunks; how many it were.

        Jobs that die meanwhile are left alone.
        """
        from queuectl_engine.filter import Field, Filter, Term
        from queuectl_engine.plan import Act, Selection

        only = Filter() if queue is None else Filter(f"queue:{queue}", (Term(Field.QUEUE, queue),))
        plan = self.plan(Act.REQUEUE, Selection(view=View.DEAD, filter=only))
        return self.carry_out(plan).count

    def cancel(self, *ids_or_keys: int | str) -> list[int]:
        """Cancel waiting jobs, and end those that run; all of them or none.

        Returns the ids of those that still run: their worker ends them. Raises NoSuchJob, or
        WrongState for one that has ended.
        """
        return self._repository.cancel(
            self._distinct(ids_or_keys), user=user_name(), now=self._now()
        )

    def delete(self, *ids_or_keys: int | str) -> None:
        """Hide jobs at once and purge them after a minute; all of them or none.

        Raises NoSuchJob, or WrongState for one that runs.
        """
        self._repository.delete(self._distinct(ids_or_keys), user=user_name(), now=self._now())

    def pause(self, *queues: str) -> list[str]:
        """Start nothing more from these queues, or from all, later ones too. Returns the names."""
        return self._set_paused(queues, paused=True)

    def resume(self, *queues: str) -> list[str]:
        """Undo `pause`. Raises BadInput for a queue that does not exist."""
        return self._set_paused(queues, paused=False)

    def limit(self, max_running: int | None, *queues: str) -> None:
        """Let at most so many jobs of each of these queues run, without one of all together.

        None takes the limit away. What runs already goes on. Raises BadInput.
        """
        check_limit(max_running)
        for name in queues:
            check_queue(name)
        self._repository.limit(queues or None, max_running)

    # -- acting on many

    def plan(self, act: Act, selection: Selection, *, run_at: datetime | None = None) -> Plan:
        """What `act` would do to these jobs, to be shown to a person before `carry_out`.

        Counts what matches up to a bound, so that asking is quick at any size. Raises NoSuchCause.
        """
        from queuectl_engine.plan import Plan, command_line

        if run_at is not None:
            check_moment(run_at)
        if selection.cause is not None:
            self.cause(selection.cause)
        asked_at = self._now()
        count, counted = self._count(selection, asked_at)
        command = command_line(act, selection, run_at)
        return Plan(act, selection, asked_at, count, counted, command, run_at)

    def carry_out(self, plan: Plan, *, progress: Callable[[int], bool] = lambda done: True) -> Done:
        """Do it, in chunks, to those jobs that have not moved since the plan was made.

        `progress` hears the number done after each chunk and ends the work by returning False.
        Jobs that cannot be done to are passed over.
        """
        from queuectl_engine.plan import Done, Undo, Was

        count, was, running = 0, list[Was](), list[int]()
        for ids in self._chunks(plan.selection, plan.asked_at):
            done, asked = self._repository.act(
                plan.act,
                ids,
                asked=plan.asked_at,
                user=user_name(),
                now=self._now(),
                run_at=plan.run_at,
            )
            count += len(done) + len(asked)
            running += asked
            was = was + done if plan.undoable else []
            if not progress(count):
                break
        return Done(count, Undo(plan.act, tuple(was)) if was else None, tuple(running))

    def undo(self, undo: Undo) -> int:
        """Take an act back where its jobs have not moved on; how many that were."""
        return self._repository.undo(undo.jobs, user=user_name(), now=self._now())

    def scan(
        self,
        view: View,
        wanted: Filter,
        *,
        limit: int,
        at: Key | None = None,
        backwards: bool = False,
        budget: int = SLICE,
    ) -> Scan:
        """Like `page` for jobs that match, looking at no more than `budget` jobs of the view.

        `rest` of the answer is where to go on; it is None when the view's end was reached.
        """
        from queuectl_engine.repository.protocol import Scan

        matches = self._repository.scan(
            view, wanted, limit=limit, at=at, backwards=backwards, budget=budget
        )
        jobs = self._repository.get([job for _, job in matches.found])
        kept = [(key, jobs[job]) for key, job in matches.found if job in jobs]
        kept = kept[::-1] if backwards else kept
        return Scan(tuple(job for _, job in kept), tuple(key for key, _ in kept), matches.rest)

    def matching(
        self, view: View, wanted: Filter, *, at: Key | None = None, budget: int = SLICE
    ) -> tuple[int, Key | None]:
        """How many match among the next `budget` jobs of a view, and where to go on."""
        matches = self._repository.scan(view, wanted, limit=budget, at=at, budget=budget)
        return len(matches.found), matches.rest

    def edit(self, id_or_key: int | str, **changes: Unpack[Changes]) -> Job:
        """Change a job that is pending, retrying or dead, in place; its history says so.

        `after_ok` and the like replace what a pending job waits for in that way; only jobs older
        than it can be named. Raises NoSuchJob, WrongState for one that runs or has ended well,
        BadInput, KeyTaken.
        """
        job = self.get(id_or_key)
        to = edited(job, self.context_of(job), changes)
        moved = "run_at" in changes
        self._repository.edit(job.id, to, user=user_name(), now=self._now(), moved=moved)
        return self._read_back(f"edited job {job.id}", lambda: self.get(job.id))

    # -- schedules

    def add_schedule(
        self, expression: str, job: NewJob, **how: Unpack[Recurrence]
    ) -> tuple[Schedule, bool]:
        """Add this job at each time of a cron expression; the schedule, and whether it is new.

        `zone` is the name of a time zone, the local one by default. The same schedule under the
        same `name` is stored once. `missed` is what becomes of times at which no pool ran: `run`
        once for all of them, or `skip`. Without `overlap` a time is passed over while the last job
        has not ended. Raises BadInput, or KeyTaken for the name of another schedule.
        """
        from queuectl_engine.schedule import new_schedule

        new = new_schedule(expression, job, now=self._now(), **how)
        number, created = self._repository.add_schedule(new, now=self._now())
        done = f"stored schedule {number}"
        return self._read_back(done, lambda: self.schedule(number)), created

    def schedules(self) -> list[Schedule]:
        """Every schedule, oldest first, with its next time and what came of the last."""
        return self._repository.schedules()

    def schedule(self, id_or_name: int | str) -> Schedule:
        """One schedule. Raises NoSuchSchedule."""
        return self._repository.schedule(id_or_name)

    def pause_schedule(self, id_or_name: int | str) -> Schedule:
        """Let it meet no more times. Those that pass meanwhile are not missed."""
        number = self.schedule(id_or_name).id
        self._repository.pause_schedule(number, then=None)
        return self.schedule(number)

    def resume_schedule(self, id_or_name: int | str) -> Schedule:
        """Go on with its first time from now on. Raises BadInput when there is none."""
        found = self.schedule(id_or_name)
        if (then := found.after(self._now())) is None:
            raise BadInput(f"schedule {safe_text(found.title)} has no time within 50 years")
        self._repository.pause_schedule(found.id, then=then)
        return self.schedule(found.id)

    def delete_schedule(self, id_or_name: int | str) -> Schedule:
        """Forget a schedule, which is returned as it was; the jobs that it added stay."""
        found = self.schedule(id_or_name)
        self._repository.delete_schedule(found.id)
        return found

    def run_schedule(self, id_or_name: int | str) -> Job:
        """Add its job now, besides its times, also while it is paused.

        Raises WrongState while its last job has not ended, unless overlap is allowed.
        """
        job = self._repository.run_schedule(self.schedule(id_or_name), now=self._now())
        return self._read_back(f"stored job {job}", lambda: self.get(job))

    # -- hooks

    def set_hook(
        self,
        queue: str,
        event: HookEvent | str,
        command: str | Sequence[str],
        *,
        timeout: timedelta | float = DEFAULT_HOOK_TIMEOUT,
        context: Context | None = None,
    ) -> Hook:
        """Run a command when something happens in a queue, instead of what ran so far.

        Pools run it, at least once, outside of the queue; `timeout` (seconds) ends it with all
        that it started. Raises BadInput.
        """
        from queuectl_engine.hook import new_hook

        hook = new_hook(queue, event, command, context or self.context(), timeout)
        self._repository.set_hook(hook)
        return hook

    def hooks(self) -> list[Hook]:
        """What each queue runs when something happens, by queue and event."""
        return self._repository.hooks()

    def delete_hook(self, queue: str, event: HookEvent | str) -> None:
        """Run nothing there any more. Raises NoSuchHook or BadInput."""
        from queuectl_engine.hook import event_of

        self._repository.delete_hook(queue, event_of(event))

    # -- pools

    def pools(self) -> list[PoolInfo]:
        """Every pool of this database that is alive, or died without leave, with its workers."""
        from queuectl_engine.pool.census import census

        return census(self._repository)

    def find_pool(self, name: str | None = None) -> PoolInfo:
        """The pool that is meant: the named one, else the only one here, else `default`.

        Raises NoSuchPool, which lists what there is.
        """
        from queuectl_engine.pool.census import pick

        return pick(self.pools(), name)

    def scale(
        self, *, to: int | None = None, by: int | None = None, pool: str | None = None
    ) -> PoolInfo:
        """Change how many workers a pool wants; one that runs a job finishes it first.

        Returns the pool with its new wish. Raises NoSuchPool or BadInput.
        """
        if (to is None) == (by is None) or (to is not None and to < 0):
            raise BadInput("a pool has 0 workers or more: say how many, or how many more")
        found = self.find_pool(pool)
        self._repository.resize(found.id, to=to, by=by)
        return self.find_pool(found.name)

    def start_pool(
        self,
        *,
        workers: int = 1,
        name: str = "default",
        per_slot: Mapping[str, Sequence[str]] | None = None,
        slots: int = 1,
    ) -> PoolInfo:
        """Start a pool in the background and return when it is ready.

        Each worker runs `slots` jobs at once. `per_slot` are variables with a value for each slot
        of the pool: job in slot 0 gets the first. It never has more slots than values. A pool of
        that name that runs already is returned as it is. Raises PoolRefused or BadInput.
        """
        if self._read_only:
            raise ReadOnly("this was opened only to look; open it without read_only to change it")
        from queuectl_engine.pool.background import start_detached
        from queuectl_engine.pool.options import PoolOptions

        options = PoolOptions(
            self.database.location,
            workers=workers,
            name=name,
            detached=True,
            allow_owner=self.database.allow_owner,
            per_slot=tuple((key, tuple(values)) for key, values in (per_slot or {}).items()),
            slots=slots,
        )
        start_detached(options)
        return self.find_pool(name)

    def stop_pool(
        self, pool: str | None = None, *, now: bool = False, timeout: float | None = None
    ) -> PoolInfo:
        """Ask a pool to stop and return when it is gone, or after `timeout` seconds.

        Running jobs end first; with `now` they are ended and given back. Raises NoSuchPool.
        """
        from queuectl_engine.pool.background import stop

        return stop(self._repository, self.find_pool(pool), now=now, timeout=timeout)

    # -- keeping

    def backup(self, target: str | os.PathLike[str], *, force: bool = False) -> Copied:
        """Copy the database to a file, while it is in use: one moment, checked, on disk.

        The file is a database that can be opened as it is. Raises QueuectlError for one that
        exists, unless `force`, and StorageError when the database is damaged.
        """
        return copy_database(self.database.location, os.fspath(target), force=force)

    def prune(
        self,
        older_than: timedelta,
        *,
        states: Sequence[JobState] = (JobState.COMPLETED,),
        wanted: Filter | None = None,
        dry_run: bool = False,
    ) -> Pruned:
        """Remove for good the jobs in these final states that ended so long ago, and match.

        In small transactions, so that workers go on meanwhile. Jobs that another job waits for
        stay. Space that becomes free goes back to the file system. Raises BadInput for a state that
        is no end, and for a duration below zero.
        """
        from queuectl_engine.filter import Filter
        from queuectl_engine.pruning import prune

        if older_than < timedelta(0):
            raise BadInput("an age cannot be below zero; try 30d")
        before = self._now() - older_than
        return prune(self._repository, before, states, wanted or Filter(), count_only=dry_run)

    def retention(self) -> timedelta | None:
        """How long pools keep completed jobs; None, the default, keeps them for ever."""
        return self._repository.retention()

    def set_retention(self, keep: timedelta | None) -> None:
        """Let pools remove completed jobs that are older than this, or none. Raises BadInput."""
        if keep is not None and not timedelta(0) < keep <= _LONGEST_KEPT:
            raise BadInput(
                "completed jobs can be kept for a while up to a century; try 30d, or off"
            )
        self._repository.set_retention(keep)

    # --

    def _read_back(self, done: str, read: Callable[[], _T]) -> _T:
        """What an act made. When that cannot be read any more, it was done all the same."""
        try:
            return read()
        except StorageError as error:
            raise StoredUnconfirmed(f"{done}, but cannot look at it: {error}") from error

    def _now(self) -> datetime:
        return self._repository.clock()

    def _count(self, selection: Selection, asked_at: datetime) -> tuple[int, bool]:
        if selection.ids:
            return len(selection.ids), True
        if selection.cause is not None:
            return self.cause(selection.cause).dead, True
        count, at = 0, None
        for _ in range(COUNTED_SLICES):
            matches = self._matches(selection, asked_at, at)
            count, at = count + len(matches.found), matches.rest
            if at is None:
                break
        return count, at is None

    def _chunks(self, selection: Selection, asked_at: datetime) -> Iterator[Sequence[int]]:
        for start in range(0, len(selection.ids), CHUNK):
            yield selection.ids[start : start + CHUNK]
        at: Key | None = None
        while not selection.ids:
            matches = self._matches(selection, asked_at, at, limit=CHUNK)
            yield [job for _, job in matches.found]
            if (at := matches.rest) is None:
                return

    def _matches(
        self, selection: Selection, asked_at: datetime, at: Key | None, limit: int = SLICE
    ) -> Matches:
        from queuectl_engine.filter import Filter

        return self._repository.scan(
            selection.view or View.DEAD,
            selection.filter or Filter(),
            limit=limit,
            budget=SLICE,
            at=at,
            cause=selection.cause,
            until=asked_at,
        )

    def _all_jobs(self, state: JobState | None, queue: str | None) -> Iterator[Job]:
        view, states = _view_of(state)
        page = self._repository.page(view, limit=_PAGE, queue=queue, states=states)
        yield from page.jobs
        while len(page.jobs) == _PAGE:
            last = page.keys[-1]
            page = self._repository.page(view, limit=_PAGE, at=last, queue=queue, states=states)
            # `at` is inclusive, but its job may have gone meanwhile.
            yield from page.jobs[int(page.keys[:1] == (last,)) :]

    def _distinct(self, names: Iterable[int | str]) -> list[int]:
        return list(dict.fromkeys(self._ids(names)))

    def _ids(self, names: Iterable[int | str]) -> list[int]:
        wanted = list(names)
        keys = {name for name in wanted if isinstance(name, str) and not _like_id(name)}
        known = self._repository.find_keys(keys) if keys else {}
        ids: list[int] = []
        for name in wanted:
            job_id = known.get(name, 0) if isinstance(name, str) and name in keys else int(name)
            if not 0 < job_id < 2**63:
                raise self._no_job(name)
            ids.append(job_id)
        return ids

    def _no_job(self, name: int | str) -> NoSuchJob:
        where = safe_text(self.database.name)
        return NoSuchJob(
            f"no job {safe_text(str(name))} in {where}; 'queuectl list --all' shows what is there"
        )

    def _set_paused(self, queues: Sequence[str], *, paused: bool) -> list[str]:
        for name in queues:
            check_queue(name)
        return self._repository.pause(queues or None, paused=paused)


_LONGEST_KEPT: Final = timedelta(days=36_525)
_PAGE: Final = 1_000
_ADVICE_BYTES: Final = 4_096


def _view_of(state: JobState | None) -> tuple[View, tuple[State, ...] | None]:
    match state:
        case None:
            return View.ALL, None
        case JobState.PENDING | JobState.FAILED:
            return View.PENDING, STORED_AS[state]
        case JobState.COMPLETED | JobState.CANCELLED:
            return View.FINISHED, STORED_AS[state]
        case JobState.PROCESSING:
            return View.PROCESSING, None
        case JobState.DEAD:
            return View.DEAD, None


def _like_id(name: str) -> bool:
    return name.isdecimal() and len(name) < 20  # int() of a very long one raises


def _now() -> datetime:
    return datetime.now(UTC)
