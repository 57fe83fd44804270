"""Looking at the queue: the screen owns the picture, asks the feed for it, and moves in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.events import Key, Resize
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

from queuectl_engine import Database, View
from queuectl_tui import keys, words
from queuectl_tui.desk import Desk, Place
from queuectl_tui.feed import Feed
from queuectl_tui.picture import Snapshot
from queuectl_tui.screens.help import HelpScreen
from queuectl_tui.terminal import backlogged, burst_of
from queuectl_tui.widgets.board import Board
from queuectl_tui.widgets.detail_pane import DetailPane
from queuectl_tui.widgets.header import Header
from queuectl_tui.widgets.key_line import KeyLine
from queuectl_tui.widgets.message_line import MessageLine

Clock = Callable[[], datetime]  # aware UTC

REST: Final = 0.08  # seconds without a move before the detail follows the cursor
SLOW: Final = 0.1  # seconds to wait for a terminal that does not read
AGES: Final = 10.0  # seconds between two looks at ages, which are whole minutes


class WatchScreen(Screen[None], inherit_bindings=False):
    """Three live tables and a detail pane; or finished jobs, pools, queues in their place."""

    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*keys.WATCHING]
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - Textual declares it so
        (0, "-narrow"),
        (60, "-stacked"),
        (140, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-low"),
        (16, "-high"),
    ]

    @dataclass
    class Arrived(Message):
        """A new picture."""

        snapshot: Snapshot

        def can_replace(self, message: Message) -> bool:
            """A newer picture makes this one worthless."""
            return isinstance(message, WatchScreen.Arrived)

    def __init__(self, database: Database, feed: Feed, now: Clock) -> None:
        super().__init__()
        self.desk = Desk()
        self._database = database
        self._feed = feed
        self._now = now
        self._detail: int | None = None  # whose detail is asked for
        self._rest: Timer | None = None
        self._late: Snapshot | None = None  # came while the terminal did not read
        self._header = Header(id="header")
        self._board = Board(id="board")
        self._pane = DetailPane(id="detail")
        self._message = MessageLine(id="message")
        self._keys = KeyLine(id="keys")

    def compose(self) -> ComposeResult:
        """Five places that never move: no key changes the layout but Enter."""
        yield self._header
        with Container(id="body"):
            yield self._board
            yield self._pane
        yield self._message
        yield self._keys

    def on_mount(self) -> None:
        """Start the feed; it only posts messages."""
        self._feed.start(lambda snapshot: self.post_message(self.Arrived(snapshot)))
        self.set_interval(AGES, self._draw)

    def on_unmount(self) -> None:
        """Stop reading."""
        self._feed.stop()

    def on_resize(self, event: Resize) -> None:
        """Tables show as many rows as fit now."""
        self.call_after_refresh(self._measure)

    # -- pictures

    def on_watch_screen_arrived(self, message: Arrived) -> None:
        """Draw what changed; a terminal that lags behind gets the newest picture later."""
        if backlogged(self.app):
            if self._late is None:
                self.set_timer(SLOW, self._try_again)
            self._late = message.snapshot
            return
        self._late = None
        self.desk.adopt(message.snapshot)
        self._look()
        self._draw()

    def _try_again(self) -> None:
        if self._late is not None:
            late, self._late = self._late, None
            self.post_message(self.Arrived(late))

    def _measure(self) -> None:
        self._board.alone = self.has_class("-narrow") or self.has_class("-low")
        if self._board.size.height:
            self.desk.resize(self._board.rows(self.desk))
        self._look()
        self._draw()

    def _look(self, *, at_once: bool = False) -> None:
        """Ask the feed for what is visible; for the detail only once the cursor rests."""
        if self._detail != self.desk.chosen:
            if at_once or self._detail is None:
                self._settle()
                return
            if self._rest is not None:
                self._rest.stop()
            self._rest = self.set_timer(REST, self._settle)
        self._feed.want(self.desk.wanted(self._detail))

    def _settle(self) -> None:
        self._detail = self.desk.chosen
        self._feed.want(self.desk.wanted(self._detail))

    def _draw(self) -> None:
        now = self._now()
        desk = self.desk
        self._header.draw(desk, self._database)
        self._board.draw(desk, now)
        self._pane.draw(
            desk.shown.detail,
            now,
            focused=desk.detail_has_keys,
            opened=desk.opened,
            beside=self.has_class("-wide"),
        )
        if not self._message.asking:
            self._keys.draw(self._shown_bindings())
        self._message.hint(self._hint())

    def _hint(self) -> str:
        if self.desk.shown.trouble is not None:
            return self.desk.shown.trouble.why
        waiting = self.desk.waiting()
        if waiting and not self.desk.live_pools():
            wait = "waits" if waiting == 1 else "wait"
            return f"{words.jobs(waiting)} {wait} and no pool runs · + starts a worker"
        return "" if sum(self.desk.shown.counts.stored.values()) else "a adds a job"

    # -- keys

    def on_key(self, event: Key) -> None:
        """A question takes every key."""
        if self._message.asking:
            event.stop()
            self._message.answer(event, burst_of(event))
            self._draw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`q` closes what is open, and quits where nothing is; a question takes every key."""
        if self._message.asking:
            return False
        match action:
            case "close":
                return self._can_go_back()
            case "leave":
                return not self._can_go_back()
            case "mark":
                return self.desk.table is not None and not self.desk.detail_has_keys
            case "open":
                return self.desk.chosen is not None and not self.desk.opened
        return True

    def action_go(self, place: str, focus: str | None = None) -> None:
        """Show a place, and give one of the tables the focus."""
        self._message.clear()
        self._after_closing()
        self.desk.go(Place(place), View(focus) if focus else None)
        self._measure()

    def action_next_pane(self, by: int) -> None:
        """Give the focus to the next pane."""
        self.desk.next_pane(by)
        self._moved()

    def action_open(self) -> None:
        """Let the detail fill the screen."""
        self._message.clear()
        self.desk.opened = True
        self.add_class("-opened")
        self.call_after_refresh(self._measure)

    def action_back(self) -> None:
        """One step back; there is always a way to stay."""
        self._message.clear()
        if self.desk.back():
            self._after_closing()
            self._measure()

    def action_close(self) -> None:
        """Close what is open."""
        self.action_back()

    def action_leave(self) -> None:
        """Quit: what runs goes on."""
        self.app.exit()

    def action_move(self, by: int) -> None:
        """Move the cursor, or scroll the detail."""
        if self.desk.detail_has_keys:
            self._pane.scroll_by(by)
        else:
            self.desk.move(by)
        self._moved()

    def action_page(self, pages: float) -> None:
        """Move by a part of the screen."""
        if self.desk.detail_has_keys:
            self._pane.scroll_page(pages)
        else:
            rows = self._board.rows(self.desk)
            self.desk.page(int(max(rows - 1, 1) * pages) or (1 if pages > 0 else -1))
        self._moved()

    def action_first(self) -> None:
        """Go to the start."""
        if self.desk.detail_has_keys:
            self._pane.scroll_to_start()
        else:
            self.desk.first()
        self._moved()

    def action_last(self) -> None:
        """Go to the end."""
        if self.desk.detail_has_keys:
            self._pane.follow()
        else:
            self.desk.last()
        self._moved()

    def action_mark(self) -> None:
        """Mark the job under the cursor and move on."""
        done = self.desk.toggle_mark()
        self._moved()
        if not done:
            self._message.fail("that is as many marks as there can be")

    def action_help(self) -> None:
        """Show every key."""
        bindings = [active.binding for active in self.active_bindings.values()]
        self.app.push_screen(HelpScreen(bindings))

    # --

    def _moved(self) -> None:
        self._message.clear()
        self._look()
        self._draw()

    def _can_go_back(self) -> bool:
        return self.desk.detail_has_keys or self.desk.place is not Place.TABLES

    def _after_closing(self) -> None:
        self.remove_class("-opened")
        self.call_after_refresh(self._measure)

    def _shown_bindings(self) -> Iterator[Binding]:
        """Of the live bindings those that mean something for the job at hand."""
        ids = self.desk.targets()
        job = self.desk.job(ids[0]) if ids else None
        for active in self.active_bindings.values():
            states = keys.ABOUT.get(active.binding.action)
            if active.binding.show and (states is None or (job and job.state in states)):
                yield active.binding
