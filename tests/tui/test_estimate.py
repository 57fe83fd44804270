"""What was used and what is left, on the screen."""

from __future__ import annotations

from datetime import timedelta

from queuectl_engine import Estimate
from tests.samples import MINUTE
from tests.tui.driven import driving
from tests.tui.fake import FakeQueue, attempt, dead, pool, running, waiting


def busy() -> FakeQueue:
    """A pool that runs a job while others wait."""
    queue = FakeQueue(running(1), waiting(2, queue="mail"), waiting(3))
    queue.running.append(pool())
    queue.estimated = Estimate(12 * MINUTE, {"mail": 2 * MINUTE})
    return queue


async def test_the_header_of_a_wide_screen_says_when_all_may_be_done() -> None:
    async with driving(busy(), 160, 50) as tui:
        assert "about 12 min left" in tui.line(0)
    async with driving(busy()) as tui:
        assert "min left" not in tui.line(0)


async def test_the_list_of_queues_says_when_each_may_be_empty() -> None:
    async with driving(busy()) as tui:
        await tui.press("6")
        lines = {line.split()[1 if "▸" in line else 0]: line.rstrip() for line in
                 tui.text.split("\n") if "mail" in line or "default " in line}  # fmt: skip
        assert lines["mail"].endswith(" about 2 min")
        assert lines["default"].endswith(" open")


async def test_nothing_is_said_without_a_pool() -> None:
    queue = busy()
    queue.running.clear()
    async with driving(queue, 160, 50) as tui:
        assert "left" not in tui.line(0)


async def test_an_attempt_shows_what_it_used() -> None:
    queue = FakeQueue(dead(7))
    used = {"cpu": timedelta(seconds=1.25), "peak_memory": 210_000_000}
    queue.history[7] = [attempt(7, 1, **used), attempt(7, 2, cpu=timedelta(0))]
    async with driving(queue) as tui:
        await tui.press("3", "enter")
        assert "exit 1 · cpu 1.2 s · 210.0 MB" in tui.text
        assert "exit 1 · cpu 0.00 s\n" in "\n".join(line.rstrip() for line in tui.text.split("\n"))
