"""`python -m benchmarks.screen_profile [WIDTH HEIGHT]`: where the screen's time goes, by py-spy.

A hundred jobs a second end while queuectl-tui runs in a terminal that nobody sees. Prints the share
of each part of the program, by the innermost of its functions that is at work, and the functions in
which most time is spent. Needs py-spy, and the right to trace (root, or ptrace_scope 0).
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.harness import Bench
from benchmarks.questions.screens import A_SECOND, changing, queue, watch
from benchmarks.terminal import Terminal

_SECONDS: Final = 20
# Where threads wait: py-spy cannot always tell that they do.
_WAITS: Final = (
    "Hands._run ",
    "Condition.wait ",
    "SelectSelector.select ",
    "EpollSelector.select ",
)
# The first of these found in a stack, from the innermost frame outwards, is the part at work.
_PARTS: Final = {
    "queuectl_engine/safe_text": "queuectl-tui's own code",  # it is called for what is drawn
    "queuectl_engine/": "engine: SQL and its rows",
    "queuectl_tui/": "queuectl-tui's own code",
    "textual/": "Textual: compositor, messages, styles",
    "rich/": "Rich: segments and styles",
}


def main() -> None:
    """Record, and tell."""
    width, height = (int(text) for text in sys.argv[1:] or ("120", "43"))
    with (
        TemporaryDirectory(dir=Path.home()) as scratch,
        queue(Bench(quick=False, root=Path(scratch)), 5_000 + _SECONDS * A_SECOND) as engine,
    ):
        path = Path(engine.database.location)
        program = ["-m", "queuectl_tui", "--db", str(path)]
        with changing(path) as change, Terminal(program, path.parent, width, height) as terminal:
            terminal.shows(b"make target-")
            terminal.quiet()
            stacks = Path(scratch) / "stacks"
            spy = subprocess.Popen(
                ["py-spy", "record", "--pid", str(terminal.process.pid), "--format", "raw",
                 "--rate", "500", "--duration", str(_SECONDS - 2), "--output", str(stacks)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            used = terminal.cpu()
            watch(terminal, change, _SECONDS)
            used = terminal.cpu() - used
            spy.wait()
        print(f"{width} × {height}: {used / _SECONDS:.1%} of a CPU, py-spy looking on")
        _tell(stacks.read_text(encoding="utf-8"))


def _tell(raw: str) -> None:
    parts: Counter[str] = Counter()
    inner: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, samples = line.rpartition(" ")
        frames = stack.split(";")
        if frames[-1].startswith(_WAITS):
            continue
        parts[_part(frames)] += int(samples)
        inner[frames[-1].rpartition(":")[0]] += int(samples)
        for frame in {frame.rpartition(":")[0] for frame in frames}:
            within[frame] += int(samples)
    total = parts.total() or 1
    for title, counted, most in (
        ("by part", parts, 10),
        ("spent in", inner, 15),
        ("spent in or below", within, 45),
    ):
        print(f"\n{title}:")
        for name, count in counted.most_common(most):
            print(f"{count / total:7.1%}  {name}")


def _part(frames: list[str]) -> str:
    for frame in reversed(frames):
        for package, part in _PARTS.items():
            if package in frame:
                return part
    return "the rest: asyncio, threads"


if __name__ == "__main__":
    main()
