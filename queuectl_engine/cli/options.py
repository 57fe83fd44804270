"""Options and kinds of values that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from queuectl_engine.cli.command import option
from queuectl_engine.cli.session import Session
from queuectl_engine.errors import BadInput
from queuectl_engine.safe_text import safe_text
from queuectl_engine.states import After, JobState

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
STATES: Final = click.Choice([state.value for state in JobState])


def complete_jobs(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """What Tab offers for a job; loaded only then."""
    from queuectl_engine.cli.completing import jobs

    return jobs(ctx, param, typed)


def complete_queues(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """What Tab offers for a queue."""
    from queuectl_engine.cli.completing import queues

    return queues(ctx, param, typed)


def queue_option(*name: str, help: str, **settings: Any) -> Callable[[Decorated], Decorated]:  # noqa: A002 - click's word
    """`-g`, `--queue`, and `--group` as others call it; `name` is the parameter, if not `queue`."""
    return option(
        "-g",
        "--queue",
        *name,
        also=("--group",),
        metavar="NAME",
        shell_complete=complete_queues,
        help=help,
        **settings,
    )


def label_option(help: str) -> Callable[[Decorated], Decorated]:  # noqa: A002 - click's word
    """`-l`, `--label`, any number of them."""
    return option(
        "-l",
        "--label",
        "labels",
        metavar="TEXT",
        multiple=True,
        shell_complete=complete_labels,
        help=help,
    )


def complete_labels(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """What Tab offers for a label."""
    from queuectl_engine.cli.completing import labels

    return labels(ctx, param, typed)


def complete_pools(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """What Tab offers for a pool."""
    from queuectl_engine.cli.completing import pools

    return pools(ctx, param, typed)


def moment(text: str) -> datetime:
    """A time as people type it, local where it names no zone. Raises BadInput."""
    from queuectl_engine.times import parse_moment

    return parse_moment(text, now=datetime.now().astimezone())


def duration(text: str) -> timedelta:
    """A length of time as people type it; plain numbers are seconds. Raises BadInput."""
    from queuectl_engine.times import parse_duration

    return parse_duration(text)


def size(text: str) -> int:
    """A number of bytes as people type it: 1000, 64K, 500M, 2G. Raises BadInput."""
    number, unit = text.strip(), 1
    for power, letter in enumerate("KMGT", start=1):
        head = number.upper().removesuffix("IB").removesuffix("B")
        if head.endswith(letter):
            number, unit = head[:-1], 1024**power
            break
    if not (number.isascii() and number.isdecimal() and len(number) < 16):
        raise BadInput(f"'{safe_text(text)}' is no size; try 500M or 2G")
    return int(number) * unit


def exit_codes(text: str) -> tuple[int, ...]:
    """Exit codes as people write them. Raises BadInput."""
    from queuectl_engine.exit_codes import parse_exit_codes

    return parse_exit_codes(text)


def _names(
    _ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Ids and keys, several with commas; none at all is not the same as an empty list."""
    if not values:
        return None
    named = [[name.strip() for name in value.split(",") if name.strip()] for value in values]
    if len(named) > 1 and not all(named):
        raise names_nothing(param.opts[0])
    return tuple(name for names in named for name in names)


def names_nothing(option_name: str) -> BadInput:
    """A script's empty variable must not make a job that waits for nothing."""
    return BadInput(f"{option_name} is empty; name the jobs to wait for, or leave it out")


def after_options(command: Decorated) -> Decorated:
    """The options that make a job wait for others."""
    for after, until in _AFTER.items():
        asked = option(
            f"--after-{after}",
            metavar="ID[,ID]",
            multiple=True,
            callback=_names,
            help=f"Not before these jobs {until}; ids, keys, label:NAME.",
        )
        command = asked(command)
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


def _remember_owner(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    session = ctx.ensure_object(Session)
    session.allow_owner = session.allow_owner or value


def db_option(command: Decorated, *, hidden: bool = True) -> Decorated:
    """`--db` and `--allow-owner`, before and after the name of the command; the last one counts.

    The second is `hidden` but in the help of the program.
    """
    command = option(
        "--allow-owner",
        is_flag=True,
        hidden=hidden,
        callback=_remember_owner,
        expose_value=False,
        help="Use a database that another user owns.",
    )(command)
    return option(
        "--db",
        metavar="PATH",
        callback=_remember_db,
        expose_value=False,
        help="Database to use, instead of $QUEUECTL_DB or ./queue.db.",
    )(command)


json_option: Final = option("--json", "as_json", is_flag=True, help="Print JSON.")
quiet_option: Final = option(
    "-q",
    "--quiet",
    also=("-p", "--print-task-id"),
    is_flag=True,
    help="Print only ids.",
)
job_argument: Final = click.argument("job", metavar="ID", shell_complete=complete_jobs)
jobs_argument: Final = click.argument(
    "jobs", metavar="ID...", nargs=-1, shell_complete=complete_jobs
)
cause_option: Final = option(
    "--cause", type=int, metavar="ID", help="Jobs that are dead of this cause; see 'failures'."
)
filter_option: Final = option(
    "--filter",
    "expression",
    metavar="EXPR",
    help="Jobs that match: words and queue: state: exit: key: label: cause: age>1h.",
)
retry_on_option: Final = option(
    "--retry-on",
    type=exit_codes,
    metavar="CODES",
    help="Retry only exit codes such as 75,124 or 64-78.",
)
no_retry_on_option: Final = option(
    "--no-retry-on", type=exit_codes, metavar="CODES", help="Never retry these exit codes."
)
yes_option: Final = option("-y", "--yes", is_flag=True, help="Do not ask about many jobs.")
pool_option: Final = option(
    "--pool",
    metavar="NAME",
    shell_complete=complete_pools,
    help="Which pool, when more than one runs.",
)
