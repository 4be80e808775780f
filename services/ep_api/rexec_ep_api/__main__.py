"""``python -m rexec_ep_api``: run an endpoint, and look after its catalog."""

from importlib import import_module

import click

from rexec_ep_api.serving import Serving, serve
from rexec_jupyter._version import __version__
from rexec_jupyter.core.startup import LOG_LEVELS, report_ready

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
@click.option("--host", default="127.0.0.1", envvar="REXEC_EP_HOST", show_envvar=True)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    envvar="REXEC_EP_PORT",
    show_envvar=True,
    help="0: any that is free.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    envvar="REXEC_EP_WORKERS",
    show_envvar=True,
    help="Processes that answer requests.",
)
@click.option(
    "--log-level",
    type=click.Choice(LOG_LEVELS),
    default="info",
    envvar="REXEC_EP_LOG_LEVEL",
    show_envvar=True,
)
@click.option(
    "--trusted-proxies",
    default="127.0.0.1",
    envvar="REXEC_EP_TRUSTED_PROXIES",
    show_envvar=True,
    help="Addresses of proxies, separated by commas, whose X-Forwarded-For and -Proto are "
    "believed.",
)
@click.option(
    "--fd",
    type=click.IntRange(min=0),
    help="File descriptor of a listening socket, in place of host and port.",
)
@click.option(
    "--ready-fd",
    type=click.IntRange(min=0),
    help="File descriptor to write one line of JSON to once requests are answered: the URL.",
)
def _serve(
    *,
    host: str,
    port: int,
    workers: int,
    log_level: str,
    trusted_proxies: str,
    fd: int | None,
    ready_fd: int | None,
) -> None:
    """Answer requests until SIGTERM or SIGINT."""

    def announce(url: str) -> None:
        if ready_fd is None:
            click.echo(f"The endpoint answers at {url}")
        else:
            report_ready(ready_fd, {"url": url})

    try:
        serve(Serving(host, port, workers, log_level, trusted_proxies, fd), announce)
    except OSError as error:
        raise click.ClickException(
            f"cannot listen at {host}, port {port}: {error.strerror or error}. "
            "Choose another with --host and --port."
        ) from None


if __name__ == "__main__":
    main(prog_name="python -m rexec_ep_api")
