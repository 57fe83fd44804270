"""`queuectl completion`: the script that teaches a shell our commands and options."""

from __future__ import annotations

import sys

import click

from queuectl_engine.cli.command import CONTEXT, Command


@click.command(cls=Command, context_settings=CONTEXT)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    r"""Print a completion script for SHELL.

    It knows queuectl and queuectl-engine. Put one of these into ~/.bashrc, ~/.zshrc or
    ~/.config/fish/config.fish:

    \b
    eval "$(queuectl completion bash)"
    eval "$(queuectl completion zsh)"
    queuectl completion fish | source
    """
    from click.shell_completion import get_completion_class

    from queuectl_engine.cli.root import COMPLETE_VARIABLE, PROGRAMS, root

    kind = get_completion_class(shell)
    assert kind is not None
    for program in PROGRAMS:
        maker = kind(root, {}, program, COMPLETE_VARIABLE)
        sys.stdout.write(maker.source_template % maker.source_vars())
