"""The program itself: the root group, and the one place where errors become a line and a code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import click

from queuectl_engine import __version__
from queuectl_engine.cli.command import CONTEXT, LazyGroup, option
from queuectl_engine.cli.options import db_option
from queuectl_engine.cli.terminal import deliver
from queuectl_engine.errors import ExitCode, QueuectlError
from queuectl_engine.safe_text import safe_text

COMPLETE_VARIABLE: Final = "_QUEUECTL_COMPLETE"
_LONGEST_MESSAGE: Final = 800
PROGRAMS: Final = ("queuectl", "queuectl-engine")


def _show_version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        click.echo(f"{ctx.find_root().info_name} {__version__}", color=ctx.color)
        ctx.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings=CONTEXT,
    epilog="Understood, too: enqueue, ls, log, follow, rm, kill, restart, retry, dlq [list|retry].",
)
@partial(db_option, hidden=False)
@option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def root(ctx: click.Context) -> None:
    """A durable job queue for shell commands; without a command it shows the status.

    Whoever can write the database runs code as its workers: keep it yours.
    """
    if ctx.invoked_subcommand is None:
        from queuectl_engine.cli.status import status

        ctx.invoke(status, checks=())


def run(args: Sequence[str]) -> int:
    """Run one command; returns its exit code. Nothing is raised, and no traceback is shown.

    `QUEUECTL_DEBUG=1` shows the traceback of an error after all.
    """
    _mend_streams()
    code = _answer(lambda: _dispatch(list(args)))
    if code == ExitCode.OK:
        code = _answer(_flush)
    try:
        sys.stdout.flush()
    except OSError:  # it has been reported, or a pipe was closed
        _forget_stdout()
    return code


def _dispatch(args: list[str]) -> int:
    called = os.path.basename(sys.argv[0])
    program = called if called in PROGRAMS else PROGRAMS[0]
    if instruction := os.environ.get(COMPLETE_VARIABLE):
        from click.shell_completion import shell_complete

        return shell_complete(root, {}, program, COMPLETE_VARIABLE, instruction)
    try:
        with root.make_context(program, args) as ctx:
            root.invoke(ctx)
    except click.exceptions.Exit as done:  # --help, --version
        return done.exit_code
    return ExitCode.OK


def _answer(action: Callable[[], int]) -> int:
    try:
        return action()
    except BrokenPipeError:  # `| head` has read enough, which is no error
        _forget_stdout()
        return ExitCode.OK
    except (KeyboardInterrupt, click.Abort):
        exec("")  # noqa: S102 - else Python ends itself by the signal, where it came within an `exec`
        return ExitCode.INTERRUPTED
    except QueuectlError as error:
        return _fail(str(error), error.exit_code)
    except click.ClickException as error:
        return _fail(_usage(error), error.exit_code)
    except OSError as error:
        return _fail(f"{error.strerror or error}{_of_file(error)}", ExitCode.FAILED)
    except Exception as error:
        hint = "please report it with what QUEUECTL_DEBUG=1 shows"
        return _fail(f"unexpected {type(error).__name__}: {error}; {hint}", ExitCode.FAILED)


def _fail(message: str, code: int) -> int:
    if os.environ.get("QUEUECTL_DEBUG") == "1":
        import traceback

        traceback.print_exc()
    with suppress(OSError):  # nobody is left to hear it
        sys.stderr.write(f"error: {safe_text(_shortened(message))}\n")
        sys.stderr.flush()
    return code


def _shortened(message: str) -> str:
    """A line that can be read, whatever it quotes; what to try stands at its end."""
    if len(message) <= _LONGEST_MESSAGE:
        return message
    return f"{message[: _LONGEST_MESSAGE // 2]} ... {message[-_LONGEST_MESSAGE // 2 :]}"


def _usage(error: click.ClickException) -> str:
    what = " ".join(error.format_message().split()).rstrip(".")
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    command = ctx.command_path if ctx else PROGRAMS[0]
    return f"{what[:1].lower()}{what[1:]}; try '{command} --help'"


def _of_file(error: OSError) -> str:
    return f": '{error.filename}'" if error.filename else ""


def _mend_streams() -> None:
    """A closed stream is None in Python; text that the locale cannot write must not end us."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")


def _flush() -> int:
    deliver()
    return ExitCode.OK


def _forget_stdout() -> None:
    # What is left in the buffer would fail again when the interpreter exits, with a traceback.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
