"""Help as rich-click draws it. Imported only when a person at a terminal asks for help."""

from __future__ import annotations

from typing import Any

import click
from rich_click import RichCommand, RichContext, RichGroup, RichHelpConfiguration
from rich_click.utils import CommandGroupDict

from queuectl_engine.cli.command import COMMANDS, LazyGroup


def drawn_help(command: click.Command, ctx: click.Context) -> str:
    """The help page of `command`, which stays plain click: a twin of it is drawn."""
    groups: list[CommandGroupDict] = [
        {"name": title, "commands": list(names)} for title, names in COMMANDS.items()
    ]
    titled = groups if isinstance(command, LazyGroup) else []
    config = RichHelpConfiguration(command_groups={"*": titled})
    context = RichContext(
        _twin(command, ctx), info_name=ctx.info_name, parent=ctx.parent, rich_help_config=config
    )
    return context.command.get_help(context)


def _twin(command: click.Command, ctx: click.Context) -> RichCommand:
    same: dict[str, Any] = {
        "params": command.params,
        "help": command.help,
        "epilog": command.epilog,
        "context_settings": command.context_settings,
    }
    if not isinstance(command, click.Group):
        return RichCommand(name=command.name, **same)
    found = ((name, command.get_command(ctx, name)) for name in command.list_commands(ctx))
    commands = {name: each for name, each in found if each is not None}
    return RichGroup(
        name=command.name, commands=commands, subcommand_metavar=command.subcommand_metavar, **same
    )
