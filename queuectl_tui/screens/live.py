"""The picture of the queue on the screen: asked for, drawn when it changed, never by the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingsMap
from textual.containers import Container
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

from queuectl_engine import Database
from queuectl_tui import at_hand, keys, words
from queuectl_tui.desk import Desk, Place
from queuectl_tui.feed import Feed
from queuectl_tui.picture import Snapshot, Wanted
from queuectl_tui.terminal import backlogged
from queuectl_tui.widgets.board import Board
from queuectl_tui.widgets.detail_pane import DetailPane
from queuectl_tui.widgets.header import Header
from queuectl_tui.widgets.key_line import KeyLine
from queuectl_tui.widgets.line_view import LineView
from queuectl_tui.widgets.message_line import MessageLine

Clock = Callable[[], datetime]  # aware UTC

REST: Final = 0.08  # seconds without a move before the detail follows the cursor
SLOW: Final = 0.1  # seconds to wait for a terminal that does not read
AGES: Final = 10.0  # seconds between two looks at ages, which are whole minutes
STALE: Final = 1.0  # the same while the database cannot be read


class LiveScreen(Screen[None], inherit_bindings=False):
    """Three live tables and a detail pane, or a list in their place; a message; keys."""

    AUTO_FOCUS = ""
    READ_ONLY: ClassVar[bool] = True
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
            return isinstance(message, LiveScreen.Arrived)

    def __init__(self, database: Database, feed: Feed, now: Clock) -> None:
        super().__init__()
        self.desk = Desk()
        self._database = database
        self._feed = feed
        self._now = now
        self._detail: int | None = None  # whose detail is asked for
        self._asked = Wanted()
        self._answered = Wanted()  # what the picture that is shown was asked for
        self._rest: Timer | None = None
        self._stale: Timer | None = None
        self._wrong_keys: list[str] = []
        self._late: Snapshot | None = None  # came while the terminal did not read
        self._header = Header(id="header")
        self._board = Board(id="board")
        self._pane = DetailPane(id="detail")
        self._message = MessageLine(id="message")
        self._keys = KeyLine(id="keys")

    def use_keys(self, wanted: Mapping[str, str]) -> None:
        """Take other keys for the bindings that are named; call it before it is shown."""
        if wanted:
            mine = [binding for binding in self.BINDINGS if isinstance(binding, Binding)]
            # Textual's own keymap drops both bindings of a key that does two things, as q does.
            self._bindings = BindingsMap(keys.changed(mine, wanted))
            self._wrong_keys = keys.complaints(mine, wanted)

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
        if self._wrong_keys:
            self._message.fail(f"[keys] of the config: {' · '.join(self._wrong_keys)}")

    def on_unmount(self) -> None:
        """Stop reading."""
        self._feed.stop()

    def on_line_view_resized(self, message: LineView.Resized) -> None:
        """Tables show as many rows as fit now."""
        self._measure()

    # -- pictures

    def on_live_screen_arrived(self, message: Arrived) -> None:
        """Draw what changed; a terminal that lags behind gets the newest picture later."""
        if backlogged(self.app):
            if self._late is None:
                self.set_timer(SLOW, self._try_again)
            self._late = message.snapshot
            return
        self._late = None
        if self.desk.held is not None and self._asked == self._answered:
            self.desk.held = message.snapshot
        else:
            self._adopt(message.snapshot)
        self._draw()

    def _adopt(self, snapshot: Snapshot) -> None:
        """Take it as what is shown, and ask for what that leaves open."""
        self._answered = self._asked
        self.desk.adopt(snapshot)
        self._watch_age()
        self._look()

    def _watch_age(self) -> None:
        """An old picture shows its age, a live one has no clock."""
        if self.desk.shown.trouble is None and self._stale is not None:
            self._stale.stop()
            self._stale = None
        elif self.desk.shown.trouble is not None and self._stale is None:
            self._stale = self.set_interval(STALE, self._draw)

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
        self._want()

    def _settle(self) -> None:
        self._detail = self.desk.chosen
        self._want()

    def _want(self) -> None:
        self._asked = self.desk.wanted(self._detail)
        self._feed.want(self._asked)

    # -- drawing

    def _draw(self) -> None:
        now = self._now()
        desk = self.desk
        self._header.draw(desk, self._database, now, read_only=self.READ_ONLY)
        self._board.draw(desk, now)
        if desk.said is not None:
            self._pane.say(desk.said, opened=desk.opened, beside=self.has_class("-wide"))
        else:
            self._pane.draw(
                desk.shown.detail,
                now,
                focused=desk.detail_has_keys,
                opened=desk.opened,
                beside=self.has_class("-wide"),
            )
        self._draw_keys()
        self._message.hint(self._hint())

    def _draw_keys(self) -> None:
        if self._message.busy:
            self._keys.say(self._message.help)
        else:
            self._keys.draw(self._shown_bindings())

    def _hint(self) -> str:
        """What to say while there is nothing else."""
        trouble, location = self.desk.shown.trouble, self._database.location
        # The header names the file: here its directories would push the reason off the line.
        if trouble is not None:
            return trouble.why.replace(location, self._database.name)
        return words.pool_trouble(self.desk.shown.live_pools)

    def _shown_bindings(self) -> Iterator[Binding]:
        """Of the live bindings those that mean something for the job at hand."""
        job = at_hand.job_at_hand(self.desk)
        live = {active.binding.id: active.binding for active in self.active_bindings.values()}
        for name in keys.ranked(
            of_output=self.desk.detail_has_keys,
            of_causes=self.desk.place is Place.CAUSES,
            of_schedules=at_hand.schedule_under_cursor(self.desk) is not None,
        ):
            binding = live.get(name)
            states = None if binding is None else keys.ABOUT.get(binding.action)
            if binding and (states is None or (job is not None and job.state in states)):
                yield binding
