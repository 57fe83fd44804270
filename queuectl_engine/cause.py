"""Why an attempt failed, in a form that is the same for all that failed alike. Pure.

A cause is the program, what ended it, and the last line it printed with everything masked that
differs from run to run: numbers, ids, paths, quoted text and times.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from queuectl_engine.lifecycle import Ending, Exited, HostLost, Signalled, TimedOut, WorkerDied
from queuectl_engine.safe_text import safe_output, safe_text

_LONGEST_LINE: Final = 200
_LONGEST_PROGRAM: Final = 40
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=")
# Words before the program that matters; their own options are not understood, so none is skipped.
_WRAPPERS: Final = frozenset({"exec", "command", "env", "nice", "nohup", "sudo", "time", "setsid"})
_SHELL_WORDS: Final = frozenset({"for", "while", "until", "if", "case", "{", "(", "!", "[", "[["})
_MASKS: Final = (
    (re.compile(r"\"[^\"]*\"|'[^']*'|`[^`]*`"), "'\u2026'"),
    (re.compile(r"\b[a-z][a-z0-9+.-]*://\S+"), "URL"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?\S*)?"), "TIME"),
    (re.compile(r"\b\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d+)?\b"), "TIME"),
    (re.compile(r"(?<![\w.])(?:~|\.{1,2})?/[^\s:;,'\"()]+"), "PATH"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "ID"),
    (re.compile(r"\b(?:0x[0-9a-f]+|(?=[a-f]*\d)[0-9a-f]{7,})\b", re.IGNORECASE), "ID"),
    (re.compile(r"\d+(?:[.,]\d+)*"), "N"),
)


@dataclass(frozen=True, slots=True)
class Signature:
    """What failures of one kind have in common."""

    program: str
    ended: str
    line: str


def signature_of(
    command: str, argv: Sequence[str] | None, ending: Ending, last_line: bytes
) -> Signature | None:
    """The signature of a failed attempt; None for one that did not fail.

    `last_line` is the last non-empty line of its stderr, else of its stdout.
    """
    ended = _ended(ending)
    if ended is None:
        return None
    program = program_of(command, argv)
    line = safe_text(safe_output(last_line).strip())
    line = line.removeprefix(f"{program}:").strip()
    return Signature(program, ended, mask(line))


def program_of(command: str, argv: Sequence[str] | None) -> str:
    """The program that a job runs, as far as its words tell: `curl`, `python3`, else `sh`."""
    for word in argv if argv is not None else _words(command):
        if _ASSIGNMENT.match(word) or word in _WRAPPERS:
            continue
        if word in _SHELL_WORDS or word[0] in "({$<>&|;":
            break
        return safe_text(os.path.basename(word.rstrip(";")))[:_LONGEST_PROGRAM] or "sh"
    return "sh"


def mask(line: str) -> str:
    """The line without what differs from run to run."""
    for pattern, name in _MASKS:
        line = pattern.sub(name, line)
    return line[:_LONGEST_LINE]


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command, comments=True)
    except ValueError:  # an open quote
        return command.split()


def _ended(ending: Ending) -> str | None:
    match ending:
        case Exited(code=code):
            return f"exit {code}" if code else None
        case Signalled(signal=number):
            return f"killed {number}"
        case TimedOut():
            return "timed out"
        case WorkerDied() | HostLost():
            return "lost"
    return None
