"""Tending queues and pools, and running any `queuectl` line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final, TypeVar

from textual.binding import BindingType
from textual.message import Message

from queuectl_engine import BadInput, Database, QueuectlError, State, safe_text
from queuectl_tui import acts, at_hand, commanding, job_view, keys, terminal, words
from queuectl_tui.acts import Told
from queuectl_tui.commanding import Printed
from queuectl_tui.errand import Errand
from queuectl_tui.feed import Feed
from queuectl_tui.hands import Deed, Hands
from queuectl_tui.picture import Speech
from queuectl_tui.screens.live import Clock
from queuectl_tui.screens.study import StudyScreen
from queuectl_tui.typed import typed
from queuectl_tui.widgets.message_line import Prompt, Question

T = TypeVar("T")
MANY: Final = 10  # ready jobs above which starting a first worker asks


class TendScreen(StudyScreen, inherit_bindings=False):
    """What a person does runs off the loop; what came of it is told in the message line.

    Two pairs of hands: what is long, the porter's, must not hold up what is short.
    """

    READ_ONLY = False
    BINDINGS: ClassVar[list[BindingType]] = [*keys.TENDING, *keys.STUDYING, *keys.WATCHING]

    @dataclass
    class Progressed(Message):
        """How far an errand is."""

        text: str

    def __init__(
        self, database: Database, feed: Feed, hands: Hands, porter: Hands, now: Clock
    ) -> None:
        super().__init__(database, feed, hands, now)
        self._porter = porter
        self._errand: Errand | None = None
        self._lines = commanding.Lines()
        self._pane.welcome = job_view.WELCOME

    def on_mount(self) -> None:
        """Be ready for what is long."""
        self._porter.start()

    def on_unmount(self) -> None:
        """Stop what is long: what it has done is done."""
        if self._errand is not None:
            self._errand.stopped = True
        self._porter.stop()

    def action_back(self) -> None:
        """Stop what is long; else one step back."""
        if self._errand is not None:
            self._errand.stopped = True
        else:
            super().action_back()

    # -- queues and pools

    def action_pause(self) -> None:
        """Pause the queue at hand, or let it go on; both ask."""
        queue = at_hand.queue_at_hand(self.desk)
        if queue is None:
            self._message.fail("no queue here to pause")
            return
        name = safe_text(queue.name)
        text = f"pause queue {name}? nothing more starts from it"
        if queue.paused:
            text = f"resume queue {name}? its jobs start"
        deed = acts.set_paused(queue.name, paused=not queue.paused)
        self._ask(Question(text, lambda: self._do(deed, self._told)))

    def action_more_workers(self) -> None:
        """One worker more; without a pool, the first one."""
        ready = self.desk.shown.counts.of(State.READY)
        if self.desk.shown.live_pools:
            self._do(acts.more_workers(self._pool_name()), self._told)
        elif ready > MANY:
            text = f"start a worker? {words.jobs(ready)} wait, and it would run them"
            self._ask(Question(text, self._start_pool))
        else:
            self._start_pool()

    def action_fewer_workers(self) -> None:
        """One worker less; it ends the job it runs first. Below one asks."""
        pools = self.desk.shown.live_pools
        pool = at_hand.pool_under_cursor(self.desk) or (pools[0] if len(pools) == 1 else None)
        if not pools:
            self._message.fail("no pool runs · + starts one")
        elif pool is not None and pool.wanted == 0:
            self._message.fail(f"pool {safe_text(pool.name)} has no workers")
        elif pool is not None and pool.wanted == 1:
            text = f"leave pool {safe_text(pool.name)} without a worker? nothing would start there"
            deed = acts.scale(-1, pool.name)
            self._ask(Question(text, lambda: self._do(deed, self._told)))
        else:
            self._do(acts.scale(-1, self._pool_name()), self._told)

    def action_command(self) -> None:
        """Type any queuectl line."""
        self._message.prompt(
            Prompt(
                label=": queuectl ",
                help="Tab completes a command · ↑ lines before · Enter runs · Esc gives up",
                entered=self._command,
                other=self._lines.other,
            ),
            typed(""),
        )
        self._draw_keys()

    # -- what comes back

    def on_tend_screen_progressed(self, message: Progressed) -> None:
        """Say how far it is, while it goes on."""
        if self._errand is not None:
            self._message.progress(message.text)

    def _command(self, line: str | None) -> None:
        if not line:
            return
        self._lines.remember(line)
        try:
            arguments = commanding.words_of(line)
        except BadInput as error:
            self._message.fail(str(error))
            return
        if self._errand is not None:
            self._message.fail("something else goes on · Esc stops it")
        elif arguments[:1] == ["edit"]:
            self._edit_outside(arguments)
        else:
            errand = self._begin(lambda size: f"queuectl {arguments[0]} runs · Esc stops it")
            self._long(commanding.run(arguments, errand.step, self._pane.size.width), self._printed)

    def _edit_outside(self, arguments: Sequence[str]) -> None:
        """Give the terminal to `queuectl edit`, which opens $EDITOR."""
        argv = commanding.argv_of(arguments, self._database.location)
        problem = terminal.run_outside(self.app, argv)
        if problem:
            self._message.fail(problem)
        else:
            self._message.tell("edited", command=f"queuectl {' '.join(arguments)}")
        self._feed.wake()

    def _printed(self, printed: Printed) -> None:
        """One line is told, more stand in the detail until the cursor moves."""
        self._feed.wake()
        title = f"queuectl {printed.line}" + (f" · exit {printed.code}" if printed.code else "")
        if len(printed.lines) > 1:
            self.desk.say(Speech(title, printed.lines))
            self._message.clear()
        elif printed.code:
            self._message.fail(printed.lines[0] if printed.lines else title)
        else:
            self._message.tell(printed.lines[0] if printed.lines else "done")

    def _hint(self) -> str:
        shown = self.desk.shown
        if shown.trouble is None and shown.waiting and not shown.live_pools:
            return words.no_pool(shown.waiting)
        return super()._hint() or ("" if any(shown.counts.stored.values()) else "a adds a job")

    def _ask(self, question: Question) -> None:
        if not self._message.busy:  # else something else was begun while this was counted
            self._message.ask(question, terminal.last_burst(self.app))
            self._draw_keys()

    def _begin(self, how_far: Callable[[int], str]) -> Errand:
        self._errand = Errand(how_far, lambda text: self.post_message(self.Progressed(text)))
        return self._errand

    def _long(self, deed: Deed[T], then: Callable[[T], object]) -> None:
        def ended(result: T | QueuectlError) -> None:
            self._errand = None
            self._message.progress("")
            self._came(result, then)

        def tell(result: T | QueuectlError) -> None:
            self.post_message(self.Came(lambda: ended(result)))

        self._porter.do(deed, tell)

    def _told(self, told: Told) -> None:
        self._message.tell(told.text, command=told.command)
        self._feed.wake()
        if told.job is not None:
            self.desk.hold(told.job)
        self.desk.let_go(told.gone)
        self._look(at_once=True)

    def _start_pool(self) -> None:
        self._message.tell("starting a worker …")
        self._do(acts.start_pool(), self._told)

    def _pool_name(self) -> str | None:
        pool = at_hand.pool_under_cursor(self.desk)
        return pool.name if pool is not None else None

    def _local_now(self) -> datetime:
        return self._now().astimezone()
