"""Lines that mean the same without a shell: a program's name and its arguments, nothing else.

As GNU make does for its recipes: starting the shell is half the cost of a short command. In doubt a
line is not plain; the shell then runs it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from queuectl_engine.job import Context, Job

# What a shell runs itself or reads as syntax: POSIX, dash, bash, ksh, mksh, BusyBox, zsh.
_THE_SHELLS: Final = frozenset((
    "!", ".", ":", "[", "[[", "]]", "alias", "autoload", "bg", "bind", "bindkey", "break",
    "builtin", "caller", "case", "cd", "chdir", "command", "compgen", "complete", "compopt",
    "continue", "coproc", "declare", "dirs", "disable", "disown", "do", "done", "echo", "elif",
    "else", "emulate", "enable", "esac", "eval", "exec", "exit", "export", "false", "fc", "fg",
    "fi", "float", "for", "foreach", "function", "functions", "getopts", "global", "hash", "help",
    "hist", "history", "if", "in", "integer", "jobs", "kill", "let", "limit", "local", "log",
    "login", "logout", "mapfile", "nameref", "namespace", "newgrp", "nocorrect", "noglob", "popd",
    "print", "printf", "pushd", "pwd", "r", "read", "readarray", "readonly", "rename", "repeat",
    "return", "sched", "select", "set", "setopt", "shift", "shopt", "source", "stop", "suspend",
    "test", "then", "time", "times", "trap", "true", "ttyctl", "type", "typeset", "ulimit", "umask",
    "unalias", "unfunction", "unhash", "unlimit", "unset", "unsetopt", "until", "vared", "wait",
    "whence", "where", "which", "while", "zle", "zmodload", "zparseopts", "zstyle", "{", "}",
))  # fmt: skip
_BLANKS: Final = re.compile(r"[ \t]*")
# Parts of a word: without quotes, in single and in double ones. Nothing that any shell expands.
_PART: Final = re.compile(r"""([A-Za-z0-9_./:@,+%=-]+)|'([^']*)'|"([^"$`\\!]*)\"""")


def runs_directly(job: Job, context: Context) -> bool:
    """Whether its program is started without a shell, if `PATH` leads to it."""
    return job.argv is not None or (context.spares_shell and plain_words(job.command) is not None)


@lru_cache(maxsize=64)
def plain_words(line: str) -> tuple[str, ...] | None:
    """The program and its arguments when a shell would make just that of the line, else None."""
    words: list[str] = []
    at = _skip_blanks(line, 0)
    while at < len(line):
        parts: list[str] = []
        while part := _PART.match(line, at):
            parts.append(next(group for group in part.groups() if group is not None))
            at = part.end()
        after = _skip_blanks(line, at)
        if not parts or (after == at and at < len(line)):
            return None
        words.append("".join(parts))
        at = after
    return tuple(words) if words and _names_a_program(words[0]) else None


def _skip_blanks(line: str, at: int) -> int:
    blanks = _BLANKS.match(line, at)
    assert blanks is not None
    return blanks.end()


def _names_a_program(word: str) -> bool:
    """Whether a first word is no assignment, option of the shell, job number or builtin."""
    return word not in _THE_SHELLS and "=" not in word and word[:1] not in ("", "-", "+", "%")
