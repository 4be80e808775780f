"""``python -m rexec_deploy_api``: run a deploy API."""

from importlib import import_module
from typing import Any

import click

from rexec_jupyter._version import __version__
from rexec_jupyter.web.command import options, serve_as

_PREFIX = "REXEC_DEPLOY"
_OTHERS = {
    "keys": ("rexec_deploy_api.keys", "keys"),
    # Of the chart.
    "secret": ("rexec_deploy_api.installing", "secret"),
    "leave": ("rexec_deploy_api.installing", "leave_command"),
}


class _Commands(click.Group):
    """Imports the commands beside ``serve`` when they are asked for: it needs nothing of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *_OTHERS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _OTHERS:
            return super().get_command(ctx, cmd_name)
        module, name = _OTHERS[cmd_name]
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(cls=_Commands, context_settings={"show_default": True, "max_content_width": 100})
@click.version_option(__version__, prog_name="rexec-deploy-api")
def main() -> None:
    """Run a deploy API: it starts, watches and ends the servers that run the code of users.

    Environment variables, or a file .env in the working directory, set what it offers.
    """


@main.command("serve")
@options(_PREFIX, 8000)
def _serve(**chosen: Any) -> None:
    """Answer requests until SIGTERM or SIGINT.

    What it knows is in one process. Where servers run in Kubernetes several of these can run side
    by side; one of them looks after the servers, and all answer.
    """
    serve_as("deploy API", "rexec_deploy_api.worker:application", _PREFIX, **chosen)


if __name__ == "__main__":
    main(prog_name="python -m rexec_deploy_api")
