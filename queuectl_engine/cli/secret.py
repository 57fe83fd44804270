"""`queuectl secret`: values for `add --secret`, which no database holds."""

from __future__ import annotations

import sys

import click

from queuectl_engine.cli.as_json import print_json
from queuectl_engine.cli.command import CONTEXT, Command, Group
from queuectl_engine.cli.options import json_option
from queuectl_engine.cli.terminal import can_ask, say
from queuectl_engine.secret import LARGEST, Secrets, check_secret
from queuectl_engine.settings import load_settings

_name = click.argument("name", metavar="NAME")


@click.group("secret", cls=Group, context_settings=CONTEXT, invoke_without_command=True)
@click.pass_context
def secret_group(ctx: click.Context) -> None:
    """Values for 'add --secret NAME', in files of yours; without a command it lists their names.

    A job stores the name alone. The worker that starts it reads the value, as the user of its pool.
    No command prints a value.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_secrets)


@secret_group.command("set", cls=Command, context_settings=CONTEXT)
@_name
def set_secret(name: str) -> None:
    """Store a value, typed unseen or from stdin, without a newline at its end.

    It is no argument: the arguments of a program are shown to everybody by 'ps'.
    """
    check_secret(name)
    stored = _stored()
    stored.put(name, _asked(name) if can_ask() else sys.stdin.buffer.read(LARGEST + 2))
    say(f"Secret {name} stored in {stored.directory}")


@secret_group.command("list", cls=Command, context_settings=CONTEXT)
@json_option
def list_secrets(as_json: bool = False) -> None:
    """List the names."""
    names = _stored().names()
    if as_json:
        print_json(names)
        return
    for name in names:
        say(name)


@secret_group.command("delete", cls=Command, context_settings=CONTEXT)
@_name
def delete_secret(name: str) -> None:
    """Forget a value. Jobs that name it fail when they start."""
    _stored().remove(name)
    say(f"Secret {name} deleted")


def _stored() -> Secrets:
    return Secrets(load_settings().secrets)


def _asked(name: str) -> bytes:
    value: str = click.prompt(f"Value of {name}", hide_input=True, err=True)
    return value.encode("utf-8", "surrogateescape")
