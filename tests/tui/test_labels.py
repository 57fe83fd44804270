"""Labels on the screen: typed in the form, shown in the detail, found by the filter."""

from __future__ import annotations

from tests.tui.driven import driving
from tests.tui.fake import FakeQueue, waiting


async def test_labels_are_typed_shown_and_found() -> None:
    queue = FakeQueue(waiting(1, "other"))
    async with driving(queue) as tui:
        await tui.press("a")
        await tui.type("true")
        await tui.press(*["tab"] * 9)
        await tui.type("nightly, slow")
        await tui.press("enter")
        assert queue.stored[2].labels == ("nightly", "slow")
        await tui.press("enter")
        assert "labels nightly, slow" in tui.text
        await tui.press("escape")
        await tui.filter("label:slow")
        assert "1 Pending 1 " in tui.line(1)
        assert tui.cursor.startswith("▸  2 ")


async def test_an_edit_keeps_labels_until_they_are_changed() -> None:
    queue = FakeQueue(waiting(1, labels=("nightly",)))
    async with driving(queue) as tui:
        await tui.press("e", "enter")
        assert queue.stored[1].labels == ("nightly",)
        await tui.press("e", *["tab"] * 7, *["backspace"] * 7, "enter")
        assert not queue.stored[1].labels


async def test_rules_of_retrying_are_typed_and_shown() -> None:
    queue = FakeQueue(waiting(1, retry_on=(64, 65, 66)))
    async with driving(queue) as tui:
        await tui.press("e", *["tab"] * 9)
        await tui.type("2,70-72")
        await tui.press("enter")
        assert queue.stored[1].retry_on == (64, 65, 66)
        assert queue.stored[1].no_retry_on == (2, 70, 71, 72)
    queue = FakeQueue(waiting(1, retry_on=(64, 65, 66), no_retry_on=(2,)))
    async with driving(queue) as tui:
        await tui.press("enter")
        assert "3 retries · only of exit 64-66 · not of exit 2" in tui.text


async def test_a_label_that_cannot_be_is_told_in_the_form() -> None:
    async with driving(FakeQueue()) as tui:
        await tui.press("a")
        await tui.type("true")
        await tui.press(*["tab"] * 9)
        await tui.type("'\"'")
        await tui.press("enter")
        assert "without commas and quotes" in tui.text
