"""`JobRepository` on one SQLite file. Each verb is one transaction; the SQL stands beside it:

`adding` stores jobs, `alike` many at once · `turning` is a worker's turn: `turns` settles,
`claiming` claims · `needs` and `mutexes` know who waits for whom · `acts` is what people do,
`reading` what they see · `telling` and `hearing` what happens · `pools` who is registered ·
`schedules` what recurs · `hooks` who is told · `bell` wakes workers · `schema` the tables,
`migrating` the way to them, `foreign` who made them · `upkeep` keeps the file small · `copying`
and `restoring` make other files of it and take them back · `pruning` removes · `counting`
recounts.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from queuectl_engine import private
from queuectl_engine.errors import OutcomeUnknown, StorageError, StoredUnconfirmed
from queuectl_engine.repository import bell
from queuectl_engine.repository.sqlite import (
    adding,
    foreign,
    migrating,
    mutexes,
    needs,
    place,
    soundness,
    upkeep,
    watch,
)
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.repository.values import ms
from queuectl_engine.states import State, View

# Each method imports what it alone uses, but for what opening and adding need.
if TYPE_CHECKING:
    from pathlib import Path

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
    )
    from queuectl_engine.metrics import QueueMetrics
    from queuectl_engine.plan import Act, Was
    from queuectl_engine.repository.protocol import (
        Asked,
        AttemptId,
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
    from queuectl_engine.repository.sqlite.claiming import Held
    from queuectl_engine.schedule import Fired, NewSchedule, Schedule


@soundness.damage_explained
class SqliteRepository:
    """Owns one connection. See `JobRepository` for what each method promises."""

    many_hosts = False

    def __init__(self, db: Connection) -> None:
        """Use `open`."""
        self._db = db
        self._version = -1
        self._doubtful: list[Held] = []  # of a COMMIT that failed: they may be ours
        self._doubtful_hooks: list[DueHook] = []
        self._keeper: Keeper | None = None

    @classmethod
    def open(
        cls,
        location: str,
        *,
        create: bool = False,
        timeout: float = 5.0,
        worker: bool = False,
        durability: str | None = None,
        read_only: bool = False,
        allow_owner: bool = False,
    ) -> Self:
        """Open the file, made first with `create`. Raises NotAQueue, UnsafeStorage and so on."""
        path = place.canonical(location)
        if create:
            private.make_directory(os.path.dirname(path), allow_owner=allow_owner)
            place.check_directory(os.path.dirname(path), allow_owner=allow_owner)
            watch.refuse_orphaned(path)
        made = create and private.make_file(path)
        place.check_place(path, allow_owner=allow_owner)
        if not made:
            watch.refuse_emptied(path, create=create)
        db = Connection(path, timeout=timeout, relaxed=worker)
        try:
            refusal = migrating.prepare(
                db, datetime.now(UTC), durability or "standard", look_only=read_only
            )
            foreign.check(db)
            if upkeep.durability(db) == "full":
                db.always_sync()
            if refusal:
                db.only_look(refusal)
            elif read_only:
                db.only_look()
            db.remember()
        except BaseException:
            db.close()
            raise
        return cls(db)

    @property
    def run_directory(self) -> Path:
        from pathlib import Path

        return Path(f"{self._db.path}.d")

    def close(self) -> None:
        self._db.close()

    # -- people: jobs

    def add(self, jobs: Sequence[NewJob], *, now: datetime) -> list[Added]:
        with self._db.writing():
            added = adding.add(self._db, jobs, now)
        self.ring()
        return added

    def add_lines(self, first: NewJob, lines: Sequence[str], *, now: datetime) -> Sequence[int]:
        with self._db.writing():
            ids = adding.add_lines(self._db, first, lines, now)
        self.ring()
        return ids

    def identity(self) -> str:
        return str(self._db.value("SELECT uuid FROM meta"))

    def get(self, ids: Collection[int]) -> dict[int, Job]:
        from queuectl_engine.repository.sqlite import reading

        return reading.get(self._db, ids)

    def find_keys(self, keys: Collection[str]) -> dict[str, int]:
        from queuectl_engine.repository.sqlite import reading

        return reading.find_keys(self._db, keys)

    def keys_like(self, prefix: str, *, limit: int) -> dict[str, int]:
        from queuectl_engine.repository.sqlite import reading

        return reading.keys_like(self._db, prefix, limit)

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
        from queuectl_engine.repository.sqlite import reading

        with self._db.reading():
            return reading.PAGING.page(
                self._db,
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
        from queuectl_engine.repository.sqlite import reading

        with self._db.reading():
            return reading.PAGING.scan(
                self._db,
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
        from queuectl_engine.repository.sqlite import reading

        with self._db.reading():
            return reading.causes(self._db, limit, wanted)

    def cause(self, cause_id: int) -> Cause | None:
        from queuectl_engine.repository.sqlite import reading

        return reading.cause(self._db, cause_id)

    def place(self, view: View, job: Job) -> Key:
        from queuectl_engine.repository.views import place

        return place(view, job)

    def counts(self) -> Counts:
        from queuectl_engine.repository.sqlite import reading

        with self._db.reading():
            return reading.counts(self._db)

    def queues(self) -> list[QueueInfo]:
        from queuectl_engine.repository.sqlite import reading

        with self._db.reading():
            return reading.queues(self._db)

    def last_ran(self, *, limit: int) -> list[Ran]:
        from queuectl_engine.repository.sqlite import reading

        return reading.last_ran(self._db, limit)

    def labels(self, *, limit: int) -> list[LabelInfo]:
        from queuectl_engine.repository.sqlite import labels

        return labels.labels(self._db, limit)

    def needs(self, job: int) -> list[Need]:
        return needs.needs(self._db, job)

    def dependants(self, job: int, *, limit: int) -> list[int]:
        return needs.dependants(self._db, job, limit)

    def attempts(self, job: int) -> list[Attempt]:
        from queuectl_engine.repository.sqlite import reading

        return reading.attempts(self._db, job)

    def events(self, job: int) -> list[Event]:
        from queuectl_engine.repository.sqlite import reading

        with self._db.reading():
            return reading.events(self._db, job)

    def output(self, job: int, number: int, *, after: int = -1, limit: int = 0) -> list[Chunk]:
        from queuectl_engine.repository.sqlite import reading

        with self._db.reading():
            return reading.output(self._db, job, number, after, limit)

    def context(self, context_id: int) -> Context:
        from queuectl_engine.repository.sqlite import reading

        return reading.context(self._db, context_id)

    def happenings(
        self, *, since: int | None, limit: int, job: int | None = None
    ) -> tuple[list[Happening], int]:
        from queuectl_engine.repository.sqlite.hearing import HEARING

        with self._db.reading():
            return HEARING.happenings(self._db, since, limit, job)

    def last_happening(self) -> int:
        from queuectl_engine.repository.hearing import last

        return last(self._db)

    def metrics(self) -> list[QueueMetrics]:
        from queuectl_engine.repository.sqlite.hearing import HEARING

        with self._db.reading():
            return HEARING.metrics(self._db)

    def oldest_due(self) -> datetime | None:
        from queuectl_engine.repository.sqlite.hearing import HEARING

        return HEARING.oldest_due(self._db)

    # -- people: acts

    def requeue(
        self,
        ids: Sequence[int],
        *,
        user: str,
        now: datetime,
        run_at: datetime | None = None,
    ) -> None:
        from queuectl_engine.repository.sqlite import acts

        with self._db.writing():
            acts.requeue(self._db, ids, user, now, run_at)
        self.ring()

    def cancel(self, ids: Sequence[int], *, user: str, now: datetime) -> list[int]:
        from queuectl_engine.repository.sqlite import acts

        with self._db.writing():
            running = acts.cancel(self._db, ids, user, now)
        self.ring()
        return running

    def delete(self, ids: Sequence[int], *, user: str, now: datetime) -> None:
        from queuectl_engine.repository.sqlite import acts

        with self._db.writing():
            acts.delete(self._db, ids, user, now)
        self.ring()
        with suppress(StorageError):  # the act is done; the next one purges
            upkeep.purge_deleted(self._db, now)

    def ended_before(self, before: datetime) -> Key:
        from queuectl_engine.repository.views import ended_before

        return ended_before(before)

    def remove(
        self,
        ids: Sequence[int],
        *,
        before: datetime,
        states: Collection[State],
        count_only: bool = False,
    ) -> Removed:
        from queuectl_engine.repository.sqlite import hearing, pruning

        if count_only:
            with self._db.reading():
                return pruning.remove(self._db, ids, before, states, count_only=True)
        hearing.tally(self._db)  # its sums are made of what is about to go
        with self._db.writing():
            return pruning.remove(self._db, ids, before, states)

    def shrink(self) -> int:
        from queuectl_engine.repository.sqlite import pruning

        return pruning.shrink(self._db)

    def retention(self) -> timedelta | None:
        from queuectl_engine.repository.sqlite import pruning

        return pruning.retention(self._db)

    def set_retention(self, keep: timedelta | None) -> None:
        from queuectl_engine.repository.sqlite import pruning

        with self._db.writing():
            pruning.set_retention(self._db, keep)

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
        from queuectl_engine.repository.sqlite import acts

        with self._db.writing():
            done = acts.act(self._db, what, ids, asked, user, now, run_at)
        self.ring()
        return done

    def undo(self, jobs: Sequence[Was], *, user: str, now: datetime) -> int:
        from queuectl_engine.repository.sqlite import acts

        with self._db.writing():
            undone = acts.undo(self._db, jobs, user, now)
        self.ring()
        return undone

    def edit(self, job: int, to: NewJob, *, user: str, now: datetime, moved: bool) -> None:
        from queuectl_engine.repository.sqlite import editing

        with self._db.writing():
            editing.edit(self._db, job, to, user, now, moved=moved)
        self.ring()

    def pause(self, names: Sequence[str] | None, *, paused: bool) -> list[str]:
        from queuectl_engine.repository.sqlite import acts

        with self._db.writing():
            names = acts.pause(self._db, names, paused=paused)
        if not paused:
            self.ring()
        return names

    def limit(self, names: Sequence[str] | None, max_running: int | None) -> None:
        from queuectl_engine.repository.sqlite import claiming

        with self._db.writing():
            claiming.limit(self._db, names, max_running)
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
        from queuectl_engine.repository.sqlite import claiming, turning, turns

        ends = turns.written(ended, now)
        taken = list(self._doubtful)
        try:
            with self._db.writing():
                turn, ring = turning.turn(
                    self._db, worker, ends, room, ahead, queues, now, running, pass_on, taken
                )
        except (StoredUnconfirmed, OutcomeUnknown):
            self._doubtful = taken
            raise
        if ring:
            self.ring()
        self._doubtful = taken  # until they could be read
        claims = tuple(map(claiming.claim_of, taken))
        self._doubtful = []
        return turn._replace(claims=claims)

    def progress(self, worker: int, items: Sequence[Progress], *, now: datetime) -> Asked:
        from queuectl_engine.repository.sqlite import turns

        if any(item.leader or item.output.chunks for item in items):
            with self._db.writing():
                for item in items:
                    turns.progress(self._db, item)
        return turns.asked(self._db, worker, [item.attempt.job for item in items])

    # -- what may happen to the file

    def incarnation(self) -> str:
        return "/".join(map(str, self._db.run("SELECT uuid, generation FROM meta")[0]))

    def free_space(self) -> tuple[int, int] | None:
        return watch.free_space(self._db.path)

    def damage(self) -> str | None:
        why = watch.damage(self._db.path)
        return None if why is None else watch.in_words(self._db.path, why)

    def suspect(self, why: str) -> None:
        soundness.suspect(self._db, why)

    def verify(self, *, unclean: bool, seconds: float) -> str | None:
        return soundness.verify(self._db, unclean, seconds)

    # -- pools

    def distrusted(self) -> str | None:
        return upkeep.distrusted(self._db)

    def outdated(self) -> bool:
        return migrating.is_outdated(self._db)

    def start_pool(self, pool: PoolRow, *, now: datetime) -> PoolRow:
        from dataclasses import replace

        from queuectl_engine.repository.sqlite import pools

        with self._db.writing():
            number = pools.start_pool(self._db, pool, now)
        return replace(pool, id=number, started_at=now, lease=None)

    def renew(self, pool: int) -> bool:
        return True

    def take_over(self, pool: PoolRow, ended: Sequence[Ended], *, now: datetime) -> bool:
        return False  # locks say who lives

    def end_pool(self, pool: int) -> None:
        self._write("DELETE FROM pool WHERE id = ?", pool)

    def start_worker(self, pool: int, number: int, *, now: datetime) -> WorkerRow:
        from queuectl_engine.repository.sqlite import pools

        with self._db.writing():
            return pools.start_worker(self._db, pool, number, now)

    def set_worker_pid(self, worker: int, pid: int) -> None:
        self._write("UPDATE worker SET pid = ? WHERE id = ?", pid, worker)

    def end_worker(self, worker: int) -> None:
        from queuectl_engine.repository.sqlite import claiming, turns

        self._db.always_sync()
        with self._db.writing():
            held = claiming.still_held(self._db, self._doubtful)
            turns.give_back(self._db, [*map(claiming.claim_of, held)])
            self._db.run("DELETE FROM worker WHERE id = ?", (worker,))

    def pools(self) -> list[PoolRow]:
        from queuectl_engine.repository.sqlite import pools

        return pools.pools(self._db)

    def workers(self) -> list[WorkerRow]:
        from queuectl_engine.repository.sqlite import pools

        return pools.workers(self._db)

    def held_by(self, worker: int) -> list[Orphan]:
        from queuectl_engine.repository.sqlite import pools

        return pools.held_by(self._db, worker)

    def strays(self) -> list[Orphan]:
        from queuectl_engine.repository.sqlite import pools

        return pools.strays(self._db)

    def lose(self, ended: Sequence[Ended], *, now: datetime) -> tuple[Verdict, ...]:
        from queuectl_engine.repository.sqlite import turns

        ends = turns.written(ended, now)
        with self._db.writing():
            settled = turns.settle(self._db, ends, now)
        self.ring()
        return tuple(verdict for verdict, _ in settled)

    def park(self, attempt: AttemptId, why: str) -> None:
        self._write(
            "UPDATE job SET parked = ? WHERE id = ? AND token = ? AND state = 'processing'",
            why,
            attempt.job,
            attempt.token,
        )

    def resize(self, pool: int, *, by: int | None = None, to: int | None = None) -> int:
        from queuectl_engine.repository.sqlite import pools

        with self._db.writing():
            return pools.resize(self._db, pool, by, to)

    def ask_stop(self, pool: int, how: str) -> None:
        from queuectl_engine.repository.sqlite import pools

        with self._db.writing():
            pools.ask_stop(self._db, pool, how)

    def set_trouble(self, pool: int, trouble: str | None) -> None:
        self._write("UPDATE pool SET trouble = ? WHERE id = ?", trouble, pool)

    # -- schedules

    def add_schedule(self, new: NewSchedule, *, now: datetime) -> tuple[int, bool]:
        from queuectl_engine.repository.sqlite import schedules

        with self._db.writing():
            return schedules.add_schedule(self._db, new, now)

    def schedules(self) -> list[Schedule]:
        from queuectl_engine.repository.sqlite import schedules

        with self._db.reading():
            return schedules.schedules(self._db)

    def schedule(self, name: int | str) -> Schedule:
        from queuectl_engine.repository.sqlite import schedules

        with self._db.reading():
            return schedules.schedule(self._db, name)

    def due_schedules(self, *, now: datetime) -> list[Schedule]:
        from queuectl_engine.repository.sqlite import schedules

        with self._db.reading():
            return schedules.due(self._db, now)

    def next_firing(self) -> datetime | None:
        from queuectl_engine.repository.sqlite import schedules

        return schedules.next_firing(self._db)

    def fire(
        self,
        schedule: Schedule,
        then: datetime | None,
        *,
        now: datetime,
        skip: str | None = None,
        trouble: str | None = None,
    ) -> Fired | None:
        from queuectl_engine.repository.sqlite import schedules

        with self._db.writing():
            fired = schedules.fire(self._db, schedule, then, now, skip, trouble)
        if fired is not None and fired.job is not None:
            self.ring()
        return fired

    def run_schedule(self, schedule: Schedule, *, now: datetime) -> int:
        from queuectl_engine.repository.sqlite import schedules

        with self._db.writing():
            job = schedules.run_now(self._db, schedule, now)
        self.ring()
        return job

    def pause_schedule(self, schedule: int, *, then: datetime | None) -> None:
        from queuectl_engine.repository.sqlite import schedules

        with self._db.writing():
            schedules.pause(self._db, schedule, then)

    def delete_schedule(self, schedule: int) -> None:
        from queuectl_engine.repository.sqlite import schedules

        with self._db.writing():
            schedules.delete(self._db, schedule)

    # -- hooks

    def set_hook(self, hook: Hook) -> None:
        from queuectl_engine.repository.sqlite import hooks

        with self._db.writing():
            hooks.set_hook(self._db, hook)

    def hooks(self) -> list[Hook]:
        from queuectl_engine.repository.sqlite import hooks

        with self._db.reading():
            return hooks.hooks(self._db)

    def delete_hook(self, queue: str, event: HookEvent) -> None:
        from queuectl_engine.repository.sqlite import hooks

        with self._db.writing():
            hooks.delete_hook(self._db, queue, event)

    def hooks_wait(self) -> bool:
        from queuectl_engine.repository.sqlite import hooks

        return bool(self._doubtful_hooks) or hooks.waiting(self._db)

    def take_hooks(self, pool: int, *, room: int) -> list[DueHook]:
        from queuectl_engine.repository.sqlite import hooks

        taken: list[DueHook] = []
        try:
            with self._db.writing():
                taken = hooks.still_taken(self._db, pool, self._doubtful_hooks)
                taken += hooks.take(self._db, pool, max(0, room - len(taken)))
        except (StoredUnconfirmed, OutcomeUnknown):
            self._doubtful_hooks = taken
            raise
        self._doubtful_hooks = []
        return taken

    def end_hook(self, due: DueHook, pool: int, *, failed: str | None, now: datetime) -> None:
        from queuectl_engine.repository.sqlite import hooks

        with self._db.writing():
            hooks.ended(self._db, due, pool, failed, now)

    def give_back_hooks(self, pool: int) -> None:
        from queuectl_engine.repository.sqlite import hooks

        with self._db.writing():
            hooks.give_back(self._db, pool)

    # -- time, news and upkeep

    def patiently(self) -> AbstractContextManager[None]:
        return nullcontext()  # a file that cannot be read now is no outage

    def clock(self) -> datetime:
        return datetime.now(UTC)

    def promote(self, *, now: datetime) -> bool:
        from queuectl_engine.repository.sqlite import turns

        if not (turns.anything_due(self._db, now) or turns.anything_to_tell(self._db)):
            return False
        with self._db.writing():
            needs.release(self._db, now)
            mutexes.loosen(self._db)
            turns.promote(self._db, now)
        self.ring()
        return turns.anything_due(self._db, now) or turns.anything_to_tell(self._db)

    def clamp_retries(self, *, now: datetime) -> None:
        from queuectl_engine.repository.sqlite import turns

        with self._db.writing():
            turns.clamp_retries(self._db, now)

    def remaining(self, pool: PoolRow) -> Mapping[State, int]:
        from queuectl_engine.repository.sqlite import pools

        return pools.remaining(self._db, pool)

    def stirring(self) -> bool:
        from queuectl_engine.repository.sqlite import pools

        return pools.stirring(self._db)

    def changed(self) -> bool:
        before, self._version = self._version, self.version()
        return self._version != before

    def version(self) -> int:
        self._db.check()
        return int(self._db.value("PRAGMA data_version"))

    def ring(self, pool: PoolRow | None = None, *, wake_fd: int | None = None) -> None:
        if wake_fd is not None:
            bell.ring_again(wake_fd)
        elif pool is not None:
            bell.ring(str(self.run_directory / pool.directory))
        else:
            bell.ring_all(f"{self._db.path}.d")

    def wake_fd(self, pool: PoolRow) -> int:
        return bell.listen(self.run_directory / pool.directory)

    def maintain(self, *, now: datetime) -> None:
        from queuectl_engine.repository.removal import Keeper
        from queuectl_engine.repository.sqlite import hearing

        upkeep.purge_deleted(self._db, now)
        hearing.tally(self._db)
        hearing.forget(self._db)
        self._keeper = self._keeper or Keeper()
        self._keeper.turn(self, now)
        upkeep.tidy(self._db)

    def sync_if_due(self, worker: int, *, now: datetime) -> float | None:
        if self._db.sync_due_in() == 0:
            self._write("UPDATE worker SET synced_ms = ? WHERE id = ?", ms(now), worker)
        return self._db.sync_due_in()

    def _write(self, sql: str, *args: object) -> None:
        with self._db.writing():
            self._db.run(sql, args)


def create(
    location: str, *, durability: str | None, trust: bool, allow_owner: bool = False
) -> bool:
    """Make the file, or change what is said of one that is there; whether it was made now."""
    fresh = not os.path.exists(location)
    repository = SqliteRepository.open(
        location, create=True, durability=durability, allow_owner=allow_owner
    )
    db = repository._db
    try:
        with db.writing():
            if durability:
                upkeep.set_durability(db, durability)
            if trust:
                upkeep.trust(db)
    finally:
        repository.close()
    return fresh
