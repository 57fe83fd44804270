"""`queuectl migrate-store`: from a file to a server, when one machine is not enough any more."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from queuectl_engine.cli.as_json import print_json
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import json_option
from queuectl_engine.cli.terminal import counted, note, say
from queuectl_engine.errors import BadInput
from queuectl_engine.repository import cancel_move, move_database
from queuectl_engine.settings import is_url


@click.command("migrate-store", cls=Command, context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("url", metavar="URL")
@click.option("--cancel", is_flag=True, help="Take back a move that was not finished.")
@json_option
def migrate_store(file: Path, url: str, cancel: bool, as_json: bool) -> None:
    """Move all jobs of the database FILE to PostgreSQL.

    Jobs keep their ids, keys, history and output; queues, schedules, hooks and settings come too.
    No pool may run on FILE meanwhile, and URL names a database without a queue. Whatever ends the
    move, the same command goes on with it. Afterwards FILE is kept as it was and can be looked at,
    but takes no more jobs.
    """
    if not is_url(url):
        raise BadInput("name the server as postgresql://user@host/name")
    if cancel:
        cancel_move(str(file), url)
        say(f"{file} can be used again")
        return
    rows = move_database(str(file), url, tell=_tell)
    if as_json:
        print_json({"file": str(file), "rows": dict(rows)})
        return
    say(f"Moved {counted(rows['job'], 'job')} with {counted(rows['attempt'], 'attempt')}")
    note(f"from now on name the server: export QUEUECTL_DB='{url}'")


def _tell(table: str, rows: int) -> None:
    if sys.stderr.isatty():
        note(f"{table}: {rows:,}")
