"""Write docs/queuectl.1, the manual page, from the command line itself.

Run it after a change to the command line: python docs/make_man_page.py
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

PAGE: Final = Path(__file__).with_name("queuectl.1")
DATE: Final = "2026-11-24"  # of the last release or change that a reader should know
WIDTH: Final = 72
_HEAD: Final = """\
.\\" Made by docs/make_man_page.py; change that, or the help of a command.
.TH QUEUECTL 1 {date} "queuectl {version}" "User Commands"
.SH NAME
queuectl, queuectl\\-engine, queuectl\\-tui \\- a durable queue for shell commands
.SH SYNOPSIS
.B queuectl
.RI [ OPTIONS ]
.RI [ COMMAND
.RI [ ARGS ]...]
.br
.B queuectl\\-tui
.RI [ OPTIONS ]
"""
_TAIL: Final = r"""
.SH EXIT STATUS
.TP
.B 0
done
.TP
.B 1
could not be done; with
.B status \-\-check
a condition holds
.TP
.B 2
wrong usage
.TP
.B 3
no such job
.TP
.B 4
a job that was waited for failed
.TP
.B 75
the database is busy: try again
.TP
.B 130
interrupted
.PP
.B add \-\-wait
and
.B add \-\-follow
exit as the job itself.
.SH ENVIRONMENT
.TP
.B QUEUECTL_DB
the database, when no
.B \-\-db
names one
.TP
.B NO_COLOR
draw without colours
.TP
.B QUEUECTL_DEBUG
.B 1
shows the traceback behind an error
.PP
Jobs see
.BR QUEUECTL_DB ,
.BR QUEUECTL_JOB_ID ,
.BR QUEUECTL_ATTEMPT ,
.B QUEUECTL_QUEUE
and
.BR QUEUECTL_TOKEN .
.SH FILES
.TP
.I queue.db
the database in this directory, when there is one
.TP
.I ~/.local/share/queuectl
your own database, below
.B XDG_DATA_HOME
when that is set
.TP
.I queue.db.d
locks and logs of the pools of a database
.SH SEE ALSO
.BR tsp (1),
.BR parallel (1),
.BR crontab (1),
.BR at (1)
"""


def page() -> str:
    """The whole page as roff."""
    from queuectl_engine import __version__
    from queuectl_engine.cli.root import root

    ctx = root.make_context("queuectl", [], resilient_parsing=True)
    lines = [_HEAD.format(date=DATE, version=__version__).rstrip(), ".SH DESCRIPTION"]
    lines += _text(root.help or "")
    lines += [".SH OPTIONS", *_options(root, ctx), ".SH COMMANDS", *_commands(root, ctx)]
    return "\n".join(lines) + _TAIL


def _commands(root: click.Group, ctx: click.Context) -> Iterator[str]:
    from queuectl_engine.cli.command import COMMANDS

    for names in COMMANDS.values():
        for name in names:
            command = root.get_command(ctx, name)
            assert command is not None
            own = command.context_class(
                command, info_name=name, parent=ctx, **command.context_settings
            )
            yield f'.SS "{name}"'
            yield f".B queuectl {name}"
            yield _safe(" ".join(command.collect_usage_pieces(own)))
            yield ".PP"
            yield from _text(command.help or "")
            yield from _options(command, own)


def _options(command: click.Command, ctx: click.Context) -> Iterator[str]:
    for param in command.get_params(ctx):
        if isinstance(param, click.Option) and (record := param.get_help_record(ctx)):
            names, told = record
            yield ".TP"
            yield f".B {_safe(names)}"
            yield from map(_safe, textwrap.wrap(told, WIDTH))


def _text(told: str) -> Iterator[str]:
    r"""The paragraphs of a help; those after \b keep their lines."""
    paragraphs = inspect.cleandoc(told).split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield ".PP"
        if paragraph.startswith("\b\n"):
            yield ".nf"
            yield from map(_safe, paragraph.splitlines()[1:])
            yield ".fi"
        else:
            yield from map(_safe, textwrap.wrap(paragraph, WIDTH, break_on_hyphens=False))


def _safe(text: str) -> str:
    """A line that roff prints as it is."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("^", r"\(ha")
    text = text.replace("`", r"\(ga").replace("~", r"\(ti")
    return rf"\&{text}" if text.startswith(".") else text


if __name__ == "__main__":
    sys.path.insert(0, str(PAGE.parent.parent))
    PAGE.write_text(page(), encoding="utf-8")
