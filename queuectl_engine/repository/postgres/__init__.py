"""`JobRepository` on a PostgreSQL server, for many machines. Each verb is one transaction.

The same files as in `sqlite/`, each with its SQL; where the two differ the file says so first.
`address` is the URL, `connection` what happens when the network or the server fails, `locks` what
is decided one at a time, `schema` how counts stay exact without a row that all would wait for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, closing, suppress
from datetime import datetime, timedelta
from typing import Concatenate, Final, ParamSpec, Self, TypeVar

from queuectl_engine.errors import NotAQueue, OutcomeUnknown, QueuectlError, ReadOnly, StorageError
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
from queuectl_engine.metrics import QueueMetrics
from queuectl_engine.plan import Act, Was
from queuectl_engine.repository import bell, hearing
from queuectl_engine.repository.postgres import (
    acts,
    adding,
    claiming,
    editing,
    hooks,
    labels,
    leases,
    needs,
    pools,
    pruning,
    reading,
    schedules,
    telling,
    turning,
    turns,
    upkeep,
)
from queuectl_engine.repository.postgres.checkup import examine
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.postgres.listening import Listener, Others
from queuectl_engine.repository.protocol import (
    Asked,
    AttemptId,
    Claim,
    Ended,
    Key,
    Matches,
    Orphan,
    Page,
    PoolRow,
    Progress,
    Removed,
    Turn,
    Verdict,
    WorkerRow,
)
from queuectl_engine.repository.removal import Keeper
from queuectl_engine.repository.views import ended_before, place
from queuectl_engine.schedule import Fired, NewSchedule, Schedule

__all__ = ["PostgresRepository", "create", "examine"]

P = ParamSpec("P")
T = TypeVar("T")
_STATEMENT: Final = 60.0  # seconds
_WORKERS_STATEMENT: Final = 10.0  # theirs are small, and their leases must not wait
_ADD_UP_AFTER: Final = 1 / 50  # of the transactions that write


class PostgresRepository:
    """Owns one connection. See `JobRepository` for what each method promises."""

    many_hosts = True

    def __init__(self, db: Connection, url: str) -> None:
        """Use `open`."""
        self._db = db
        self._url = url
        self._seen = (0, 0)
        self._doubtful: list[Claim] = []  # of a turn whose commit nobody could tell of
        self._doubtful_hooks: list[DueHook] = []
        self._keeper = Keeper()
        self._identity = str(db.look(lambda db: db.value("SELECT uuid FROM meta")))
        self._listener: Listener | None = None
        self.run_directory = upkeep.run_directory(self._identity)
        self._others = Others(db, self.run_directory)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        create: bool = False,
        timeout: float = 5.0,
        read_only: bool = False,
        worker: bool = False,
    ) -> Self:
        """Connect, and make our schema first with `create`. Raises NotAQueue, StorageError."""
        statement = _WORKERS_STATEMENT if worker else _STATEMENT
        db = Connection(url, timeout=timeout, read_only=read_only, statement=statement)
        try:
            if create and not db.look(upkeep.is_current):
                db.write(upkeep.prepare, db.clock())
            if not db.look(upkeep.is_current):
                raise NotAQueue(
                    f"no queue of this version at {db.where}; 'queuectl initdb --db {db.where}'"
                    " makes it, or brings an older one up to date"
                )
            return cls(db, url)
        except BaseException:
            db.close()
            raise

    def close(self) -> None:
        if self._listener is not None:
            self._listener.stop()
        self._db.close()

    # -- people: jobs

    def add(self, jobs: Sequence[NewJob], *, now: datetime) -> list[Added]:
        added = self._write(adding.add, jobs, now)
        self.ring()
        return added

    def add_lines(self, first: NewJob, lines: Sequence[str], *, now: datetime) -> Sequence[int]:
        ids = self._write(adding.add_lines, first, lines, now)
        self.ring()
        return ids

    def identity(self) -> str:
        return self._identity

    def get(self, ids: Collection[int]) -> dict[int, Job]:
        return self._db.look(reading.get, ids)

    def find_keys(self, keys: Collection[str]) -> dict[str, int]:
        return self._db.look(reading.find_keys, keys)

    def keys_like(self, prefix: str, *, limit: int) -> dict[str, int]:
        return self._db.look(reading.keys_like, prefix, limit)

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
        return self._db.read(
            reading.PAGING.page,
            view,
            limit=limit,
            at=at,
            backwards=backwards,
            queue=queue,
            states=states,
            cause=cause,
        )

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
        return self._db.read(
            reading.PAGING.scan,
            view,
            wanted,
            limit=limit,
            at=at,
            backwards=backwards,
            budget=budget,
            cause=cause,
            until=until,
        )

    def causes(self, *, limit: int, wanted: Filter) -> list[Cause]:
        return self._db.read(reading.causes, limit, wanted)

    def cause(self, cause_id: int) -> Cause | None:
        return self._db.look(reading.cause, cause_id)

    def place(self, view: View, job: Job) -> Key:
        return place(view, job)

    def counts(self) -> Counts:
        return self._db.read(reading.counts)

    def queues(self) -> list[QueueInfo]:
        return self._db.read(reading.queues)

    def last_ran(self, *, limit: int) -> list[Ran]:
        return self._db.look(reading.last_ran, limit)

    def labels(self, *, limit: int) -> list[LabelInfo]:
        return self._db.read(labels.labels, limit)

    def needs(self, job: int) -> list[Need]:
        return self._db.look(needs.needs, job)

    def dependants(self, job: int, *, limit: int) -> list[int]:
        return self._db.look(needs.dependants, job, limit)

    def attempts(self, job: int) -> list[Attempt]:
        return self._db.look(reading.attempts, job)

    def events(self, job: int) -> list[Event]:
        return self._db.read(reading.events, job)

    def output(self, job: int, number: int, *, after: int = -1, limit: int = 0) -> list[Chunk]:
        return self._db.read(reading.output, job, number, after, limit)

    def context(self, context_id: int) -> Context:
        return self._db.look(reading.context, context_id)

    def happenings(
        self, *, since: int | None, limit: int, job: int | None = None
    ) -> tuple[list[Happening], int]:
        self._number()
        return self._db.read(telling.HEARING.happenings, since, limit, job)

    def last_happening(self) -> int:
        self._number()
        return self._db.look(hearing.last)

    def metrics(self) -> list[QueueMetrics]:
        self._number()
        return self._db.read(telling.HEARING.metrics)

    def oldest_due(self) -> datetime | None:
        return self._db.look(telling.HEARING.oldest_due)

    # -- people: acts

    def requeue(
        self,
        ids: Sequence[int],
        *,
        user: str,
        now: datetime,
        run_at: datetime | None = None,
    ) -> None:
        self._write(acts.requeue, ids, user, now, run_at)
        self.ring()

    def cancel(self, ids: Sequence[int], *, user: str, now: datetime) -> list[int]:
        running = self._write(acts.cancel, ids, user, now)
        self.ring()
        return running

    def delete(self, ids: Sequence[int], *, user: str, now: datetime) -> None:
        self._write(acts.delete, ids, user, now)
        self.ring()
        with suppress(StorageError):  # the act is done; the next one purges
            self._db.write(upkeep.purge_deleted, now)

    def ended_before(self, before: datetime) -> Key:
        return ended_before(before)

    def remove(
        self,
        ids: Sequence[int],
        *,
        before: datetime,
        states: Collection[State],
        count_only: bool = False,
    ) -> Removed:
        if count_only:
            return self._db.read(pruning.remove, ids, before, states, count_only=True)
        self._tally()  # its sums are made of what is about to go
        return self._write(pruning.remove, ids, before, states)

    def shrink(self) -> int:
        return 0  # the server's vacuum lets new rows have the space

    def retention(self) -> timedelta | None:
        return self._db.look(pruning.retention)

    def set_retention(self, keep: timedelta | None) -> None:
        self._write(pruning.set_retention, keep)

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
        done = self._write(acts.act, what, ids, asked, user, now, run_at)
        self.ring()
        return done

    def undo(self, jobs: Sequence[Was], *, user: str, now: datetime) -> int:
        undone = self._write(acts.undo, jobs, user, now)
        self.ring()
        return undone

    def edit(self, job: int, to: NewJob, *, user: str, now: datetime, moved: bool) -> None:
        self._write(editing.edit, job, to, user, now, moved=moved)
        self.ring()

    def pause(self, names: Sequence[str] | None, *, paused: bool) -> list[str]:
        names = self._write(acts.pause, names, paused=paused)
        if not paused:
            self.ring()
        return names

    def limit(self, names: Sequence[str] | None, max_running: int | None) -> None:
        self._write(claiming.limit, names, max_running)
        self.ring()

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
        doubtful = list(self._doubtful)
        try:
            turn, ring = self._write(
                turning.turn, worker, ended, room, queues, now, running, pass_on, doubtful
            )
        except OutcomeUnknown:
            self._doubtful = doubtful
            raise
        self._doubtful = []
        if ring:
            self.ring()
        return turn

    def progress(self, worker: int, items: Sequence[Progress], *, now: datetime) -> Asked:
        if any(item.leader or item.output.chunks for item in items):
            return self._write(turning.progress, worker, items)
        return self._db.read(turns.asked, worker, [item.attempt.job for item in items])

    # -- what may happen to the file: it is the server's own, who looks after it

    def incarnation(self) -> str:
        found = self._db.look(lambda db: db.run("SELECT uuid, generation FROM meta"))
        return "/".join(map(str, found[0]))

    def free_space(self) -> tuple[int, int] | None:
        return None

    def damage(self) -> str | None:
        return None

    def suspect(self, why: str) -> None:
        return

    def verify(self, *, unclean: bool, seconds: float) -> str | None:
        return None

    # -- pools

    def distrusted(self) -> str | None:
        return None  # who may write is what the roles of the server say, on every host

    def outdated(self) -> bool:
        return self._db.look(upkeep.is_outdated)

    def start_pool(self, pool: PoolRow, *, now: datetime) -> PoolRow:
        started = self._write(pools.start_pool, pool, now)
        if self._listener is not None:
            self._listener.stop()
        self._listener = Listener(self._url, started.id, self.run_directory / pool.directory)
        self._listener.start()
        return started

    def renew(self, pool: int) -> bool:
        return self._db.write(leases.renew, pool)

    def take_over(self, pool: PoolRow, ended: Sequence[Ended], *, now: datetime) -> bool:
        done = self._write(leases.take_over, pool, ended, now)
        self.ring()
        return done

    def end_pool(self, pool: int) -> None:
        self._run("DELETE FROM pool WHERE id = %s", pool)

    def start_worker(self, pool: int, number: int, *, now: datetime) -> WorkerRow:
        return self._write(pools.start_worker, pool, number, now)

    def set_worker_pid(self, worker: int, pid: int) -> None:
        self._run("UPDATE worker SET pid = %s WHERE id = %s", pid, worker)

    def end_worker(self, worker: int) -> None:
        self._write(turning.end_worker, worker, self._doubtful)

    def pools(self) -> list[PoolRow]:
        return self._db.look(pools.pools)

    def workers(self) -> list[WorkerRow]:
        return self._db.look(pools.workers)

    def held_by(self, worker: int) -> list[Orphan]:
        in_doubt = {claim.attempt.token for claim in self._doubtful}
        held = self._db.look(pools.held_by, worker)
        return [one for one in held if one.attempt.token not in in_doubt]

    def strays(self) -> list[Orphan]:
        return self._db.look(pools.strays)

    def lose(self, ended: Sequence[Ended], *, now: datetime) -> tuple[Verdict, ...]:
        verdicts = self._write(turning.lose, ended, now)
        self.ring()
        return verdicts

    def park(self, attempt: AttemptId, why: str) -> None:
        self._run(
            "UPDATE job SET parked = %s WHERE id = %s AND token = %s AND state = 'processing'",
            why,
            attempt.job,
            attempt.token,
        )

    def resize(self, pool: int, *, by: int | None = None, to: int | None = None) -> int:
        return self._write(pools.resize, pool, by, to)

    def ask_stop(self, pool: int, how: str) -> None:
        self._write(pools.ask_stop, pool, how)

    def set_trouble(self, pool: int, trouble: str | None) -> None:
        self._run("UPDATE pool SET trouble = %s WHERE id = %s", trouble, pool)

    # -- schedules

    def add_schedule(self, new: NewSchedule, *, now: datetime) -> tuple[int, bool]:
        return self._write(schedules.add_schedule, new, now)

    def schedules(self) -> list[Schedule]:
        return self._db.read(schedules.schedules)

    def schedule(self, name: int | str) -> Schedule:
        return self._db.read(schedules.schedule, name)

    def due_schedules(self, *, now: datetime) -> list[Schedule]:
        return self._db.read(schedules.due, now)

    def next_firing(self) -> datetime | None:
        return self._db.look(schedules.next_firing)

    def fire(
        self,
        schedule: Schedule,
        then: datetime | None,
        *,
        now: datetime,
        skip: str | None = None,
        trouble: str | None = None,
    ) -> Fired | None:
        fired = self._write(schedules.fire, schedule, then, now, skip, trouble)
        if fired is not None and fired.job is not None:
            self.ring()
        return fired

    def run_schedule(self, schedule: Schedule, *, now: datetime) -> int:
        job = self._write(schedules.run_now, schedule, now)
        self.ring()
        return job

    def pause_schedule(self, schedule: int, *, then: datetime | None) -> None:
        self._write(schedules.pause, schedule, then)

    def delete_schedule(self, schedule: int) -> None:
        self._write(schedules.delete, schedule)

    # -- hooks

    def set_hook(self, hook: Hook) -> None:
        self._write(hooks.set_hook, hook)

    def hooks(self) -> list[Hook]:
        return self._db.read(hooks.hooks)

    def delete_hook(self, queue: str, event: HookEvent) -> None:
        self._write(hooks.delete_hook, queue, event)

    def hooks_wait(self) -> bool:
        return bool(self._doubtful_hooks) or self._db.look(hooks.waiting)

    def take_hooks(self, pool: int, *, room: int) -> list[DueHook]:
        doubtful = list(self._doubtful_hooks)
        try:
            taken = self._write(turning.take_hooks, pool, room, doubtful)
        except OutcomeUnknown:
            self._doubtful_hooks = doubtful
            raise
        self._doubtful_hooks = []
        return taken

    def end_hook(self, due: DueHook, pool: int, *, failed: str | None, now: datetime) -> None:
        self._write(hooks.ended, due, pool, failed, now)

    def give_back_hooks(self, pool: int) -> None:
        self._write(hooks.give_back, pool)

    # -- time, news and upkeep

    def patiently(self) -> AbstractContextManager[None]:
        return self._db.patiently()

    def clock(self) -> datetime:
        return self._db.clock()

    def promote(self, *, now: datetime) -> bool:
        if not self._db.read(turning.anything_to_promote, now):
            return False
        self._write(turning.promote, now)
        self.ring()
        return self._db.read(turning.anything_to_promote, now)

    def clamp_retries(self, *, now: datetime) -> None:
        self._write(turns.clamp_retries, now)

    def remaining(self, pool: PoolRow) -> Mapping[State, int]:
        return self._db.look(pools.remaining, pool)

    def stirring(self) -> bool:
        return self._db.look(pools.stirring)

    def changed(self) -> bool:
        before, self._seen = self._seen, self._db.news()
        return self._seen != before

    def version(self) -> int:
        session, commits = self._db.news()
        return (session << 48) + commits

    def ring(self, pool: PoolRow | None = None, *, wake_fd: int | None = None) -> None:
        if wake_fd is not None:
            bell.ring_again(wake_fd)
        elif pool is None:
            bell.ring_all(str(self.run_directory))
            with suppress(QueuectlError):
                self._others.ring()
        elif (directory := self.run_directory / pool.directory).is_dir():
            bell.ring(str(directory))
        else:
            with suppress(QueuectlError):
                self._others.ring_one(pool.id)

    def wake_fd(self, pool: PoolRow) -> int:
        return bell.listen(self.run_directory / pool.directory)

    def maintain(self, *, now: datetime) -> None:
        self._db.write(upkeep.purge_deleted, now)
        self._db.write(upkeep.add_up)
        self._tally()
        self._db.write(telling.forget)
        self._keeper.turn(self, now)

    def sync_if_due(self, worker: int, *, now: datetime) -> float | None:
        return None  # every commit is on disk: another host goes by it at once

    def _write(
        self, verb: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """A write verb. Now and then who does it adds the counts up: there may be no pool."""
        result = self._db.write(verb, *args, **kwargs)
        if random.random() < _ADD_UP_AFTER:
            with suppress(QueuectlError):  # what was asked is done
                self._db.write(upkeep.add_up)
        return result

    def _run(self, sql: str, *args: object) -> None:
        self._write(lambda db: db.run(sql, args))

    def _tally(self) -> None:
        self._number()
        while self._db.write(telling.tally):
            pass

    def _number(self) -> None:
        """Give happenings their numbers. Who cannot sees them when somebody else has."""
        try:
            while self._db.look(telling.waits):
                self._db.tidy(telling.number)
        except ReadOnly:
            pass
        except StorageError:
            if not self._db.only_looks:
                raise


def create(url: str) -> bool:
    """Make our schema in the database, or bring it up to date; whether it was made now."""
    with closing(Connection(url, timeout=30.0)) as db:
        return create_in(db)


def create_in(db: Connection) -> bool:
    """The same on a connection."""
    return not db.look(upkeep.is_current) and db.write(upkeep.prepare, db.clock())
