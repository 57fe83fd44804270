"""The detail of one job: facts above, output below, which can be scrolled and else follows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from queuectl_tui import ink, job_view, words
from queuectl_tui.ink import Line, Span
from queuectl_tui.picture import JobPicture, Said
from queuectl_tui.widgets.line_view import LineView

_EDGE: Final = ink.quiet("│")


class DetailPane(LineView):
    """Draws a job. `top` is the first line of output shown, None to follow its end."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name for it
        super().__init__(id=id)
        self._top: int | None = None
        self._job: int | None = None
        self._room = 0
        self._folded: list[Said] = []
        self._folded_of: tuple[Sequence[Said], int, bool] = ((), 0, False)

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
        if picture is not None and picture.id != self._job:
            self._job, self._top = picture.id, None
        edge = (_EDGE,) if beside and not opened else ()
        lines = self._lines_of(picture, width - len(edge), height, now, focused, opened)
        lines += [ink.BLANK] * (height - len(lines))
        self.show([ink.line(*edge, *drawn) for drawn in lines[:height]])

    def scroll_by(self, lines: int) -> None:
        """Show lines further down, or up when negative; at the end it follows again."""
        end = max(len(self._folded) - self._room, 0)
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

    def _lines_of(
        self,
        picture: JobPicture | None,
        width: int,
        height: int,
        now: datetime,
        focused: bool,
        opened: bool,
    ) -> list[Line]:
        if picture is None:
            return [ink.ruled((ink.quiet("──"), Span(" detail")), (), width), *job_view.WELCOME]
        info = job_view.info(picture, width, height, now)
        self._room = max(height - 1 - len(info), 1)
        self._fold(picture.output, width, wrap=opened)
        first = len(self._folded) - self._room if self._top is None else self._top
        first = max(min(first, len(self._folded) - self._room), 0)
        shown = self._folded[first : first + self._room]
        below = len(self._folded) - first - len(shown)
        note = f"{words.number(below)} lines below · G follows" if below else ""
        title = job_view.headline(picture, width, now, focused=focused, note=note)
        output = [job_view.output_line(said, width) for said in shown]
        if not output and picture.job is not None:
            output = [job_view.no_output(picture.job)]
        return [title, *info, *output]

    def _fold(self, output: Sequence[Said], width: int, *, wrap: bool) -> None:
        of, at, wrapped = self._folded_of
        if of is not output or at != width or wrapped != wrap:
            self._folded = job_view.fold(output, width, wrap=wrap)
            self._folded_of = (output, width, wrap)
