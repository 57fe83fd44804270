"""What to try when a job failed in a way that many people meet. Pure."""

from __future__ import annotations

import re
from typing import Final

from queuectl_engine.job import Attempt, Job

# What a plain /bin/sh says of words that only bash, zsh or ksh know.
_BASHISM: Final = re.compile(
    r"(?:\b(?:source|function|declare|shopt|let|pushd|popd|mapfile)|\[\[): not found"
    r'|Syntax error: (?:redirection|"\("|Bad for loop)|Bad substitution|Illegal option -o pipefail'
)
_GONE: Final = "queuectl: cannot enter"
_SAID_WHY: Final = re.compile(r"queuectl: (?!cannot run )")  # a secret, a log file: what to do
_NO_INTERPRETER: Final = re.compile(r"its interpreter was not found|bad interpreter")


def advice(job: Job, attempt: Attempt, stderr: str) -> str | None:
    """One sentence on what to try after this attempt, None when we know no better.

    `stderr` is the end of what it printed there; an attempt that did not fail needs no advice.
    """
    if attempt.result not in {"failed", "timed out", "lost"}:
        return None
    if job.argv is None and _BASHISM.search(stderr):
        return "that is bash; jobs run under /bin/sh: add it with --shell /bin/bash"
    if stderr.startswith(_GONE):
        return "its directory is gone or closed to us: make it again, or add the job with --cwd"
    if attempt.exit_code == 126 and _SAID_WHY.match(stderr):
        return None
    if _NO_INTERPRETER.search(stderr):
        return "the script is there, but the program in its first line (#!) is not: install that"
    match attempt.exit_code, attempt.signal:
        case 127, _:
            return (
                "a program was not found: is it installed, and in the PATH of the shell that "
                "added the job? a full path always works"
            )
        case 126, _:
            return "it was found but may not be executed: chmod +x, or name its interpreter"
        case _, 9:
            return "SIGKILL comes from a person, or from the kernel when memory ran out (see dmesg)"
        case _, _ if attempt.result == "timed out":
            return "give it more time with --timeout, or find out what it waits for"
    return None
