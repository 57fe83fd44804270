"""Moving around in the picture of the queue."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.events import Key, Paste

from queuectl_tui import at_hand, keys
from queuectl_tui.desk import Place
from queuectl_tui.picture import Table
from queuectl_tui.screens.help import HelpScreen
from queuectl_tui.screens.live import LiveScreen
from queuectl_tui.terminal import burst_of


class WatchScreen(LiveScreen, inherit_bindings=False):
    """The keys that go places and move in them, and what takes keys before they do."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.WATCHING]

    # -- keys

    def on_key(self, event: Key) -> None:
        """A question or a prompt takes every key."""
        if self._message.busy:
            event.stop()
            event.prevent_default()
            self._message.take(event, burst_of(event))
            self._draw()

    def on_paste(self, event: Paste) -> None:
        """What is pasted goes into a prompt, and else nowhere: it is no series of commands."""
        self._message.paste(event.text)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`q` closes what is open, and quits where nothing is; a question takes every key."""
        if self._message.busy:
            return False
        desk = self.desk
        match action:
            case "close":
                return self._can_go_back()
            case "leave":
                return not self._can_go_back()
            case "mark":
                return desk.table is not None and not desk.detail_has_keys
            case "list":
                return desk.place is Place.CAUSES and not desk.detail_has_keys
            case "open":
                return desk.chosen is not None and not desk.opened
        return True

    def action_go(self, place: str, focus: str | None = None) -> None:
        """Show a place, and give one of the tables the focus."""
        self._message.clear()
        self._after_closing()
        self.desk.go(Place(place), Table(focus) if focus else None)
        self._measure()

    def action_list(self) -> None:
        """List the jobs of the cause under the cursor."""
        if (cause := at_hand.cause_under_cursor(self.desk)) is not None:
            self._message.clear()
            self.desk.list_cause(cause)
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
        elif self.desk.table is not None and self.desk.table.all_marked:
            self._message.fail("all that match are marked · * unmarks them")

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
