"""How our commands differ from click's: loaded when called, and with drawn help on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, Final

import click

from queuectl_engine.cli.terminal import on_terminal
from queuectl_engine.errors import BadInput
from queuectl_engine.safe_text import safe_text

CONTEXT: Final = {"help_option_names": ["-h", "--help"]}

# Every command, in the order of the help: title of its group, name, module and function.
COMMANDS: Final[Mapping[str, Mapping[str, str]]] = {
    "Jobs": {
        "add": "add:add",
        "list": "listing:list_jobs",
        "show": "showing:show",
        "logs": "logs:logs",
        "wait": "waiting:wait",
        "requeue": "acting:requeue",
        "cancel": "acting:cancel",
        "delete": "acting:delete",
        "edit": "editing:edit",
        "failures": "failures:failures",
        "explain": "failures:explain",
        "events": "events:events",
        "export": "exporting:export_jobs",
        "import": "importing:import_jobs",
    },
    "Queues": {
        "status": "status:status",
        "queues": "queues:queues",
        "labels": "labels:labels",
        "pause": "queues:pause",
        "resume": "queues:resume",
        "schedule": "schedules:schedule_group",
        "hook": "hooks:hook_group",
        "metrics": "metrics:metrics",
        "limit": "queues:limit",
    },
    "Workers": {
        "worker": "worker:worker",
        "pools": "pools:pools",
        "scale": "pools:scale",
        "stop": "pools:stop",
    },
    "Setup": {
        "initdb": "initdb:initdb",
        "secret": "secret:secret_group",
        "doctor": "doctor:doctor",
        "backup": "keeping:backup",
        "restore": "keeping:restore",
        "migrate-store": "migrating:migrate_store",
        "prune": "keeping:prune",
        "retention": "keeping:retention",
        "completion": "completion:completion",
    },
}
# What people type who come from elsewhere, and what it means here.
ALIASES: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("enqueue",): ("add", "--object"),
    ("ls",): ("list",),
    ("log",): ("logs",),
    ("follow",): ("logs", "--follow"),
    ("fo",): ("logs", "--follow"),
    ("rm",): ("delete",),
    ("remove",): ("delete",),
    ("kill",): ("cancel",),
    ("restart",): ("requeue",),
    ("retry",): ("requeue",),
    ("re",): ("requeue",),
    ("dlq",): ("list", "--dlq"),
    ("dlq", "list"): ("list", "--dlq"),
    ("dlq", "retry"): ("requeue",),
    ("worker", "start"): ("worker",),
    ("worker", "stop"): ("stop",),
}
_WHERE: Final = {name: where for group in COMMANDS.values() for name, where in group.items()}


class Option(click.Option):
    """An option with further spellings, which people know from elsewhere; the help is silent."""

    def __init__(
        self,
        *args: Any,
        also: Sequence[str] = (),
        help: str | None = None,  # noqa: A002 - click's word
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self.also = tuple(also)
        self.help = help  # not by click, which needs all of `inspect` to indent it

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Let the parser know all spellings; afterwards only the usual ones are left."""
        shown = self.opts
        self.opts = [*shown, *self.also]
        try:
            super().add_to_parser(parser, ctx)
        finally:
            self.opts = shown


option: Final = partial(click.option, cls=Option)


def _show_help(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


_HELP: Final = Option(
    CONTEXT["help_option_names"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_help,
    help="Show this message and exit.",
)


class Command(click.Command):
    """A command whose help is drawn on a terminal and plain text elsewhere."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """As click's own, without a search for its text in the user's language."""
        return _HELP

    def get_help(self, ctx: click.Context) -> str:
        """The whole help page, drawn when a person reads it."""
        if not on_terminal():
            return super().get_help(ctx)
        from queuectl_engine.cli.drawn_help import drawn_help

        return drawn_help(self, ctx)


class Group(Command, click.Group):
    """A command with commands of its own."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called. Raises BadInput that names those there are."""
        name = args[0]
        if name not in self.commands and not ctx.resilient_parsing and not name.startswith("-"):
            raise BadInput(
                f"no command '{safe_text(name)}' of '{ctx.command_path}'; it has"
                f" {', '.join(self.commands)}"
            )
        return super().resolve_command(ctx, args)


class LazyGroup(Command, click.Group):
    """The root group: a command's module is imported when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the help."""
        return list(_WHERE)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command, or None for a name that we do not have."""
        if cmd_name not in _WHERE:
            return None
        module, function = _WHERE[cmd_name].split(":")
        command = getattr(import_module(f"queuectl_engine.cli.{module}"), function)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called. Raises BadInput that names the closest one we have."""
        for words in (tuple(args[:2]), tuple(args[:1])):
            if words in ALIASES:
                args = [*ALIASES[words], *args[len(words) :]]
                break
        name = args[0]
        if name not in _WHERE and not ctx.resilient_parsing and not name.startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(name, _WHERE, n=1)
            guess = f"did you mean '{close[0]}'? " if close else ""
            raise BadInput(
                f"no command '{safe_text(name)}'; {guess}'{ctx.command_path} --help' shows them all"
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section a group, instead of click's single list."""
        limit = formatter.width - 6 - max(map(len, _WHERE))
        for title, names in COMMANDS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl(
                    [(name, cmd.get_short_help_str(limit)) for name, cmd in commands if cmd]
                )
