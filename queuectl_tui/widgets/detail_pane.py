"""The detail of one job: facts above, output below, which can be scrolled and else follows."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from queuectl_engine import safe_text
from queuectl_tui import ink, job_view, output_view, words
from queuectl_tui.ink import Line, Span
from queuectl_tui.output_view import Look
from queuectl_tui.picture import JobPicture, Said, Speech
from queuectl_tui.widgets.line_view import LineView

_EDGE: Final = ink.quiet("│")


class DetailPane(LineView):
    """Draws a job. `top` is the first line of output shown, None to follow its end."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name for it
        super().__init__(id=id)
        self.look = Look()
        self.welcome: Sequence[Line] = job_view.READER  # while there is no job
        self._wrap: bool | None = None  # None: where the detail fills the screen
        self._top: int | None = None
        self._shows: tuple[int, int] | None = None  # a job and an attempt
        self._room = 0
        self._folded: list[Said] = []
        self._folded_of: tuple[Sequence[Said], int, Look] = ((), 0, Look())
        self._speech: Speech | None = None
        self._sought = ""
        self._found: list[int] = []
        self._here = 0  # the line that was found last

    @property
    def following(self) -> bool:
        """Whether new output moves the old up."""
        return self._top is None

    @property
    def output(self) -> Sequence[Said]:
        """The lines that can be scrolled through."""
        return self._folded

    def draw(
        self,
        picture: JobPicture | None,
        now: datetime,
        *,
        focused: bool,
        opened: bool,
        beside: bool,
    ) -> None:
        """Show the job; `beside` the tables it draws the edge between them."""
        width, height = self.size
        if not width or not height:
            return
        if picture is not None and (picture.id, picture.shown) != self._shows:
            self._shows, self._top = (picture.id, picture.shown), None
            self._folded_of, self._speech = ((), 0, Look()), None
        self.look = replace(self.look, wrap=opened if self._wrap is None else self._wrap)
        edge = (_EDGE,) if beside and not opened else ()
        lines = self._lines_of(picture, width - len(edge), height, now, focused)
        self._show_lines(lines, edge, height)

    def say(self, speech: Speech, *, opened: bool, beside: bool) -> None:
        """Show lines of text in place of a job, from their start."""
        width, height = self.size
        if self._speech is not speech:
            self._speech, self._shows, self._top = speech, None, 0
            self._folded = [Said(None, safe_text(line)) for line in speech.lines]
        edge = (_EDGE,) if beside and not opened else ()
        self._room = max(height - 1, 1)
        first = self._end if self._top is None else min(self._top, self._end)
        below = len(self._folded) - first - self._room
        rest = f"{words.number(below)} lines below · " if below > 0 else ""
        note = (ink.quiet(f"{rest}Esc closes"),)
        head = (ink.quiet("── "), Span(safe_text(speech.title)))
        shown = self._folded[first : first + self._room]
        lines = [ink.line(" ", ink.cut(said.text, width - 2)) for said in shown]
        self._show_lines([ink.ruled(head, note, width - len(edge)), *lines], edge, height)

    # -- scrolling

    def scroll_by(self, lines: int) -> None:
        """Show lines further down, or up when negative; at the end it follows again."""
        end = self._end
        top = max((end if self._top is None else self._top) + lines, 0)
        self._top = top if top < end else None

    def scroll_page(self, pages: float) -> None:
        """The same by so many screenfuls."""
        self.scroll_by(int(max(self._room - 1, 1) * pages))

    def scroll_to_start(self) -> None:
        """Show the first line that is held."""
        self._top = 0 if len(self._folded) > self._room else None

    def follow(self) -> None:
        """Show the end, and stay there."""
        self._top = None

    def toggle_follow(self) -> None:
        """Follow the end, or stay where it is now."""
        self._top = self._end if self._top is None else None

    # -- the way it looks

    def next_stream(self) -> None:
        """Show the other stream, or both."""
        self.look = replace(self.look, stream=self.look.next_stream)
        self._top = None

    def toggle_wrap(self) -> None:
        """Wrap long lines, or cut them."""
        self._wrap = not self.look.wrap

    def toggle_times(self) -> None:
        """Show when lines were printed, or not."""
        self.look = replace(self.look, times=not self.look.times)

    # -- finding

    def find(self, wanted: str) -> int:
        """Mark the lines that hold this text and show the last; how many there are."""
        self._sought = wanted
        self._found = output_view.lines_with(self._folded, wanted)
        if self._found:
            self._show_line(self._found[-1])
        return len(self._found)

    def find_next(self, by: int) -> bool:
        """Show the next line that was found, or the one before; False when there is none."""
        here = self._here
        at = bisect_right(self._found, here) if by > 0 else bisect_left(self._found, here) - 1
        if not 0 <= at < len(self._found):
            return False
        self._show_line(self._found[at])
        return True

    # --

    @property
    def _end(self) -> int:
        return max(len(self._folded) - self._room, 0)

    def _show_line(self, number: int) -> None:
        self._here = number
        top = max(number - self._room // 2, 0)
        self._top = top if top < self._end else None

    def _lines_of(
        self, picture: JobPicture | None, width: int, height: int, now: datetime, focused: bool
    ) -> list[Line]:
        if picture is None:
            return [ink.ruled((ink.quiet("──"), Span(" detail")), (), width), *self.welcome]
        info = job_view.info(picture, width, height, now, look=str(self.look))
        self._room = max(height - 1 - len(info), 1)
        self._fold(picture.output, width)
        first = self._end if self._top is None else min(self._top, self._end)
        shown = self._folded[first : first + self._room]
        below = len(self._folded) - first - len(shown)
        note = self._note(picture, below, is_small=height < job_view.ROOMY, focused=focused)
        title = job_view.headline(picture, width, now, focused=focused, note=note)
        found = set(self._found)
        output = [
            output_view.output_line(said, width, self.look, found=number in found)
            for number, said in enumerate(shown, first)
        ]
        if not output and picture.job is not None:
            output = [job_view.no_output(picture.job)]
        return [title, *info, *output]

    def _note(self, picture: JobPicture, below: int, *, is_small: bool, focused: bool) -> str:
        if self._sought and focused:  # else n and N move in a table
            return f"{words.number(len(self._found))} lines with '{safe_text(self._sought)}' · n N"
        if below:
            return f"{words.number(below)} lines below · G follows"
        if is_small and picture.job is not None and picture.shown != picture.job.runs:
            return f"output of attempt {picture.shown} · . later"
        if is_small and str(self.look):
            return f"output: {self.look}"
        return job_view.alike(picture)

    def _fold(self, output: Sequence[Said], width: int) -> None:
        of, at, look = self._folded_of
        if of is not output or at != width or look != self.look:
            self._folded = output_view.fold(output, width, self.look)
            self._folded_of = (output, width, self.look)
            self._found = output_view.lines_with(self._folded, self._sought)

    def _show_lines(self, lines: list[Line], edge: tuple[Span, ...], height: int) -> None:
        lines += [ink.BLANK] * (height - len(lines))
        self.show([ink.line(*edge, *drawn) for drawn in lines[:height]])
