"""A queue in memory and a feed without a thread: screens are tested with no database."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from textual.pilot import Pilot

from queuectl_engine import (
    Added,
    Attempt,
    Chunk,
    Context,
    Counts,
    Database,
    Engine,
    Job,
    Key,
    NewJob,
    NoSuchPool,
    Page,
    Piece,
    PoolInfo,
    QueuectlError,
    QueueInfo,
    State,
    Stream,
    View,
    WorkerInfo,
    WrongState,
)
from queuectl_engine.new_job import new_job
from queuectl_tui.acts import Act, Hands, Tell
from queuectl_tui.app import QueueApp
from queuectl_tui.feed import Looker, Show
from queuectl_tui.picture import Snapshot, Wanted
from queuectl_tui.screens.jobs import JobsScreen
from tests.samples import CONTEXT, MINUTE, NOON, SECOND, stored

DATABASE = Database("/srv/jobs.db", "--db")
_ORDER = {State.READY: 0, State.FAILED: 1, State.SCHEDULED: 2, State.BLOCKED: 3}
_ENDED = {View.DEAD: (State.DEAD,), View.FINISHED: (State.COMPLETED, State.CANCELLED)}


class FakeQueue:
    """What the terminal UI uses of an engine, over a dict of jobs."""

    def __init__(self, *jobs: Job) -> None:
        self.stored = {job.id: job for job in jobs}
        self.history: dict[int, list[Attempt]] = {}
        self.chunks: dict[int, list[Chunk]] = {}
        self.running: list[PoolInfo] = []
        self.pages = 0
        self.failure: QueuectlError | None = None
        self.on_change: Callable[[], None] = lambda: None
        self.acted: list[str] = []

    # -- what the feed reads

    def changed(self) -> bool:
        if self.failure is not None:
            raise self.failure
        return True

    def page(
        self, view: View, *, limit: int, at: Key | None = None, backwards: bool = False
    ) -> Page:
        self.pages += 1
        places = sorted((self.place(view, job), job.id) for job in self._in(view))
        if at is not None:
            places = [p for p in places if (p[0] <= at if backwards else p[0] >= at)]
        chosen = places[-limit:] if backwards else places[:limit]
        return Page(tuple(self.stored[i] for _, i in chosen), tuple(key for key, _ in chosen))

    def place(self, view: View, job: Job) -> Key:
        match view:
            case View.PENDING:
                return (_ORDER.get(job.stored, 9), -job.priority, job.id)
            case View.PROCESSING:
                return (int((job.started_at or NOON).timestamp()), job.id)
            case _:
                return (-int((job.finished_at or NOON).timestamp()), -job.id)

    def find(self, ids: Iterable[int]) -> dict[int, Job]:
        return {i: self.stored[i] for i in ids if i in self.stored}

    def counts(self) -> Counts:
        states = [job.stored for job in self.stored.values()]
        return Counts({state: states.count(state) for state in set(states)})

    def queues(self) -> list[QueueInfo]:
        names = sorted({job.queue for job in self.stored.values()})
        jobs = {name: [j.stored for j in self.stored.values() if j.queue == name] for name in names}
        return [
            QueueInfo(name, name == "video", {s: states.count(s) for s in set(states)})
            for name, states in jobs.items()
        ]

    def pools(self) -> list[PoolInfo]:
        return list(self.running)

    def attempts(self, id_or_key: int | str) -> list[Attempt]:
        return self.history.get(int(id_or_key), [])

    def context_of(self, job: Job) -> Context:
        return replace(CONTEXT, cwd="/srv/app")

    def output(
        self, id_or_key: int | str, attempt: int | None = None, *, after: int = -1, limit: int = 0
    ) -> list[Chunk]:
        return [chunk for chunk in self.chunks.get(int(id_or_key), []) if chunk.seq > after]

    def close(self) -> None:
        """Nothing to give back."""

    # -- what people do

    def context(self, **around: Any) -> Context:
        return CONTEXT

    def new_job(self, command: str, context: Context, **policy: Any) -> NewJob:
        return new_job(command, context, **policy)

    def add_many(self, jobs: Iterable[NewJob]) -> list[Added]:
        added = []
        for job in jobs:
            number = max(self.stored, default=0) + 1
            self.put(waiting(number, job.command, queue=job.queue, priority=job.priority))
            added.append(Added(number, True, self.stored[number].state))
        return added

    def requeue(self, *ids: int) -> None:
        self._act("requeue", ids, State.READY, {State.DEAD, State.FAILED, State.COMPLETED})

    def cancel(self, *ids: int) -> None:
        self._act("cancel", ids, State.CANCELLED, {State.READY, State.FAILED, State.PROCESSING})

    def delete(self, *ids: int) -> None:
        self._act("delete", ids, None, set(State) - {State.PROCESSING})

    def scale(self, *, by: int, pool: str | None = None) -> PoolInfo:
        if not self.running:
            raise NoSuchPool("no pool runs")
        self.acted.append(f"scale {by}")
        self.running[0] = replace(self.running[0], wanted=self.running[0].wanted + by)
        return self.running[0]

    def start_pool(self) -> PoolInfo:
        self.acted.append("start_pool")
        self.running.append(pool())
        return self.running[0]

    # -- what tests do

    def put(self, *jobs: Job) -> None:
        """Store jobs, new or changed, and let the feed see it."""
        self.stored |= {job.id: job for job in jobs}
        self.on_change()

    def say(self, job: int, text: str | bytes, stream: Stream = Stream.OUT) -> None:
        """The job prints something."""
        chunks = self.chunks.setdefault(job, [])
        data = text.encode() if isinstance(text, str) else text
        chunks.append(Chunk(len(chunks), NOON, (Piece(stream, data),)))
        self.on_change()

    def _in(self, view: View) -> list[Job]:
        states = _ENDED.get(view) or (
            (State.PROCESSING,) if view is View.PROCESSING else tuple(_ORDER)
        )
        return [job for job in self.stored.values() if job.stored in states]

    def _act(self, verb: str, ids: tuple[int, ...], to: State | None, allowed: set[State]) -> None:
        for i in ids:
            if self.stored[i].stored not in allowed:
                raise WrongState(f"job {i} is {self.stored[i].state}; it cannot be moved")
        self.acted.append(f"{verb} {' '.join(map(str, ids))}")
        for i in ids:
            if to is None:
                del self.stored[i]
            else:
                self.stored[i] = replace(self.stored[i], stored=to)
        self.on_change()


class InstantFeed:
    """Answers at once, in the thread that asks."""

    def __init__(self, queue: FakeQueue) -> None:
        self._queue = queue
        self._looker = Looker()
        self._wanted = Wanted()
        self._last = Snapshot()
        self._show: Show | None = None
        queue.on_change = self.wake

    def start(self, show: Show) -> None:
        self._show = show
        self._look()

    def stop(self) -> None:
        self._show = None

    def want(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._look()

    def wake(self) -> None:
        self._looker.forget()
        self._look()

    def _look(self) -> None:
        if self._show is None:
            return
        snapshot = self._looker.look(self._queue, self._wanted, self._last, now=0.0)
        if snapshot != self._last:
            self._last = snapshot
            self._show(snapshot)


class StillFeed:
    """Shows one picture and never another."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def start(self, show: Show) -> None:
        show(self._snapshot)

    def stop(self) -> None:
        """Nothing runs."""

    def want(self, wanted: Wanted) -> None:
        """It has only the one."""

    def wake(self) -> None:
        """It has only the one."""


class InstantHands(Hands):
    """Acts at once, in the thread that asks."""

    def __init__(self, queue: FakeQueue) -> None:
        super().__init__(lambda: cast(Engine, queue))

    def start(self) -> None:
        """No thread."""

    def stop(self) -> None:
        """No thread."""

    def do(self, act: Act, tell: Tell) -> None:
        tell(self._result(act))


def app_on(queue: FakeQueue) -> QueueApp:
    """The app over a queue in memory, at five past noon."""
    return QueueApp(
        DATABASE, InstantFeed(queue), InstantHands(queue), now=lambda: NOON + 5 * MINUTE
    )


def screen_of(app: QueueApp) -> JobsScreen:
    """Its main screen."""
    screen = app.screen_stack[0]
    assert isinstance(screen, JobsScreen)
    return screen


async def at_rest(pilot: Pilot[None]) -> None:
    """Wait until the detail has followed the cursor, which takes a moment without a key."""
    assert isinstance(pilot.app, QueueApp)
    desk = screen_of(pilot.app).desk
    while desk.chosen is not None and (
        desk.shown.detail is None or desk.shown.detail.id != desk.chosen
    ):
        await pilot.pause(0.01)
    await pilot.pause()


def shown(app: QueueApp) -> str:
    """What the terminal would show, as text."""
    width, height = app.size
    strips = app.screen._compositor.render_strips(app.size)
    return "\n".join(strip.crop(0, width).text for strip in strips[:height])


def waiting(number: int, command: str = "true", **changes: Any) -> Job:
    """A ready job."""
    fresh: dict[str, Any] = {
        "stored": State.READY,
        "attempts": 0,
        "runs": 0,
        "started_at": None,
        "worker": None,
    }
    return stored(id=number, command=command, **{**fresh, **changes})


def running(number: int, command: str = "sleep 100", **changes: Any) -> Job:
    """A job that runs."""
    return stored(id=number, command=command, **changes)


def dead(number: int, command: str = "false", **changes: Any) -> Job:
    """A job without retries left."""
    ended: dict[str, Any] = {
        "stored": State.DEAD,
        "attempts": 4,
        "runs": 4,
        "reason": "exit 1",
        "finished_at": NOON + number * SECOND,
        "worker": None,
    }
    return stored(id=number, command=command, **{**ended, **changes})


def attempt(job: int, number: int, **changes: Any) -> Attempt:
    """A failed attempt of 1.2 seconds."""
    began = NOON - 4 * MINUTE + number * MINUTE
    fields: dict[str, Any] = {
        "job": job,
        "number": number,
        "worker": f"w{number}",
        "started_at": began,
        "ended_at": began + timedelta(seconds=1.2),
        "result": "failed",
        "exit_code": 1,
        "signal": None,
        "reason": "exit 1",
        "late": None,
        "output_bytes": 187,
        "dropped_bytes": 0,
    }
    return Attempt(**{**fields, **changes})


def pool(**changes: Any) -> PoolInfo:
    """A pool of one worker."""
    fields: dict[str, Any] = {
        "id": 1,
        "name": "default",
        "host": "here",
        "pid": 4242,
        "detached": True,
        "wanted": 1,
        "stopping": None,
        "queues": (),
        "started_at": NOON,
        "alive": True,
        "trouble": None,
        "log": "/srv/log",
        "workers": (WorkerInfo(1, "w1", 4243, NOON, True),),
    }
    return PoolInfo(**{**fields, **changes})
