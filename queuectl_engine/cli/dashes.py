"""What `--` means to `add`: the difference between a line and a program with its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from queuectl_engine.cli.command import Command

AFTER_DASHES: Final = "queuectl.after_dashes"  # words after `--`; None without it


class AddCommand(Command):
    """Tells a quoted line from an argv: click itself drops the `--` that makes the difference."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Remember how many words follow the `--` that ends the options."""
        at = self._separator(ctx, args)
        ctx.meta[AFTER_DASHES] = None if at is None else len(args) - at - 1
        return super().parse_args(ctx, args)

    def _separator(self, ctx: click.Context, args: Sequence[str]) -> int | None:
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        taking = {
            name
            for option in options
            if not option.is_flag
            for name in (*option.opts, *getattr(option, "also", ()))
        }
        position = 0
        while position < len(args):
            word = args[position]
            if word == "--":
                return position
            position += 2 if _wants_value(word, taking) else 1
        return None


def _wants_value(word: str, taking: set[str]) -> bool:
    """Whether the next word is the value of this one: `--file`, `-f`, `-qf`, but not `-fjobs`."""
    if word.startswith("--") or not word.startswith("-"):
        return word in taking
    valued = [at for at, letter in enumerate(word) if f"-{letter}" in taking]
    return bool(valued) and valued[0] == len(word) - 1
