"""`queuectl doctor`: is all well with the database and its pools?"""

from __future__ import annotations

import os
from typing import Final

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import db_option, json_option
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.terminal import note, on_terminal, say, size_text
from queuectl_engine.engine import examine
from queuectl_engine.errors import ExitCode
from queuectl_engine.keeping import Finding, Level
from queuectl_engine.safe_text import safe_text

_LARGE: Final = 256 * 1024 * 1024  # bytes, of which a whole look takes a while
_COLOURS: Final = {Level.OK: "green", Level.NOTE: "cyan", Level.WARN: "yellow", Level.BAD: "red"}
_EXIT: Final = {
    Level.OK: ExitCode.OK,
    Level.NOTE: ExitCode.OK,
    Level.WARN: ExitCode.WARNED,
    Level.BAD: ExitCode.FAILED,
}


@click.command(cls=Command, context_settings=CONTEXT)
@click.option("--quick", is_flag=True, help="Leave out what reads the whole database.")
@click.option("--recount", is_flag=True, help="Mend counts that are wrong.")
@json_option
@db_option
@click.pass_obj
def doctor(session: Session, quick: bool, recount: bool, as_json: bool) -> None:
    """Look whether all is well with the database and its pools.

    One line a check: ok, note, warn or bad, and what to do. The exit code tells the worst: 0 for ok
    and notes, 5 for a warning, 1 for something bad. Also for a database that is damaged or locked.
    """
    database = session.database()
    if not quick and (size := _size(database.location)) > _LARGE:
        note(f"reads all {size_text(size)}; --quick leaves that out")
    found: list[Finding] = []
    for finding in examine(database, quick=quick, recount=recount):
        found.append(finding)
        if not as_json:
            _tell(finding)
    if as_json:
        shapes.print_json_array(map(shapes.finding, found))
    worst = max(finding.level for finding in found)
    if _EXIT[worst]:
        raise click.exceptions.Exit(_EXIT[worst])


def _tell(finding: Finding) -> None:
    level, name = f"{finding.level.name.lower():<5}", f"{finding.check:<12}"
    advice = f"; try: {finding.advice}" if finding.advice else ""
    if on_terminal() and not os.environ.get("NO_COLOR"):
        level = click.style(level, fg=_COLOURS[finding.level])
        click.echo(f"{level} {name} {safe_text(finding.text + advice)}")
    else:
        say(f"{level} {name} {finding.text}{advice}")


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
