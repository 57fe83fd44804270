"""Finding things and looking closer: filter, find, output, copies. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, TypeVar

from textual.binding import BindingType
from textual.message import Message
from textual.timer import Timer

from queuectl_engine import BadInput, Database, Filter, QueuectlError, parse_filter, safe_text
from queuectl_tui import acts, at_hand, keys, report, terminal, words
from queuectl_tui.desk import Place
from queuectl_tui.feed import Feed
from queuectl_tui.hands import Deed, Hands
from queuectl_tui.pager import cleaned, show_in_pager
from queuectl_tui.screens.live import Clock
from queuectl_tui.screens.watch import WatchScreen
from queuectl_tui.typed import typed
from queuectl_tui.widgets.board import Board
from queuectl_tui.widgets.message_line import Prompt

T = TypeVar("T")
_EXAMPLES: Final = "words queue:mail label:ci age>1h"
DEBOUNCE: Final = 0.12  # seconds without a key before a filter is tried


class StudyScreen(WatchScreen, inherit_bindings=False):
    """All that a person can do who may change nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.STUDYING, *keys.WATCHING]

    @dataclass
    class Came(Message):
        """A deed ended: `then` is what to do about it."""

        then: Callable[[], object]

    def __init__(self, database: Database, feed: Feed, hands: Hands, now: Clock) -> None:
        super().__init__(database, feed, now)
        self._hands = hands
        self._trying: Timer | None = None

    def on_mount(self) -> None:
        """Be ready to act."""
        self._hands.start()

    def on_unmount(self) -> None:
        """Nothing that runs is stopped but the thread that acts."""
        self._hands.stop()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys of the output are live where there is a job, those of tables where there is one."""
        desk = self.desk
        match action:
            case "filter" | "range" | "mark_all":
                of_causes = desk.place is Place.CAUSES and action == "filter"
                here = (desk.table is not None or of_causes) and not desk.detail_has_keys
                return here and super().check_action(action, parameters)
            case "find":
                return desk.detail_has_keys and super().check_action(action, parameters)
            case "attempt" | "stream" | "wrap" | "times" | "follow" | "pager" | "copy":
                return desk.chosen is not None and super().check_action(action, parameters)
        return super().check_action(action, parameters)

    def on_study_screen_came(self, message: Came) -> None:
        """Do what is to be done with the result."""
        message.then()

    # -- filter and find

    def action_causes(self) -> None:
        """Show what the dead jobs died of."""
        self.action_go("causes")

    def action_filter(self) -> None:
        """Show only what matches, while it is typed."""
        words_of = "program and last line" if self.desk.place is Place.CAUSES else _EXAMPLES
        self._message.prompt(
            Prompt(
                label="/ ",
                help=f"{words_of} exit:1 !not · Enter keeps · Esc clears",
                entered=self._filtered,
                changed=self._filter_soon,
            ),
            typed(str(self.desk.filter)),
        )
        self._draw_keys()

    def action_find(self) -> None:
        """Find a text in the output."""
        self._message.prompt(
            Prompt(
                label="find ",
                help="text in the output · Enter keeps · n N next, previous · Esc forgets",
                entered=self._find,
                changed=self._find,
            ),
            typed(""),
        )
        self._draw_keys()

    def action_next(self, by: int) -> None:
        """The next match: a row of a filtered table, or a line that was found."""
        if not self.desk.detail_has_keys:
            self.action_move(by)
        elif self._pane.find_next(by):
            self._draw()
        else:
            self._message.fail("nothing more is found there" if by > 0 else "nothing before it")

    # -- the output

    def action_attempt(self, by: int) -> None:
        """Show the output of another attempt."""
        self.desk.show_attempt(by)
        self._moved()

    def action_stream(self) -> None:
        """Show stderr, stdout or both."""
        self._pane.next_stream()
        self._moved()

    def action_wrap(self) -> None:
        """Wrap long lines or cut them."""
        self._pane.toggle_wrap()
        self._moved()

    def action_times(self) -> None:
        """Show when lines were printed."""
        self._pane.toggle_times()
        self._moved()

    def action_follow(self) -> None:
        """Follow the end of the output, or stay here."""
        self._pane.toggle_follow()
        self._moved()
        self._message.tell("following" if self._pane.following else "not following")

    def action_pager(self) -> None:
        """Read all that is kept of the output in $PAGER."""
        detail = self.desk.shown.detail
        if detail is not None and detail.shown:
            self._do(cleaned(detail.id, detail.shown), self._page_through)
        else:
            self._message.fail("there is no output yet")

    # -- copies

    def action_copy(self, what: str) -> None:
        """Put something on the clipboard of the terminal that shows us, wherever that is."""
        detail, job = self.desk.shown.detail, at_hand.job_at_hand(self.desk)
        if job is None or (what == "report" and (detail is None or detail.id != job.id)):
            self._message.fail("nothing here to copy")
            return
        texts = {"id": str(job.id), "command": job.command}
        text = report.failure_report(detail) if what == "report" and detail else texts[what]
        kept, size = report.clip(text)
        self.app.copy_to_clipboard(kept)
        self._message.tell(f"{what} of {job.id} copied · {size}")

    # -- marks

    def action_mark_all(self) -> None:
        """Mark all that match, or none."""
        assert self.desk.table is not None
        self.desk.table.toggle_all()
        self._moved()

    def action_range(self) -> None:
        """Begin a range of marks, or mark up to here."""
        table = self.desk.table
        job, place = (table.current(), table.place()) if table is not None else (None, None)
        if table is None or job is None or place is None:
            return
        if table.ranged is None:
            table.ranged = (job.id, place)
            self._message.tell(f"a range begins at {job.id} · v again marks up to the cursor")
            return
        begin, table.ranged = table.ranged, None
        self._do(acts.between(table, begin, (job.id, place)), self._mark)

    # -- the screen

    def action_hold(self) -> None:
        """Hold the picture while the queue goes on, or show it live again."""
        if self.desk.held is None:
            self.desk.held = self.desk.shown
            self._message.tell("the display is held · p goes on")
        else:
            newest, self.desk.held = self.desk.held, None
            self._message.clear()
            self._adopt(newest)
        self._draw()

    def action_mouse(self) -> None:
        """Let the mouse point, or leave it to the terminal for selecting text."""
        on = terminal.toggle_mouse(self.app)
        self._message.tell(f"mouse {'on: click a row, turn the wheel' if on else 'off'}")

    def on_board_clicked(self, message: Board.Clicked) -> None:
        """Go to the row."""
        self.desk.point(message.table, message.line)
        self._moved()

    def on_mouse_scroll_down(self) -> None:
        """Turning the wheel is moving."""
        self.action_move(3)

    def on_mouse_scroll_up(self) -> None:
        """The same the other way."""
        self.action_move(-3)

    # --

    def _do(self, deed: Deed[T], then: Callable[[T], object]) -> None:
        """Run a deed off the loop; `then` hears on the loop what came of it."""

        def tell(result: T | QueuectlError) -> None:
            self.post_message(self.Came(lambda: self._came(result, then)))

        self._hands.do(deed, tell)

    def _came(self, result: T | QueuectlError, then: Callable[[T], object]) -> None:
        if isinstance(result, QueuectlError):
            self._message.fail(str(result))
        else:
            then(result)
        self._draw()

    def _filter_soon(self, text: str) -> None:
        if self._trying is not None:
            self._trying.stop()
        self._trying = self.set_timer(DEBOUNCE, lambda: self._try_filter(text))

    def _try_filter(self, text: str) -> None:
        self._trying = None
        try:
            self._search(self._parsed(text))
        except BadInput as error:
            self._message.note(str(error))

    def _filtered(self, text: str | None) -> None:
        if self._trying is not None:
            self._trying.stop()
            self._trying = None
        self._message.clear()
        try:
            self._search(self._parsed(text or ""))
        except BadInput as error:
            self._message.fail(str(error))

    def _parsed(self, text: str) -> Filter:
        wanted = parse_filter(text, now=self._now().astimezone())
        return wanted.for_causes() if self.desk.place is Place.CAUSES else wanted

    def _search(self, wanted: Filter) -> None:
        if str(self.desk.filter) != str(wanted):
            self.desk.search(wanted)
            self._look()
        self._draw()

    def _find(self, text: str | None) -> None:
        found = self._pane.find(text or "")
        if text:
            self._message.note(f"{words.number(found)} lines")
        self._draw()

    def _mark(self, ids: list[int]) -> None:
        table = self.desk.table
        if table is not None and table.mark(ids):
            self._message.tell(f"{words.jobs(len(table.marks))} marked")
        else:
            self._message.fail("that is more than can be marked · * marks all that match")

    def _page_through(self, text: str) -> None:
        problem = show_in_pager(self.app, text, os.environ)
        if problem:
            self._message.fail(safe_text(problem))
