"""An app under a pilot, with the words that the tests use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from queuectl_tui.app import QueueApp
from queuectl_tui.desk import Desk
from tests.tui.fake import FakeQueue, app_on, at_rest, screen_of, shown


class Driven:
    """An app under a pilot, with the words that the tests use."""

    def __init__(self, app: QueueApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        await self.press(*(_KEYS.get(char, char) for char in text))

    @property
    def text(self) -> str:
        return shown(self.app)

    def line(self, number: int) -> str:
        return self.text.split("\n")[number].rstrip()

    @property
    def desk(self) -> Desk:
        return screen_of(self.app).desk

    async def rest(self) -> None:
        """Wait for the detail, which follows the cursor after a moment without a key."""
        await at_rest(self.pilot)

    async def filter(self, text: str) -> None:
        await self.press("slash")
        await self.type(text)
        await self.press("enter")

    @property
    def message(self) -> str:
        return self.line(-2)

    @property
    def cursor(self) -> str:
        return next((line for line in self.text.split("\n") if "▸" in line), "")


_KEYS = {
    " ": "space",
    "+": "plus",
    "-": "minus",
    "?": "question_mark",
    ".": "full_stop",
    ":": "colon",
    "/": "slash",
    ",": "comma",
    "*": "asterisk",
    "!": "exclamation_mark",
    "'": "apostrophe",
}


@asynccontextmanager
async def driving(
    queue: FakeQueue,
    width: int = 80,
    height: int = 24,
    *,
    read_only: bool = False,
    keymap: Mapping[str, str] | None = None,
) -> AsyncIterator[Driven]:
    app = app_on(queue, read_only=read_only, keymap=keymap)
    async with app.run_test(size=(width, height)) as pilot:
        await pilot.pause()
        yield Driven(app, pilot)
