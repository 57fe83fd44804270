"""The program: arguments, the terminal's guards, and the one app."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final, NoReturn

from rich.text import Text
from textual.app import App
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.theme import Theme

from queuectl_engine import Database, QueuectlError, __version__, open_engine, safe_text
from queuectl_tui import terminal
from queuectl_tui.door import Door
from queuectl_tui.feed import EngineFeed, Feed
from queuectl_tui.hands import Hands
from queuectl_tui.screens.jobs import JobsScreen
from queuectl_tui.screens.live import Clock
from queuectl_tui.screens.study import StudyScreen
from queuectl_tui.widgets.line_view import ASCII

FIRST: Final = 0.1  # seconds until the first frame
CRASHED: Final = 70  # EX_SOFTWARE of sysexits.h
# Only the terminal's own colours: legible on light and dark, and with NO_COLOR.
_THEME: Final = Theme(
    name="terminal",
    ansi=True,
    primary="ansi_cyan",
    secondary="ansi_cyan",
    accent="ansi_cyan",
    warning="ansi_yellow",
    error="ansi_red",
    success="ansi_green",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    variables={
        "ansi-background": "ansi_default",
        "ansi-foreground": "ansi_default",
        "border-blurred": "ansi_default",
    },
)


def _now() -> datetime:
    return datetime.now(UTC)


class QueueApp(App[None], inherit_bindings=False):
    """One screen on one database. It owns the feed and the hands, and no job."""

    CSS_PATH = "app.tcss"
    TITLE = "queuectl"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "quit", "quit", show=False, priority=True, id="quit-now"),
        Binding("ctrl+l", "repaint", "repaint", show=False, priority=True, id="repaint"),
        Binding("ctrl+z", "suspend_process", "suspend", show=False, priority=True, id="suspend"),
    ]

    def __init__(
        self,
        database: Database,
        feed: Feed,
        hands: Hands,
        porter: Hands | None,
        now: Clock = _now,
        *,
        ascii_only: bool = False,
        keymap: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`porter` does what is long; without one nothing can be changed.

        `keymap` has other keys for bindings, by their ids.
        """
        # At construction: set later, a theme of the terminal's colours draws black on black.
        super().__init__(ansi_color=True)
        self.register_theme(_THEME)
        self.theme = _THEME.name
        self.animation_level = "none"
        self.set_class(ascii_only, ASCII)
        self._database = database
        self._feed = feed
        self._hands = hands
        self._porter = porter
        self._wished = keymap
        self._now = now

    def get_driver_class(self) -> type[Driver]:
        """A driver that survives the loss of the terminal; tests run without any."""
        return terminal.TerminalDriver

    def get_default_screen(self) -> StudyScreen:
        """The only screen there always is."""
        around = (self._database, self._feed, self._hands)
        if self._porter is None:
            screen = StudyScreen(*around, self._now)
        else:
            screen = JobsScreen(*around, self._porter, self._now)
        screen.use_keys(self._wished)
        return screen

    def on_mount(self) -> None:
        """Leave the terminal as it was, whatever ends the program."""
        self.delay_update(FIRST)  # one frame with jobs in it instead of four without
        loop = asyncio.get_running_loop()
        for number in terminal.ENDING:
            loop.add_signal_handler(number, partial(self.exit, return_code=128 + number))
        self.app_resume_signal.subscribe(self, lambda app: self.action_repaint())

    def action_repaint(self) -> None:
        """Draw everything again."""
        self.refresh(layout=True)

    def _fatal_error(self) -> None:
        # Textual would print a screenful with the values of all variables, foreign text among them.
        self._return_code = CRASHED
        self._exit_renderables.append(Text(_crash_note(traceback.format_exc())))
        self._close_messages_no_wait()


def queue_app(
    database: Database,
    *,
    read_only: bool = False,
    ascii_only: bool = False,
    keymap: Mapping[str, str] = MappingProxyType({}),
) -> QueueApp:
    """The app on a database, with a connection for the feed and one for each pair of hands."""
    opener = partial(open_engine, database, read_only=read_only)
    hands, porter = (Hands(Door(opener, database)) for _ in range(2))
    feed = EngineFeed(Door(opener, database))
    return QueueApp(
        database,
        feed,
        hands,
        None if read_only else porter,
        ascii_only=ascii_only,
        keymap=keymap,
    )


def main() -> None:
    """Run `queuectl-tui`; exits with the code of what went wrong."""
    options = _options()
    if reason := terminal.why_not():
        _give_up(
            f"{reason}; use 'queuectl status', 'queuectl list' and 'queuectl add' instead", code=2
        )
    if os.environ.get("NO_COLOR") == "":  # set but empty means no wish (no-color.org)
        del os.environ["NO_COLOR"]
    try:
        # What is wrong with it is said before we draw.
        with open_engine(
            options.db, read_only=options.read_only, allow_owner=options.allow_owner
        ) as engine:
            database, keymap = engine.database, engine.settings.keys
    except QueuectlError as error:
        _give_up(safe_text(str(error)), code=error.exit_code)
    app = queue_app(database, read_only=options.read_only, ascii_only=options.ascii, keymap=keymap)
    app.run(mouse=False)
    terminal.let_go()
    sys.exit(app.return_code)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        _give_up(f"{safe_text(message)}; try 'queuectl-tui --help'", code=2)


def _options() -> argparse.Namespace:
    parser = _Parser(
        prog="queuectl-tui", description="A full-screen view of a job queue. ? shows every key."
    )
    parser.add_argument("--db", metavar="PATH|URL", help="the database (default: as queuectl does)")
    parser.add_argument(
        "--read-only", action="store_true", help="offer no key that changes anything"
    )
    parser.add_argument(
        "--allow-owner", action="store_true", help="use a database that another user owns"
    )
    parser.add_argument("--ascii", action="store_true", help="draw borders and marks with ASCII")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser.parse_args()


def _give_up(message: str, *, code: int) -> NoReturn:
    sys.stderr.write(f"queuectl-tui: {message}\n")
    sys.exit(code)


def _crash_note(trace: str) -> str:
    """Write the trace where only the user can read it, and say where."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    path = Path(state) / "queuectl" / "tui-crash.log"
    last = safe_text(trace.strip().rsplit("\n", 1)[-1])
    try:
        _make_private(path.parent)
        with open(path, "w", encoding="utf-8", errors="replace", opener=_private) as log:
            log.write(trace)
    except OSError as error:
        return f"queuectl-tui: crashed: {last} (no log: {safe_text(str(error))})"
    return f"queuectl-tui: crashed: {last}; details are in {safe_text(str(path))}"


def _make_private(directory: Path) -> None:
    if not directory.is_dir():
        _make_private(directory.parent)
        directory.mkdir(exist_ok=True)
        directory.chmod(0o700)  # whatever the umask


def _private(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor
