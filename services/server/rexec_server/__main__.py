"""``python -m rexec_server`` with ``agent``, ``exec`` or ``environment``."""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {
    "agent": ("rexec_server.agent.command", "agent_command"),
    "environment": ("rexec_server.environment.command", "environment_command"),
    "exec": ("rexec_server.exec.command", "exec_command"),
}


class _Lazy(click.Group):
    """Imports a command when it is asked for: each is a process of its own, and starts often."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), name)
        return command


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Start one of the two halves of a rexec server, or install packages for it.

    The agent keeps jobs and results and speaks to the broker; exec runs the user's code.
    """


if __name__ == "__main__":
    main(prog_name="python -m rexec_server")
