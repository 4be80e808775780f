"""``python -m rexec_ep_api``: run an endpoint, and look after its catalog."""

from importlib import import_module
from typing import Any

import click

from rexec_jupyter._version import __version__
from rexec_jupyter.web.command import options, serve_as

_UPKEEP = ("migrate", "backup", "restore", "openapi")


class _Commands(click.Group):
    """Imports the commands beside ``serve`` when they are asked for: they need the catalog."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *_UPKEEP]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _UPKEEP:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module("rexec_ep_api.upkeep"), cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"show_default": True, "max_content_width": 100})
@click.version_option(__version__, prog_name="rexec-ep-api")
def main() -> None:
    """Run an endpoint: a catalog of datasets, and the way to remote execution.

    Environment variables, or a file .env in the working directory, set what it offers.
    """


@main.command("serve")
@options("REXEC_EP", 8000)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    envvar="REXEC_EP_WORKERS",
    show_envvar=True,
    help="Processes that answer requests.",
)
def _serve(**chosen: Any) -> None:
    """Answer requests until SIGTERM or SIGINT."""
    serve_as("endpoint", "rexec_ep_api.worker:application", "REXEC_EP", **chosen)


if __name__ == "__main__":
    main(prog_name="python -m rexec_ep_api")
