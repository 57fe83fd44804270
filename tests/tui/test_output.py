"""The detail of a job: why it waits, what happened to it, and its output as one likes to see it."""

from __future__ import annotations

import pytest
from textual.app import App

from queuectl_engine import Attempt, Job, Stream
from queuectl_tui import report
from queuectl_tui.commanding import COMMANDS, argv_of, complete, run, words_of
from queuectl_tui.job_reader import JobReader
from queuectl_tui.picture import Speech
from queuectl_tui.typed import typed
from tests.samples import HOUR, NOON, SECOND
from tests.tui.busy import busy_queue
from tests.tui.driven import driving
from tests.tui.fake import FakeQueue, attempt, dead, running, waiting


async def test_what_waits_says_why() -> None:
    async with driving(FakeQueue(waiting(1, "make"))) as tui:
        assert " > all 4 workers that serve it are busy" in tui.text
        await tui.press("enter")
        await tui.rest()
        assert "waits     all 4 workers" in tui.text


async def test_what_failed_in_a_known_way_says_what_to_try() -> None:
    queue = FakeQueue(dead(1, "./run", runs=1))
    queue.history[1] = [attempt(1, 1, exit_code=126)]
    async with driving(queue) as tui:
        await tui.press("3")
        assert " > chmod +x" in tui.text
        await tui.press("enter")
        assert "try       chmod +x" in tui.text


async def test_it_tells_who_did_what() -> None:
    async with driving(busy_queue(), 160, 50) as tui:
        await tui.press("3")
        await tui.rest()
        assert "events    10:00:00     added by ada" in tui.text
        assert "requeued by ada · to run at 11:40" in tui.text


async def test_the_output_of_any_attempt_can_be_shown() -> None:
    queue = FakeQueue(dead(1, runs=3))
    queue.history[1] = [attempt(1, number) for number in (1, 2, 3)]
    queue.say(1, "the last one\n")
    async with driving(queue, 100, 40) as tui:
        await tui.press("3", "enter")
        assert "output of attempt 3" in tui.text
        assert "the last one" in tui.text
        for key, shows in [("comma", 2), ("comma", 1), ("comma", 1), ("full_stop", 2)]:
            await tui.press(key)
            assert f"output of attempt {shows}" in tui.text
            assert f"› {shows}" in tui.text
            assert "the last one" not in tui.text
        await tui.press("full_stop", "full_stop")
        assert "the last one" in tui.text


async def test_streams_are_shown_together_or_alone() -> None:
    queue = FakeQueue(running(1))
    queue.say(1, "good\n")
    queue.say(1, "bad\n", Stream.ERR)
    async with driving(queue) as tui:
        await tui.press("2", "enter")
        seen = []
        for _ in range(3):
            seen.append(("out │ good" in tui.text, "err │ bad" in tui.text))
            await tui.press("o")
        assert seen == [(True, True), (False, True), (True, False)]


async def test_long_lines_are_wrapped_or_cut_and_times_shown() -> None:
    queue = FakeQueue(running(1))
    queue.say(1, "x" * 100 + "end\n")
    async with driving(queue) as tui:
        await tui.press("2")
        await tui.rest()
        assert "xend" not in tui.text
        await tui.press("w")
        assert "xend" in tui.text
        await tui.press("w", "enter")
        assert "xend" not in tui.text, "a wish outlives another view"
        await tui.press("w", "t")
        assert " 12:00:00 out │ xxx" in tui.text


async def test_following_is_turned_off_and_on() -> None:
    queue = FakeQueue(running(1))
    queue.say(1, "".join(f"line {i}\n" for i in range(100)))
    async with driving(queue) as tui:
        await tui.press("2", "enter", "f")
        assert "not following" in tui.message
        queue.say(1, "line 100\n")
        await tui.pilot.pause()
        assert "line 100" not in tui.text
        await tui.press("f")
        assert "line 100" in tui.text


async def test_text_is_found_in_the_output() -> None:
    queue = FakeQueue(running(1))
    queue.say(1, "".join(f"line {i}\n" for i in range(100)))
    async with driving(queue) as tui:
        await tui.press("2", "enter", "slash")
        await tui.type("LINE 1")
        assert "11 lines" in tui.message
        await tui.press("enter")
        assert "11 lines with 'LINE 1' · n N" in tui.text
        assert "out │ line 19" in tui.text, "the last one is shown"
        await tui.press("N", "N", "N", "N")
        assert "out │ line 15" in tui.text
        for _ in range(12):
            await tui.press("N")
        assert "nothing before it" in tui.message
        assert "out │ line 1\n" in "\n".join(line.rstrip() for line in tui.text.split("\n"))
        await tui.press("slash", "escape")
        assert "lines with" not in tui.text


async def test_what_was_sought_is_told_only_while_it_can_be_gone_through() -> None:
    queue = FakeQueue(running(1))
    queue.say(1, "".join(f"line {i}\n" for i in range(100)))
    async with driving(queue) as tui:
        await tui.press("2", "enter", "slash")
        await tui.type("line 1")
        await tui.press("enter", "escape")
        assert "lines with" not in tui.text
        await tui.press("enter")
        assert "11 lines with 'line 1' · n N" in tui.text


# -- copies


@pytest.mark.parametrize(
    ("key", "begins", "said"),
    [
        ("y", "1048012", "id of 1048012 copied · 7 B"),
        ("c", "curl -fsS https://hooks.example", "command of 1048012 copied · 8"),
        ("Y", "job 1048012: dead, attempt 4 of 4", "report of 1048012 copied · "),
    ],
)
async def test_copies(key: str, begins: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    monkeypatch.setattr(App, "copy_to_clipboard", lambda app, text: copied.append(text))
    async with driving(busy_queue()) as tui:
        await tui.press("3")
        await tui.rest()
        await tui.press(key)
        assert copied[0].startswith(begins)
        assert said in tui.message


def test_a_report_tells_what_someone_else_needs() -> None:
    picture = JobReader().read(busy_queue(), 1048012)
    lines = report.failure_report(picture).split("\n")
    assert lines[1] == "queue:   mail"
    assert "reason:  exit 22" in lines
    assert "cause:   curl · exit 22 · (22) returned" not in lines
    assert "attempts:" in lines
    assert lines[-2] == "  err | curl: (22) The requested URL returned error: 503"


def test_a_report_is_harmless() -> None:
    queue = FakeQueue(dead(1, "echo \x1b[2J", runs=1))
    queue.say(1, b"\x1b]52;c;AAAA\x07out\n")
    assert "\x1b" not in report.failure_report(JobReader().read(queue, 1))


def test_what_is_copied_is_bounded_and_says_so() -> None:
    kept, size = report.clip("é" * 40_000)
    assert len(kept.encode()) == report.MOST
    assert size == "the first 65.5 kB of 80.0 kB"


# -- holding the display


async def test_the_display_is_held_and_counts_what_changed() -> None:
    queue = FakeQueue(*(waiting(i) for i in (1, 2, 3)))
    async with driving(queue) as tui:
        await tui.press("p")
        assert "HELD +0" in tui.line(0)
        queue.put(running(1), waiting(4))
        await tui.pilot.pause()
        assert "HELD +1" in tui.line(0), "one runs now, the sum of those that wait is the same"
        queue.put(dead(1), waiting(5), waiting(6))
        await tui.pilot.pause()
        assert "HELD +3" in tui.line(0)
        assert "1 Pending 3" in tui.line(1)
        await tui.press("p")
        assert "LIVE" in tui.line(0)
        assert "1 Pending 5" in tui.line(1)


async def test_a_held_display_can_still_be_moved_in() -> None:
    queue = FakeQueue(*(waiting(i) for i in range(1, 51)))
    async with driving(queue) as tui:
        await tui.press("p", "G")
        assert tui.cursor.startswith("▸  50 ")
        assert "HELD +0" in tui.line(0)


# -- queuectl lines


def test_tab_completes_the_names_of_commands() -> None:
    assert complete(typed("req")) == typed("requeue ")
    assert complete(typed("re")) == typed("re")
    assert complete(typed("s")) == typed("s")
    assert complete(typed("sto")) == typed("stop ")
    assert complete(typed("x")) is None


def test_every_command_can_be_completed() -> None:
    from queuectl_engine.cli.command import COMMANDS as GROUPS

    assert set(COMMANDS) == {name for group in GROUPS.values() for name in group}


def test_a_line_may_begin_with_the_name_of_the_program() -> None:
    assert words_of("queuectl list --filter 'a b'") == ["list", "--filter", "a b"]
    assert words_of("list") == ["list"]
    assert argv_of(["list"], "/srv/queue.db")[-3:] == ["--db", "/srv/queue.db", "list"]


def test_a_line_runs_as_a_process_of_its_own() -> None:
    printed = run(["requeue", "--help"], lambda size: True, 80)(FakeEngine())  # type: ignore[arg-type]
    assert printed.code == 0
    assert any("Usage" in line for line in printed.lines)
    printed = run(["frobnicate"], lambda size: True, 80)(FakeEngine())  # type: ignore[arg-type]
    assert (printed.code, printed.line) == (2, "frobnicate")


def test_a_line_that_goes_on_can_be_stopped() -> None:
    printed = run(["wait", "1"], lambda size: False, 80)(FakeEngine())  # type: ignore[arg-type]
    assert printed.code != 0


class FakeEngine:
    """The only thing that running a line asks an engine for."""

    class database:  # noqa: N801
        location = "/nowhere/queue.db"


async def test_lines_of_text_are_scrolled_and_closed() -> None:
    async with driving(FakeQueue(waiting(1), waiting(2))) as tui:
        tui.desk.say(Speech("queuectl list", tuple(f"row {i}" for i in range(30))))
        await tui.press("g")
        assert "── queuectl list" in tui.text
        assert "row 0" in tui.text
        await tui.press("G")
        assert "row 29" in tui.text
        await tui.press("escape")
        assert "row 29" not in tui.text
        assert "── 1 pending" in tui.text


async def test_a_command_is_prompted_for_and_says_what_is_wrong() -> None:
    async with driving(FakeQueue()) as tui:
        await tui.press("colon")
        assert tui.message == " : queuectl"
        await tui.type("sho")
        await tui.press("tab")
        assert tui.message == " : queuectl show"
        await tui.type("'")
        await tui.press("enter")
        assert "the words cannot be told apart" in tui.message


# -- reading only


async def test_for_reading_only_there_is_no_key_that_writes() -> None:
    writing = {
        "add", "requeue", "requeue-later", "edit", "cancel", "delete", "undo", "more-workers",
        "fewer-workers", "pause", "command",
    }  # fmt: skip
    queue = busy_queue()
    async with driving(queue, read_only=True) as tui:
        assert "READ-ONLY" in tui.line(0)
        live = {active.binding.id for active in tui.app.active_bindings.values()}
        assert not live & writing
        await tui.press("3", "space", *"arzexdu+-P:", "y")
        assert queue.acted == []
        assert "requeue" not in tui.line(-1)
        await tui.press("F", "enter")
        assert "F Died like this 3" in tui.text


def test_an_attempt_that_ended_is_advised_on_once() -> None:
    queue = FakeQueue(dead(1, runs=1))
    queue.history[1] = [attempt(1, 1, exit_code=126)]
    asked: list[int] = []

    def advice(job: Job, attempt: Attempt) -> None:
        asked.append(attempt.number)

    queue.advice = advice  # type: ignore[method-assign]
    reader = JobReader()
    for _ in range(3):
        reader.read(queue, 1)
    assert asked == [1]


def test_a_job_with_an_old_picture_is_read_again() -> None:
    queue = FakeQueue(dead(1, runs=2, finished_at=NOON + HOUR))
    reader = JobReader()
    first = reader.read(queue, 1)
    queue.stored[1] = queue.stored[1]._replace(updated_at=NOON + SECOND)
    assert reader.read(queue, 1) != first
