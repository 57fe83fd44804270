"""Options and kinds of values that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import click

from queuectl_engine.cli.session import Session
from queuectl_engine.errors import BadInput
from queuectl_engine.job import After, JobState
from queuectl_engine.times import parse_duration, parse_moment

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
STATES: Final = click.Choice([state.value for state in JobState])


def moment(text: str) -> datetime:
    """A time as people type it, local where it names no zone. Raises BadInput."""
    return parse_moment(text, now=datetime.now().astimezone())


def duration(text: str) -> timedelta:
    """A length of time as people type it; plain numbers are seconds. Raises BadInput."""
    return parse_duration(text)


def _names(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Ids and keys, several with commas; none at all is not the same as an empty list."""
    if not values:
        return None
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


def after_options(command: Decorated) -> Decorated:
    """The options that make a job wait for others."""
    for after, until in _AFTER.items():
        option = click.option(
            f"--after-{after}",
            metavar="ID[,ID]",
            multiple=True,
            callback=_names,
            help=f"Not before these jobs {until}; ids or keys.",
        )
        command = option(command)
    return command


_AFTER: Final = {  # the last one stands first in the help
    After.FAIL: "are dead",
    After.ANY: "have ended in any way",
    After.OK: "are completed",
}


def _remember_db(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    session = ctx.ensure_object(Session)
    if value == "":
        raise BadInput("--db is empty; give a path, or leave it out for the default")
    if value is not None:
        session.flag = value


# Accepted before and after the name of the command; the last one counts.
db_option: Final = click.option(
    "--db",
    metavar="PATH",
    callback=_remember_db,
    expose_value=False,
    help="Database to use, instead of $QUEUECTL_DB or ./queue.db.",
)
json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
quiet_option: Final = click.option("-q", "--quiet", is_flag=True, help="Print only ids.")
job_argument: Final = click.argument("job", metavar="ID")
jobs_argument: Final = click.argument("jobs", metavar="ID...", nargs=-1)
cause_option: Final = click.option(
    "--cause", type=int, metavar="ID", help="Jobs that are dead of this cause; see 'failures'."
)
filter_option: Final = click.option(
    "--filter",
    "expression",
    metavar="EXPR",
    help="Jobs that match: words and queue: state: exit: key: cause: age>1h !word.",
)
yes_option: Final = click.option("-y", "--yes", is_flag=True, help="Do not ask about many jobs.")
pool_option: Final = click.option(
    "--pool", metavar="NAME", help="Which pool, when more than one runs."
)
