"""Running a `queuectl` line that was typed: as a process of its own, as a shell would."""

from __future__ import annotations

import os
import selectors
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Final

from queuectl_engine import BadInput, Engine, safe_output
from queuectl_tui.hands import Deed
from queuectl_tui.typed import Typed, typed

COMMANDS: Final = (
    "add", "list", "show", "logs", "wait", "requeue", "cancel", "delete", "edit", "failures",
    "explain", "status", "queues", "labels", "pause", "resume", "worker", "pools", "scale", "stop",
    "initdb", "completion", "schedule", "hook", "events", "export", "import", "limit", "metrics",
    "secret",
    "doctor", "backup", "restore", "prune", "retention",
    "migrate-store",
)  # fmt: skip
_MOST: Final = 64 * 1024  # bytes of what a line prints that are shown
_LOOK: Final = 0.1  # seconds between two looks whether it was stopped


@dataclass(frozen=True, slots=True)
class Printed:
    """What a line printed, made harmless, and how it ended."""

    line: str
    code: int
    lines: tuple[str, ...]


def words_of(line: str) -> list[str]:
    """The words of a line, with or without `queuectl` before them. Raises BadInput."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise BadInput(f"the words cannot be told apart: {error}") from None
    return words[1:] if words[:1] == ["queuectl"] else words


def argv_of(words: Sequence[str], location: str) -> list[str]:
    """The process that a line is, on the database that is shown."""
    return [sys.executable, "-m", "queuectl_engine", "--db", location, *words]


def run(words: Sequence[str], step: Callable[[int], bool], width: int) -> Deed[Printed]:
    """Run a line until it ends, or until `step` says that it was stopped."""

    def deed(engine: Engine) -> Printed:
        with subprocess.Popen(
            argv_of(words, engine.database.location),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "COLUMNS": str(width)},
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            data = _read(process.stdout, process, step)
        lines = tuple(safe_output(line) for line in data.splitlines())
        return Printed(shlex.join(words), process.returncode, lines)

    return deed


class Lines:
    """The lines of this session, newest last, and what Tab and the arrows make of one."""

    def __init__(self) -> None:
        self._before: list[str] = []
        self._at = 0

    def remember(self, line: str) -> None:
        """It was run."""
        self._before.append(line)
        self._at = len(self._before)

    def other(self, key: str, line: Typed) -> Typed | None:
        """Complete the name of a command as far as it is clear, or bring a line from before."""
        match key:
            case "tab":
                return complete(line)
            case "up" | "down":
                self._at = max(min(self._at + (1 if key == "down" else -1), len(self._before)), 0)
                return typed(self._before[self._at] if self._at < len(self._before) else "")
        return None


def complete(line: Typed) -> Typed | None:
    """The name of a command, as far as it is clear; None where no command begins so."""
    fitting = [name for name in COMMANDS if name.startswith(line.text)]
    if not fitting:
        return None
    first, last = min(fitting), max(fitting)
    alike = [a == b for a, b in zip(first, last, strict=False)]
    shared = alike.index(False) if False in alike else len(first)
    return typed(first[:shared] + (" " if len(fitting) == 1 else ""))


def _read(pipe: IO[bytes], process: subprocess.Popen[bytes], step: Callable[[int], bool]) -> bytes:
    """What it prints until it ends; a process that it left behind may keep the pipe open."""
    data = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            ended = process.poll() is not None
            while selector.select(0 if ended else _LOOK):
                part = os.read(pipe.fileno(), 65536)
                if not part:
                    process.wait()
                    return data
                data += part[: max(_MOST - len(data), 0)]
                if not step(len(data)):
                    break
            if ended:
                return data
            if not step(len(data)):
                process.terminate()
