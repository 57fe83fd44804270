"""Record a short session of triage: the real program in a terminal, on a real queue.

`python -m screenshots.record` writes `session.cast` (asciicast v2: `asciinema play` shows it) and
`session.svg`, the same as a picture that moves. It needs `pyte`, which the tests install.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shutil
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import pyte

from screenshots import make

HERE: Final = Path(__file__).parent
COLUMNS, LINES = 80, 24
CELL, LINE, EDGE = 8.4, 18, 12  # pixels
QUIET: Final = 0.4  # seconds without output after which a step is on the screen
PAPER, INK = "#1e1e1e", "#d4d4d4"
# Questions to the terminal, which pyte takes for something else.
UNKNOWN: Final = re.compile("\\x1b\\[[<>=?][\\d;]*(?:u|\\$p)")
COLOURS: Final = {
    "black": "#3b3b3b",
    "red": "#f2777a",
    "green": "#99cc99",
    "brown": "#ffcc66",  # what pyte calls yellow
    "blue": "#6699cc",
    "magenta": "#cc99cc",
    "cyan": "#66cccc",
    "white": "#d4d4d4",
    "default": INK,
}


@dataclass(frozen=True, slots=True)
class Step:
    """Keys, what the screen must show then, and how long a viewer looks at it."""

    keys: str
    shows: str
    seconds: float = 1.6


@dataclass(frozen=True, slots=True)
class Frame:
    """A screen, and for how long it stood."""

    cells: tuple[tuple[Any, ...], ...]
    seconds: float


SESSION: Final = (
    Step("", "LIVE", 2.5),
    Step("3", "4 died like this", 2.5),
    Step("F", "Causes of", 2.5),
    Step("j", "rsync: connection", 1.5),
    Step("k", "curl: (22)", 1.0),
    Step("\r", "Died like this 4", 2.0),
    Step("\x1b", "Causes of", 1.0),
    Step("r", "requeue 4", 2.5),
    Step("y", "4 requeued", 3.0),
    Step("u", "taken back", 2.5),
    Step("2", "Processing", 1.0),
    Step("\r", "frame=", 3.5),
    Step("q", "Processing", 1.5),
)


def main() -> int:
    """Record it; the exit code."""
    home = Path(tempfile.mkdtemp(prefix="queuectl-session-"))
    try:
        with make.stage(home) as engine:
            try:
                make.play(engine)
                events, frames = recorded(SESSION)
            finally:
                engine.stop_pool(now=True, timeout=30)
    finally:
        shutil.rmtree(home)
    header = {"version": 2, "width": COLUMNS, "height": LINES, "title": "queuectl-tui: triage"}
    lines = [header, *([round(at, 3), "o", text] for at, text in events)]
    written("session.cast", "".join(json.dumps(line) + "\n" for line in lines))
    written("session.svg", animated(frames))
    return 0


def recorded(session: Sequence[Step]) -> tuple[list[tuple[float, str]], list[Frame]]:
    """What the program wrote and when, on the clock of a viewer; and its screens."""
    pid, master = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execvp(sys.executable, [sys.executable, "-m", "queuectl_tui", "--db", "jobs.db"])
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.Stream(screen)
    events: list[tuple[float, str]] = []
    frames: list[Frame] = []
    clock = 0.0
    for step in session:
        os.write(master, step.keys.encode())
        came = until_shown(master, screen, stream, step.shows)
        events += [(clock, text) for text in came]
        frames.append(Frame(tuple(map(tuple, rows(screen))), step.seconds))
        clock += step.seconds
    os.write(master, b"\x03")
    while read(master):
        pass
    os.waitpid(pid, 0)
    return events, frames


def until_shown(master: int, screen: pyte.Screen, stream: pyte.Stream, words: str) -> Iterator[str]:
    """What comes until the screen shows these words and nothing more comes."""
    deadline = time.monotonic() + 20
    while True:
        text = read(master)
        stream.feed(UNKNOWN.sub("", text))
        if text:
            yield text
        elif words in "\n".join(screen.display):
            return
        elif time.monotonic() > deadline:
            raise TimeoutError(f"no {words!r} in\n" + "\n".join(screen.display))


def read(master: int) -> str:
    """What is written within a moment; nothing at the end."""
    if not select.select([master], [], [], QUIET)[0]:
        return ""
    try:
        return os.read(master, 65536).decode(errors="replace")
    except OSError:
        return ""


def rows(screen: pyte.Screen) -> Iterator[Iterator[Any]]:
    """The cells of each line."""
    for y in range(LINES):
        yield (screen.buffer[y][x] for x in range(COLUMNS))


def animated(frames: Sequence[Frame]) -> str:
    """The frames in turn, as one SVG without a script."""
    width, height = COLUMNS * CELL + 2 * EDGE, LINES * LINE + 2 * EDGE
    whole = sum(frame.seconds for frame in frames)
    rules, groups, begin = [], [], 0.0
    for number, frame in enumerate(frames):
        start, end = (100 * t / whole for t in (begin, begin + frame.seconds))
        begin += frame.seconds
        rules.append(
            f"@keyframes f{number}{{0%,{start:.3f}%{{visibility:hidden}}"
            f"{start:.3f}%,{end:.3f}%{{visibility:visible}}"
            f"{end:.3f}%,100%{{visibility:hidden}}}}"
            f"#f{number}{{animation:f{number} {whole:.1f}s step-end infinite}}"
        )
        groups.append(f'<g id="f{number}" visibility="hidden">{drawn(frame)}</g>')
    font = f"font: 14px {make.FONT}; fill: {INK}; white-space: pre"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}">\n'
        f"<style>text{{{font}}} {''.join(rules)}</style>\n"
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>\n'
        + "\n".join(groups)
        + "\n</svg>\n"
    )


def drawn(frame: Frame) -> str:
    """One screen: a rectangle for each other background, a text for each run of one look."""
    parts: list[str] = []
    for y, cells in enumerate(frame.cells):
        x = 0
        while x < len(cells):
            look, end = looks(cells[x]), x + 1
            while end < len(cells) and looks(cells[end]) == look:
                end += 1
            parts.append(run(x, y, "".join(cell.data for cell in cells[x:end]), look))
            x = end
    return "".join(parts)


def looks(cell: Any) -> tuple[str, str, bool]:
    """Ink, paper and weight of a cell."""
    ink, paper = colour(cell.fg, INK), colour(cell.bg, PAPER)
    return (paper, ink, cell.bold) if cell.reverse else (ink, paper, cell.bold)


def colour(name: str, default: str) -> str:
    """A colour of the terminal, which may be bright or a number."""
    if name == "default":
        return default
    return COLOURS.get(name.removeprefix("bright"), f"#{name}" if len(name) == 6 else INK)


def run(x: int, y: int, text: str, look: tuple[str, str, bool]) -> str:
    """Text of one look at a place."""
    ink, paper, bold = look
    left, top, size = EDGE + x * CELL, EDGE + y * LINE, len(text) * CELL
    box = f'<rect x="{left:.1f}" y="{top}" width="{size:.1f}" height="{LINE}" fill="{paper}"/>'
    if not text.strip():
        return "" if paper == PAPER else box
    weight = ' font-weight="bold"' if bold else ""
    fill = "" if ink == INK else f' style="fill:{ink}"'
    words = (
        f'<text x="{left:.1f}" y="{top + 13}" textLength="{size:.1f}"{weight}{fill}>'
        f"{escape(text)}</text>"
    )
    return words if paper == PAPER else box + words


def written(name: str, text: str) -> None:
    """Keep a file beside this one."""
    (HERE / name).write_text(text, encoding="utf-8")
    print(HERE / name)


if __name__ == "__main__":
    sys.exit(main())
