"""Every verb of the repository, each at a database where it has something to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from queuectl_engine.filter import Filter
from queuectl_engine.hook import new_hook
from queuectl_engine.job import State, View
from queuectl_engine.lifecycle import Exited
from queuectl_engine.plan import Act
from queuectl_engine.repository.protocol import Claim, Leader, Progress
from queuectl_engine.repository.sqlite import SqliteRepository
from queuectl_engine.schedule import new_schedule
from tests.repository.driver import Driver, output_of
from tests.samples import CONTEXT, HOUR, SECOND, new, pool_row


class Scene:
    """A repository and what is in its database: the same each time, but for tokens and nonces."""

    def __init__(self, repo: SqliteRepository) -> None:
        self.repo = repo
        self.drive = drive = Driver(repo)
        self.dead = drive.add("dead", max_retries=0)
        self.claim: Claim = drive.claim()
        drive.end(self.claim, Exited(1))
        self.done = drive.add("done")
        drive.end(drive.claim(), Exited(0))
        self.gone = drive.add("gone")
        drive.delete(self.gone)
        drive.later(HOUR)
        repo.set_hook(new_hook("default", "on_dead", "true", CONTEXT, 5.0))
        self.doomed = drive.add("doomed", max_retries=0)
        drive.end(drive.claim(), Exited(1))
        self.running = drive.add("running")
        self.claim = drive.claim()
        self.waiting = [drive.add(f"waits {n}", queue="q").id for n in range(3)]
        drive.add("due", run_at=drive.now + SECOND)
        drive.later(2 * SECOND)
        plan = new_schedule("* * * * *", new("tick"), now=drive.now, zone="UTC", name="s")
        repo.add_schedule(plan, now=drive.now)
        self.schedule = repo.schedule("s")


Verb = Callable[[Scene], object]


def _act(what: Act) -> Verb:
    def do(scene: Scene) -> object:
        now = scene.drive.now
        ids = {Act.REQUEUE: [scene.dead.id], Act.CANCEL: scene.waiting, Act.DELETE: [scene.done.id]}
        return scene.repo.act(what, ids[what], asked=now, user="ada", now=now)

    return do


def _undo(scene: Scene) -> object:
    now = scene.drive.now
    done, _ = scene.repo.act(Act.DELETE, [scene.done.id], asked=now, user="ada", now=now)
    return scene.repo.undo(done, user="ada", now=now)


def _progress(scene: Scene) -> object:
    item = Progress(scene.claim.attempt, Leader(1, 2), output_of("a" * 5_000))
    return scene.repo.progress(scene.drive.worker, [item], now=scene.drive.now)


def _turn(scene: Scene) -> object:
    ended = scene.drive.ended(scene.claim, Exited(0), output_of("b" * 5_000))
    return scene.drive.turn(ended, room=2)


def _take_hooks(scene: Scene) -> object:
    return scene.repo.take_hooks(scene.drive.pool.id, room=3)


def _end_hook(scene: Scene) -> None:
    (due,) = scene.repo.take_hooks(scene.drive.pool.id, room=3)
    scene.repo.end_hook(due, scene.drive.pool.id, failed="exit 1", now=scene.drive.now)


def _fire(scene: Scene) -> object:
    assert scene.schedule.next_at is not None
    then = scene.schedule.next_at + timedelta(minutes=1)
    return scene.repo.fire(scene.schedule, then, now=scene.drive.now)


def _schedule(scene: Scene) -> object:
    plan = new_schedule("* * * * *", new("tock"), now=scene.drive.now, zone="UTC")
    return scene.repo.add_schedule(plan, now=scene.drive.now)


def _people(name: str, *jobs: str) -> Verb:
    def do(scene: Scene) -> object:
        ids = [getattr(scene, job).id for job in jobs]
        return getattr(scene.repo, name)(ids, user="ada", now=scene.drive.now)

    return do


WRITES: Final[Mapping[str, Verb]] = {
    "add": lambda s: s.repo.add([new("one", key="k", labels=["l"])], now=s.drive.now),
    "add many": lambda s: s.repo.add([new("x" * 900) for _ in range(60)], now=s.drive.now),
    "requeue": _people("requeue", "dead", "done"),
    "cancel": _people("cancel", "running"),
    "delete": _people("delete", "dead", "done"),
    "act: requeue": _act(Act.REQUEUE),
    "act: cancel": _act(Act.CANCEL),
    "act: delete": _act(Act.DELETE),
    "undo": _undo,
    "edit": lambda s: s.repo.edit(
        s.waiting[0], new("edited"), user="ada", now=s.drive.now, moved=False
    ),
    "pause": lambda s: s.repo.pause(["q"], paused=True),
    "limit": lambda s: s.repo.limit(["q"], 2),
    "settle and claim": _turn,
    "claim": lambda s: s.drive.turn(room=3),
    "progress": _progress,
    "lose": lambda s: s.repo.lose([s.drive.ended(s.claim, Exited(1))], now=s.drive.now),
    "park": lambda s: s.repo.park(s.claim.attempt, "stuck"),
    "start pool": lambda s: s.repo.start_pool(
        pool_row(s.repo.run_directory, "other"), now=s.drive.now
    ),
    "start worker": lambda s: s.drive.start_worker(number=2),
    "resize": lambda s: s.repo.resize(s.drive.pool.id, by=1),
    "ask stop": lambda s: s.repo.ask_stop(s.drive.pool.id, "graceful"),
    "add schedule": _schedule,
    "fire": _fire,
    "run schedule": lambda s: s.repo.run_schedule(s.schedule, now=s.drive.now),
    "pause schedule": lambda s: s.repo.pause_schedule(s.schedule.id, then=None),
    "delete schedule": lambda s: s.repo.delete_schedule(s.schedule.id),
    "take hooks": _take_hooks,
    "end hook": _end_hook,
    "promote": lambda s: s.repo.promote(now=s.drive.now),
    "remove": lambda s: s.repo.remove(
        [s.done.id, s.dead.id], before=s.drive.now, states=[State.COMPLETED, State.DEAD]
    ),
    "set retention": lambda s: s.repo.set_retention(HOUR),
    "maintain": lambda s: s.repo.maintain(now=s.drive.now),
}
READS: Final[Mapping[str, Verb]] = {
    "get": lambda s: s.repo.get([s.dead.id, s.done.id]),
    "page": lambda s: [s.repo.page(view, limit=5) for view in View],
    "scan": lambda s: s.repo.scan(View.ALL, Filter(), limit=5, budget=50),
    "counts": lambda s: (
        s.repo.counts(),
        s.repo.queues(),
        s.repo.metrics(),
        s.repo.labels(limit=9),
    ),
    "history": lambda s: (
        s.repo.attempts(s.dead.id),
        s.repo.events(s.dead.id),
        s.repo.output(s.dead.id, 1),
        s.repo.happenings(since=None, limit=99),
    ),
    "pools": lambda s: (s.repo.pools(), s.repo.workers(), s.repo.strays(), s.repo.schedules()),
}
