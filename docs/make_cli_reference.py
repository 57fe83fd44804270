"""Write the second half of docs/cli.md: what every command's `--help` says.

Run it after a change to the command line: python docs/make_cli_reference.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

PAGE: Final = Path(__file__).with_name("cli.md")
MARKER: Final = "<!-- from here on made by docs/make_cli_reference.py -->\n"
WIDTH: Final = 80


def page() -> str:
    """The whole page: its first half as it is, its second half made anew."""
    by_hand = PAGE.read_text(encoding="utf-8").partition(MARKER)[0]
    return by_hand + MARKER + "\n" + "\n".join(_sections())


def _sections() -> Iterator[str]:
    from queuectl_engine.cli.command import COMMANDS
    from queuectl_engine.cli.root import root

    ctx = root.make_context("queuectl", [], terminal_width=WIDTH, resilient_parsing=True)
    yield _section("queuectl", click.Command.get_help(root, ctx))
    for names in COMMANDS.values():
        for name in names:
            command = root.get_command(ctx, name)
            assert command is not None
            own = command.context_class(
                command, info_name=name, parent=ctx, **command.context_settings
            )
            yield _section(f"queuectl {name}", click.Command.get_help(command, own))
            if isinstance(command, click.Group):
                yield from _group(f"queuectl {name}", command, own)


def _group(title: str, group: click.Group, ctx: click.Context) -> Iterator[str]:
    for name, command in group.commands.items():
        own = command.context_class(command, info_name=name, parent=ctx, **command.context_settings)
        yield _section(f"{title} {name}", click.Command.get_help(command, own))


def _section(title: str, help_text: str) -> str:
    return f"### {title}\n\n```text\n{help_text}\n```\n"


if __name__ == "__main__":
    sys.path.insert(0, str(PAGE.parent.parent))
    PAGE.write_text(page(), encoding="utf-8")
