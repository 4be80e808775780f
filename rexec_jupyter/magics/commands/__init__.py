"""The subcommands of ``%rexec``, one module a group."""

from rexec_jupyter.magics.commands import auth, config, data, jobs, sessions, state
from rexec_jupyter.magics.commands.command import Command

COMMANDS: dict[str, Command] = {
    command.name: command
    for module in (state, auth, sessions, jobs, data, config)
    for command in module.COMMANDS
}
"""Every subcommand by its name."""

state.Help.commands = COMMANDS

__all__ = ["COMMANDS", "Command"]
