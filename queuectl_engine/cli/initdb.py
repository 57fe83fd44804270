"""`queuectl initdb`: make the database, say what it promises and whom it trusts."""

from __future__ import annotations

import click

from queuectl_engine.cli.as_json import print_json
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import db_option, json_option
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.terminal import say
from queuectl_engine.settings import database_to_make


@click.command(cls=Command, context_settings=CONTEXT)
@click.option(
    "--trust",
    is_flag=True,
    help="Run jobs of this database although another user or machine made it.",
)
@click.option(
    "--durability",
    type=click.Choice(["standard", "full"]),
    help="Let a power cut run the jobs of its last second again, or never.",
)
@json_option
@db_option
@click.pass_obj
def initdb(session: Session, trust: bool, durability: str | None, as_json: bool) -> None:
    """Make the database; harmless when it exists.

    It is ./queue.db, or what --db or $QUEUECTL_DB name.
    """
    from queuectl_engine.repository import create_database

    location = database_to_make(session.flag).location
    created = create_database(
        location, durability=durability, trust=trust, allow_owner=session.allow_owner
    )
    if as_json:
        print_json({"db": location, "created": created})
    elif created:
        say(f"Initialized database {location}")
    else:
        trusted = "; it is trusted now" if trust else ""
        synced = f"; its durability is {durability}" if durability else ""
        say(f"Database {location} exists{trusted}{synced}")
