"""What the screens look like, as pictures that are compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.tui.busy import busy_queue
from tests.tui.fake import FakeQueue, app_on, at_rest

SIZES = [
    pytest.param((80, 24), id="80x24"),
    pytest.param((100, 30), id="100x30"),
    pytest.param((160, 50), id="160x50"),
]
SCREENS = {
    "pending": ["1"],
    "processing": ["2"],
    "dead": ["3", "space"],
    "finished": ["4"],
    "pools": ["5"],
    "queues": ["6"],
    "causes": ["F"],
    "cause": ["F", "j", "enter"],
    "filter": ["3", "slash", *"curl", "enter", "asterisk"],
    "typing": ["3", "slash", *"curl"],
    "detail": ["3", "enter"],
    "output": ["2", "enter", "t", "slash", *"speed", "enter"],
    "question": ["3", "d"],
    "plan": ["F", "j", "r"],
    "done": ["F", "j", "r", "y"],
    "later": ["3", "z", *"10m"],
    "command": ["colon", *"req", "tab"],
    "held": ["p"],
    "add": ["a", *"make", "tab", *"mail"],
    "edit": ["3", "e"],
    "help": ["question_mark"],
}

PICTURES = (
    "pending", "dead", "causes", "filter", "detail", "output", "plan", "add", "help",
)  # fmt: skip
Compare = Callable[..., bool]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PICTURES)
def test_screen(
    snap_compare: Compare, monkeypatch: pytest.MonkeyPatch, name: str, size: tuple[int, int]
) -> None:
    monkeypatch.chdir("/")  # the form shows where it is

    async def go(pilot: Any) -> None:
        await pilot.press(*SCREENS[name])
        await at_rest(pilot)

    assert snap_compare(app_on(busy_queue()), terminal_size=size, run_before=go)


@pytest.mark.parametrize("size", SIZES)
def test_an_empty_queue(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(app_on(FakeQueue()), terminal_size=size)
