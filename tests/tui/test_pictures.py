"""What the screens look like, as pictures that are compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.tui.busy import busy_queue
from tests.tui.fake import FakeQueue, app_on, at_rest

SIZES = [pytest.param((80, 24), id="80x24"), pytest.param((160, 50), id="160x50")]
SCREENS = {
    "pending": ["1"],
    "processing": ["2"],
    "dead": ["3", "space"],
    "finished": ["4"],
    "pools": ["5"],
    "queues": ["6"],
    "detail": ["3", "enter"],
    "output": ["2", "enter"],
    "question": ["3", "d"],
    "add": ["a", *"make", "tab", *"mail"],
    "help": ["question_mark"],
}

Compare = Callable[..., bool]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SCREENS)
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
