"""The main screen: looking at the queue, and acting on it."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import ClassVar, Final

from textual.binding import BindingType

from queuectl_engine import (
    Act,
    BadInput,
    Database,
    Plan,
    Undo,
    parse_moment,
    safe_text,
)
from queuectl_tui import acts, asking, at_hand, job_form, keys
from queuectl_tui.acts import Told
from queuectl_tui.feed import Feed
from queuectl_tui.hands import Hands
from queuectl_tui.job_form import Form
from queuectl_tui.screens.job_screen import ADDING, EDITING, JobScreen
from queuectl_tui.screens.live import Clock
from queuectl_tui.screens.tend import TendScreen
from queuectl_tui.target import Target
from queuectl_tui.typed import typed
from queuectl_tui.widgets.message_line import Prompt, Question

MANY: Final = 10  # ready jobs above which starting a first worker asks
UNDOS: Final = 10  # acts that can be taken back, newest first


class JobsScreen(TendScreen, inherit_bindings=False):
    """What a person does to jobs: one, the marked, a cause, or all that match."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *keys.ACTING,
        *keys.TENDING,
        *keys.STUDYING,
        *keys.WATCHING,
    ]

    def __init__(
        self, database: Database, feed: Feed, hands: Hands, porter: Hands, now: Clock
    ) -> None:
        super().__init__(database, feed, hands, porter, now)
        self._undos: deque[Undo] = deque(maxlen=UNDOS)
        self._history: list[str] = []

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is something to undo after something was done."""
        if action == "undo" and not self._undos:
            return False
        return super().check_action(action, parameters)

    def action_add(self) -> None:
        """Type a new job."""
        screen = JobScreen(
            "Add a job",
            "adds",
            ADDING,
            Form(""),
            lambda form, commands: job_form.add(form, commands, self._local_now()),
            self._hands.do,
            self._history,
        )
        self.app.push_screen(screen, self._added)

    def action_edit(self) -> None:
        """Change one job; a dead one is requeued then."""
        meant, job = at_hand.target_of(self.desk), at_hand.job_at_hand(self.desk)
        if meant is not None and meant.job is None:
            self._message.fail("e edits one job at a time · r z d work on all of them")
        elif job is None:
            self._message.fail("no job here to edit")
        elif job.state not in acts.EDITABLE:
            self._message.fail(f"job {job.id} is {job.state}; it cannot be edited")
        elif safe_text(job.command) != job.command:  # more than a line, or what a field would hide
            self._edit_outside(["edit", str(job.id), "--requeue"])
            self.desk.hold(job.id)
        else:
            title = f"Edit {job.id}" + (" and requeue" if job.state == "dead" else "")
            screen = JobScreen(
                title,
                "saves",
                EDITING,
                job_form.of_job(job),
                lambda form, commands: job_form.edit(job, form, self._local_now()),
                self._hands.do,
                self._history,
            )
            self.app.push_screen(screen, self._edited)

    def action_requeue(self) -> None:
        """Send jobs back to pending. More than one asks."""
        self._requeue(None)

    def action_later(self) -> None:
        """Send jobs back to pending at a time that is typed."""
        if at_hand.target_of(self.desk) is None:
            self._message.fail("no job here to requeue")
            return
        self._message.prompt(
            Prompt(
                label="requeue when? ",
                help="10m  1h30m  today 18:00  tomorrow 9:00  2026-01-31T09:00 · Esc gives up",
                entered=self._later,
            ),
            typed(""),
        )
        self._draw_keys()

    def action_cancel(self) -> None:
        """Cancel what waits, end what runs."""
        self._plan(Act.CANCEL)

    def action_delete(self) -> None:
        """Delete jobs that do not run."""
        self._plan(Act.DELETE)

    def action_undo(self) -> None:
        """Take the last act back that can be."""
        self._do(acts.undo(self._undos.pop()), self._told)

    # --

    def _requeue(self, run_at: datetime | None) -> None:
        meant = at_hand.target_of(self.desk)
        if meant is not None and meant.job is not None:
            self.desk.acted_on(meant)
            self._do(acts.at_once(Act.REQUEUE, meant, run_at), self._told)
        else:
            self._plan(Act.REQUEUE, run_at)

    def _later(self, text: str | None) -> None:
        if not text:
            self._message.tell("nothing was done")
            return
        try:
            self._requeue(parse_moment(text, now=self._local_now()))
        except BadInput as error:
            self._message.fail(str(error))

    def _plan(self, act: Act, run_at: datetime | None = None) -> None:
        meant = at_hand.target_of(self.desk)
        if meant is None:
            self._message.fail(f"no job here to {act}")
        elif self._errand is not None:
            self._message.fail("something else goes on · Esc stops it")
        else:
            self._do(acts.plan(act, meant, run_at), lambda plan: self._ask_about(plan, meant))

    def _ask_about(self, plan: Plan, meant: Target) -> None:
        job = None if meant.job is None else at_hand.job(self.desk, meant.job)
        text = asking.question(plan, meant, job, self._now())
        self._ask(Question(text, lambda: self._carry_out(plan, meant), count=plan.count))

    def _carry_out(self, plan: Plan, meant: Target) -> None:
        self.desk.acted_on(meant)
        errand = self._begin(partial(asking.progress, plan))
        self._long(acts.carry_out(plan, meant, errand.step), self._told)

    def _told(self, told: Told) -> None:
        if told.undo is not None:
            self._undos.append(told.undo)
        super()._told(told)

    def _added(self, told: Told | None) -> None:
        if told is not None:
            idle = "" if self.desk.shown.live_pools else " · no pool runs, + starts a worker"
            self._edited(replace(told, text=told.text + idle))

    def _edited(self, told: Told | None) -> None:
        if told is not None:
            self._told(told)
            self._draw()
