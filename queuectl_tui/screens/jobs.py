"""The main screen: looking at the queue, and acting on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final

from textual.binding import BindingType
from textual.message import Message

from queuectl_engine import Database, JobState, QueuectlError, State, safe_text
from queuectl_tui import acts, keys, words
from queuectl_tui.acts import Act, Done, Hands
from queuectl_tui.feed import Feed
from queuectl_tui.screens.add_job import AddJobScreen
from queuectl_tui.screens.watch import Clock, WatchScreen
from queuectl_tui.terminal import last_burst
from queuectl_tui.widgets.message_line import Question

MANY: Final = 10  # ready jobs above which starting a first worker asks


class JobsScreen(WatchScreen, inherit_bindings=False):
    """What a person does runs in the hands' thread; what came of it is told in the message line."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.BINDINGS]

    @dataclass
    class Acted(Message):
        """An act ended."""

        result: Done | QueuectlError

    def __init__(self, database: Database, feed: Feed, hands: Hands, now: Clock) -> None:
        super().__init__(database, feed, now)
        self._hands = hands
        self._history: list[str] = []

    def on_mount(self) -> None:
        """Be ready to act."""
        self._hands.start()

    def on_unmount(self) -> None:
        """Nothing that runs is stopped but the thread that acts."""
        self._hands.stop()

    def action_add(self) -> None:
        """Type a new job."""
        self.app.push_screen(AddJobScreen(self._do_for, self._history, self._now), self._added)

    def action_requeue(self) -> None:
        """Send the job, or the marked ones, back to pending. More than one asks."""
        ids = self.desk.targets()
        if len(ids) == 1:
            self._act(acts.requeue(ids), ids)
        else:
            self._ask_about("requeue", acts.requeue(ids), ids)

    def action_cancel(self) -> None:
        """Cancel what waits, end what runs."""
        self._ask_about("cancel", acts.cancel(ids := self.desk.targets()), ids)

    def action_delete(self) -> None:
        """Delete jobs that do not run."""
        self._ask_about("delete", acts.delete(ids := self.desk.targets()), ids)

    def action_more_workers(self) -> None:
        """One worker more; without a pool, the first one."""
        ready = self.desk.shown.counts.of(State.READY)
        if self.desk.live_pools():
            self._act(acts.more_workers(self._pool_name()))
        elif ready > MANY:
            text = f"start a worker? {words.jobs(ready)} wait, and it would run them"
            self._ask(Question(text, self._start_pool))
        else:
            self._start_pool()

    def action_fewer_workers(self) -> None:
        """One worker less; it ends the job it runs first. Below one asks."""
        pools = self.desk.live_pools()
        pool = self.desk.pool_under_cursor() or (pools[0] if len(pools) == 1 else None)
        if not pools:
            self._message.fail("no pool runs · + starts one")
        elif pool is not None and pool.wanted == 0:
            self._message.fail(f"pool {safe_text(pool.name)} has no workers")
        elif pool is not None and pool.wanted == 1:
            text = f"leave pool {safe_text(pool.name)} without a worker? nothing would start there"
            act = acts.scale(-1, pool.name)
            self._ask(Question(text, lambda: self._act(act)))
        else:
            self._act(acts.scale(-1, self._pool_name()))

    def on_jobs_screen_acted(self, message: Acted) -> None:
        """Say what came of it, and show the job."""
        if isinstance(message.result, Done):
            self._told(message.result)
        else:
            self._message.fail(str(message.result))

    # --

    def _act(self, act: Act, ids: list[int] | None = None) -> None:
        if ids:
            self.desk.acted_on(ids)
        self._hands.do(act, lambda result: self.post_message(self.Acted(result)))

    def _do_for(self, act: Act, tell: acts.Tell) -> None:
        self._hands.do(act, tell)

    def _ask_about(self, verb: str, act: Act, ids: list[int]) -> None:
        if not ids:
            self._message.fail(f"no job here to {verb}")
            return
        question = Question(self._question(verb, ids), lambda: self._act(act, ids), count=len(ids))
        self._ask(question)

    def _ask(self, question: Question) -> None:
        self._message.ask(question, last_burst(self.app))

    def _question(self, verb: str, ids: list[int]) -> str:
        if len(ids) > 1:
            table = self.desk.table
            hidden = table.out_of_sight() if table is not None else 0
            kind = table.view.value if table is not None else ""
            return f"{verb} {words.jobs(len(ids), kind)}?" + (
                f" {words.number(hidden)} of them out of sight;" if hidden else ""
            )
        job = self.desk.job(ids[0])
        runs = job is not None and job.state is JobState.PROCESSING and verb == "cancel"
        command = f": {safe_text(job.command)}" if job is not None else ""
        return f"{'end' if runs else verb} {ids[0]}{command} ?"

    def _start_pool(self) -> None:
        self._message.tell("starting a worker …")
        self._act(acts.start_pool())

    def _pool_name(self) -> str | None:
        pool = self.desk.pool_under_cursor()
        return pool.name if pool is not None else None

    def _added(self, done: Done | None) -> None:
        if done is not None:
            idle = "" if self.desk.live_pools() else " · no pool runs, + starts a worker"
            self._told(replace(done, text=done.text + idle))

    def _told(self, done: Done) -> None:
        self._message.tell(done.text, command=done.command)
        self._feed.wake()
        if done.job is not None:
            self.desk.hold(done.job)
        self.desk.let_go(done.gone)
        self._look(at_once=True)
        self._draw()
