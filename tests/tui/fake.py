"""A queue in memory and a feed without a thread: screens are tested with no database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, cast

from textual.pilot import Pilot

from queuectl_engine import (
    Act,
    Added,
    Attempt,
    Cause,
    Chunk,
    Context,
    Counts,
    Database,
    Done,
    Engine,
    Estimate,
    Event,
    Filter,
    Job,
    JobState,
    Key,
    NewJob,
    NoSuchCause,
    NoSuchPool,
    Page,
    Piece,
    Plan,
    PoolInfo,
    QueuectlError,
    QueueInfo,
    Scan,
    Schedule,
    Selection,
    State,
    Stream,
    Undo,
    View,
    WorkerInfo,
)
from queuectl_engine.exit_codes import parse_exit_codes
from queuectl_engine.filter import Field, Term
from queuectl_engine.new_job import new_job
from queuectl_engine.plan import Was, command_line
from queuectl_tui.app import QueueApp
from queuectl_tui.door import Door
from queuectl_tui.feed import Show
from queuectl_tui.hands import Deed, Hands, T, Tell
from queuectl_tui.looker import Looker
from queuectl_tui.picture import Snapshot, Wanted
from queuectl_tui.screens.study import StudyScreen
from tests.samples import CONTEXT, MINUTE, NOON, SECOND, stored

DATABASE = Database("/srv/jobs.db", "--db")
_NOWHERE: Final = Database("memory://", "")
_ORDER = {State.READY: 0, State.FAILED: 1, State.SCHEDULED: 2, State.BLOCKED: 3}
SLICE: Final = 4  # jobs that one step of a search looks at
_FITS: Final = {
    Act.REQUEUE: {State.DEAD, State.FAILED, State.COMPLETED, State.CANCELLED},
    Act.CANCEL: {State.READY, State.SCHEDULED, State.FAILED, State.PROCESSING},
    Act.DELETE: set(State) - {State.PROCESSING},
}
_ENDED = {View.DEAD: (State.DEAD,), View.FINISHED: (State.COMPLETED, State.CANCELLED)}


class FakeQueue:
    """What the terminal UI uses of an engine, over a dict of jobs."""

    def __init__(self, *jobs: Job) -> None:
        self.stored = {job.id: job for job in jobs}
        self.contexts: dict[int, Context] = {}
        self.history: dict[int, list[Attempt]] = {}
        self.chunks: dict[int, list[Chunk]] = {}
        self.noted: dict[int, list[Event]] = {}
        self.said: dict[int, tuple[str, str, str]] = {}  # causes: program, ended, line
        self.paused = {"video"}
        self.running: list[PoolInfo] = []
        self.recurring: dict[int, Schedule] = {}
        self.pages = 0
        self.failure: QueuectlError | None = None
        self.on_change: Callable[[], None] = lambda: None
        self.acted: list[str] = []
        self.estimated = Estimate()
        self.before: dict[int, Job] = {}  # jobs as they were when an act took them

    # -- what the feed reads

    def changed(self) -> bool:
        if self.failure is not None:
            raise self.failure
        return True

    def page(
        self,
        view: View,
        *,
        limit: int,
        at: Key | None = None,
        backwards: bool = False,
        cause: int | None = None,
    ) -> Page:
        self.pages += 1
        jobs = [job for job in self._in(view) if cause in (None, job.cause_id)]
        places = sorted((self.place(view, job), job.id) for job in jobs)
        if at is not None:
            places = [p for p in places if (p[0] <= at if backwards else p[0] >= at)]
        chosen = places[-limit:] if backwards else places[:limit]
        return Page(tuple(self.stored[i] for _, i in chosen), tuple(key for key, _ in chosen))

    def scan(
        self,
        view: View,
        wanted: Filter,
        *,
        limit: int,
        at: Key | None = None,
        backwards: bool = False,
    ) -> Scan:
        page = self.page(view, limit=SLICE + 1, at=at, backwards=backwards)
        looked = list(zip(page.jobs, page.keys, strict=True))
        if backwards:
            looked.reverse()
        found: list[tuple[Job, Key]] = []
        rest = None
        for number, (job, key) in enumerate(looked):
            if len(found) == limit or number == SLICE:
                rest = key
                break
            if matches(job, wanted):
                found.append((job, key))
        if backwards:
            found.reverse()
        return Scan(tuple(job for job, _ in found), tuple(key for _, key in found), rest)

    def matching(
        self, view: View, wanted: Filter, *, at: Key | None = None
    ) -> tuple[int, Key | None]:
        found = self.scan(view, wanted, limit=SLICE, at=at)
        return len(found.jobs), found.rest

    def causes(self, limit: int = 200, wanted: Filter | None = None) -> list[Cause]:
        ids = {job.cause_id for job in self._in(View.DEAD)} - {None}
        found = [self.cause(number) for number in ids if number is not None]
        texts = [term.value for term in (wanted or Filter()).terms]
        found = [c for c in found if all(t in f"{c.program} {c.ended} {c.line}" for t in texts)]
        return sorted(found, key=lambda cause: cause.last_at, reverse=True)[:limit]

    def cause(self, cause_id: int) -> Cause:
        dead = [job for job in self._in(View.DEAD) if job.cause_id == cause_id]
        if not dead:
            raise NoSuchCause("no job is dead of it")
        ended = {job.finished_at or NOON: job.id for job in dead}
        newest = max(ended)
        return Cause(cause_id, *self.said[cause_id], len(dead), min(ended), newest, ended[newest])

    def estimate(self, pools: Sequence[PoolInfo] | None = None) -> Estimate:
        return self.estimated

    def explain(self, id_or_key: int | str) -> str:
        return "all 4 workers that serve it are busy with other jobs"

    def advice(self, job: Job, attempt: Attempt) -> str | None:
        return "chmod +x" if attempt.exit_code == 126 else None

    def events(self, id_or_key: int | str) -> list[Event]:
        return self.noted.get(int(id_or_key), [])

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
        causes = {job.cause_id for job in self._in(View.DEAD)} - {None}
        return Counts({state: states.count(state) for state in set(states)}, len(causes))

    def queues(self) -> list[QueueInfo]:
        names = sorted({job.queue for job in self.stored.values()})
        jobs = {name: [j.stored for j in self.stored.values() if j.queue == name] for name in names}
        return [
            QueueInfo(name, name in self.paused, {s: states.count(s) for s in set(states)})
            for name, states in jobs.items()
        ]

    def schedules(self) -> list[Schedule]:
        return list(self.recurring.values())

    def pools(self) -> list[PoolInfo]:
        return list(self.running)

    def attempts(self, id_or_key: int | str) -> list[Attempt]:
        return self.history.get(int(id_or_key), [])

    def context_of(self, job: Job) -> Context:
        return self.contexts.get(job.id, CONTEXT._replace(cwd="/srv/app"))

    def output(
        self, id_or_key: int | str, attempt: int | None = None, *, after: int = -1, limit: int = 0
    ) -> list[Chunk]:
        chunks = self.chunks.get(int(id_or_key), [])
        return [
            chunk
            for chunk in chunks
            if chunk.seq > after and attempt in (None, self.last(id_or_key))
        ]

    def last(self, id_or_key: int | str) -> int:
        """The attempt that printed what is here: the last one."""
        return self.stored[int(id_or_key)].runs

    def close(self) -> None:
        """Nothing to give back."""

    # -- what people do

    def context(self, **around: Any) -> Context:
        return CONTEXT._replace(secrets=tuple(around["secrets"]))

    def new_job(self, command: str, context: Context, **policy: Any) -> NewJob:
        return new_job(command, context, **policy)

    def add_many(self, jobs: Iterable[NewJob]) -> list[Added]:
        added = []
        for job in jobs:
            number = max(self.stored, default=0) + 1
            kept = {"queue": job.queue, "priority": job.priority, "labels": job.labels}
            self.put(waiting(number, job.command, **kept))
            self.contexts[number] = job.context
            added.append(Added(number, True, self.stored[number].state))
        return added

    def get(self, job_id: int) -> Job:
        return self.stored[job_id]

    def plan(self, act: Act, selection: Selection, *, run_at: datetime | None = None) -> Plan:
        ids = self._meant(selection)
        command = command_line(act, selection, run_at)
        return Plan(act, selection, NOON, len(ids), True, command, run_at)

    def carry_out(self, plan: Plan, *, progress: Callable[[int], bool] = lambda done: True) -> Done:
        ids = [i for i in self._meant(plan.selection) if i in self.stored]
        ids = [i for i in ids if self.stored[i].stored in _FITS[plan.act]]
        if ids:
            later = f" at {plan.run_at:%H:%M}" if plan.run_at else ""
            self.acted.append(f"{plan.act} {' '.join(map(str, ids))}{later}")
        was = tuple(self._was(self.stored[i]) for i in ids)
        self.before |= {i: self.stored[i] for i in ids}
        running = tuple(i for i in ids if plan.act is Act.CANCEL and self._runs(i))
        for i in ids:
            self._do(plan, i)
        progress(len(ids))
        self.on_change()
        return Done(len(ids), Undo(plan.act, was) if plan.undoable and ids else None, running)

    def undo(self, undo: Undo) -> int:
        self.acted.append(f"undo {undo.act} {' '.join(str(was.id) for was in undo.jobs)}")
        self.put(*(self.before[was.id] for was in undo.jobs))
        return len(undo.jobs)

    def edit(self, job_id: int, **changes: Any) -> Job:
        job = self.stored[job_id]
        self.acted.append(f"edit {job_id}")
        kept = {k: v for k, v in changes.items() if k not in ("run_at", "command")}
        command = changes["command"]
        for rule in ("retry_on", "no_retry_on"):
            kept[rule] = parse_exit_codes(kept[rule])
        self.put(job._replace(**{**kept, "command": command}))
        return self.stored[job_id]

    def pause(self, *queues: str) -> list[str]:
        self.paused |= set(queues)
        self.on_change()
        return list(queues)

    def resume(self, *queues: str) -> list[str]:
        self.paused -= set(queues)
        self.on_change()
        return list(queues)

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

    def pause_schedule(self, number: int) -> Schedule:
        return self._change(number, "pause", paused=True, next_at=None)

    def resume_schedule(self, number: int) -> Schedule:
        return self._change(number, "resume", paused=False, next_at=NOON + MINUTE)

    def delete_schedule(self, number: int) -> Schedule:
        self.acted.append(f"delete schedule {number}")
        gone = self.recurring.pop(number)
        self.on_change()
        return gone

    def run_schedule(self, number: int) -> Job:
        job = stored(id=max(self.stored) + 1, stored=State.READY, schedule_id=number)
        self._change(number, "run", last_job=job.id, last_result="added by hand")
        self.put(job)
        return job

    def _change(self, number: int, what: str, **changes: Any) -> Schedule:
        self.acted.append(f"{what} schedule {number}")
        self.recurring[number] = replace(self.recurring[number], **changes)
        self.on_change()
        return self.recurring[number]

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

    def _meant(self, selection: Selection) -> list[int]:
        if selection.ids:
            return list(selection.ids)
        if selection.cause is not None:
            return sorted(j.id for j in self._in(View.DEAD) if j.cause_id == selection.cause)
        assert selection.view is not None
        wanted = selection.filter or Filter()
        return sorted(job.id for job in self._in(selection.view) if matches(job, wanted))

    def _runs(self, job_id: int) -> bool:
        return self.stored[job_id].stored is State.PROCESSING

    def _do(self, plan: Plan, job_id: int) -> None:
        match plan.act:
            case Act.DELETE:
                del self.stored[job_id]
            case Act.CANCEL:
                self._become(job_id, State.CANCELLED)
            case Act.REQUEUE:
                later = plan.run_at is not None
                self._become(job_id, State.SCHEDULED if later else State.READY)

    def _become(self, job_id: int, state: State) -> None:
        self.stored[job_id] = self.stored[job_id]._replace(stored=state)

    def _was(self, job: Job) -> Was:
        return Was(job.id, job.stored, State.READY, 0, job.attempts, 0, 0, 0, job.reason)


def matches(job: Job, wanted: Filter) -> bool:
    """Whether a job is let through; of the terms those that the tests use."""
    return all(_holds(job, term) is not term.negated for term in wanted.terms)


def _holds(job: Job, term: Term) -> bool:
    match term.field:
        case Field.QUEUE:
            return job.queue == term.value
        case Field.CAUSE:
            return job.cause_id == int(term.value)
        case Field.STATE:
            return job.state in [JobState(name) for name in term.value.split(",")]
        case Field.LABEL:
            return term.value in job.labels
        case _:
            return term.value in job.command


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
        busy = True
        while busy and self._show is not None:
            snapshot = self._looker.look(self._queue, self._wanted, self._last, now=0.0)
            busy = self._looker.busy
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
        super().__init__(Door(lambda: cast(Engine, queue), _NOWHERE))

    def start(self) -> None:
        """No thread."""

    def stop(self) -> None:
        """No thread."""

    def do(self, deed: Deed[T], tell: Tell[T]) -> None:
        self.do_now(deed, tell)


def app_on(
    queue: FakeQueue, *, read_only: bool = False, keymap: Mapping[str, str] | None = None
) -> QueueApp:
    """The app over a queue in memory, at five past noon."""
    return QueueApp(
        DATABASE,
        InstantFeed(queue),
        InstantHands(queue),
        None if read_only else InstantHands(queue),
        now=lambda: NOON + 5 * MINUTE,
        keymap=keymap or {},
    )


def screen_of(app: QueueApp) -> StudyScreen:
    """Its main screen."""
    screen = app.screen_stack[0]
    assert isinstance(screen, StudyScreen)
    return screen


async def at_rest(pilot: Pilot[None]) -> None:
    """Wait for the filter that is typed and for the detail: both follow a moment without a key."""
    assert isinstance(pilot.app, QueueApp)
    screen = screen_of(pilot.app)
    while screen._trying is not None:
        await pilot.pause(0.01)
    desk = screen.desk
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
