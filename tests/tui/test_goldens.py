"""What the screens say, as plain text: small, and read in a diff."""

from __future__ import annotations

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.tui.busy import busy_queue
from tests.tui.driven import driving
from tests.tui.test_pictures import SCREENS


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (160, 50)])
@pytest.mark.parametrize("name", SCREENS)
async def test_screen(
    snapshot: SnapshotAssertion,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    width: int,
    height: int,
) -> None:
    monkeypatch.chdir("/")  # the form shows where it is
    async with driving(busy_queue(), width, height) as tui:
        await tui.press(*SCREENS[name])
        await tui.rest()
        lines = [line.rstrip() for line in tui.text.split("\n")]
        assert all(len(line) <= width for line in lines)
        assert "\n".join(lines) == snapshot
